use crate::scene::Scene;
use serde_json::{Value, json};

const CHART: &str = "apiVersion: v2\nname: seen\nversion: 1.0.0\n";
/// Tells which ServiceAccounts there are, with a label of each, and what a ConfigMap holds that is read by its name.
const TEMPLATE: &str = r#"apiVersion: v1
kind: ConfigMap
metadata: {name: seen}
data:
  accounts: "{{ range (lookup "v1" "ServiceAccount" .Release.Namespace "").items }} {{ .metadata.name }}={{ dig "labels" "tier" "none" .metadata }} {{ end }}"
  one: {{ dig "data" "key" "nothing" (lookup "v1" "ConfigMap" .Release.Namespace "theirs") }}
"#;

/// A Pipeline whose chart looks things up in the cluster, and whose interval is an hour.
async fn scene(name: &str) -> anyhow::Result<Scene> {
    let scene =
        Scene::with_files(name, &[("chart/Chart.yaml", CHART), ("chart/templates/a.yaml", TEMPLATE)]).await?;
    scene.cluster.apply(&policy(&scene)).await?;
    let granted =
        json!([{"apiVersion": "v1", "kind": "ServiceAccount"}, {"apiVersion": "v1", "kind": "ConfigMap"}]);
    let release = json!({"name": "seen", "namespace": scene.namespace});
    let steps = json!([
        {"plugin": "helm", "with": {"path": "chart", "release": release}, "capabilities": {"clusterRead": granted}},
    ]);
    let pipeline = scene.pipeline("apps", steps, json!({}));
    scene.apply_and_wait(&pipeline).await?;
    Ok(scene)
}

fn policy(scene: &Scene) -> Value {
    let any = json!([{"apiVersion": "*", "kind": "*"}]);
    json!({
        "apiVersion": "plumbline.dev/v1alpha1", "kind": "PluginPolicy", "metadata": {"name": scene.namespace},
        "spec": {"namespaces": [scene.namespace], "plugins": [{"builtin": "*", "capabilities": {"clusterRead": any}}]},
    })
}

/// Waits until the chart has seen something in the cluster, or no longer.
async fn wait_seen(scene: &Scene, key: &str, text: &str, is_there: bool) -> anyhow::Result<()> {
    let seen =
        |live: &Value| live["data"][key].as_str().is_some_and(|value| value.contains(text) == is_there);
    scene.wait(&scene.config_map("seen"), &format!("{key} has {text}: {is_there}"), seen).await.map(drop)
}

#[tokio::test]
async fn an_object_of_a_list_that_comes_changes_or_goes_is_rendered() -> anyhow::Result<()> {
    let scene = scene("read-list").await?;
    wait_seen(&scene, "accounts", " second=", false).await?;
    let mut second = scene.object("v1", "ServiceAccount", "second");
    scene.cluster.apply(&second).await?;
    wait_seen(&scene, "accounts", " second=none ", true).await?;
    second["metadata"]["labels"] = json!({"tier": "web"});
    scene.cluster.apply(&second).await?;
    wait_seen(&scene, "accounts", " second=web ", true).await?;
    scene.cluster.delete(&second).await?;
    wait_seen(&scene, "accounts", " second=", false).await?;
    scene.cluster.delete(&policy(&scene)).await?;
    Ok(())
}

#[tokio::test]
async fn an_object_that_is_read_by_its_name_is_rendered_when_it_changes() -> anyhow::Result<()> {
    let scene = scene("read-one").await?;
    wait_seen(&scene, "one", "nothing", true).await?;
    let mut theirs = scene.config_map("theirs");
    theirs["data"] = json!({"key": "first"});
    scene.cluster.apply(&theirs).await?;
    wait_seen(&scene, "one", "first", true).await?;
    theirs["data"] = json!({"key": "second"});
    scene.cluster.apply(&theirs).await?;
    wait_seen(&scene, "one", "second", true).await?;
    scene.cluster.delete(&policy(&scene)).await?;
    Ok(())
}
