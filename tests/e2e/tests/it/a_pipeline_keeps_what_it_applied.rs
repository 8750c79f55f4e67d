use crate::scene::{Scene, config_map};
use serde_json::{Value, json};

fn steps() -> Value {
    json!([{"plugin": "kustomize", "with": {"path": "deploy"}}])
}

#[tokio::test]
async fn drift_is_put_back_and_what_is_gone_is_pruned() -> anyhow::Result<()> {
    let files = [("deploy/a.yaml", config_map("stays", "one")), ("deploy/b.yaml", config_map("goes", "one"))];
    let files = files.each_ref().map(|(path, text)| (*path, text.as_str()));
    let scene = Scene::with_files("pipe-drift", &files).await?;
    let shop = scene.pipeline("shop", steps(), json!({}));
    scene.apply_and_wait(&shop).await?;

    // The interval is an hour: only the watch can tell.
    scene.cluster.edit(&scene.config_map("stays"), &json!({"data": {"key": "theirs"}})).await?;
    scene
        .wait(&scene.config_map("stays"), "the value is put back", |live| live["data"]["key"] == "one")
        .await?;

    scene.repository.remove("deploy/b.yaml")?;
    let commit = scene.push(&[]).await?;
    scene.wait_applied(&shop, &commit).await?;
    scene.cluster.wait_gone(&scene.config_map("goes")).await?;
    assert!(scene.cluster.get(&scene.config_map("stays")).await?.is_some());
    Ok(())
}

#[tokio::test]
async fn with_a_pipeline_go_its_objects_unless_it_says_otherwise() -> anyhow::Result<()> {
    let scene = Scene::with_files("pipe-end", &[("deploy/a.yaml", &config_map("settings", "one"))]).await?;
    let shop = scene.pipeline("shop", steps(), json!({}));
    scene.apply_and_wait(&shop).await?;
    scene.cluster.delete(&shop).await?;
    scene.cluster.wait_gone(&shop).await?;
    scene.cluster.wait_gone(&scene.config_map("settings")).await?;

    let apply = json!({"targetNamespace": scene.namespace, "deletionPolicy": "Orphan"});
    let shop = scene.pipeline("shop", steps(), json!({ "apply": apply }));
    scene.apply_and_wait(&shop).await?;
    scene.cluster.delete(&shop).await?;
    scene.cluster.wait_gone(&shop).await?;
    assert!(scene.cluster.get(&scene.config_map("settings")).await?.is_some(), "it is orphaned");
    Ok(())
}

#[tokio::test]
async fn a_suspended_pipeline_touches_nothing() -> anyhow::Result<()> {
    let scene = Scene::with_files("pipe-rest", &[("deploy/a.yaml", &config_map("settings", "one"))]).await?;
    let shop = scene.pipeline("shop", steps(), json!({}));
    scene.apply_and_wait(&shop).await?;
    let suspended = scene.pipeline("shop", steps(), json!({"suspend": true}));
    scene.cluster.apply(&suspended).await?;
    let other = scene.kustomization("other", json!({"path": "other"}));
    let commit = scene
        .push(&[("deploy/a.yaml", &config_map("settings", "two")), ("other/a.yaml", &config_map("b", "x"))])
        .await?;
    scene.cluster.apply(&other).await?;
    scene.wait_applied(&other, &commit).await?;
    let settings = scene.cluster.get(&scene.config_map("settings")).await?.unwrap_or_default();
    assert_eq!(settings["data"]["key"], "one");

    scene.cluster.apply(&shop).await?;
    scene.wait_applied(&shop, &commit).await?;
    let settings = scene.cluster.get(&scene.config_map("settings")).await?.unwrap_or_default();
    assert_eq!(settings["data"]["key"], "two");
    Ok(())
}
