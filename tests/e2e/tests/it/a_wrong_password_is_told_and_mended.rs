use crate::scene::{Scene, config_map};
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
