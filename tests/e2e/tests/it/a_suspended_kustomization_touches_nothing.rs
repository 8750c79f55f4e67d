use crate::scene::{Scene, config_map};
use serde_json::json;

#[tokio::test]
async fn neither_commits_nor_drift_nor_its_own_deletion_move_a_suspended_kustomization() -> anyhow::Result<()>
{
    let scene = Scene::with_files("suspend", &[("apps/a.yaml", &config_map("settings", "one"))]).await?;
    let apps = scene.kustomization("apps", json!({"path": "apps"}));
    let other = scene.kustomization("other", json!({"path": "other"}));
    scene.apply_and_wait(&apps).await?;
    scene.cluster.edit(&apps, &json!({"spec": {"suspend": true}})).await?;

    scene.cluster.edit(&scene.config_map("settings"), &json!({"data": {"key": "by hand"}})).await?;
    let commit = scene
        .push(&[("apps/a.yaml", &config_map("settings", "two")), ("other/a.yaml", &config_map("other", "a"))])
        .await?;
    // Another Kustomization that applies the commit shows that the controller has seen it.
    scene.cluster.apply(&other).await?;
    scene.wait_applied(&other, &commit).await?;
    let live = scene.cluster.get(&scene.config_map("settings")).await?.unwrap_or_default();
    assert_eq!(live["data"]["key"], "by hand");

    scene.cluster.edit(&apps, &json!({"spec": {"suspend": false}})).await?;
    scene.wait_applied(&apps, &commit).await?;
    scene
        .wait(&scene.config_map("settings"), "it is applied again", |live| live["data"]["key"] == "two")
        .await?;

    scene.cluster.edit(&apps, &json!({"spec": {"suspend": true}})).await?;
    scene.cluster.delete(&apps).await?;
    scene.cluster.wait_gone(&apps).await?;
    assert!(
        scene.cluster.get(&scene.config_map("settings")).await?.is_some(),
        "as in Flux, its objects stay"
    );
    Ok(())
}
