use crate::scene::{Scene, config_map};
use serde_json::json;

#[tokio::test]
async fn the_cluster_keeps_what_it_had_and_catches_up() -> anyhow::Result<()> {
    let mut scene = Scene::with_files("outage", &[("a.yaml", &config_map("settings", "one"))]).await?;
    let (source, apps) = (scene.source(), scene.kustomization("apps", json!({})));
    scene.apply_and_wait(&apps).await?;

    scene.server.stop();
    let commit = scene.commit(&[("a.yaml", &config_map("settings", "two"))])?;
    scene.request(&source, "while down").await?;
    scene.wait_condition(&source, "False", "GitOperationFailed").await?;
    // Drift is still put back: the last tree is still there.
    scene.cluster.edit(&scene.config_map("settings"), &json!({"data": {"key": "by hand"}})).await?;
    scene
        .wait(&scene.config_map("settings"), "drift is put back", |live| live["data"]["key"] == "one")
        .await?;

    scene.server.restart()?;
    scene.wait_applied(&apps, &commit).await?;
    Ok(())
}
