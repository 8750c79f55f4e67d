use anyhow::Result;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;

use super::engine::{Engine, config_map, told};

/// As `kubectl apply` without `--server-side` leaves it.
fn applied_by_kubectl() -> serde_json::Value {
    let mut object = config_map("a", json!({"kept": "1", "dropped": "1"}));
    object["metadata"]["annotations"] = json!({"kubectl.kubernetes.io/last-applied-configuration": "{}"});
    object
}

fn kubectl() -> PostParams {
    PostParams { field_manager: Some("kubectl-client-side-apply".to_owned()), ..PostParams::default() }
}

#[tokio::test]
async fn fields_that_git_does_not_have_go() -> Result<()> {
    let mut engine = Engine::new("kubectl").await?;
    engine.config_maps().create(&kubectl(), &serde_json::from_value(applied_by_kubectl())?).await?;
    let desired = [config_map("a", json!({"kept": "2"}))];
    let (outcome, _) = engine.sync_well(&desired).await?;
    assert_eq!(told(&outcome), ["a Configured"]);
    let after = engine.config_maps().get("a").await?;
    assert_eq!(after.data["data"], json!({"kept": "2"}));
    assert_eq!(after.metadata.annotations, None);
    let (_, requests) = engine.sync_well(&desired).await?;
    assert_eq!(requests, 0);
    Ok(())
}

#[tokio::test]
async fn a_field_added_with_kubectl_edit_goes() -> Result<()> {
    let mut engine = Engine::new("edited").await?;
    let desired = [config_map("a", json!({"kept": "1"}))];
    engine.sync_well(&desired).await?;
    let mut changes = engine.live.subscribe();
    let params = PatchParams { field_manager: Some("kubectl-edit".to_owned()), ..PatchParams::default() };
    engine.config_maps().patch("a", &params, &Patch::Merge(json!({"data": {"added": "1"}}))).await?;
    engine.next_change(&mut changes).await?;
    engine.sync_well(&desired).await?;
    assert_eq!(engine.config_maps().get("a").await?.data["data"], json!({"kept": "1"}));
    Ok(())
}

#[tokio::test]
async fn merge_leaves_what_others_added() -> Result<()> {
    let mut engine = Engine::new("merge").await?;
    engine.config_maps().create(&kubectl(), &serde_json::from_value(applied_by_kubectl())?).await?;
    let mut desired = config_map("a", json!({"kept": "2"}));
    desired["metadata"]["annotations"] = json!({"kustomize.toolkit.fluxcd.io/ssa": "Merge"});
    engine.sync_well(&[desired]).await?;
    assert_eq!(engine.config_maps().get("a").await?.data["data"], json!({"kept": "2", "dropped": "1"}));
    Ok(())
}

#[tokio::test]
async fn an_object_that_asks_to_be_left_alone_is() -> Result<()> {
    let mut engine = Engine::new("alone").await?;
    let mut theirs = config_map("a", json!({"theirs": "1"}));
    theirs["metadata"]["annotations"] = json!({"kustomize.toolkit.fluxcd.io/reconcile": "disabled"});
    engine.config_maps().create(&PostParams::default(), &serde_json::from_value(theirs)?).await?;
    let (outcome, _) = engine.sync_well(&[config_map("a", json!({"ours": "1"}))]).await?;
    assert_eq!((told(&outcome), outcome.left_alone.len()), (vec![], 1));
    assert_eq!(engine.config_maps().get("a").await?.data["data"], json!({"theirs": "1"}));

    let mut once = config_map("b", json!({"first": "1"}));
    once["metadata"]["annotations"] = json!({"kustomize.toolkit.fluxcd.io/ssa": "IfNotPresent"});
    engine.sync_well(&[once.clone()]).await?;
    once["data"] = json!({"second": "1"});
    let (outcome, _) = engine.sync_well(&[once]).await?;
    assert_eq!(outcome.left_alone.len(), 1);
    assert_eq!(engine.config_maps().get("b").await?.data["data"], json!({"first": "1"}));
    Ok(())
}
