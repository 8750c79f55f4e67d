use plumb_api::{GroupKind, Object};
use plumb_apply::{Stage, Stages};
use rstest::rstest;
use serde_json::json;

use crate::object;

#[rstest]
#[case("apiextensions.k8s.io", "CustomResourceDefinition", Stage::Definitions)]
#[case("", "Namespace", Stage::Definitions)]
#[case("rbac.authorization.k8s.io", "ClusterRole", Stage::Definitions)]
#[case("rbac.authorization.k8s.io", "ClusterRoleBinding", Stage::Rest)]
#[case("example.com", "Namespace", Stage::Rest)]
#[case("example.com", "CustomResourceDefinition", Stage::Rest)]
#[case("storage.k8s.io", "StorageClass", Stage::Classes)]
#[case("networking.k8s.io", "IngressClass", Stage::Classes)]
#[case("scheduling.k8s.io", "PriorityClass", Stage::Classes)]
#[case("gateway.networking.k8s.io", "GatewayClass", Stage::Classes)]
#[case("example.com", "AnythingClass", Stage::Classes)]
#[case("example.com", "Classy", Stage::Rest)]
#[case("apps", "Deployment", Stage::Rest)]
#[case("admissionregistration.k8s.io", "ValidatingWebhookConfiguration", Stage::Rest)]
fn stages(#[case] group: &str, #[case] kind: &str, #[case] stage: Stage) {
    assert_eq!(Stages::default().of(&GroupKind::new(group, kind)), stage);
}

#[rstest]
#[case::named("rbac.authorization.k8s.io", "Role", Stage::Custom)]
#[case::of_the_core_group("", "Secret", Stage::Custom)]
#[case::of_another_group("example.com", "Role", Stage::Rest)]
#[case::a_definition_whatever_is_named("", "Namespace", Stage::Definitions)]
#[case::a_class_whatever_is_named("storage.k8s.io", "StorageClass", Stage::Classes)]
fn kinds_that_a_flag_names_have_a_stage_of_their_own(
    #[case] group: &str,
    #[case] kind: &str,
    #[case] stage: Stage,
) {
    let stages: Stages =
        "rbac.authorization.k8s.io/Role, Secret,Namespace,storage.k8s.io/StorageClass".parse().unwrap();
    assert_eq!(stages.of(&GroupKind::new(group, kind)), stage);
}

#[rstest]
#[case("")]
#[case(" ")]
fn no_kinds_are_no_stage(#[case] text: &str) {
    assert_eq!(text.parse(), Ok(Stages::default()));
}

#[rstest]
#[case("Role,")]
#[case("a/b/c")]
#[case("/Role")]
#[case("group/")]
#[case("a kind")]
fn what_is_no_kind_is_an_error_that_says_so(#[case] text: &str) {
    let error = text.parse::<Stages>().unwrap_err().to_string();
    assert!(error.contains("expected GROUP/KIND"), "{error}");
}

fn named(api_version: &str, kind: &str, namespace: &str, name: &str) -> Object {
    object(
        json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "namespace": namespace}}),
    )
}

/// Each row is applied before the next one.
fn in_order() -> Vec<Object> {
    vec![
        named("apiextensions.k8s.io/v1", "CustomResourceDefinition", "", "z"),
        named("v1", "Namespace", "", "b"),
        named("v1", "Namespace", "", "c"),
        named("rbac.authorization.k8s.io/v1", "ClusterRole", "", "a"),
        named("scheduling.k8s.io/v1", "PriorityClass", "", "a"),
        named("storage.k8s.io/v1", "StorageClass", "", "a"),
        named("example.com/v1", "OtherClass", "", "a"),
        named("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "", "a"),
        named("v1", "ServiceAccount", "n", "a"),
        named("rbac.authorization.k8s.io/v1", "RoleBinding", "n", "a"),
        named("v1", "ConfigMap", "a", "z"),
        named("v1", "ConfigMap", "n", "a"),
        named("v1", "Secret", "n", "a"),
        named("v1", "Service", "n", "a"),
        named("apps/v1", "Deployment", "n", "a"),
        named("apps/v1", "Deployment", "n", "b"),
        named("apps/v1", "StatefulSet", "n", "a"),
        named("batch/v1", "CronJob", "n", "a"),
        named("policy/v1", "PodDisruptionBudget", "n", "a"),
        named("apps/v1", "DaemonSet", "n", "a"),
        named("batch/v1", "Job", "n", "a"),
        named("example.com/v1", "Widget", "n", "a"),
        named("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration", "", "a"),
        named("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", "", "a"),
    ]
}

#[test]
fn whatever_the_order_in_which_they_come() {
    for step in [5, 7, 11, 23] {
        let sorted = in_order();
        let mut shuffled: Vec<Object> =
            (0..sorted.len()).map(|index| sorted[index * step % sorted.len()].clone()).collect();
        assert_ne!(shuffled, sorted);
        shuffled.sort_by(|left, right| Stages::default().compare(&left.id(), &right.id()));
        assert_eq!(shuffled, sorted);
    }
}

#[test]
fn namespaces_are_deleted_after_all_that_can_be_in_one() {
    let mut ids: Vec<_> = in_order().iter().map(Object::id).collect();
    ids.sort_by(|left, right| Stages::default().compare(right, left));
    let last: Vec<_> = ids.iter().rev().take(3).map(|id| id.group_kind.kind.as_str()).collect();
    assert_eq!(last, ["CustomResourceDefinition", "Namespace", "Namespace"]);
}
