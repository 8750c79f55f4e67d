use crate::scene::{Scene, config_map};
use serde_json::json;

#[tokio::test]
async fn another_tree_of_the_same_commit_is_tried_at_once() -> anyhow::Result<()> {
    let broken = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: [}\n";
    let scene = Scene::with_files("retree", &[("a.yaml", &config_map("a", "x")), ("b.yaml", broken)]).await?;
    let apps = scene.kustomization("apps", json!({"retryInterval": "1h"}));
    scene.cluster.apply(&apps).await?;
    scene.wait_condition(&apps, "False", "BuildFailed").await?;
    // The commit stays; what is seen of it does not.
    scene.cluster.edit(&scene.source(), &json!({"spec": {"ignore": "/b.yaml"}})).await?;
    scene.wait_applied(&apps, &scene.repository.head()?).await?;
    assert!(scene.cluster.get(&scene.config_map("a")).await?.is_some());
    Ok(())
}
