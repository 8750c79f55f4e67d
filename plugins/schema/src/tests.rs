#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use plumbline_plugin::{Errors, Finding, Object, Severity};
use serde_json::{Value, json};

use crate::{Parameters, validate};

fn run(objects: Value, parameters: Value) -> Result<Vec<Finding>, Errors> {
    let objects: Vec<Object> =
        objects.as_array().unwrap().iter().map(|object| Object::new(object.clone()).unwrap()).collect();
    validate(&objects, serde_json::from_value::<Parameters>(parameters).unwrap())
}

/// `rule field: message` of each finding.
fn told(object: Value) -> Vec<String> {
    let findings = run(json!([object]), json!({})).unwrap();
    findings
        .iter()
        .map(|found| format!("{} {}: {}", found.rule, found.field.as_deref().unwrap_or("-"), found.message))
        .collect()
}

fn deployment(spec: Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "labels": {"a": "b"}}, "spec": spec})
}

fn with_container(container: Value) -> Value {
    deployment(
        json!({"selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [container]}}}),
    )
}

fn widgets(schema: Value) -> Value {
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "widgets.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": {"kind": "Widget", "plural": "widgets"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}]}})
}

fn widget(spec: Value) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": spec})
}

fn told_of_widget(of_spec: Value, spec: Value) -> Vec<String> {
    let schema = json!({"type": "object", "properties": {"spec": of_spec}});
    let findings = run(json!([widgets(schema), widget(spec)]), json!({})).unwrap();
    assert!(findings.iter().all(|found| found.object == 1), "{findings:?}");
    findings.iter().map(|found| format!("{} {}", found.rule, found.field.as_deref().unwrap_or("-"))).collect()
}

#[test]
fn what_is_right_is_not_told() {
    let container = json!({"name": "a", "image": "a", "ports": [{"containerPort": 80, "name": null}], "resources": {"limits": {"cpu": 0.5, "memory": "1Gi"}},
        "livenessProbe": {"httpGet": {"port": "http", "path": "/"}}, "readinessProbe": {"httpGet": {"port": 80}}});
    assert_eq!(told(with_container(container)), Vec::<String>::new());
    assert_eq!(
        told(
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "creationTimestamp": null}, "data": {"any": "x"}})
        ),
        Vec::<String>::new()
    );
}

#[test]
fn a_misspelt_field_is_told_with_the_one_that_is_meant() {
    assert_eq!(
        told(with_container(json!({"name": "a", "imagePullpolicy": "Always", "somethingElse": 1}))),
        [
            "unknown-field /spec/template/spec/containers/0/imagePullpolicy: there is no field \"imagePullpolicy\"; did you mean \"imagePullPolicy\"?",
            "unknown-field /spec/template/spec/containers/0/somethingElse: there is no field \"somethingElse\"",
        ]
    );
    assert_eq!(
        told(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "lables": {}}})),
        ["unknown-field /metadata/lables: there is no field \"lables\"; did you mean \"labels\"?"]
    );
}

#[test]
fn types_required_fields_and_keys_are_looked_at() {
    let wrong = with_container(json!({"image": "a", "env": [
        {"name": "A", "value": 1}, {"name": "A", "value": "b"},
    ]}));
    assert_eq!(
        told(wrong),
        [
            "required /spec/template/spec/containers/0: it lacks the field \"name\"",
            "type /spec/template/spec/containers/0/env/0/value: it has to be text, and is a number; write it in quotes if text is meant",
            "duplicate /spec/template/spec/containers/0/env/1: another item of the list has the same key",
        ]
    );
    assert_eq!(told(deployment(json!([]))), ["type /spec: it has to be an object, and is a list"]);
}

#[test]
fn a_secrets_value_is_never_told() {
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "type": 1, "data": {"a~/b": 731}, "stringDatum": "731"});
    let told = told(secret).join("\n");
    assert!(told.contains("/data/a~0~1b") && told.contains("stringData") && !told.contains("731"), "{told}");
}

