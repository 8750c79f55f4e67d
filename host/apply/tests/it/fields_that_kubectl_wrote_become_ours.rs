use plumb_api::Object;
use plumb_apply::{OverrideManagers, take_over};
use rstest::rstest;
use serde_json::{Value, json};

use crate::{MANAGER, object};

fn entry(manager: &str, operation: &str, fields: Value) -> Value {
    json!({"manager": manager, "operation": operation, "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": fields})
}

fn live(entries: Vec<Value>) -> Object {
    object(json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "x", "resourceVersion": "7", "managedFields": entries}}))
}

fn desired() -> Object {
    object(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}}))
}

#[rstest]
#[case("kubectl-edit", "Update", true)]
#[case("kubectl-client-side-apply", "Update", true)]
#[case("kubectl", "Apply", true)]
#[case("before-first-apply", "Update", true)]
#[case("kustomize-controller", "Update", true)]
#[case("kustomize-controller", "Apply", false)]
#[case("before-first-apply", "Apply", false)]
#[case("kube-controller-manager", "Update", false)]
#[case("flux-client-side-apply", "Apply", false)]
fn whose_fields(#[case] manager: &str, #[case] operation: &str, #[case] taken: bool) {
    let live = live(vec![entry(manager, operation, json!({"f:data": {"f:a": {}}}))]);
    assert_eq!(!take_over(&live, &desired(), MANAGER, &OverrideManagers::default()).is_empty(), taken);
}

#[test]
fn of_a_subresource_they_stay_where_they_are() {
    let mut scaled = entry("kubectl", "Update", json!({"f:spec": {"f:replicas": {}}}));
    scaled["subresource"] = json!("scale");
    assert_eq!(
        take_over(&live(vec![scaled]), &desired(), MANAGER, &OverrideManagers::default()),
        Vec::<Value>::new()
    );
}

#[test]
fn the_sets_are_united() {
    let live = live(vec![
        entry(
            "kubectl-edit",
            "Update",
            json!({"f:data": {".": {}, "f:a": {}, "f:b": {}}, "f:leaf": {"f:x": {}}}),
        ),
        entry("other", "Update", json!({"f:data": {"f:o": {}}})),
        entry(MANAGER, "Apply", json!({"f:data": {"f:a": {}}, "f:leaf": {}})),
    ]);
    let united = json!({"f:data": {".": {}, "f:a": {}, "f:b": {}}, "f:leaf": {".": {}, "f:x": {}}});
    assert_eq!(
        take_over(&live, &desired(), MANAGER, &OverrideManagers::default()),
        [
            json!({"op": "replace", "path": "/metadata/managedFields", "value": [
                entry("other", "Update", json!({"f:data": {"f:o": {}}})),
                entry(MANAGER, "Apply", united)]}),
            json!({"op": "replace", "path": "/metadata/resourceVersion", "value": "7"}),
        ]
    );
}

#[test]
fn without_an_entry_of_ours_the_first_one_is_renamed() {
    let live = live(vec![
        entry("kubectl-create", "Update", json!({"f:data": {"f:a": {}}})),
        entry("kubectl-edit", "Update", json!({"f:data": {"f:b": {}}})),
    ]);
    let patch = take_over(&live, &desired(), MANAGER, &OverrideManagers::default());
    assert_eq!(
        patch[0]["value"],
        json!([entry(MANAGER, "Apply", json!({"f:data": {"f:a": {}, "f:b": {}}}))])
    );
}

#[test]
fn the_copy_that_kubectl_keeps_is_removed_unless_it_is_desired() {
    let with_copy = |resource_version: Value| {
        object(
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "resourceVersion": resource_version,
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"}}}),
        )
    };
    let path = "/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration";
    assert_eq!(
        take_over(&with_copy(json!("7")), &desired(), MANAGER, &OverrideManagers::default())[0],
        json!({"op": "remove", "path": path})
    );
    assert!(
        take_over(&with_copy(json!("7")), &with_copy(json!(null)), MANAGER, &OverrideManagers::default())
            .is_empty()
    );
}

#[rstest]
#[case("helm", "Update", true)]
#[case("helm-controller", "Apply", true)]
#[case("terraform", "Apply", false)]
#[case("argocd-controller", "Apply", true)]
fn of_managers_that_a_flag_names_too(#[case] manager: &str, #[case] operation: &str, #[case] taken: bool) {
    let overridden = OverrideManagers::new(["helm".to_owned(), "argocd-controller".to_owned()]).unwrap();
    let live = live(vec![entry(manager, operation, json!({"f:data": {"f:a": {}}}))]);
    assert_eq!(!take_over(&live, &desired(), MANAGER, &overridden).is_empty(), taken);
}

#[test]
fn every_manager_cannot_be_named() {
    assert!(OverrideManagers::new([String::new()]).is_err());
}
