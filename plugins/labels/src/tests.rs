#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use plumbline_plugin::{Errors, Object};
use serde_json::{Value, json};

use crate::{Parameters, transform};

fn objects(values: Value) -> Vec<Object> {
    values.as_array().unwrap().iter().map(|value| Object::new(value.clone()).unwrap()).collect()
}

fn deployment(name: &str) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": {
        "selector": {"matchLabels": {"app": name}},
        "template": {"metadata": {"labels": {"app": name, "old": "x"}}},
    }})
}

fn service(name: &str, selector: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"selector": selector}})
}

fn run(values: Value, parameters: Value) -> Result<Vec<Object>, Errors> {
    let parameters: Parameters = serde_json::from_value(parameters).unwrap();
    transform(objects(values), parameters)
}

fn refused(values: Value, parameters: Value) -> String {
    let errors = run(values, parameters).unwrap_err();
    errors.into_iter().map(|error| error.to_string()).collect::<Vec<_>>().join("\n")
}

#[test]
fn labels_are_set_and_removed() {
    let config = json!([{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "labels": {"old": "1", "kept": "2"}, "annotations": {"gone": ""}}}]);
    let changed =
        run(config, json!({"labels": {"tier": "web", "old": null}, "annotations": {"gone": null}})).unwrap();
    assert_eq!(
        changed[0].as_value(),
        &json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "labels": {"kept": "2", "tier": "web"}}})
    );
}

#[test]
fn only_what_matches_is_changed_and_only_its_own_metadata() {
    let changed = run(
        json!([deployment("web"), deployment("api")]),
        json!({"labels": {"tier": "web"}, "match": {"names": ["w*"]}}),
    )
    .unwrap();
    assert_eq!(changed[0].label("tier"), Some("web"));
    assert_eq!(changed[0].get("/spec/template/metadata/labels/tier"), None);
    assert_eq!(changed[1].as_value(), &deployment("api"));
}

#[test]
fn pods_get_them_where_asked_for() {
    let cron = json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "c"}, "spec": {"jobTemplate": {"spec": {"template": {"spec": {}}}}}});
    let changed = run(
        json!([deployment("web"), cron]),
        json!({"labels": {"tier": "web", "old": null}, "podTemplates": true}),
    )
    .unwrap();
    assert_eq!(changed[0].get("/spec/template/metadata/labels"), Some(&json!({"app": "web", "tier": "web"})));
    assert_eq!(changed[0].get("/spec/selector/matchLabels"), Some(&json!({"app": "web"})));
    assert_eq!(
        changed[1].get("/spec/jobTemplate/spec/template/metadata/labels"),
        Some(&json!({"tier": "web"}))
    );
}

#[test]
fn pods_do_not_leave_their_workload() {
    for labels in [json!({"app": "other"}), json!({"app": null})] {
        let told = refused(json!([deployment("web")]), json!({"labels": labels, "podTemplates": true}));
        assert!(told.contains("Deployment \"web\" selects its pods by the label \"app\""), "{told}");
    }
    run(json!([deployment("web")]), json!({"labels": {"app": "web"}, "podTemplates": true})).unwrap();
}

#[test]
fn selectors_follow_their_pods() {
    let values = json!([
        deployment("web"),
        deployment("api"),
        service("web", json!({"app": "web"})),
        service("both", json!({"old": "x"})),
        service("elsewhere", json!({"app": "database"})),
    ]);
    let changed = run(
        values,
        json!({"labels": {"tier": "web"}, "podTemplates": true, "selectors": true, "match": {"names": ["web"]}}),
    )
    .unwrap();
    assert_eq!(changed[0].get("/spec/selector/matchLabels"), Some(&json!({"app": "web", "tier": "web"})));
    assert_eq!(changed[2].get("/spec/selector"), Some(&json!({"app": "web", "tier": "web"})));
    // The Deployment "api", whose pods it selects as well, is left as it is.
    assert_eq!(changed[3].get("/spec/selector"), Some(&json!({"old": "x"})));
    assert_eq!(changed[4].get("/spec/selector"), Some(&json!({"app": "database"})));
}

// Attack 22 (Multi-tenancy): labels that tell who owns an object.
#[test]
fn labels_of_owners_are_refused() {
    for name in
        ["kustomize.toolkit.fluxcd.io/name", "kustomize.toolkit.fluxcd.io/namespace", "plumbline.dev/applier"]
    {
        for value in [json!("x"), Value::Null] {
            assert!(
                refused(json!([]), json!({"labels": {name: value}})).contains("tells who owns an object"),
                "{name}"
            );
        }
    }
}

#[test]
fn what_kubernetes_would_refuse_is_refused_all_at_once() {
    let long = "x".repeat(64);
    let told = refused(
        json!([]),
        json!({"labels": {"a": "b c", "-a": "b", "Upper.case/a": "b", long: "b"}, "annotations": {"": "", "a/b/c": ""}, "selectors": true}),
    );
    assert_eq!(told.lines().count(), 7, "{told}");
    assert!(told.contains("\"b c\" cannot be the value of the label \"a\""), "{told}");
    assert!(told.contains("\"a/b/c\" cannot be the name of an annotation"), "{told}");
}

#[test]
fn a_match_that_fits_nothing_is_told() {
    let ran = plumbline_plugin::testing::Host::default().run(|| {
        run(json!([deployment("web")]), json!({"labels": {"a": "b"}, "match": {"kinds": ["Deploymnt"]}}))
            .unwrap()
    });
    assert!(ran.messages.iter().any(|(_, message)| message.contains("fits none of the objects")));
}
