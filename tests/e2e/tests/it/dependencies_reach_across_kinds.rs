use crate::scene::{Scene, config_map};
use serde_json::json;

#[tokio::test]
async fn each_kind_waits_for_the_other() -> anyhow::Result<()> {
    let files = [
        ("base/a.yaml", config_map("base", "x")),
        ("middle/a.yaml", config_map("middle", "x")),
        ("top/a.yaml", config_map("top", "x")),
    ];
    let files = files.each_ref().map(|(path, text)| (*path, text.as_str()));
    let scene = Scene::with_files("pipe-deps", &files).await?;
    let steps = |path: &str| json!([{"plugin": "yaml", "with": {"path": path}}]);
    let on_middle = json!({"dependsOn": [{"name": "middle"}]});
    let on_base = json!({"dependsOn": [{"kind": "Kustomization", "name": "base"}]});
    let on_top = json!({"path": "./", "dependsOn": [{"kind": "Pipeline", "name": "top"}]});
    let top = scene.pipeline("top", steps("top"), on_middle);
    let middle = scene.pipeline("middle", steps("middle"), on_base);
    let last = scene.kustomization("last", on_top);
    scene.cluster.apply(&top).await?;
    let message = scene.wait_condition(&top, "False", "DependencyNotReady").await?;
    assert_eq!(message, format!("dependency '{}/middle' does not exist", scene.namespace));
    scene.cluster.apply(&middle).await?;
    let message = scene.wait_condition(&middle, "False", "DependencyNotReady").await?;
    assert_eq!(message, format!("dependency Kustomization '{}/base' does not exist", scene.namespace));

    // What becomes ready wakes what waits for it.
    let base = scene.kustomization("base", json!({"path": "base"}));
    scene.apply_and_wait(&base).await?;
    let commit = scene.repository.head()?;
    scene.wait_applied(&middle, &commit).await?;
    scene.wait_applied(&top, &commit).await?;

    scene.cluster.apply(&last).await?;
    let message = scene.wait_condition(&last, "False", "ReconciliationFailed").await?;
    assert!(message.contains("is managed by"), "it has waited for the Pipeline, and is refused: {message}");
    Ok(())
}

// Attack 23 (multi-tenancy): a cycle of dependencies over both kinds is named.
#[tokio::test]
async fn a_cycle_over_both_kinds_is_named() -> anyhow::Result<()> {
    let scene = Scene::with_files("pipe-cycle", &[("a.yaml", &config_map("a", "x"))]).await?;
    let on = |kind: &str| json!({"dependsOn": [{"kind": kind, "name": "a"}]});
    scene.cluster.apply(&scene.kustomization("a", on("Pipeline"))).await?;
    let pipeline =
        scene.pipeline("a", json!([{"plugin": "yaml", "with": {"path": ""}}]), on("Kustomization"));
    scene.cluster.apply(&pipeline).await?;
    let namespace = &scene.namespace;
    let cycle =
        format!("cycle: Pipeline/{namespace}/a → Kustomization/{namespace}/a → Pipeline/{namespace}/a");
    let is_named = |object: &serde_json::Value| object["status"]["conditions"].to_string().contains(&cycle);
    scene.wait(&pipeline, "the cycle is named", is_named).await?;
    Ok(())
}
