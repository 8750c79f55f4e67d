//! `spec.dependsOn`: what has to be ready first. Pure.

use plumb_api::{ConditionType, DependencyReference, Kustomization, conditions};

use crate::Key;

/// Everything about a Kustomization that those who depend on it look at; `None` while it is not ready.
pub(crate) fn standing(object: &Kustomization) -> Option<String> {
    let status = object.status.as_ref().filter(|_| is_ready(object))?;
    Some(format!("{:?} {:?}", object.metadata.generation, status.last_applied_revision))
}

/// Why a dependency is not ready, for each that is not; empty when all are.
///
/// `find` looks a Kustomization up. A dependency on the same source must have applied the same `revision`, so that one commit is
/// rolled out in order.
pub(super) fn unmet(
    object: &Kustomization,
    key: &Key,
    revision: &str,
    find: impl Fn(&Key) -> Option<std::sync::Arc<Kustomization>>,
) -> Vec<String> {
    let check = |dependency: &DependencyReference| {
        let wanted = Key {
            namespace: dependency.namespace_or(&key.namespace).to_owned(),
            name: dependency.name.clone(),
        };
        if wanted == *key {
            return Some(format!("'{wanted}' is this Kustomization itself"));
        }
        let Some(found) = find(&wanted) else { return Some(format!("'{wanted}' does not exist")) };
        if !is_ready(&found) {
            return Some(format!("'{wanted}' is not ready"));
        }
        let applied = found.status.as_ref().and_then(|status| status.last_applied_revision.as_deref());
        if same_source(object, key, &found, &wanted) && applied != Some(revision) {
            return Some(format!("'{wanted}' has not applied revision {revision} yet"));
        }
        None
    };
    object.spec.depends_on.iter().filter_map(check).collect()
}

fn is_ready(object: &Kustomization) -> bool {
    let Some(status) = &object.status else { return false };
    object.metadata.deletion_timestamp.is_none()
        && status.observed_generation == object.metadata.generation
        && conditions::is_true(&status.conditions, ConditionType::Ready)
}

fn same_source(a: &Kustomization, a_key: &Key, b: &Kustomization, b_key: &Key) -> bool {
    let (a, b) = (&a.spec.source_ref, &b.spec.source_ref);
    let namespaces = (a.namespace_or(&a_key.namespace), b.namespace_or(&b_key.namespace));
    a.kind == b.kind && a.name == b.name && namespaces.0 == namespaces.1
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::collections::HashMap;
    use std::sync::Arc;

    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    fn kustomization(name: &str, spec: Value, status: Value) -> Kustomization {
        let mut all =
            json!({"interval": "5m", "prune": true, "sourceRef": {"kind": "GitRepository", "name": "apps"}});
        all.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        serde_json::from_value(json!({
            "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
            "kind": "Kustomization",
            "metadata": {"name": name, "namespace": "default", "generation": 2},
            "spec": all,
            "status": status,
        }))
        .unwrap()
    }

    fn status(ready: &str, generation: i64, revision: &str) -> Value {
        let condition = json!({
            "type": "Ready", "status": ready, "reason": "X", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z",
        });
        json!({"observedGeneration": generation, "conditions": [condition], "lastAppliedRevision": revision})
    }

    #[rstest]
    #[case::ready(json!({}), status("True", 2, "main@sha1:aa"), &[])]
    #[case::not_ready(json!({}), status("False", 2, "main@sha1:aa"), &["'default/base' is not ready"])]
    #[case::no_status(json!({}), json!(null), &["'default/base' is not ready"])]
    #[case::changed_since(json!({}), status("True", 1, "main@sha1:aa"), &["'default/base' is not ready"])]
    #[case::older_revision(json!({}), status("True", 2, "main@sha1:bb"), &["'default/base' has not applied revision main@sha1:aa yet"])]
    #[case::older_revision_of_another_source(
        json!({"sourceRef": {"kind": "GitRepository", "name": "other"}}), status("True", 2, "main@sha1:bb"), &[]
    )]
    fn a_dependency_must_be_ready_at_the_same_revision(
        #[case] spec: Value,
        #[case] status: Value,
        #[case] expected: &[&str],
    ) {
        let base = Arc::new(kustomization("base", spec, status));
        let stores = HashMap::from([(Key::of(base.as_ref()), base)]);
        let app = kustomization("app", json!({"dependsOn": [{"name": "base"}]}), json!(null));
        assert_eq!(unmet(&app, &Key::of(&app), "main@sha1:aa", |key| stores.get(key).cloned()), expected);
    }

    #[test]
    fn every_unmet_dependency_is_named() {
        let app = kustomization(
            "app",
            json!({"dependsOn": [{"name": "a"}, {"name": "b", "namespace": "other"}, {"name": "app"}]}),
            json!(null),
        );
        let expected = [
            "'default/a' does not exist",
            "'other/b' does not exist",
            "'default/app' is this Kustomization itself",
        ];
        assert_eq!(unmet(&app, &Key::of(&app), "main@sha1:aa", |_| None), expected);
    }
}
