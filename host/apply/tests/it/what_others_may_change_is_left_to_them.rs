//! `spec.ignore`, by objects as the API server shows them.

use std::collections::BTreeMap;
use std::sync::Arc;

use plumb_api::{IgnoreRule, Object};
use plumb_apply::{Action, Applied, Change, IgnoreRules, Live, Owner, Policy, desired_digest, plan_object};
use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Value, json};

use crate::{MANAGER, object};

const OWNER: &str = "kustomize.toolkit.fluxcd.io";

fn rules(paths: &[&str]) -> IgnoreRules {
    let rule: IgnoreRule =
        serde_json::from_value(json!({"paths": paths, "target": {"kind": "Deployment"}})).unwrap();
    IgnoreRules::compile(&[rule]).unwrap()
}

fn policy(paths: &[&str]) -> Policy {
    let owner = Owner::kustomization("flux-system", "apps");
    Policy { ignore: rules(paths), ..Policy::new(owner) }
}

fn labels() -> Value {
    json!({format!("{OWNER}/name"): "apps", format!("{OWNER}/namespace"): "flux-system"})
}

fn deployment(spec: Value) -> Object {
    let metadata = json!({"name": "web", "namespace": "default", "labels": labels()});
    object(json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}))
}

fn owned_labels() -> Value {
    json!({"f:labels": {format!("f:{OWNER}/name"): {}, format!("f:{OWNER}/namespace"): {}}})
}

fn entry(manager: &str, operation: &str, spec: Value) -> Value {
    let fields =
        json!({"f:metadata": if manager == MANAGER { owned_labels() } else { json!({}) }, "f:spec": spec});
    json!({"manager": manager, "operation": operation, "apiVersion": "apps/v1", "fieldsV1": fields})
}

/// A Deployment with this spec, of which others own something.
fn live(spec: Value, entries: Vec<Value>) -> Live {
    let mut value = deployment(spec).into_value();
    value["metadata"]["managedFields"] = Value::Array(entries);
    Live::Present(object(value).into())
}

fn decide(desired: Value, live: Live, policy: &Policy) -> Action {
    plan_object(&Arc::new(deployment(desired)), live, None, &|_, _| false, policy).unwrap()
}

/// What is sent for `/spec`.
fn sent(action: &Action) -> Value {
    action.sent.pointer("/spec").cloned().unwrap()
}

/// An autoscaler has set the replicas to 5, through the subresource `scale`: then they are its own. Git says 2.
#[rstest]
#[case::and_nothing_else_has_changed(false, "unchanged")]
#[case::and_something_else_has(true, "apply")]
fn an_autoscaler_keeps_its_replicas(#[case] paused: bool, #[case] expected: &str) {
    let mut scaled = entry("kube-controller-manager", "Update", json!({"f:replicas": {}}));
    scaled["subresource"] = json!("scale");
    let ours = entry(MANAGER, "Apply", json!({"f:paused": {}}));
    let action = decide(
        json!({"replicas": 2, "paused": paused}),
        live(json!({"replicas": 5, "paused": false}), vec![ours, scaled]),
        &policy(&["/spec/replicas"]),
    );
    assert_eq!(without_details(&action.change), expected);
    assert_eq!(sent(&action), json!({"paused": paused}));
}

fn without_details(change: &Change) -> &'static str {
    match change {
        Change::Unchanged => "unchanged",
        Change::Apply(_) => "apply",
        _ => "something else",
    }
}

#[test]
fn without_a_rule_it_does_not() {
    let ours = entry(MANAGER, "Apply", json!({"f:replicas": {}}));
    let action = decide(json!({"replicas": 2}), live(json!({"replicas": 5}), vec![ours]), &policy(&[]));
    assert_eq!(without_details(&action.change), "apply");
    assert_eq!(sent(&action), json!({"replicas": 2}));
}

#[test]
fn what_is_not_there_yet_is_created_as_rendered() {
    let action = decide(json!({"replicas": 2}), Live::Absent, &policy(&["/spec/replicas"]));
    assert_eq!((&action.change, sent(&action)), (&Change::Create, json!({"replicas": 2})));
}

