//! The labels and annotations by which single objects ask for another treatment, and those that the controllers write.
//!
//! As in Flux, what an annotation can say a label can say too, and capitals do not matter in values.

use crate::Object;

/// How to apply an object: `Override` (the default), `Merge`, `IfNotPresent` or `Ignore`.
pub const SSA: &str = "kustomize.toolkit.fluxcd.io/ssa";
/// `enabled`: delete the object and create it anew when a field is immutable.
pub const FORCE: &str = "kustomize.toolkit.fluxcd.io/force";
/// `disabled`: never delete the object.
pub const PRUNE: &str = "kustomize.toolkit.fluxcd.io/prune";
/// `disabled`: neither apply nor delete the object. The older form of `ssa: Ignore`.
pub const RECONCILE: &str = "kustomize.toolkit.fluxcd.io/reconcile";
/// `disabled`: put no variables into the object.
pub const SUBSTITUTE: &str = "kustomize.toolkit.fluxcd.io/substitute";
/// `disabled`: do not decrypt the object.
pub const DECRYPT: &str = "kustomize.toolkit.fluxcd.io/decrypt";
/// The label with the name of the Kustomization that an object belongs to.
pub const OWNER_NAME: &str = "kustomize.toolkit.fluxcd.io/name";
/// The label with the namespace of the Kustomization that an object belongs to.
pub const OWNER_NAMESPACE: &str = "kustomize.toolkit.fluxcd.io/namespace";
/// The label with the name of the HelmRelease that an object belongs to.
pub const RELEASE_OWNER_NAME: &str = "helm.toolkit.fluxcd.io/name";
/// The label with the namespace of the HelmRelease that an object belongs to.
pub const RELEASE_OWNER_NAMESPACE: &str = "helm.toolkit.fluxcd.io/namespace";
/// The label with the kind of what an object belongs to, where that is not a Kustomization: `Pipeline`.
pub const APPLIER: &str = "plumbline.dev/applier";
/// Any new value: reconcile now. `status.lastHandledReconcileAt` then gets the value.
pub const REQUESTED_AT: &str = "reconcile.fluxcd.io/requestedAt";
/// With the value of [`REQUESTED_AT`]: do once what is otherwise only done on a change.
pub const FORCE_AT: &str = "reconcile.fluxcd.io/forceAt";
/// With the value of [`REQUESTED_AT`]: forget the failures so far.
pub const RESET_AT: &str = "reconcile.fluxcd.io/resetAt";
/// The label `Enabled`: reconcile what refers to this ConfigMap or Secret as soon as it changes.
pub const WATCH: &str = "reconcile.fluxcd.io/watch";
/// `disabled`: do not look for drift in this object of a Helm release.
pub const DRIFT_DETECTION: &str = "helm.toolkit.fluxcd.io/driftDetection";
/// `keep`: leave the object when its release no longer has it, or is uninstalled. Helm's own ("Chart Tips and Tricks").
pub const RESOURCE_POLICY: &str = "helm.sh/resource-policy";
/// On a record of a Helm release: the HelmRelease that has written it last, as `NAMESPACE/NAME`. Helm leaves it out when it writes one.
pub const RECORD_WRITTEN_BY: &str = "plumbline.dev/written-by";
/// How many of its objects a Kustomization may delete at once: `50%` (the default), `10`, or `off`.
pub const PRUNE_LIMIT: &str = "plumbline.dev/prune-limit";
/// Confirms deletions that exceed [`PRUNE_LIMIT`], with the value that the message about them names.
pub const PRUNE_CONFIRMED: &str = "plumbline.dev/prune-confirmed";
/// The finalizer of all kinds.
pub const FINALIZER: &str = "finalizers.fluxcd.io";

/// How to apply an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SsaPolicy {
    /// Apply it, and take over what others set with kubectl in fields that the manifest has.
    #[default]
    Override,
    /// Apply it, and leave fields that others set with kubectl and the manifest does not have.
    Merge,
    /// Create it when it does not exist, and leave it alone otherwise.
    IfNotPresent,
    /// Neither apply nor delete it.
    Ignore,
}

impl SsaPolicy {
    /// What the object asks for. A value that is not known counts as `Override`, as in Flux.
    pub fn of(object: &Object) -> Self {
        if says(object, SSA, "Ignore") || says(object, RECONCILE, "disabled") {
            Self::Ignore
        } else if says(object, SSA, "IfNotPresent") {
            Self::IfNotPresent
        } else if says(object, SSA, "Merge") {
            Self::Merge
        } else {
            Self::Override
        }
    }
}

