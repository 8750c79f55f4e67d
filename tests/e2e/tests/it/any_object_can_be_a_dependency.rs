use crate::scene::{Scene, config_map};
use serde_json::json;

#[tokio::test]
async fn a_kustomization_waits_for_an_object_and_for_what_an_expression_says_of_it() -> anyhow::Result<()> {
    let scene = Scene::with_files("anydep", &[("a.yaml", &config_map("a", "x"))]).await?;
    let on = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "gate", "readyExpr": "dep.data.open == 'yes'"});
    let apps = scene.kustomization("apps", json!({"dependsOn": [on]}));
    scene.cluster.apply(&apps).await?;
    let message = scene.wait_condition(&apps, "False", "DependencyNotReady").await?;
    assert!(message.contains(&format!("ConfigMap/{}/gate", scene.namespace)), "{message}");

    let mut gate = scene.config_map("gate");
    gate["data"] = json!({"open": "no"});
    scene.cluster.apply(&gate).await?;
    let closed =
        format!("dependency 'ConfigMap/{}/gate' is not ready according to readyExpr", scene.namespace);
    let is_closed = |object: &serde_json::Value| object["status"].to_string().contains(&closed);
    scene.wait(&apps, "the gate is seen closed", is_closed).await?;
    assert!(scene.cluster.get(&scene.config_map("a")).await?.is_none());

    // The controller looks again by itself after half a minute; the watch is faster.
    scene.cluster.edit(&gate, &json!({"data": {"open": "yes"}})).await?;
    scene.wait_applied(&apps, &scene.repository.head()?).await?;
    Ok(())
}

#[tokio::test]
async fn a_cycle_is_named() -> anyhow::Result<()> {
    let scene = Scene::with_files("cycle", &[("a.yaml", &config_map("a", "x"))]).await?;
    let on = |name: &str, other: &str| scene.kustomization(name, json!({"dependsOn": [{"name": other}]}));
    let first = on("first", "second");
    scene.cluster.apply(&first).await?;
    scene.cluster.apply(&on("second", "first")).await?;
    let cycle = format!("cycle: {0}/first → {0}/second → {0}/first", scene.namespace);
    scene.wait(&first, "the cycle is named", |object| object["status"].to_string().contains(&cycle)).await?;
    Ok(())
}
