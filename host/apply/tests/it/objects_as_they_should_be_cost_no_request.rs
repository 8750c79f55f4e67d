use plumb_api::Object;
use plumb_apply::{owned_as_desired, projection_digest};
use rstest::rstest;
use serde_json::{Value, json};

use crate::{MANAGER, object};

/// A live Deployment, as the API server shows one that was applied with a name, a label, replicas, and one container with a port
/// and an empty variable, after it has added its defaults.
fn deployment() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {
            "name": "web", "namespace": "default", "uid": "u", "resourceVersion": "7", "generation": 1,
            "labels": {"app": "web", "other": "controller"},
            "annotations": {"deployment.kubernetes.io/revision": "1"},
            "managedFields": [
                {"manager": MANAGER, "operation": "Apply", "apiVersion": "apps/v1", "fieldsType": "FieldsV1", "fieldsV1": {
                    "f:metadata": {"f:labels": {"f:app": {}}},
                    "f:spec": {
                        "f:replicas": {}, "f:selector": {},
                        "f:template": {
                            "f:metadata": {"f:labels": {"f:app": {}}},
                            "f:spec": {"f:containers": {"k:{\"name\":\"web\"}": {
                                ".": {}, "f:name": {}, "f:image": {}, "f:args": {},
                                "f:env": {"k:{\"name\":\"EMPTY\"}": {".": {}, "f:name": {}, "f:value": {}}},
                                "f:ports": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}}},
                                "f:resources": {"f:limits": {"f:cpu": {}, "f:memory": {}}}}}}}}}},
                {"manager": MANAGER, "operation": "Apply", "apiVersion": "apps/v1", "subresource": "status",
                 "fieldsV1": {"f:status": {}}},
                {"manager": "kube-controller-manager", "operation": "Update", "apiVersion": "apps/v1", "subresource": "status",
                 "fieldsV1": {"f:status": {"f:replicas": {}}}}]},
        "spec": {
            "replicas": 2, "revisionHistoryLimit": 10, "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"restartPolicy": "Always", "containers": [
                    {"name": "injected", "image": "proxy"},
                    {"name": "web", "image": "web:1", "args": ["--a", "--b"], "imagePullPolicy": "IfNotPresent",
                     "env": [{"name": "EMPTY"}], "ports": [{"containerPort": 80, "protocol": "TCP"}],
                     "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}]}}},
        "status": {"replicas": 2}})
}

fn desired_deployment() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default", "labels": {"app": "web"}},
        "spec": {
            "replicas": 2, "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [
                    {"name": "web", "image": "web:1", "args": ["--a", "--b"], "env": [{"name": "EMPTY", "value": ""}],
                     "ports": [{"containerPort": 80}],
                     "resources": {"limits": {"cpu": "1000m", "memory": "1024Mi"}}}]}}}})
}

const CONTAINER: &str = "/spec/template/spec/containers";
const OURS: &str = "/metadata/managedFields/0/fieldsV1";

/// What is at a pointer becomes something else; `null` takes it away.
fn set(value: &mut Value, pointer: &str, to: Value) {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let key = key.replace("~1", "/").replace("~0", "~");
    match value.pointer_mut(parent).unwrap() {
        Value::Object(fields) if to.is_null() => drop(fields.remove(&key).unwrap()),
        Value::Object(fields) => drop(fields.insert(key, to)),
        Value::Array(items) if key == "-" => items.push(to),
        Value::Array(items) => items[key.parse::<usize>().unwrap()] = to,
        other => panic!("{other} has no {key}"),
    }
}

#[test]
fn as_applied() {
    assert!(owned_as_desired(&object(deployment()), &object(desired_deployment()), MANAGER));
}

#[rstest]
#[case::other_fields_of_others("/spec/revisionHistoryLimit", json!(3))]
#[case::a_label_of_others("/metadata/labels/other", json!("changed"))]
#[case::the_status("/status/replicas", json!(0))]
#[case::a_default_within_our_item("/spec/template/spec/containers/1/imagePullPolicy", json!("Always"))]
#[case::the_resource_version("/metadata/resourceVersion", json!("8"))]
#[case::a_container_of_others("/spec/template/spec/containers/0/image", json!("proxy:2"))]
fn changes_that_are_not_ours_to_undo(#[case] pointer: &str, #[case] to: Value) {
    let mut live = deployment();
    let before = projection_digest(&object(live.clone()), MANAGER);
    set(&mut live, pointer, to);
    assert!(owned_as_desired(&object(live.clone()), &object(desired_deployment()), MANAGER));
    assert_eq!(projection_digest(&object(live), MANAGER), before);
}