/// `kubectl edit` has set the replicas: what it wrote becomes ours, with the value that it wrote.
#[test]
fn what_kubectl_has_written_is_adopted() {
    let ours = entry(MANAGER, "Apply", json!({"f:paused": {}}));
    let kubectl = entry("kubectl-edit", "Update", json!({"f:replicas": {}}));
    let action = decide(
        json!({"replicas": 2, "paused": false}),
        live(json!({"replicas": 5, "paused": false}), vec![ours, kubectl]),
        &policy(&["/spec/replicas"]),
    );
    assert_eq!(without_details(&action.change), "apply");
    assert_eq!(sent(&action), json!({"replicas": 5, "paused": false}));
}

#[rstest]
#[case::only_by_us(vec![entry(MANAGER, "Apply", json!({"f:replicas": {}, "f:paused": {}}))], json!({"replicas": 5, "paused": true}))]
#[case::by_another_too(vec![entry(MANAGER, "Apply", json!({"f:replicas": {}, "f:paused": {}})), entry("keda", "Apply", json!({"f:replicas": {}}))], json!({"paused": true}))]
#[case::only_by_another(vec![entry(MANAGER, "Apply", json!({"f:paused": {}})), entry("keda", "Apply", json!({"f:replicas": {}}))], json!({"paused": true}))]
#[case::by_an_entry_of_the_status(vec![entry(MANAGER, "Apply", json!({"f:replicas": {}, "f:paused": {}})), subresource(entry("keda", "Apply", json!({"f:replicas": {}})))], json!({"replicas": 5, "paused": true}))]
fn what_was_applied(#[case] entries: Vec<Value>, #[case] expected: Value) {
    let action = decide(
        json!({"replicas": 2, "paused": true}),
        live(json!({"replicas": 5, "paused": false}), entries),
        &policy(&["/spec/replicas"]),
    );
    assert_eq!(without_details(&action.change), "apply");
    assert_eq!(sent(&action), expected);
}

fn subresource(mut entry: Value) -> Value {
    entry["subresource"] = json!("status");
    entry
}

/// The field is ours, stands no longer in Git, and is ignored: it is not removed.
#[test]
fn what_git_no_longer_has_is_not_removed() {
    let ours = entry(MANAGER, "Apply", json!({"f:replicas": {}, "f:paused": {}}));
    let now = live(json!({"replicas": 5, "paused": false}), vec![ours]);
    let unchanged = decide(json!({"paused": false}), now.clone(), &policy(&["/spec/replicas"]));
    assert_eq!(unchanged.change, Change::Unchanged);
    let changed = decide(json!({"paused": true}), now, &policy(&["/spec/replicas"]));
    assert_eq!(sent(&changed), json!({"replicas": 5, "paused": true}));
}

fn containers(first: Value) -> Value {
    json!({"template": {"spec": {"containers": first}}})
}

fn owned_containers(names: Value) -> Value {
    json!({"f:template": {"f:spec": {"f:containers": names}}})
}

const KEY: &str = "k:{\"name\":\"app\"}";

/// A sidecar was put before our container, and a VPA has applied one of its requests.
#[test]
fn an_item_is_the_one_with_the_same_keys_and_its_parts_are_told_apart() {
    let ours = owned_containers(json!({KEY: {".": {}, "f:name": {}, "f:image": {},
        "f:resources": {"f:limits": {"f:memory": {}}, "f:requests": {"f:cpu": {}}}}}));
    let vpa =
        owned_containers(json!({KEY: {".": {}, "f:name": {}, "f:resources": {"f:requests": {"f:cpu": {}}}}}));
    let mesh = owned_containers(json!({"k:{\"name\":\"mesh\"}": {".": {}, "f:name": {}}}));
    let sidecar = json!({"name": "mesh", "resources": {"limits": {"memory": "1Gi"}}});
    let app = json!({"name": "app", "image": "app:1", "resources": {"limits": {"memory": "2Gi"}, "requests": {"cpu": "700m"}}});
    let action = decide(
        containers(
            json!([{"name": "app", "image": "app:2", "resources": {"limits": {"memory": "1Gi"}, "requests": {"cpu": "100m"}}}]),
        ),
        live(
            containers(json!([sidecar, app])),
            vec![entry(MANAGER, "Apply", ours), entry("vpa", "Apply", vpa), entry("mesh", "Update", mesh)],
        ),
        &policy(&["/spec/template/spec/containers/0/resources"]),
    );
    assert_eq!(
        sent(&action),
        containers(json!([{"name": "app", "image": "app:2", "resources": {"limits": {"memory": "2Gi"}}}]))
    );
}

