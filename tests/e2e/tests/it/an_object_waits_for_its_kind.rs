use crate::scene::{Scene, config_map};
use serde_json::json;

#[tokio::test]
async fn the_rest_is_applied_and_the_object_follows_as_soon_as_its_kind_is_there() -> anyhow::Result<()> {
    let scene = Scene::set("deferred").await?;
    let widget = serde_yaml::to_string(&scene.widget("gear"))?;
    scene.commit(&[("a.yaml", &config_map("a", "x")), ("widget.yaml", &widget)])?;
    scene.cluster.apply(&scene.source()).await?;
    let apps = scene.kustomization("apps", json!({}));
    scene.cluster.apply(&apps).await?;
    let message = scene.wait_condition(&apps, "False", "ReconciliationFailed").await?;
    assert!(message.contains(&format!("Widget/{}/gear waits for its kind", scene.namespace)), "{message}");
    assert!(scene.cluster.get(&scene.config_map("a")).await?.is_some(), "what can be applied is");

    // While something waits nothing is pruned: nobody can tell what it will be.
    scene.repository.remove("a.yaml")?;
    let commit = scene.push(&[("b.yaml", &config_map("b", "x"))]).await?;
    scene.cluster.wait_for(&scene.config_map("b"), "b is applied", |_| true).await?;
    assert!(scene.cluster.get(&scene.config_map("a")).await?.is_some());

    // The controller would look again by itself after half a minute; it is told before.
    scene.cluster.apply(&scene.widget_definition()).await?;
    scene.wait_applied(&apps, &commit).await?;
    assert!(scene.cluster.get(&scene.widget("gear")).await?.is_some());
    scene.cluster.wait_gone(&scene.config_map("a")).await?;
    scene.cluster.delete(&scene.widget_definition()).await?;
    Ok(())
}
