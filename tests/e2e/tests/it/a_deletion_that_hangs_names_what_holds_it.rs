use crate::scene::{Scene, config_map};
use serde_json::json;

#[tokio::test]
async fn the_message_names_the_object_and_the_finalizer() -> anyhow::Result<()> {
    let scene =
        Scene::with_files("hangs", &[("a.yaml", &config_map("a", "x")), ("b.yaml", &config_map("b", "x"))])
            .await?;
    let apps = scene.kustomization("apps", json!({}));
    scene.apply_and_wait(&apps).await?;
    let held = scene.config_map("a");
    scene
        .cluster
        .edit_as("backup", &held, &json!({"metadata": {"finalizers": ["example.com/backup"]}}))
        .await?;
    scene.repository.remove("a.yaml")?;
    let commit = scene.push(&[]).await?;
    scene.wait_applied(&apps, &commit).await?;
    let is_named = |object: &serde_json::Value| {
        let conditions = object["status"]["conditions"].to_string();
        conditions.contains("/a is being deleted since") && conditions.contains("example.com/backup")
    };
    scene.wait(&apps, "what holds it is named", is_named).await?;
    assert_eq!(scene.inventory(&apps).await?.len(), 2, "what is not gone is not forgotten");

    scene.cluster.edit_as("backup", &held, &json!({"metadata": {"finalizers": []}})).await?;
    let is_forgotten = |object: &serde_json::Value| {
        object["status"]["inventory"]["entries"].as_array().is_some_and(|entries| entries.len() == 1)
    };
    scene.wait(&apps, "it leaves the inventory", is_forgotten).await?;
    Ok(())
}
