use anyhow::Result;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use plumb_apply::{Deletion, FailureKind, Keep, LiveChangeKind};
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

use super::engine::{Engine, PATIENCE, config_map};

#[tokio::test]
async fn what_is_no_longer_desired_is_deleted_and_the_rest_stays() -> Result<()> {
    let mut engine = Engine::new("prune").await?;
    let (a, b) = (config_map("a", json!({})), config_map("b", json!({})));
    engine.sync_well(&[a.clone(), b]).await?;
    let (outcome, requests) = engine.sync_well(&[a]).await?;
    let deleted: Vec<_> = outcome.pruned.deleted.iter().map(|id| id.name.as_str()).collect();
    assert_eq!((deleted, requests), (vec!["b"], 1));
    assert!(engine.config_maps().get_opt("b").await?.is_none());
    assert!(engine.config_maps().get_opt("a").await?.is_some());
    Ok(())
}

#[tokio::test]
async fn an_object_that_somebody_took_out_of_our_hands_stays() -> Result<()> {
    let mut engine = Engine::new("unlabelled").await?;
    let (a, b) = (config_map("a", json!({})), config_map("b", json!({})));
    engine.sync_well(&[a.clone(), b]).await?;
    let mut changes = engine.live.subscribe();
    let unlabelled = json!({"metadata": {"labels": {
        "kustomize.toolkit.fluxcd.io/name": null, "kustomize.toolkit.fluxcd.io/namespace": null,
    }}});
    engine.config_maps().patch("b", &PatchParams::default(), &Patch::Merge(unlabelled)).await?;
    while engine.next_change(&mut changes).await?.kind != LiveChangeKind::Deleted {}
    let (outcome, _) = engine.sync_well(&[a]).await?;
    let kept: Vec<_> =
        outcome.pruned.kept.iter().map(|(id, reason)| (id.name.as_str(), reason.clone())).collect();
    assert_eq!(kept, [("b", Keep::NotLabelled)]);
    assert!(engine.config_maps().get_opt("b").await?.is_some());
    Ok(())
}

#[tokio::test]
async fn an_object_of_the_same_name_made_by_somebody_else_stays() -> Result<()> {
    let mut engine = Engine::new("uid").await?;
    engine.sync_well(&[config_map("a", json!({}))]).await?;
    let ours = engine.config_maps().get("a").await?;
    let deletion = Deletion {
        id: plumb_api::Object::new(serde_json::to_value(&ours)?)?.id(),
        gvk: plumb_api::GroupVersionKind::new("v1", "ConfigMap"),
        uid: ours.metadata.uid,
    };
    engine.config_maps().delete("a", &DeleteParams::default()).await?;
    let theirs = serde_json::from_value(json!({"metadata": {"name": "a"}, "data": {"theirs": "1"}}))?;
    engine.config_maps().create(&PostParams::default(), &theirs).await?;

    let pruned = engine
        .executor
        .prune(
            &[deletion],
            &engine.policy.owner,
            plumb_apply::Propagation::Background,
            Instant::now() + PATIENCE,
        )
        .await;
    let kept: Vec<_> = pruned.kept.iter().map(|(id, reason)| (id.name.as_str(), reason.clone())).collect();
    assert_eq!(kept, [("a", Keep::NotLabelled)]);
    let left = engine.config_maps().get("a").await?;
    assert!(left.metadata.deletion_timestamp.is_none());
    assert_eq!(left.data["data"]["theirs"], "1");
    Ok(())
}

#[tokio::test]
async fn what_hangs_is_told_with_its_finalizer() -> Result<()> {
    let mut engine = Engine::new("hangs").await?;
    let mut held = config_map("held", json!({}));
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    let keep = config_map("keep", json!({}));
    engine.sync_well(&[held, keep.clone()]).await?;
    let deletions = engine.plan(std::slice::from_ref(&keep)).await?.prune;
    engine.sync_well(&[keep]).await?;
    let failures = engine.executor.wait_gone(&deletions, Instant::now() + Duration::from_secs(1)).await;
    let [failure] = failures.as_slice() else { anyhow::bail!("{failures:?}") };
    assert_eq!(failure.kind, FailureKind::NotReady);
    assert!(failure.message.contains("example.com/hold"), "{failure}");

    let released = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    engine.config_maps().patch("held", &PatchParams::default(), &released).await?;
    assert_eq!(engine.executor.wait_gone(&deletions, Instant::now() + PATIENCE).await, []);
    Ok(())
}
