use crate::scene::{Scene, config_map};
use serde_json::json;

#[tokio::test]
async fn what_is_removed_from_git_is_pruned() -> anyhow::Result<()> {
    let (stays, goes) = (config_map("stays", "a"), config_map("goes", "a"));
    let kept = config_map("kept", "a")
        .replace("name: kept", "name: kept\n  annotations: {kustomize.toolkit.fluxcd.io/prune: disabled}");
    let files = [("stays.yaml", stays.as_str()), ("goes.yaml", goes.as_str()), ("kept.yaml", kept.as_str())];
    let scene = Scene::with_files("prune", &files).await?;
    let apps = scene.kustomization("apps", json!({}));
    scene.apply_and_wait(&apps).await?;

    scene.repository.remove("goes.yaml")?.remove("kept.yaml")?;
    let commit = scene.push(&[]).await?;
    scene.wait_applied(&apps, &commit).await?;
    scene.cluster.wait_gone(&scene.config_map("goes")).await?;
    assert!(scene.cluster.get(&scene.config_map("stays")).await?.is_some());
    assert!(scene.cluster.get(&scene.config_map("kept")).await?.is_some(), "the annotation keeps it");
    assert_eq!(scene.inventory(&apps).await?, [format!("{}_stays__ConfigMap", scene.namespace)]);
    Ok(())
}

#[tokio::test]
async fn nothing_is_pruned_where_prune_is_off() -> anyhow::Result<()> {
    let (stays, leaves) = (config_map("stays", "a"), config_map("leaves", "a"));
    let scene = Scene::with_files("noprune", &[("stays.yaml", &stays), ("leaves.yaml", &leaves)]).await?;
    let apps = scene.kustomization("apps", json!({"prune": false}));
    scene.apply_and_wait(&apps).await?;
    scene.repository.remove("leaves.yaml")?;
    let commit = scene.push(&[]).await?;
    scene.wait_applied(&apps, &commit).await?;
    assert!(scene.cluster.get(&scene.config_map("leaves")).await?.is_some());
    Ok(())
}
