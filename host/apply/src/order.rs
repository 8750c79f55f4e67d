//! The order in which objects are applied: Flux's (`fluxcd/pkg`, `ssa/manager_apply.go` and `ssa/sort.go`), so that a
//! repository that applies in one pass there does so here.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::str::FromStr;
use std::sync::Arc;

use plumb_api::{GroupKind, ObjectId};

/// What is applied together. The objects of a stage are applied, and the definitions and classes among them are ready,
/// before the next stage begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// What makes other objects possible: custom resource definitions, namespaces, cluster roles (those that aggregate
    /// give their permissions only when a controller has seen them).
    Definitions,
    /// What other objects name as their class: `StorageClass`, `IngressClass`, and every other kind that ends in `Class`.
    Classes,
    /// What a flag names, see [`Stages`]: for example the roles without which a service account may not bind them.
    Custom,
    /// Everything else.
    Rest,
}

impl Stage {
    /// Every stage, in the order in which they are applied.
    pub const ALL: [Self; 4] = [Self::Definitions, Self::Classes, Self::Custom, Self::Rest];

    /// Whether the next stage has to wait until the objects of this one are healthy, as Flux does for definitions and classes. Custom
    /// stages are applied first and not waited for, as in Flux: what is in them may need the rest to become healthy.
    pub fn is_awaited(self) -> bool {
        matches!(self, Self::Definitions | Self::Classes)
    }
}

/// Which kinds are applied in which stage: Flux's rules, and kinds that a flag names (`--custom-apply-stage-kinds`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stages {
    custom: Arc<BTreeSet<GroupKind>>,
}

/// A list of kinds that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{item:?} of {text:?} is not a kind: expected GROUP/KIND, or KIND for the core group, separated by commas"
)]
pub struct InvalidStageKinds {
    text: String,
    item: String,
}

impl FromStr for Stages {
    type Err = InvalidStageKinds;

    /// Reads the value of Flux's `--custom-apply-stage-kinds`: `rbac.authorization.k8s.io/Role,example.com/Widget`. The empty text names
    /// no kinds.
    fn from_str(text: &str) -> Result<Self, InvalidStageKinds> {
        let kind_of = |item: &str| {
            let (group, kind) = item.rsplit_once('/').unwrap_or(("", item));
            let is_name =
                |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte));
            let is_valid = !kind.is_empty() && is_name(kind) && is_name(group) && !item.starts_with('/');
            let invalid = || InvalidStageKinds { text: text.to_owned(), item: item.to_owned() };
            is_valid.then(|| GroupKind::new(group, kind)).ok_or_else(invalid)
        };
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let custom = text.split(',').map(|item| kind_of(item.trim())).collect::<Result<_, _>>()?;
        Ok(Self { custom: Arc::new(custom) })
    }
}

impl Stages {
    /// The stage in which objects of a type are applied. Definitions and classes stay what they are, whatever the flag names.
    pub fn of(&self, group_kind: &GroupKind) -> Stage {
        match (group_kind.group.as_str(), group_kind.kind.as_str()) {
            ("apiextensions.k8s.io", "CustomResourceDefinition")
            | ("", "Namespace")
            | ("rbac.authorization.k8s.io", "ClusterRole") => Stage::Definitions,
            (_, kind) if kind.ends_with("Class") => Stage::Classes,
            _ if self.custom.contains(group_kind) => Stage::Custom,
            _ => Stage::Rest,
        }
    }

    /// Which of two objects is applied first: by stage, then by kind, then by group, kind, namespace and name, so that the order
    /// does not depend on how the objects were listed. Deletion goes the other way round.
    pub fn compare(&self, left: &ObjectId, right: &ObjectId) -> Ordering {
        let place = |id: &ObjectId| (self.of(&id.group_kind), rank(&id.group_kind.kind));
        place(left)
            .cmp(&place(right))
            .then_with(|| left.group_kind.cmp(&right.group_kind))
            .then_with(|| left.namespace.cmp(&right.namespace))
            .then_with(|| left.name.cmp(&right.name))
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
