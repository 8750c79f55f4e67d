//! The order in which objects are applied: Flux's (`fluxcd/pkg`, `ssa/manager_apply.go` and `ssa/sort.go`), so that a
//! repository that applies in one pass there does so here.

use std::cmp::Ordering;

use plumb_api::{GroupKind, Object, ObjectId};

/// What is applied together. The objects of a stage are applied, and the definitions and classes among them are ready,
/// before the next stage begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// What makes other objects possible: custom resource definitions, namespaces, cluster roles (those that aggregate
    /// give their permissions only when a controller has seen them).
    Definitions,
    /// What other objects name as their class: `StorageClass`, `IngressClass`, and every other kind that ends in `Class`.
    Classes,
    /// Everything else.
    Rest,
}

impl Stage {
    /// Every stage, in the order in which they are applied.
    pub const ALL: [Self; 3] = [Self::Definitions, Self::Classes, Self::Rest];

    /// Whether the next stage has to wait until the objects of this one are healthy, as Flux does for definitions and classes.
    pub fn is_awaited(self) -> bool {
        self != Self::Rest
    }
}

/// The stage in which objects of a type are applied.
pub fn stage_of(group_kind: &GroupKind) -> Stage {
    match (group_kind.group.as_str(), group_kind.kind.as_str()) {
        ("apiextensions.k8s.io", "CustomResourceDefinition")
        | ("", "Namespace")
        | ("rbac.authorization.k8s.io", "ClusterRole") => Stage::Definitions,
        (_, kind) if kind.ends_with("Class") => Stage::Classes,
        _ => Stage::Rest,
    }
}

/// Kinds that go before all others, in this order. Flux goes by the kind alone, whatever the group.
const FIRST: [&str; 23] = [
    "CustomResourceDefinition",
    "Namespace",
    "ClusterRole",
    "ClusterClass",
    "RuntimeClass",
    "PriorityClass",
    "StorageClass",
    "VolumeSnapshotClass",
    "IngressClass",
    "GatewayClass",
    "ClusterRoleBinding",
    "ResourceQuota",
    "ServiceAccount",
    "Role",
    "RoleBinding",
    "ConfigMap",
    "Secret",
    "Service",
    "LimitRange",
    "Deployment",
    "StatefulSet",
    "CronJob",
    "PodDisruptionBudget",
];

/// Kinds that go after all others: a webhook that is called before what answers it runs would refuse the rest.
const LAST: [&str; 2] = ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"];

/// Where a kind stands: in [`FIRST`], between, or in [`LAST`].
fn rank(kind: &str) -> usize {
    let position = |kinds: &[&str]| kinds.iter().position(|listed| *listed == kind);
    match (position(&FIRST), position(&LAST)) {
        (Some(position), _) => position,
        (None, Some(position)) => FIRST.len() + 1 + position,
        (None, None) => FIRST.len(),
    }
}

/// Which of two objects is applied first: by stage, then by kind, then by group, kind, namespace and name, so that the order
/// does not depend on how the objects were listed. Deletion goes the other way round.
pub fn compare_for_apply(left: &ObjectId, right: &ObjectId) -> Ordering {
    let place = |id: &ObjectId| (stage_of(&id.group_kind), rank(&id.group_kind.kind));
    place(left)
        .cmp(&place(right))
        .then_with(|| left.group_kind.cmp(&right.group_kind))
        .then_with(|| left.namespace.cmp(&right.namespace))
        .then_with(|| left.name.cmp(&right.name))
}

/// Sorts objects into the order in which they are applied.
pub fn sort_for_apply(objects: &mut [Object]) {
    objects.sort_by_cached_key(|object| ApplyOrder(object.id()));
}

/// An id that sorts as [`compare_for_apply`] says.
#[derive(PartialEq, Eq)]
struct ApplyOrder(ObjectId);

impl PartialOrd for ApplyOrder {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ApplyOrder {
    fn cmp(&self, other: &Self) -> Ordering {
        compare_for_apply(&self.0, &other.0)
    }
}
