use plumb_api::Object;
use plumb_apply::{FieldChange, diff_fields};
use rstest::rstest;
use serde_json::{Value, json};

use crate::api_server::applied;
use crate::{MANAGER, object};

fn with_spec(spec: Value) -> Object {
    object(json!({"apiVersion": "example.com/v1", "kind": "Box", "metadata": {"name": "x"}, "spec": spec}))
}

fn lines(live: &Object, desired: &Object) -> Vec<String> {
    let text = |value: Option<Value>| value.map_or("nothing".to_owned(), |value| value.to_string());
    let line = |FieldChange { pointer, from, to }| format!("{pointer}: {} -> {}", text(from), text(to));
    diff_fields(live, desired, MANAGER).into_iter().map(line).collect()
}

#[rstest]
#[case::nothing(json!({"a": 1}), json!({"a": 1}), &[])]
#[case::a_value(json!({"a": 1}), json!({"a": 2}), &["/spec/a: 1 -> 2"])]
#[case::a_new_field(json!({"a": 1}), json!({"a": 1, "b": {"c": 2}}), &[r#"/spec/b: nothing -> {"c":2}"#])]
#[case::a_field_that_goes(json!({"a": 1, "b": 2}), json!({"a": 1}), &["/spec/b: 2 -> nothing"])]
#[case::a_part_that_goes(json!({"a": 1, "b": {"c": 2}}), json!({"a": 1}), &["/spec/b/c: 2 -> nothing"])]
#[case::slashes(json!({"a/b~c": 1}), json!({"a/b~c": 2}), &["/spec/a~1b~0c: 1 -> 2"])]
#[case::another_type(json!({"a": [1]}), json!({"a": {"b": 1}}), &[r#"/spec/a: [1] -> {"b":1}"#])]
#[case::an_atomic_list(json!({"a": [1, 2]}), json!({"a": [1, 3]}), &["/spec/a/1: 2 -> 3"])]
#[case::an_atomic_list_longer(json!({"a": [1]}), json!({"a": [1, 2]}), &["/spec/a: [1] -> [1,2]"])]
#[case::an_item(json!({"a": [{"name": "x", "v": 1}, {"name": "y", "v": 1}]}), json!({"a": [{"name": "x", "v": 1}, {"name": "y", "v": 2}]}), &["/spec/a/1/v: 1 -> 2"])]
#[case::an_item_that_goes(json!({"a": [{"name": "x"}, {"name": "y"}]}), json!({"a": [{"name": "y"}]}), &[r#"/spec/a/0: {"name":"x"} -> nothing"#])]
#[case::an_item_that_comes(json!({"a": [{"name": "y"}]}), json!({"a": [{"name": "x"}, {"name": "y"}]}), &[r#"/spec/a/0: nothing -> {"name":"x"}"#])]
fn differences(#[case] before: Value, #[case] after: Value, #[case] expected: &[&str]) {
    assert_eq!(lines(&applied(None, &with_spec(before)), &with_spec(after)), expected);
}

#[test]
fn the_form_in_which_the_server_writes_a_value_is_no_difference() {
    let quota = |cpu: &str, empty: Option<&str>| {
        object(json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "x"},
            "spec": {"hard": {"cpu": cpu, "pods": "1"}, "note": empty}}))
    };
    let desired = quota("1000m", Some(""));
    let mut live = applied(None, &desired).into_value();
    live["spec"]["hard"]["cpu"] = json!("1");
    live["spec"].as_object_mut().unwrap().remove("note");
    let live = object(live);
    assert_eq!(lines(&live, &desired), Vec::<String>::new());
    assert_eq!(lines(&live, &quota("1500m", Some(""))), [r#"/spec/hard/cpu: "1" -> "1500m""#]);
}

#[test]
fn what_was_added_to_an_atomic_map_is_to_go() {
    let mut live = applied(None, &with_spec(json!({"selector": {"a": "b"}}))).into_value();
    live["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"]["f:selector"] = json!({});
    live["spec"]["selector"]["c"] = json!("d");
    let desired = with_spec(json!({"selector": {"a": "b"}}));
    assert_eq!(lines(&object(live), &desired), [r#"/spec/selector/c: "d" -> nothing"#]);
}

#[test]
fn what_others_added_is_not_mentioned() {
    let mut live = applied(None, &with_spec(json!({"a": [{"name": "x"}]}))).into_value();
    live["spec"]["b"] = json!(1);
    live["spec"]["a"].as_array_mut().unwrap().insert(0, json!({"name": "injected"}));
    live["metadata"]["labels"] = json!({"l": "m"});
    assert_eq!(lines(&object(live), &with_spec(json!({"a": [{"name": "x"}]}))), Vec::<String>::new());
}

#[test]
fn secrets_are_masked_wherever_they_may_stand() {
    let secret = |value: &str| {
        object(json!({"apiVersion": "v1", "kind": "Secret", "type": value, "metadata": {"name": "x",
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": value}},
            "data": {"changed": value, "same": "same"}, "stringData": {"text": value}}))
    };
    let bare = object(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}}));
    let changed = lines(&applied(None, &secret("TOKEN1")), &secret("TOKEN2"));
    assert_eq!(
        changed,
        [
            r#"/data/changed: "***" -> "***""#,
            r#"/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration: "***" -> "***""#,
            r#"/stringData/text: "***" -> "***""#,
            r#"/type: "TOKEN1" -> "TOKEN2""#,
        ]
    );
    let created = lines(&applied(None, &bare), &secret("TOKEN"));
    assert_eq!(created[0], r#"/data: nothing -> {"changed":"***","same":"***"}"#);
    assert!(
        created.iter().filter(|line| line.contains("TOKEN")).all(|line| line.starts_with("/type")),
        "{created:?}"
    );
    let removed = lines(&applied(None, &secret("TOKEN")), &bare);
    assert!(
        removed.iter().filter(|line| line.contains("TOKEN")).all(|line| line.starts_with("/type")),
        "{removed:?}"
    );
}