/// Whether the object asks never to be deleted by pruning.
pub fn prune_disabled(object: &Object) -> bool {
    says(object, PRUNE, "disabled") || SsaPolicy::of(object) == SsaPolicy::Ignore
}

/// Whether the object asks to stay when its release no longer has it. As in Helm, only an annotation says so.
pub fn resource_policy_keep(object: &Object) -> bool {
    object.annotation(RESOURCE_POLICY).is_some_and(|policy| policy.trim().eq_ignore_ascii_case("keep"))
}

/// Whether the object asks to be deleted and created anew when a field is immutable.
pub fn force_enabled(object: &Object) -> bool {
    says(object, FORCE, "enabled")
}

/// Whether the object asks for no variables to be put into it.
pub fn substitute_disabled(object: &Object) -> bool {
    says(object, SUBSTITUTE, "disabled")
}

/// Whether the object asks not to be decrypted.
pub fn decrypt_disabled(object: &Object) -> bool {
    says(object, DECRYPT, "disabled")
}

fn says(object: &Object, key: &str, value: &str) -> bool {
    let found = [object.label(key), object.annotation(key)];
    found.into_iter().flatten().any(|found| found.eq_ignore_ascii_case(value))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn with(field: &str, key: &str, value: &str) -> Object {
        let metadata = json!({"name": "web", field: {key: value}});
        Object::new(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})).unwrap()
    }

    #[rstest]
    #[case("none", "of these", SsaPolicy::Override)]
    #[case(SSA, "Override", SsaPolicy::Override)]
    #[case(SSA, "Merge", SsaPolicy::Merge)]
    #[case(SSA, "merge", SsaPolicy::Merge)]
    #[case(SSA, "IfNotPresent", SsaPolicy::IfNotPresent)]
    #[case(SSA, "Ignore", SsaPolicy::Ignore)]
    #[case(SSA, "Ignored", SsaPolicy::Override)]
    #[case(SSA, "", SsaPolicy::Override)]
    #[case(RECONCILE, "disabled", SsaPolicy::Ignore)]
    #[case(RECONCILE, "enabled", SsaPolicy::Override)]
    fn the_apply_policy_is_read(
        #[values("annotations", "labels")] field: &str,
        #[case] key: &str,
        #[case] value: &str,
        #[case] policy: SsaPolicy,
    ) {
        assert_eq!(SsaPolicy::of(&with(field, key, value)), policy);
    }

    #[test]
    fn the_older_form_goes_before_a_policy() {
        let mut object = with("annotations", SSA, "Merge");
        object.set_annotation(RECONCILE, "disabled");
        assert_eq!(SsaPolicy::of(&object), SsaPolicy::Ignore);
    }

    #[rstest]
    #[case::prune(prune_disabled, PRUNE, "disabled", true)]
    #[case::prune_in_capitals(prune_disabled, PRUNE, "Disabled", true)]
    #[case::prune_enabled(prune_disabled, PRUNE, "enabled", false)]
    #[case::prune_of_ignored(prune_disabled, SSA, "Ignore", true)]
    #[case::prune_of_unreconciled(prune_disabled, RECONCILE, "disabled", true)]
    #[case::prune_of_if_not_present(prune_disabled, SSA, "IfNotPresent", false)]
    #[case::force(force_enabled, FORCE, "enabled", true)]
    #[case::no_force(force_enabled, FORCE, "disabled", false)]
    #[case::force_is_not_true(force_enabled, FORCE, "true", false)]
    #[case::substitute(substitute_disabled, SUBSTITUTE, "disabled", true)]
    #[case::substitute_enabled(substitute_disabled, SUBSTITUTE, "enabled", false)]
    #[case::decrypt(decrypt_disabled, DECRYPT, "disabled", true)]
    #[case::decrypt_enabled(decrypt_disabled, DECRYPT, "enabled", false)]
    #[case::another_key(prune_disabled, FORCE, "disabled", false)]
    fn wishes_are_read(
        #[values("annotations", "labels")] field: &str,
        #[case] wish: fn(&Object) -> bool,
        #[case] key: &str,
        #[case] value: &str,
        #[case] expected: bool,
    ) {
        assert_eq!(wish(&with(field, key, value)), expected);
    }
}
