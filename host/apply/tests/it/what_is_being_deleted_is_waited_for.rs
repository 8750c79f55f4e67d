use plumb_api::{Inventory, InventoryEntry};
use plumb_apply::{Change, Keep};
use serde_json::{Value, json};

use crate::http_server::{Server, config_map, policy};
use crate::object;

fn owned(mut value: Value) -> Value {
    value["metadata"]["labels"] = json!({"kustomize.toolkit.fluxcd.io/name": "apps",
        "kustomize.toolkit.fluxcd.io/namespace": "flux-system"});
    value["metadata"]["uid"] = json!("uid");
    value
}

fn held(mut value: Value) -> Value {
    value["metadata"]["finalizers"] = json!(["example.com/hold"]);
    value
}

fn going(value: Value) -> Value {
    let mut value = held(value);
    value["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    value
}

fn listing(values: &[Value]) -> Inventory {
    Inventory { entries: values.iter().map(|value| InventoryEntry::of(&object(value.clone()))).collect() }
}

#[tokio::test]
async fn a_desired_object_that_is_going_is_not_applied_and_nothing_is_pruned() {
    let server = Server::new().holding([going(owned(config_map("a"))), owned(config_map("old"))]);
    let engine = server.engine(policy());
    let plan = engine
        .plan(&[config_map("a"), config_map("b")], &listing(&[config_map("a"), config_map("old")]))
        .await;
    let outcome = engine.execute(&plan).await;
    assert_eq!(outcome.failed, []);
    assert_eq!(outcome.applied.len(), 1, "the others do not wait");
    let [(_, object)] = outcome.being_deleted.as_slice() else { panic!("{outcome:?}") };
    insta::assert_snapshot!(object, @"ConfigMap/default/a is being deleted since 2026-01-01T00:00:00Z; what set these finalizers has to remove them: example.com/hold");
    let after = outcome.inventory_after(&plan);
    assert_eq!(after.entries.len(), 3, "{after:?}");
    assert!(
        !server.log().iter().any(|line| line.starts_with("DELETE") || line == "PATCH ConfigMap/default/a")
    );
}

#[tokio::test]
async fn what_is_in_a_namespace_that_is_going_waits_too() {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}});
    let live = std::collections::HashMap::from([(
        object(namespace.clone()).id(),
        plumb_apply::Live::Present(object(going(owned(namespace.clone()))).into()),
    )]);
    let plan = plumb_apply::plan(plumb_apply::Inputs {
        desired: [namespace, config_map("a")].map(|value| object(value).into()).into(),
        deferred: Vec::new(),
        live: &live,
        inventory: &Inventory::default(),
        applied: &std::collections::HashMap::new(),
        is_claimed: &|_, _| false,
        heir: &|_| None,
        policy: &policy(),
    })
    .unwrap();
    let waits = |change: &Change| matches!(change, Change::BeingDeleted(going) if going.id.group_kind.kind == "Namespace");
    assert_eq!(plan.actions().filter(|action| waits(&action.change)).count(), 2);
    assert!(!plan.is_unchanged());
}

#[tokio::test]
async fn a_deletion_that_a_finalizer_holds_is_told_and_stays_in_the_inventory() {
    let server = Server::new().holding([held(owned(config_map("held"))), owned(config_map("old"))]);
    let engine = server.engine(policy());
    let inventory = listing(&[config_map("held"), config_map("old"), config_map("gone")]);
    let plan = engine.plan(&[config_map("a")], &inventory).await;
    let outcome = engine.execute(&plan).await;
    assert_eq!(outcome.pruned.deleted.len(), 3);
    let [object] = outcome.pruned.terminating.as_slice() else { panic!("{outcome:?}") };
    assert_eq!(object.finalizers, ["example.com/hold"]);
    let after = outcome.inventory_after(&plan);
    assert_eq!(after, listing(&[config_map("a"), config_map("held")]));

    // What was told to go is not told again.
    let asked = server.log().len();
    let again = engine.execute(&engine.plan(&[config_map("a")], &after).await).await;
    assert_eq!(again.pruned.terminating.len(), 1);
    assert!(server.log().iter().skip(asked).all(|line| !line.starts_with("DELETE")));
    assert_eq!(again.pruned.kept, Vec::<(_, Keep)>::new());
}
