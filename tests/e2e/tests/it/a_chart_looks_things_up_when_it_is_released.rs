use serde_json::{Value, json};

use crate::releases::{release, released, scene, wait_released};

/// Tells which ServiceAccounts there are, and what a ConfigMap holds that is read by its name.
const SEEN: &str = r#"apiVersion: v1
kind: ConfigMap
metadata: {name: seen}
data:
  accounts: "{{ range (lookup "v1" "ServiceAccount" .Release.Namespace "").items }} {{ .metadata.name }} {{ end }}"
  one: {{ dig "data" "key" "nothing" (lookup "v1" "ConfigMap" .Release.Namespace "theirs") }}
"#;

#[tokio::test]
async fn what_changes_later_is_of_the_next_revision() -> anyhow::Result<()> {
    let scene = scene("helm-lookup", &[("charts/web/templates/seen.yaml", SEEN)]).await?;
    let web = release(&scene, "web", json!({"driftDetection": {"mode": "enabled"}}));
    released(&scene, &web, 1).await?;
    let seen = async || -> anyhow::Result<Value> {
        Ok(scene.cluster.get(&scene.config_map("seen")).await?.unwrap_or_default()["data"].clone())
    };
    let first = seen().await?;
    assert_eq!(first["one"], "nothing");
    assert!(!first["accounts"].to_string().contains(" second "), "{first}");

    scene.cluster.apply(&scene.object("v1", "ServiceAccount", "second")).await?;
    let mut theirs = scene.config_map("theirs");
    theirs["data"] = json!({"key": "first"});
    scene.cluster.apply(&theirs).await?;
    scene.request(&web, "now").await?;
    let is_handled = |object: &Value| object["status"]["lastHandledReconcileAt"] == "now";
    scene.wait(&web, "it was looked at", is_handled).await?;
    wait_released(&scene, &web, 1).await?;
    assert_eq!(seen().await?, first, "there is no reason for another revision");

    scene.cluster.edit(&web, &json!({"spec": {"values": {"key": "two"}}})).await?;
    wait_released(&scene, &web, 2).await?;
    let second = seen().await?;
    assert_eq!(second["one"], "first");
    assert!(second["accounts"].to_string().contains(" second "), "{second}");

    theirs["data"] = json!({"key": "second"});
    scene.cluster.apply(&theirs).await?;
    let asked = json!({"reconcile.fluxcd.io/requestedAt": "force", "reconcile.fluxcd.io/forceAt": "force"});
    scene.cluster.edit(&web, &json!({"metadata": {"annotations": asked}})).await?;
    wait_released(&scene, &web, 3).await?;
    assert_eq!(seen().await?["one"], "second");
    Ok(())
}
