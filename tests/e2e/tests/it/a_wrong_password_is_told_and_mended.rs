use crate::scene::{Scene, config_map};
use plumb_test_support::cluster::is_ready;
use serde_json::json;

#[tokio::test]
async fn a_wrong_password_is_told_without_showing_it_and_is_mended_by_the_secret() -> anyhow::Result<()> {
    let scene = Scene::set("password").await?;
    scene.commit(&[("a.yaml", &config_map("settings", "one"))])?;
    scene.set_password("open sesame").await?;
    let (source, apps) = (scene.source(), scene.kustomization("apps", json!({})));
    scene.cluster.apply(&source).await?;
    scene.cluster.apply(&apps).await?;
    let message = scene.wait_condition(&source, "False", "AuthenticationFailed").await?;
    assert!(!message.contains("open sesame"), "{message}");
    assert!(!scene.controller.log().contains("open sesame"));
    scene.wait_condition(&apps, "False", "ArtifactFailed").await?;

    scene.set_password("correct horse").await?;
    scene.request(&source, "now").await?;
    scene.wait_applied(&apps, &scene.repository.head()?).await?;
    Ok(())
}

#[tokio::test]
async fn a_secret_that_is_mended_is_used_at_once() -> anyhow::Result<()> {
    // The next try would be in an hour.
    let patience = ["--min-retry-delay=1h", "--max-retry-delay=1h"];
    let scene = Scene::set_with("password-watched", &patience).await?;
    scene.set_password("wrong").await?;
    scene.commit(&[("a.yaml", &config_map("settings", "one"))])?;
    scene.cluster.apply(&scene.source()).await?;
    scene.wait_condition(&scene.source(), "False", "AuthenticationFailed").await?;
    scene.set_password("correct horse").await?;
    scene.wait(&scene.source(), "the source is fetched", is_ready).await?;
    Ok(())
}
