use crate::scene::{Scene, config_map};
use serde_json::json;

#[tokio::test]
async fn an_update_changes_what_the_commit_changes_and_nothing_else() -> anyhow::Result<()> {
    let (one, two) = (config_map("one", "a"), config_map("two", "a"));
    let scene = Scene::with_files("update", &[("one.yaml", &one), ("two.yaml", &two)]).await?;
    let apps = scene.kustomization("apps", json!({}));
    scene.apply_and_wait(&apps).await?;
    let version = async |name: &str| {
        let object = scene.cluster.get(&scene.config_map(name)).await?.unwrap_or_default();
        anyhow::Ok(object["metadata"]["resourceVersion"].clone())
    };
    let (one_before, two_before) = (version("one").await?, version("two").await?);

    let commit = scene.push(&[("one.yaml", &config_map("one", "b"))]).await?;
    scene.wait_applied(&apps, &commit).await?;
    let changed = scene.cluster.get(&scene.config_map("one")).await?.unwrap_or_default();
    assert_eq!(changed["data"]["key"], "b");
    assert_ne!(version("one").await?, one_before);
    assert_eq!(version("two").await?, two_before);
    Ok(())
}