#[test]
fn custom_resources_are_compared_with_their_definition() {
    let of_spec = json!({"type": "object", "required": ["size"], "properties": {
        "size": {"type": "integer", "minimum": 1, "maximum": 9},
        "port": {"x-kubernetes-int-or-string": true},
        "mode": {"type": "string", "enum": ["a", "b"]},
        "name": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 3},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {"a": {"type": "string"}}},
        "tags": {"type": "array", "minItems": 1, "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "one": {"type": "object", "properties": {"a": {}, "b": {}}, "oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
        "of": {"type": "object", "x-kubernetes-embedded-resource": true, "properties": {"data": {"type": "string"}}},
        "map": {"type": "object", "additionalProperties": {"type": "integer"}},
    }});
    let told = |spec| told_of_widget(of_spec.clone(), spec);
    assert_eq!(
        told(
            json!({"size": 1, "port": "http", "mode": "a", "name": "abc", "free": {"x": 1}, "tags": ["a"], "one": {"a": 1}, "map": {"k": 1},
        "of": {"apiVersion": "v1", "kind": "X", "metadata": {"name": "x"}, "data": "y"}})
        ),
        Vec::<String>::new()
    );
    assert_eq!(told(json!({})), ["required /spec"]);
    for (spec, expected) in [
        (json!({"size": 0}), "range /spec/size"),
        (json!({"size": 10}), "range /spec/size"),
        (json!({"size": 1.5}), "type /spec/size"),
        (json!({"size": 1, "port": []}), "type /spec/port"),
        (json!({"size": 1, "mode": "c"}), "enum /spec/mode"),
        (json!({"size": 1, "name": "A"}), "pattern /spec/name"),
        (json!({"size": 1, "name": "abcd"}), "range /spec/name"),
        (json!({"size": 1, "free": {"a": 1}}), "type /spec/free/a"),
        (json!({"size": 1, "tags": []}), "range /spec/tags"),
        (json!({"size": 1, "tags": ["a", "a"]}), "duplicate /spec/tags/1"),
        (json!({"size": 1, "one": {"a": 1, "b": 1}}), "alternatives /spec/one"),
        (json!({"size": 1, "of": {"dat": "x"}}), "unknown-field /spec/of/dat"),
        (json!({"size": 1, "map": {"k": "1"}}), "type /spec/map/k"),
        (json!({"size": 1, "sise": 1}), "unknown-field /spec/sise"),
    ] {
        assert_eq!(told(spec.clone()), [expected], "{spec}");
    }
}

#[test]
fn a_kind_without_a_schema_is_a_warning_or_an_error() {
    let severity = |parameters: Value| run(json!([widget(json!({}))]), parameters).unwrap()[0].severity;
    assert_eq!(severity(json!({})), Severity::Warning);
    assert_eq!(severity(json!({"strict": true})), Severity::Error);
    let given = json!({"schemas": [{"apiVersion": "example.com/v1", "kind": "Widget", "schema": {"type": "object", "properties": {"spec": {"type": "string"}}}}]});
    assert_eq!(run(json!([widget(json!({}))]), given).unwrap()[0].rule, "type");
    assert_eq!(run(json!([widget(json!({}))]), json!({"match": {"kinds": ["Deployment"]}})).unwrap(), []);
}

// Attack 6 (Sources): a schema that refers to an address. Nothing is fetched.
#[test]
fn a_schema_that_refers_elsewhere_is_refused() {
    for reference in ["http://169.254.169.254/", "file:///dev/zero", "#/a"] {
        let schema = json!({"type": "object", "properties": {"a": {"$ref": reference}}});
        let errors = run(json!([widgets(schema)]), json!({})).unwrap_err();
        assert!(errors.as_slice()[0].message.contains("has a `$ref`"));
    }
    assert_eq!(
        told_of_widget(
            json!({"type": "object", "properties": {"$ref": {"type": "string"}}}),
            json!({"$ref": 1})
        ),
        ["type /spec/$ref"]
    );
}

// Attack 16 (Rendering): patterns that multiply take time in proportion to the text, or are not used.
#[test]
fn a_pattern_that_would_take_for_ever_elsewhere_does_not() {
    let name = |pattern: &str| json!({"type": "object", "properties": {"name": {"type": "string", "pattern": pattern}}});
    assert_eq!(
        told_of_widget(name("^(a*)*(a*)*b$"), json!({"name": "a".repeat(10_000)})),
        ["pattern /spec/name"]
    );
    assert_eq!(told_of_widget(name("((a{999}){999}){999}"), json!({"name": "a"})), Vec::<String>::new());
}
