use std::sync::Arc;

use axum::http::StatusCode;
use parking_lot::Mutex;
use plumb_api::{Inventory, InventoryEntry, Object};
use plumb_apply::{FailureKind, IgnoreRules, Keep, Policy, PruneLimit};
use rstest::rstest;
use serde_json::{Value, json};

use crate::http_server::{Server, config_map, policy, refused};
use crate::object;

fn of(name: &str, mut value: Value) -> Value {
    value["metadata"]["labels"] = json!({"kustomize.toolkit.fluxcd.io/name": name,
        "kustomize.toolkit.fluxcd.io/namespace": "flux-system"});
    value["metadata"]["uid"] = json!("uid");
    value
}

fn binding() -> Value {
    json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "root"}})
}

fn secret_elsewhere() -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a", "namespace": "kube-system"}})
}

// Attack 17 (rendering): an object that the tenant may not write, cluster-wide or in another namespace. All requests are the tenant's own,
// so the API server says no; then nothing of the commit is applied.
#[rstest]
#[case::cluster_wide(binding(), "ClusterRoleBinding/root")]
#[case::in_another_namespace(secret_elsewhere(), "Secret/kube-system/a")]
#[tokio::test]
async fn what_the_tenant_may_not_write_stops_the_commit(#[case] hostile: Value, #[case] id: &'static str) {
    let server = Server::new().refusing(move |line| {
        let message = "x is forbidden: User \"system:serviceaccount:a:b\" cannot patch resource \"x\" in API group \"\"";
        line.ends_with(id).then(|| refused(StatusCode::FORBIDDEN, "Forbidden", message))
    });
    let outcome = server.engine(policy()).sync(&[hostile, config_map("good")]).await;
    let [failure] = outcome.failed.as_slice() else { panic!("{outcome:?}") };
    assert_eq!((failure.id.human().as_str(), failure.kind), (id, FailureKind::Forbidden));
    assert!(outcome.applied.is_empty());
    assert!(server.log().iter().all(|line| !line.starts_with("PATCH")));
}

// Attack 17 (rendering): a List inside a List, generateName, no name.
#[rstest]
#[case::generate_name(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "a-"}}))]
#[case::no_metadata(json!({"apiVersion": "v1", "kind": "List", "items": [config_map("a")]}))]
fn what_names_no_object_is_no_object(#[case] hostile: Value) {
    assert!(Object::new(hostile).is_err());
}

// Attack 17 (rendering): names and namespaces that lead to another path of the API.
#[rstest]
#[case("../../secrets/x", "default")]
#[case("a/status", "default")]
#[case("a%2fstatus", "default")]
#[case("..", "default")]
#[case("a", "default/secrets")]
#[case("a", "..")]
#[tokio::test]
async fn a_name_never_leads_to_another_object(#[case] name: &str, #[case] namespace: &str) {
    let server = Server::new();
    let mut hostile = config_map("a");
    hostile["metadata"]["name"] = json!(name);
    hostile["metadata"]["namespace"] = json!(namespace);
    let outcome = server.engine(policy()).sync(&[hostile, config_map("good")]).await;
    assert_eq!(outcome.failed.len(), 1);
    assert!(server.log().iter().all(|line| line.ends_with("ConfigMap/default/good")), "{:?}", server.log());
}

#[tokio::test]
async fn a_name_with_a_question_mark_is_a_name() {
    let server = Server::new();
    let mut hostile = config_map("a");
    hostile["metadata"]["name"] = json!("a?dryRun=All&x=");
    assert_eq!(server.engine(policy()).sync(&[hostile]).await.failed, []);
    let log = server.log();
    assert_eq!(
        log,
        ["DRYRUN ConfigMap/default/a%3FdryRun=All&x=", "PATCH ConfigMap/default/a%3FdryRun=All&x="]
    );
}