#[rstest]
#[case::another_value("/spec/replicas", json!(5))]
#[case::a_lost_field("/metadata/managedFields/0/fieldsV1/f:spec/f:replicas", json!(null))]
#[case::a_lost_label("/metadata/managedFields/0/fieldsV1/f:metadata", json!(null))]
#[case::our_label_gone("/metadata/labels/app", json!(null))]
#[case::an_atomic_map("/spec/selector/matchLabels/more", json!("x"))]
#[case::an_atomic_list("/spec/template/spec/containers/1/args", json!(["--b", "--a"]))]
#[case::an_atomic_list_longer("/spec/template/spec/containers/1/args", json!(["--a", "--b", "--c"]))]
#[case::in_a_list_item("/spec/template/spec/containers/1/image", json!("web:2"))]
#[case::the_item_gone("/spec/template/spec/containers/1/name", json!("renamed"))]
#[case::a_variable_set("/spec/template/spec/containers/1/env/0/value", json!("x"))]
#[case::another_quantity("/spec/template/spec/containers/1/resources/limits/cpu", json!("2"))]
#[case::another_protocol("/spec/template/spec/containers/1/ports/0/protocol", json!("UDP"))]
#[case::a_list_that_is_a_map("/spec/template/spec/containers", json!({}))]
#[case::never_applied_by_us("/metadata/managedFields/0/manager", json!("somebody"))]
#[case::written_not_applied("/metadata/managedFields/0/operation", json!("Update"))]
#[case::applied_to_a_subresource("/metadata/managedFields/0/subresource", json!("scale"))]
#[case::applied_in_another_version("/metadata/managedFields/0/apiVersion", json!("apps/v1beta1"))]
#[case::read_in_another_version("/apiVersion", json!("apps/v1beta1"))]
#[case::no_managed_fields("/metadata/managedFields", json!(null))]
#[case::managed_fields_that_are_none("/metadata/managedFields", json!("x"))]
fn changes_that_are_undone(#[case] pointer: &str, #[case] to: Value) {
    let mut live = deployment();
    let before = projection_digest(&object(live.clone()), MANAGER);
    assert!(before.is_some());
    set(&mut live, pointer, to);
    assert!(!owned_as_desired(&object(live.clone()), &object(desired_deployment()), MANAGER));
    assert_ne!(projection_digest(&object(live), MANAGER), before, "remembering must not hide it either");
}

#[rstest]
#[case::a_new_value("/spec/replicas", json!(3))]
#[case::a_new_field("/spec/paused", json!(true))]
#[case::a_field_that_only_others_set_so_far("/spec/revisionHistoryLimit", json!(10))]
#[case::a_field_no_longer("/spec/replicas", json!(null))]
#[case::a_label_no_longer("/metadata/labels", json!(null))]
#[case::a_new_annotation("/metadata/annotations", json!({"a": "b"}))]
#[case::a_new_image("/spec/template/spec/containers/0/image", json!("web:2"))]
#[case::a_new_container("/spec/template/spec/containers/-", json!({"name": "b", "image": "b"}))]
#[case::no_container("/spec/template/spec/containers", json!([]))]
#[case::a_new_port("/spec/template/spec/containers/0/ports/-", json!({"containerPort": 81}))]
#[case::another_protocol("/spec/template/spec/containers/0/ports/0/protocol", json!("UDP"))]
#[case::a_default_made_explicit("/spec/template/spec/containers/0/ports/0/protocol", json!("TCP"))]
#[case::an_empty_variable_set("/spec/template/spec/containers/0/env/0/value", json!("x"))]
#[case::a_quantity_unset("/spec/template/spec/containers/0/resources/limits/cpu", json!(null))]
#[case::an_empty_map("/spec/template/spec/securityContext", json!({}))]
#[case::an_empty_list_whose_field_may_not_exist("/spec/template/spec/imagePullSecret", json!([]))]
#[case::the_atomic_map_emptied("/spec/selector", json!({}))]
#[case::scalar_for_a_map("/spec/template", json!("x"))]
fn wishes_that_are_new(#[case] pointer: &str, #[case] to: Value) {
    let mut desired = desired_deployment();
    set(&mut desired, pointer, to);
    assert!(!owned_as_desired(&object(deployment()), &object(desired), MANAGER));
}