#[test]
fn an_item_of_a_list_without_keys_is_adopted_in_its_place() {
    let action = decide(
        json!({"args": ["a", "b", "c"], "paused": true}),
        live(json!({"args": ["a", "x", "c"]}), vec![entry(MANAGER, "Apply", json!({"f:args": {}}))]),
        &policy(&["/spec/args/1"]),
    );
    assert_eq!(sent(&action), json!({"args": ["a", "x", "c"], "paused": true}));
}

#[test]
fn an_item_that_git_no_longer_has_does_not_come_back() {
    let ours =
        owned_containers(json!({KEY: {".": {}, "f:name": {}, "f:resources": {"f:limits": {"f:memory": {}}}},
        "k:{\"name\":\"old\"}": {".": {}, "f:name": {}, "f:resources": {"f:limits": {"f:memory": {}}}}}));
    let item = |name: &str| json!({"name": name, "resources": {"limits": {"memory": "2Gi"}}});
    let action = decide(
        containers(json!([item("app")])),
        live(containers(json!([item("app"), item("old")])), vec![entry(MANAGER, "Apply", ours)]),
        &policy(&["/spec/template/spec/containers/1/resources"]),
    );
    assert_eq!(sent(&action), containers(json!([item("app")])));
    assert_eq!(without_details(&action.change), "apply");
}

/// Git has a map that holds nothing but an ignored field, which somebody else has set.
#[rstest]
#[case::the_map_may_be_ours_as_a_whole(json!({"f:strategy": {}}), json!({"strategy": {"type": "Recreate"}}))]
#[case::the_map_is_not_ours_either(json!({"f:paused": {}}), json!({}))]
fn a_map_of_which_nothing_is_ours_is_no_drift(#[case] owned: Value, #[case] expected: Value) {
    let desired = |paused: bool| match owned.get("f:paused") {
        Some(_) => json!({"strategy": {"type": "RollingUpdate"}, "paused": paused}),
        None => json!({"strategy": {"type": "RollingUpdate"}}),
    };
    let other = entry("tool", "Update", json!({"f:strategy": {"f:type": {}}}));
    let mut spec = desired(true);
    spec["strategy"]["type"] = json!("Recreate");
    let action = decide(
        desired(true),
        live(spec, vec![entry(MANAGER, "Apply", owned.clone()), other]),
        &policy(&["/spec/strategy/type"]),
    );
    assert_eq!(action.change, Change::Unchanged);
    let mut sent = sent(&action);
    sent.as_object_mut().unwrap().remove("paused");
    assert_eq!(sent, expected);
}

#[test]
fn whatever_is_ignored_the_object_stays_ours() {
    let foreign = json!({"manager": "tool", "operation": "Apply", "apiVersion": "apps/v1", "fieldsV1": {"f:metadata": {"f:labels": {"f:a": {}}}}});
    let mut value = deployment(json!({})).into_value();
    value["metadata"]["labels"] = json!({"a": "b"});
    value["metadata"]["managedFields"] = json!([foreign]);
    let live = Live::Present(object(value).into());
    let action = decide(json!({}), live, &policy(&["/metadata/labels"]));
    assert_eq!(action.sent.pointer("/metadata/labels"), Some(&labels()));
    assert_eq!(without_details(&action.change), "apply");
}

#[test]
fn a_rule_is_for_its_target_only() {
    let rule = json!({"paths": ["/spec/replicas"], "target": {"name": "other"}});
    let ignore = IgnoreRules::compile(&[serde_json::from_value(rule).unwrap()]).unwrap();
    let ours = entry(MANAGER, "Apply", json!({"f:replicas": {}}));
    let policy = Policy { ignore, ..policy(&[]) };
    let action = decide(json!({"replicas": 2}), live(json!({"replicas": 5}), vec![ours]), &policy);
    assert_eq!(sent(&action), json!({"replicas": 2}));
}

