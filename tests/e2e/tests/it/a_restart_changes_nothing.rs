use crate::scene::{Scene, config_map, deployment};
use plumb_test_support::cluster::{condition, eventually};
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

// Attack 11 (sources): what was fetched before a signature was asked for is not taken up without one.
#[tokio::test]
async fn a_source_that_is_to_be_verified_serves_nothing_before_it_was() -> anyhow::Result<()> {
    let mut scene =
        Scene::with_files("restart-verify", &[("a.yaml", &config_map("settings", "one"))]).await?;
    scene.apply_and_wait(&scene.kustomization("before", json!({}))).await?;

    scene.controller.kill()?;
    scene.server.stop();
    let mut keys = scene.object("v1", "Secret", "keys");
    keys["stringData"] = json!({"a.pub": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ2mEkzWNa5Ugm1AHN0fSL0Wl4RzFPzIZ0jCXJcZ1l3h a"});
    scene.cluster.apply(&keys).await?;
    let verify = json!({"spec": {"verify": {"mode": "HEAD", "secretRef": {"name": "keys"}}}});
    scene.cluster.edit(&scene.source(), &verify).await?;
    let after = scene.kustomization("after", json!({}));
    scene.cluster.apply(&after).await?;
    scene.controller.start_again().await?;

    // The server is down, so nothing can be fetched, and nothing can be verified.
    let is_observed =
        |object: &serde_json::Value| condition(object, "Ready").is_some_and(|found| found.0 == "False");
    scene.wait(&scene.source(), "the source cannot be fetched", is_observed).await?;
    let message = scene.wait_condition(&after, "False", "ArtifactFailed").await?;
    assert!(message.ends_with("has no artifact yet"), "{message}");
    // Nothing of what was applied is touched.
    assert!(scene.cluster.get(&scene.config_map("settings")).await?.is_some());
    Ok(())
}