#[rstest]
#[case::a_creation_time("/metadata/creationTimestamp", json!("2026-01-01T00:00:00Z"))]
#[case::a_number_as_quantity("/spec/template/spec/containers/0/resources/limits/cpu", json!(1))]
#[case::a_float("/spec/replicas", json!(2.0))]
fn other_ways_to_wish_the_same(#[case] pointer: &str, #[case] to: Value) {
    let mut desired = desired_deployment();
    set(&mut desired, pointer, to);
    assert!(owned_as_desired(&object(deployment()), &object(desired), MANAGER));
}

#[test]
fn items_in_another_order_are_put_into_ours() {
    let mut live = deployment();
    let item = |name: &str| json!({"name": name, "image": "i"});
    set(&mut live, CONTAINER, json!([item("a"), item("foreign"), item("b")]));
    let owned = json!({".": {}, "f:name": {}, "f:image": {}});
    set(
        &mut live,
        &format!("{OURS}/f:spec/f:template/f:spec/f:containers"),
        json!({"k:{\"name\":\"a\"}": owned, "k:{\"name\":\"b\"}": owned}),
    );
    let wish = |names: [&str; 2]| {
        let mut desired = desired_deployment();
        set(&mut desired, CONTAINER, names.map(item).to_vec().into());
        object(desired)
    };
    let before = projection_digest(&object(live.clone()), MANAGER);
    assert!(owned_as_desired(&object(live.clone()), &wish(["a", "b"]), MANAGER));
    assert!(!owned_as_desired(&object(live.clone()), &wish(["b", "a"]), MANAGER));
    assert!(!owned_as_desired(&object(live.clone()), &wish(["a", "a"]), MANAGER));
    set(&mut live, CONTAINER, json!([item("b"), item("foreign"), item("a")]));
    assert_ne!(projection_digest(&object(live), MANAGER), before);
}

/// A live object with the fields of one map owned.
fn simple(api_version: &str, kind: &str, field: &str, live: Value, owned: Value) -> Object {
    let entry = json!({"manager": MANAGER, "operation": "Apply", "apiVersion": api_version,
        "fieldsV1": {format!("f:{field}"): owned}});
    object(json!({"apiVersion": api_version, "kind": kind,
        "metadata": {"name": "x", "managedFields": [entry]}, field: live}))
}

fn wish(api_version: &str, kind: &str, field: &str, value: Value) -> Object {
    object(json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "x"}, field: value}))
}

