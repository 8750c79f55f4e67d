use std::sync::Arc;

use axum::http::StatusCode;
use parking_lot::Mutex;
use plumb_api::{GroupKind, GroupVersionKind, Inventory, InventoryEntry};
use plumb_apply::Stages;
use serde_json::{Value, json};

use crate::http_server::{PATIENCE, Server, config_map, not_served, policy, refused, widget, widgets};
use crate::object;

/// Until the given line has been seen so often, the kind is not served: a CRD is established a moment before its path is.
fn served_after(times: usize, what: &'static str) -> impl FnMut(&str) -> Option<(StatusCode, Value)> + Send {
    let seen = Arc::new(Mutex::new(0));
    move |line| {
        if !line.ends_with(what) {
            return None;
        }
        let mut seen = seen.lock();
        *seen += 1;
        (*seen <= times).then(not_served)
    }
}

#[tokio::test]
async fn a_custom_resource_may_come_with_its_definition() {
    let server = Server::new().refusing(served_after(2, "Widget/default/a"));
    let engine = server.engine(policy());
    let plan = engine.plan(&[widget("a"), widgets(), config_map("c")], &Inventory::default()).await;
    assert_eq!(plan.deferred, []);
    let outcome = engine.execute(&plan).await;
    assert_eq!(outcome.failed, []);
    assert_eq!(outcome.applied.len(), 3);
    let log = server.log();
    let at =
        |line: &str| log.iter().position(|seen| seen == line).unwrap_or_else(|| panic!("{line}: {log:#?}"));
    assert!(at("PATCH CustomResourceDefinition/widgets.example.com") < at("DRYRUN Widget/default/a"));
    assert!(at("DRYRUN ConfigMap/default/c") < at("PATCH CustomResourceDefinition/widgets.example.com"));
    assert!(
        at("DRYRUN Widget/default/a") < at("PATCH ConfigMap/default/c"),
        "a mistake in it would have been found"
    );
}

#[tokio::test]
async fn what_has_no_kind_is_deferred_and_nothing_is_pruned() {
    let server = Server::new();
    let engine = server.engine(policy());
    let listed = InventoryEntry::of(&object(config_map("old")));
    let inventory = Inventory { entries: vec![listed.clone()] };
    let plan = engine.plan(&[widget("a"), config_map("c")], &inventory).await;
    insta::assert_snapshot!(plan.deferred[0], @"Widget/a waits for its kind: the cluster does not know the kind Widget of example.com/v1: its CustomResourceDefinition may be missing, or not serve this version");
    let outcome = engine.execute(&plan).await;
    assert_eq!((outcome.failed.len(), outcome.applied.len()), (0, 1));
    assert!(outcome.inventory_after(&plan).entries.contains(&listed));
    assert!(server.log().iter().all(|line| !line.starts_with("DELETE")));
}

#[tokio::test]
async fn whoever_waits_is_told_as_soon_as_the_definition_is_established() {
    let server = Server::new().refusing(served_after(1, "DRYRUN Widget/default/a"));
    let engine = server.engine(policy());
    engine.kinds.follow_definitions();
    let mut changes = engine.kinds.changes();
    assert_eq!(engine.plan(&[widget("a")], &Inventory::default()).await.deferred.len(), 1);

    let waiting = tokio::time::timeout(PATIENCE, changes.next());
    // The watch begins with a list, which has the definition, or tells of it later.
    server.establish(&widgets());
    assert_eq!(waiting.await.unwrap(), GroupKind::new("example.com", "Widget"));
    assert!(engine.kinds.known(&GroupVersionKind::new("example.com/v1", "Widget")).is_some());
    let plan = engine.plan(&[widget("a")], &Inventory::default()).await;
    assert_eq!(plan.deferred, []);
    assert_eq!(engine.execute(&plan).await.failed, []);
}

fn rbac(kind: &str) -> Value {
    json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": {"name": "a", "namespace": "default"}})
}

/// A service account may bind only a role that is there: the dry run of the binding is refused before.
#[tokio::test]
async fn the_rest_is_tried_when_the_custom_stage_has_been_applied() {
    let is_there = Arc::new(Mutex::new(false));
    let server = Server::new().refusing(move |line| {
        let mut is_there = is_there.lock();
        *is_there |= line == "PATCH Role/default/a";
        let is_refused = line.ends_with("RoleBinding/default/a") && !*is_there;
        is_refused.then(|| refused(StatusCode::NOT_FOUND, "NotFound", "roles \"a\" not found"))
    });
    let stages: Stages = "rbac.authorization.k8s.io/Role".parse().unwrap();
    let with_a_stage = plumb_apply::Policy { stages, ..policy() };
    let desired = [rbac("RoleBinding"), rbac("Role")];
    let without = server.engine(policy()).sync(&desired).await;
    assert_eq!(without.failed.len(), 1, "{:?}", without.failed);
    let with = server.engine(with_a_stage).sync(&desired).await;
    assert_eq!(with.failed, []);
    assert_eq!(with.applied.len(), 2);
}