// Attack 17 (rendering): owner references to a foreign UID, finalizers, a huge annotation, our own custom resources. They are the tenant's
// to write; they go to the API server as they are, and what it refuses is told.
#[tokio::test]
async fn metadata_of_others_is_sent_as_it_is_and_refusals_are_told() {
    let mut hostile = config_map("a");
    hostile["metadata"]["ownerReferences"] = json!([{"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "foreign", "controller": true, "blockOwnerDeletion": true}]);
    hostile["metadata"]["finalizers"] = json!(["example.com/never"]);
    hostile["metadata"]["annotations"] = json!({"a": "x".repeat(300 * 1024)});
    let server = Server::new().refusing(|line| {
        let message =
            "ConfigMap \"a\" is invalid: metadata.annotations: Too long: may not be more than 262144 bytes";
        (line == "DRYRUN ConfigMap/default/a")
            .then(|| refused(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message))
    });
    let outcome = server.engine(policy()).sync(&[hostile]).await;
    insta::assert_snapshot!(outcome.failed[0], @"ConfigMap/default/a: metadata.annotations: Too long: may not be more than 262144 bytes");
}

// Attack 17 (rendering): managedFields, uid and status in a manifest pretend what only the API server may say.
#[tokio::test]
async fn a_status_in_a_manifest_is_not_sent() {
    let mut hostile = config_map("a");
    hostile["status"] = json!({"conditions": [{"type": "Ready", "status": "True"}]});
    let server = Server::new();
    assert_eq!(server.engine(policy()).sync(&[hostile]).await.failed, []);
    assert_eq!(server.get(&object(config_map("a")).id()).unwrap().get("status"), None);
}

// Attack 22 (multi-tenancy): a tenant who may write the status subresource lists what others own in the inventory.
#[tokio::test]
async fn a_forged_inventory_prunes_nothing_of_others() {
    let anothers = of("other", secret_elsewhere());
    let nobodys = config_map("nobodys");
    let server = Server::new().holding([anothers.clone(), nobodys.clone(), of("apps", config_map("ours"))]);
    let engine = server.engine(Policy { prune_limit: PruneLimit::OFF, ..policy() });
    let entry = |value: &Value| InventoryEntry::of(&object(value.clone()));
    let twice = entry(&config_map("ours"));
    let nonsense = |id: &str| InventoryEntry { id: id.to_owned(), version: "../v1".to_owned() };
    let entries = vec![
        entry(&anothers),
        entry(&nobodys),
        twice.clone(),
        twice,
        nonsense("x"),
        nonsense("kube-system_../../nodes/a__Secret"),
        nonsense("default_a_example.com_Unknown"),
    ];
    let plan = engine.plan(&[config_map("new")], &Inventory { entries }).await;
    let outcome = engine.execute(&plan).await;
    let deleted: Vec<_> = server.log().into_iter().filter(|line| line.starts_with("DELETE")).collect();
    assert_eq!(deleted, ["DELETE ConfigMap/default/ours"]);
    let kept: Vec<_> = outcome.pruned.kept.iter().map(|(_, reason)| reason.clone()).collect();
    assert!(kept.contains(&Keep::NotLabelled), "{kept:?}");
    assert!(kept.iter().any(|reason| matches!(reason, Keep::BelongsTo(owner) if owner.name == "other")));
}

// Attack 22 (multi-tenancy): two Kustomizations claim one object, and the labels in the manifest say what they like: the planner's
// caller sets them, and what is live decides.
#[tokio::test]
async fn what_another_has_is_not_taken_even_when_the_commit_fails() {
    let taken = of("other", config_map("taken"));
    let server = Server::new().holding([taken.clone()]).refusing(|line| {
        line.ends_with("ConfigMap/default/bad")
            .then(|| refused(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", "bad"))
    });
    let outcome = server.engine(policy()).sync(&[config_map("taken"), config_map("bad")]).await;
    assert_eq!((outcome.failed.len(), outcome.conflicts.len()), (1, 1), "all that is wrong is told at once");
    assert_eq!(
        server.get(&object(taken).id()).unwrap()["metadata"]["labels"]["kustomize.toolkit.fluxcd.io/name"],
        "other"
    );
}

/// Refuses the first requests about each object.
fn storm(code: StatusCode, requests: usize) -> impl FnMut(&str) -> Option<(StatusCode, Value)> + Send {
    let seen = Arc::new(Mutex::new(std::collections::HashMap::<String, usize>::new()));
    move |line| {
        let mut seen = seen.lock();
        let count = seen.entry(line.to_owned()).or_default();
        *count += 1;
        (*count <= requests).then(|| refused(code, "", "too much to do"))
    }
}

// Attack 24 (multi-tenancy): storms of 429 and 5xx. What passes is waited for, and everything is applied once.
#[rstest]
#[case(StatusCode::TOO_MANY_REQUESTS)]
#[case(StatusCode::BAD_GATEWAY)]
#[case(StatusCode::SERVICE_UNAVAILABLE)]
#[tokio::test]
async fn a_storm_that_passes_is_outlasted(#[case] code: StatusCode) {
    let server = Server::new().refusing(storm(code, 2));
    let desired: Vec<_> = (0..20).map(|number| config_map(&format!("c{number}"))).collect();
    let outcome = server.engine(policy()).sync(&desired).await;
    assert_eq!(outcome.failed, []);
    assert_eq!(outcome.applied.len(), 20);
}

// Attack 24 (multi-tenancy): the storm does not pass. Every object is named, and nothing is pruned.
#[tokio::test]
async fn a_storm_that_does_not_pass_is_told_for_every_object() {
    let server = Server::new().refusing(|line| {
        line.contains("ConfigMap/default/c")
            .then(|| refused(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", "etcd is gone"))
    });
    let engine = server.engine(policy());
    let desired: Vec<_> = (0..20).map(|number| config_map(&format!("c{number}"))).collect();
    let listed = Inventory { entries: vec![InventoryEntry::of(&object(config_map("old")))] };
    let outcome = engine.execute(&engine.plan(&desired, &listed).await).await;
    assert_eq!(outcome.failed.len(), 20);
    assert!(outcome.failed.iter().all(|failure| failure.kind == FailureKind::Unavailable));
    assert!(outcome.applied.is_empty() && outcome.pruned.deleted.is_empty());
}

// Attack 24 (multi-tenancy): a webhook that does not answer, and one that always says no. Both are named, also where the rest of the
// message could quote a Secret.
#[rstest]
#[case("ConfigMap", StatusCode::INTERNAL_SERVER_ERROR, r#"Internal error occurred: failed calling webhook "v.example.com": failed to call webhook: Post "https://w.default.svc:443": connection refused"#)]
#[case(
    "Secret",
    StatusCode::INTERNAL_SERVER_ERROR,
    r#"Internal error occurred: failed calling webhook "v.example.com": hunter2"#
)]
#[case("ConfigMap", StatusCode::FORBIDDEN, r#"admission webhook "v.example.com" denied the request: no"#)]
#[case("Secret", StatusCode::FORBIDDEN, r#"admission webhook "v.example.com" denied the request: hunter2"#)]
#[tokio::test]
async fn a_webhook_that_stands_in_the_way_is_named(
    #[case] kind: &str,
    #[case] code: StatusCode,
    #[case] said: &'static str,
) {
    let server = Server::new().refusing(move |_| Some(refused(code, "", said)));
    let mut desired = config_map("a");
    desired["kind"] = json!(kind);
    desired["data"] = json!({});
    let outcome = server.engine(policy()).sync(&[desired]).await;
    let [failure] = outcome.failed.as_slice() else { panic!("{outcome:?}") };
    assert!(failure.message.contains("v.example.com"), "{failure}");
    assert!(!failure.message.contains("hunter2"), "{failure}");
}

/// What has to be looked at before it can be decided is tried with what will be sent.
#[tokio::test]
async fn an_ignored_field_is_adopted_where_no_watch_shows_the_object() {
    let deployment = |replicas: u32| {
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "default"},
            "spec": {"replicas": replicas, "paused": replicas == 2}})
    };
    let server = Server::new();
    let rule = serde_json::from_value(json!({"paths": ["/spec/replicas"], "target": {"kind": "Deployment"}}))
        .unwrap();
    let engine = server.engine(Policy { ignore: IgnoreRules::compile(&[rule]).unwrap(), ..policy() });
    assert_eq!(engine.sync(&[deployment(2)]).await.failed, []);
    let id = object(deployment(2)).id();
    let mut scaled = server.get(&id).unwrap();
    scaled["spec"]["replicas"] = json!(7);
    server.put(scaled);
    assert_eq!(engine.sync(&[deployment(3)]).await.failed, []);
    let spec = server.get(&id).unwrap()["spec"].clone();
    assert_eq!(spec, json!({"replicas": 7, "paused": false}));
    let asked = server.log().len();
    assert_eq!(engine.sync(&[deployment(4)]).await.applied.len(), 0, "as it should be");
    assert!(server.log().iter().skip(asked).all(|line| line.starts_with("GET")));
}