#[rstest]
#[case::base64_over_lines("v1", "Secret", "data", json!({"a": "YWJj\nZGVm\n"}), json!({"a": "YWJjZGVm"}), json!({"f:a": {}}), true)]
#[case::other_base64("v1", "Secret", "data", json!({"a": "YWJj"}), json!({"a": "YWJk"}), json!({"f:a": {}}), false)]
#[case::text_is_not_base64("v1", "ConfigMap", "spec", json!({"a": "YWJj\n"}), json!({"a": "YWJj"}), json!({"f:a": {}}), false)]
#[case::a_key_too_many("v1", "ConfigMap", "data", json!({"a": "1"}), json!({"a": "1", "b": "2"}), json!({"f:a": {}}), true)]
#[case::our_key_too_many("v1", "ConfigMap", "data", json!({"a": "1"}), json!({"a": "1", "b": "2"}), json!({"f:a": {}, "f:b": {}}), false)]
#[case::our_gone_key_too_many("v1", "ConfigMap", "data", json!({"a": "1"}), json!({"a": "1"}), json!({"f:a": {}, "f:b": {}}), false)]
#[case::custom_quantities_are_text("example.com/v1", "Box", "limits", json!({"cpu": "1000m"}), json!({"cpu": "1"}), json!({"f:cpu": {}}), false)]
#[case::custom_null_may_matter("example.com/v1", "Box", "spec", json!({"a": 1, "b": null}), json!({"a": 1}), json!({"f:a": {}}), false)]
#[case::custom_empty_list_may_matter("example.com/v1", "Box", "spec", json!({"a": 1, "b": []}), json!({"a": 1}), json!({"f:a": {}}), false)]
#[case::custom_empty_text_pruned("example.com/v1", "Box", "spec", json!({"a": 1, "b": ""}), json!({"a": 1}), json!({"f:a": {}, "f:b": {}}), false)]
#[case::a_set("example.com/v1", "Box", "spec", json!({"s": ["a", "b"]}), json!({"s": ["a", "x", "b"]}), json!({"f:s": {"v:\"a\"": {}, "v:\"b\"": {}}}), true)]
#[case::a_set_with_less("example.com/v1", "Box", "spec", json!({"s": ["a", "b"]}), json!({"s": ["a"]}), json!({"f:s": {"v:\"a\"": {}, "v:\"b\"": {}}}), false)]
#[case::indexes_are_not_understood("example.com/v1", "Box", "spec", json!({"s": ["a"]}), json!({"s": ["a"]}), json!({"f:s": {"i:0": {}}}), false)]
#[case::a_set_key_that_is_no_json("example.com/v1", "Box", "spec", json!({"s": ["a"]}), json!({"s": ["a"]}), json!({"f:s": {"v:a": {}}}), false)]
#[case::an_empty_map_as_it_is("example.com/v1", "Box", "spec", json!({"e": {}}), json!({"e": {}}), json!({"f:e": {}}), true)]
#[case::an_empty_map_filled_by_others("example.com/v1", "Box", "spec", json!({"e": {}}), json!({"e": {"x": 1}}), json!({"f:e": {}}), false)]
#[case::a_default_in_an_atomic_map("v1", "Pod", "spec", json!({"fieldRef": {"fieldPath": "a"}}), json!({"fieldRef": {"fieldPath": "a", "apiVersion": "v1"}}), json!({"f:fieldRef": {}}), true)]
#[case::no_default_in_an_atomic_map("v1", "Pod", "spec", json!({"fieldRef": {"fieldPath": "a"}}), json!({"fieldRef": {"fieldPath": "a", "apiVersion": "v2"}}), json!({"f:fieldRef": {}}), false)]
#[case::no_defaults_in_custom_resources("example.com/v1", "Box", "spec", json!({"fieldRef": {}}), json!({"fieldRef": {"apiVersion": "v1"}}), json!({"f:fieldRef": {}}), false)]
#[case::a_claim_template("apps/v1", "StatefulSet", "spec",
    json!({"volumeClaimTemplates": [{"metadata": {"name": "d"}, "spec": {"resources": {"requests": {"storage": "1024Mi"}}}}]}),
    json!({"volumeClaimTemplates": [{"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "d"},
        "spec": {"resources": {"requests": {"storage": "1Gi"}}, "volumeMode": "Filesystem"}, "status": {"phase": "Pending"}}]}),
    json!({"f:volumeClaimTemplates": {}}), true)]
#[case::quantity("v1", "ResourceQuota", "hard", json!({"pods": 10}), json!({"pods": "10"}), json!({"f:pods": {}}), true)]
fn forms(
    #[case] api_version: &str,
    #[case] kind: &str,
    #[case] field: &str,
    #[case] desired: Value,
    #[case] live: Value,
    #[case] owned: Value,
    #[case] same: bool,
) {
    let live = simple(api_version, kind, field, live, owned);
    assert_eq!(owned_as_desired(&live, &wish(api_version, kind, field, desired), MANAGER), same);
}

#[test]
fn two_entries_of_ours_are_not_believed() {
    let mut live = deployment();
    let entry = live.pointer("/metadata/managedFields/0").unwrap().clone();
    set(&mut live, "/metadata/managedFields/-", entry);
    assert!(!owned_as_desired(&object(live.clone()), &object(desired_deployment()), MANAGER));
    assert_eq!(projection_digest(&object(live), MANAGER), None);
}

#[test]
fn another_object_is_never_the_same() {
    let mut desired = desired_deployment();
    set(&mut desired, "/metadata/name", json!("other"));
    assert!(!owned_as_desired(&object(deployment()), &object(desired), MANAGER));
}
