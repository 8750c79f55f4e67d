use crate::scene::{Scene, config_map};
use serde_json::json;

#[tokio::test]
async fn variables_of_the_spec_are_put_in_and_a_change_of_one_is_applied() -> anyhow::Result<()> {
    let scene =
        Scene::with_files("variables", &[("a.yaml", &config_map("settings", "${word:=none} $${kept}"))])
            .await?;
    let apps = scene.kustomization("apps", json!({"postBuild": {"substitute": {"word": "one"}}}));
    scene.apply_and_wait(&apps).await?;
    let live = scene.cluster.get(&scene.config_map("settings")).await?.unwrap_or_default();
    assert!(live["data"].to_string().contains("one ${kept}"), "{}", live["data"]);

    scene.cluster.edit(&apps, &json!({"spec": {"postBuild": {"substitute": {"word": "two"}}}})).await?;
    let changed = |live: &serde_json::Value| live["data"].to_string().contains("two ${kept}");
    scene.wait(&scene.config_map("settings"), "the variable is put in", changed).await?;
    Ok(())
}