/// The server writes `template` in another form than Git, which only the memory of the last apply shows.
#[test]
fn what_is_remembered_is_without_what_is_ignored() {
    let desired = deployment(json!({"template": "one", "replicas": 2}));
    let policy = policy(&["/spec/replicas"]);
    let seen = |replicas: u32, entries| live(json!({"template": "ONE", "replicas": replicas}), entries);
    let both = vec![entry(MANAGER, "Apply", json!({"f:template": {}, "f:replicas": {}}))];
    let mine = vec![entry(MANAGER, "Apply", json!({"f:template": {}}))];
    let Live::Present(answer) = seen(2, mine.clone()) else { panic!() };
    let projection = plumb_apply::projection_digest(&answer, MANAGER).unwrap();
    let memory = Applied { desired: desired_digest(&desired), projection };
    for entries in [both, mine] {
        let action =
            plan_object(&Arc::new(desired.clone()), seen(5, entries), Some(&memory), &|_, _| false, &policy);
        assert_eq!(action.unwrap().change, Change::Unchanged);
    }
}

#[rstest]
#[case(json!({"paths": ["/spec/replicas", "spec"]}), "spec.ignore[1].paths[1]: \"spec\" is not a JSON Pointer (RFC 6901): it has to start with /")]
#[case(json!({"paths": [], "target": {"kind": "["}}), "spec.ignore[1].target.kind: \"[\" is not a regular expression: unclosed character class")]
fn a_rule_that_cannot_be_followed_is_named(#[case] rule: Value, #[case] expected: &str) {
    let good = IgnoreRule { paths: vec!["/spec".to_owned()], target: None };
    let error = IgnoreRules::compile(&[good, serde_json::from_value(rule).unwrap()]).unwrap_err();
    assert_eq!(error.to_string(), expected);
}

#[test]
fn no_rule_changes_nothing() {
    let action = decide(json!({"replicas": 2}), live(json!({"replicas": 5}), vec![]), &policy(&[]));
    assert!(Arc::ptr_eq(&action.sent, &action.desired));
}

/// Who owns a field: some of us, another that applies, one that updates.
type Owners = (bool, bool, bool);

/// Fields of `/spec`, each with its live value, its desired value, and its owners.
fn fields() -> impl Strategy<Value = BTreeMap<String, (u8, Option<u8>, Owners)>> {
    let field = (0..3_u8, proptest::option::of(0..3_u8), any::<Owners>());
    proptest::collection::btree_map("[abc](\\.[xyz]){0,1}", field, 0..5).prop_filter(
        "a field is a map or not",
        |fields| {
            fields.keys().all(|field| {
                field.len() > 1
                    || !fields.keys().any(|other| other.len() > 1 && other.starts_with(field.as_str()))
            })
        },
    )
}

/// `a.x` is the field `x` in the map `a`.
fn nest(fields: impl Iterator<Item = (String, Value)>, prefix: &str) -> Value {
    let mut spec = json!({});
    for (field, value) in fields {
        match field.split_once('.') {
            Some((map, field)) => spec[format!("{prefix}{map}")][format!("{prefix}{field}")] = value,
            None => spec[format!("{prefix}{field}")] = value,
        }
    }
    spec
}

proptest! {
    #[test]
    fn whoever_owns_what_applying_changes_nothing_that_is_ignored(fields in fields(), ignored in "[abc](/[xyz]){0,1}") {
        let owned = |of: fn(&Owners) -> bool| {
            let theirs = fields.iter().filter(move |(_, (_, _, owners))| of(owners));
            nest(theirs.map(|(field, _)| (field.clone(), json!({}))), "f:")
        };
        let live_spec = nest(fields.iter().map(|(field, (live, ..))| (field.clone(), json!(live))), "");
        let desired = fields.iter().filter_map(|(field, (_, desired, _))| Some((field.clone(), json!((*desired)?))));
        // Something is always ours: that we own an empty map looks like owning a map as a whole.
        let mut ours = owned(|owners| owners.0);
        ours["f:d"] = json!({});
        let entries = vec![
            entry(MANAGER, "Apply", ours),
            entry("other", "Apply", owned(|owners| owners.1)),
            entry("tool", "Update", owned(|owners| owners.2)),
        ];
        let action = decide(nest(desired, ""), live(live_spec, entries), &policy(&[&format!("/spec/{ignored}")]));
        let sent = sent(&action);
        for (field, (live, desired, owners)) in &fields {
            let path = field.replace('.', "/");
            let is_ignored = path == ignored || path.starts_with(&format!("{ignored}/"));
            let found = sent.pointer(&format!("/{path}")).cloned();
            let expected = match (is_ignored, owners) {
                (false, _) => desired.map(|value| json!(value)),
                (true, (true, false, _)) => Some(json!(live)),
                (true, _) => None,
            };
            prop_assert_eq!(found, expected, "{} in {}", field, sent);
        }
    }
}
