use crate::scene::{Scene, config_map, deployment};
use plumb_test_support::cluster::eventually;
use serde_json::json;

#[tokio::test]
async fn a_controller_that_is_killed_goes_on_where_it_was_without_applying_again() -> anyhow::Result<()> {
    let (web, settings) = (deployment("web", 1), config_map("settings", "one"));
    let mut scene = Scene::with_files("restart", &[("app.yaml", &web), ("config.yaml", &settings)]).await?;
    let apps = scene.kustomization("apps", json!({}));
    scene.apply_and_wait(&apps).await?;

    scene.controller.kill()?;
    scene.cluster.edit(&scene.config_map("settings"), &json!({"data": {"key": "while away"}})).await?;
    scene.controller.start_again().await?;
    scene
        .wait(&scene.config_map("settings"), "drift is put back", |live| live["data"]["key"] == "one")
        .await?;

    // The Deployment was as it should be: nothing was sent for it, and only the ConfigMap was applied.
    let applies = eventually("the requests are counted", async || {
        let metrics = scene.controller.page("/metrics").await.unwrap_or_default();
        let line = metrics.lines().find(|line| line.starts_with("plumb_api_requests_total{verb=\"apply\"}"));
        Ok(line.and_then(|line| line.rsplit_once(' ')).map(|(_, count)| count.to_owned()))
    })
    .await?;
    assert_eq!(applies, "1");
    Ok(())
}
