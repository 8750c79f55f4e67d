use crate::scene::{Scene, config_map};
use serde_json::{Value, json};

/// Plain files, and variables put into them.
fn steps(variables: Value) -> Value {
    json!([{"plugin": "yaml", "with": {"path": "deploy"}}, {"plugin": "substitute", "with": {"variables": variables}}])
}

#[tokio::test]
async fn each_step_gets_what_the_one_before_it_made() -> anyhow::Result<()> {
    let scene =
        Scene::with_files("pipe-steps", &[("deploy/a.yaml", &config_map("settings", "${tier}"))]).await?;
    let shop = scene.pipeline("shop", steps(json!({"tier": "web"})), json!({}));
    let applied = scene.apply_and_wait(&shop).await?;
    let settings = scene.cluster.get(&scene.config_map("settings")).await?.unwrap_or_default();
    assert_eq!(settings["data"]["key"], "web");
    let labels = &settings["metadata"]["labels"];
    assert_eq!(labels["kustomize.toolkit.fluxcd.io/name"], "shop");
    assert_eq!(labels["plumbline.dev/applier"], "Pipeline");
    let ids = scene.inventory(&shop).await?;
    assert_eq!(ids, [format!("{}_settings__ConfigMap", scene.namespace)]);
    assert_eq!(applied["status"]["history"][0]["totalReconciliations"], 1);

    let commit = scene.push(&[("deploy/a.yaml", &config_map("settings", "${tier}-2"))]).await?;
    scene.wait_applied(&shop, &commit).await?;
    let settings = scene.cluster.get(&scene.config_map("settings")).await?.unwrap_or_default();
    assert_eq!(settings["data"]["key"], "web-2");
    Ok(())
}

#[tokio::test]
async fn a_step_that_fails_is_named_and_nothing_is_lost() -> anyhow::Result<()> {
    let scene =
        Scene::with_files("pipe-fails", &[("deploy/a.yaml", &config_map("settings", "${tier}"))]).await?;
    let shop = scene.pipeline("shop", steps(json!({"tier": "web"})), json!({}));
    scene.apply_and_wait(&shop).await?;

    scene.push(&[("deploy/a.yaml", &config_map("settings", "${nonesuch}"))]).await?;
    let message = scene.wait_condition(&shop, "False", "BuildFailed").await?;
    assert!(message.contains("step \"substitute\"") && message.contains("nonesuch"), "{message}");
    let settings = scene.cluster.get(&scene.config_map("settings")).await?.unwrap_or_default();
    assert_eq!(settings["data"]["key"], "web", "the cluster keeps what it had");
    Ok(())
}

#[tokio::test]
async fn a_step_whose_condition_is_false_is_left_out() -> anyhow::Result<()> {
    let scene =
        Scene::with_files("pipe-when", &[("deploy/a.yaml", &config_map("settings", "${tier}"))]).await?;
    let mut shop = scene.pipeline("shop", steps(json!({"tier": "web"})), json!({}));
    shop["spec"]["steps"][1]["when"] = "source.ref == 'main'".into();
    scene.apply_and_wait(&shop).await?;
    let settings = scene.cluster.get(&scene.config_map("settings")).await?.unwrap_or_default();
    assert_eq!(settings["data"]["key"], "web");

    shop["spec"]["steps"][1]["when"] = "source.ref == 'production' && pipeline.name == 'shop'".into();
    scene.cluster.apply(&shop).await?;
    scene
        .wait(&scene.config_map("settings"), "the variable stays as it is", |live| {
            live["data"]["key"] == "${tier}"
        })
        .await?;

    shop["spec"]["steps"][1]["when"] = "source.branch == 'main'".into();
    scene.cluster.apply(&shop).await?;
    let message = scene.wait_condition(&shop, "False", "InvalidCELExpression").await?;
    assert!(message.contains("substitute") && message.contains("source.branch"), "{message}");
    Ok(())
}

#[tokio::test]
async fn a_secret_that_a_step_uses_is_rolled_out_when_it_changes() -> anyhow::Result<()> {
    let scene =
        Scene::with_files("pipe-from", &[("deploy/a.yaml", &config_map("settings", "${tier}"))]).await?;
    let mut shop = scene.pipeline("shop", steps(json!({})), json!({}));
    let from = json!([{"kind": "Secret", "name": "tiers", "key": "tier", "to": "/variables/tier"}]);
    shop["spec"]["steps"][1]["withFrom"] = from;
    scene.cluster.apply(&shop).await?;
    let message = scene.wait_condition(&shop, "False", "BuildFailed").await?;
    assert!(message.contains("substitute") && message.contains("tiers"), "{message}");

    let mut tiers = scene.object("v1", "Secret", "tiers");
    tiers["stringData"] = json!({"tier": "web"});
    scene.cluster.apply(&tiers).await?;
    let is = |value: &'static str| move |live: &Value| live["data"]["key"] == value;
    scene.wait(&scene.config_map("settings"), "the value is put in", is("web")).await?;

    tiers["stringData"] = json!({"tier": "batch"});
    scene.cluster.apply(&tiers).await?;
    scene.wait(&scene.config_map("settings"), "the new value is put in", is("batch")).await?;
    let status = scene.cluster.get(&shop).await?.unwrap_or_default()["status"].to_string();
    assert!(!status.contains("batch"), "a value of a Secret is in the status: {status}");
    Ok(())
}

#[tokio::test]
async fn a_plugin_that_there_is_not_is_named() -> anyhow::Result<()> {
    let scene = Scene::with_files("pipe-none", &[("deploy/a.yaml", &config_map("settings", "x"))]).await?;
    let shop = scene.pipeline("shop", json!([{"name": "first", "plugin": "nonesuch"}]), json!({}));
    scene.cluster.apply(&shop).await?;
    let message = scene.wait_condition(&shop, "False", "PluginNotReady").await?;
    assert!(message.contains("step \"first\"") && message.contains("nonesuch"), "{message}");
    Ok(())
}
