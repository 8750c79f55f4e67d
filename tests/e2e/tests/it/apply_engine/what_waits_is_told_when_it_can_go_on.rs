use anyhow::{Context as _, Result};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use serde_json::{Value, json};

use super::engine::{Engine, PATIENCE, config_map, told};

fn held(name: &str) -> Value {
    let mut object = config_map(name, json!({}));
    object["metadata"]["finalizers"] = json!(["example.com/hold"]);
    object
}

async fn release(engine: &Engine, name: &str) -> Result<()> {
    let mut changes = engine.live.subscribe();
    let free = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    engine.config_maps().patch(name, &PatchParams::default(), &free).await?;
    engine.next_change(&mut changes).await?;
    Ok(())
}

#[tokio::test]
async fn an_object_that_is_being_deleted_is_made_anew_when_it_is_gone() -> Result<()> {
    let mut engine = Engine::new("going").await?;
    engine.sync_well(&[config_map("a", json!({}))]).await?;
    let mut changes = engine.live.subscribe();
    let hold = Patch::Merge(json!({"metadata": {"finalizers": ["example.com/hold"]}}));
    engine.config_maps().patch("a", &PatchParams::default(), &hold).await?;
    engine.next_change(&mut changes).await?;
    engine.config_maps().delete("a", &DeleteParams::default()).await?;
    engine.next_change(&mut changes).await?;

    let desired = [config_map("a", json!({"new": "1"}))];
    let (outcome, requests) = engine.sync_well(&desired).await?;
    assert_eq!((told(&outcome), requests), (vec![], 0));
    let (_, object) = outcome.being_deleted.first().context("nothing is being deleted")?;
    assert_eq!(object.finalizers, ["example.com/hold"]);
    release(&engine, "a").await?;
    let (outcome, _) = engine.sync_well(&desired).await?;
    assert_eq!(told(&outcome), ["a Created"]);
    Ok(())
}

#[tokio::test]
async fn a_finalizer_of_our_own_that_git_drops_lets_the_object_go() -> Result<()> {
    let mut engine = Engine::new("released").await?;
    engine.sync_well(&[held("a")]).await?;
    let mut changes = engine.live.subscribe();
    engine.config_maps().delete("a", &DeleteParams::default()).await?;
    engine.next_change(&mut changes).await?;
    let (outcome, _) = engine.sync_well(&[held("a")]).await?;
    assert_eq!(outcome.being_deleted.len(), 1);
    engine.sync_well(&[config_map("a", json!({}))]).await?;
    assert!(engine.config_maps().get_opt("a").await?.is_none());
    Ok(())
}

#[tokio::test]
async fn what_a_finalizer_holds_when_it_is_pruned_is_told() -> Result<()> {
    let mut engine = Engine::new("held").await?;
    engine.sync_well(&[held("a"), config_map("b", json!({}))]).await?;
    let (outcome, _) = engine.sync_well(&[config_map("b", json!({}))]).await?;
    let object = outcome.pruned.terminating.first().context("nothing is terminating")?;
    assert_eq!(
        (object.id.name.as_str(), object.finalizers.as_slice()),
        ("a", &["example.com/hold".to_owned()] as &[_])
    );
    release(&engine, "a").await
}

#[tokio::test]
async fn a_custom_resource_is_applied_as_soon_as_somebody_brings_its_definition() -> Result<()> {
    let mut engine = Engine::new("deferred").await?;
    let group = format!("{}.example.com", engine.namespace);
    let widget = json!({"apiVersion": format!("{group}/v1"), "kind": "Widget", "metadata": {"name": "one"}});
    let desired = [widget, config_map("b", json!({}))];
    engine.kinds.follow_definitions();
    let mut changes = engine.kinds.changes();
    let plan = engine.plan(&desired).await?;
    assert_eq!(plan.deferred.len(), 1);

    let names = json!({"kind": "Widget", "plural": "widgets", "singular": "widget"});
    let schema = json!({"openAPIV3Schema": {"type": "object"}});
    let definition: DynamicObject = serde_json::from_value(json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("widgets.{group}")},
        "spec": {"group": group, "scope": "Namespaced", "names": names,
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": schema}]},
    }))?;
    let gvk = GroupVersionKind::gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
    let definitions: Api<DynamicObject> = Api::all_with(engine.client.clone(), &ApiResource::from_gvk(&gvk));
    definitions.create(&PostParams::default(), &definition).await?;
    let ours = async { while changes.next().await.group != group {} };
    tokio::time::timeout(PATIENCE, ours).await?;
    let (outcome, _) = engine.sync_well(&desired).await?;
    assert_eq!(told(&outcome), ["b Created", "one Created"]);
    Ok(())
}
