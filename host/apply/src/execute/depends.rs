use std::collections::HashSet;

use plumb_api::{GroupKind, ObjectId};

use crate::discovery::defined_kinds;
use crate::order::{Stage, Stages};
use crate::plan::{Action, Change, Plan};

/// What a plan itself brings, and its other objects need.
pub(super) struct Dependencies {
    namespaces: HashSet<String>,
    kinds: HashSet<GroupKind>,
    stages: Stages,
    /// Whether something of the custom stage changes: it is there because the rest cannot be tried without it.
    custom: bool,
    /// Everything that may be new.
    created: HashSet<ObjectId>,
}

impl Dependencies {
    pub(super) fn of(plan: &Plan, stages: &Stages) -> Self {
        let changing = || plan.actions().filter(|action| action.is_change());
        let created = || changing().filter(|action| !matches!(action.change, Change::Apply(_)));
        let is_namespace = |id: &ObjectId| id.group_kind == GroupKind::new("", "Namespace");
        Self {
            namespaces: created()
                .filter(|action| is_namespace(&action.id))
                .map(|action| action.id.name.clone())
                .collect(),
            // A CRD that changes counts too: its objects may use what is new in it.
            kinds: changing()
                .flat_map(|action| defined_kinds(&action.desired))
                .map(|kind| kind.gvk().group_kind())
                .collect(),
            created: created().map(|action| action.id.clone()).collect(),
            custom: changing().any(|action| stages.of(&action.id.group_kind) == Stage::Custom),
            stages: stages.clone(),
        }
    }

    /// Whether the object can be tried only when an earlier stage of the plan has been applied.
    pub(super) fn has_to_wait(&self, action: &Action) -> bool {
        let stage = self.stages.of(&action.id.group_kind);
        let needs_what_comes =
            || self.namespaces.contains(&action.id.namespace) || self.brings_kind(&action.id.group_kind);
        (stage == Stage::Rest && self.custom) || (stage != Stage::Definitions && needs_what_comes())
    }

    /// Whether the kind comes with the plan.
    pub(super) fn brings_kind(&self, group_kind: &GroupKind) -> bool {
        self.kinds.contains(group_kind)
    }

    /// Whether a dry run was refused only because a service account of this plan is not there yet: the admission of pods looks
    /// for it, and it is applied before the pods.
    pub(super) fn will_satisfy(&self, id: &ObjectId, refusal: &str) -> bool {
        let Some((_, name)) = refusal.split_once("error looking up service account ") else { return false };
        let Some((namespace, name)) = name.split_once(':').and_then(|(path, _)| path.split_once('/')) else {
            return false;
        };
        let account = ObjectId {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            group_kind: GroupKind::new("", "ServiceAccount"),
        };
        id.namespace == account.namespace && self.created.contains(&account)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use rstest::rstest;

    use super::*;

    fn id(kind: &str, namespace: &str, name: &str) -> ObjectId {
        let group_kind = GroupKind::new("", kind);
        ObjectId { namespace: namespace.to_owned(), name: name.to_owned(), group_kind }
    }

    #[rstest]
    #[case("default", "robot", true)]
    #[case("default", "other", false)]
    #[case("elsewhere", "robot", false)]
    fn a_pod_may_wait_for_the_service_account_of_its_own_plan(
        #[case] namespace: &str,
        #[case] name: &str,
        #[case] expected: bool,
    ) {
        let created = HashSet::from([id("ServiceAccount", "default", "robot")]);
        let (namespaces, kinds) = (HashSet::new(), HashSet::new());
        let depends = Dependencies { namespaces, kinds, stages: Stages::default(), custom: false, created };
        let refusal = format!(
            r#"pods "web" is forbidden: error looking up service account {namespace}/{name}: serviceaccount "{name}" not found"#
        );
        assert_eq!(depends.will_satisfy(&id("Pod", "default", "web"), &refusal), expected);
    }
}
