use crate::scene::{Scene, config_map};
use serde_json::json;

#[tokio::test]
async fn a_kustomization_waits_for_its_dependency_and_is_woken_by_it() -> anyhow::Result<()> {
    let (base, app) = (config_map("base", "a"), config_map("app", "a"));
    let scene = Scene::with_files("depends", &[("base/a.yaml", &base), ("app/a.yaml", &app)]).await?;
    let apps = scene.kustomization("app", json!({"path": "app", "dependsOn": [{"name": "base"}]}));
    scene.cluster.apply(&apps).await?;
    let message = scene.wait_condition(&apps, "False", "DependencyNotReady").await?;
    assert!(message.contains("/base' does not exist"), "{message}");
    assert!(scene.cluster.get(&scene.config_map("app")).await?.is_none());

    // The controller looks again by itself after a minute only, which is when the test gives up.
    scene.apply_and_wait(&scene.kustomization("base", json!({"path": "base"}))).await?;
    scene.wait_applied(&apps, &scene.repository.head()?).await?;

    // The next commit is rolled out in the same order.
    let commit = scene
        .push(&[("base/a.yaml", &config_map("base", "b")), ("app/a.yaml", &config_map("app", "b"))])
        .await?;
    scene.wait_applied(&apps, &commit).await?;
    let base = scene.cluster.get(&scene.config_map("base")).await?.unwrap_or_default();
    assert_eq!(base["data"]["key"], "b");
    Ok(())
}
