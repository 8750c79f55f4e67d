use serde_json::{Value, json};

use crate::cli_process::{Ran, run};
use crate::releases;
use crate::scene::{Scene, config_map};

const SECRET: &str =
    "apiVersion: v1\nkind: Secret\nmetadata:\n  name: login\nstringData:\n  password: first secret\n";
const KEPT: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: kept\n  annotations:\n    \
                    kustomize.toolkit.fluxcd.io/prune: disabled\n";

/// A scene in which a Kustomization has applied the commit that the work tree holds.
async fn applied(name: &str) -> anyhow::Result<(Scene, Value)> {
    let files = [
        ("apps/settings.yaml", &*config_map("settings", "one")),
        ("apps/obsolete.yaml", &config_map("obsolete", "one")),
        ("apps/kept.yaml", KEPT),
        ("apps/login.yaml", SECRET),
    ];
    let scene = Scene::with_files(name, &files).await?;
    let apps = scene.kustomization("apps", json!({"path": "./apps"}));
    scene.apply_and_wait(&apps).await?;
    // JSON is YAML.
    scene.repository.write("apps.yaml", apps.to_string())?;
    Ok((scene, apps))
}

async fn diff(scene: &Scene) -> anyhow::Result<Ran> {
    run(scene, &["diff", "-f", "apps.yaml"]).await
}

#[tokio::test]
async fn nothing_as_long_as_the_cluster_is_as_the_files_say() -> anyhow::Result<()> {
    let (scene, _) = applied("cli-diff-same").await?;
    let ran = diff(&scene).await?;
    assert_eq!((ran.code, &*ran.stdout, &*ran.stderr), (Some(0), "", ""));
    Ok(())
}

#[tokio::test]
async fn changes_and_what_would_be_pruned_but_never_a_secret() -> anyhow::Result<()> {
    let (scene, _) = applied("cli-diff-changes").await?;
    scene.repository.write("apps/settings.yaml", config_map("settings", "two"))?;
    scene.repository.write("apps/login.yaml", SECRET.replace("first", "second"))?;
    scene.repository.remove("apps/obsolete.yaml")?;
    scene.repository.remove("apps/kept.yaml")?;
    let ran = diff(&scene).await?;
    let expected = "\
--- live/Secret/NAMESPACE/login
+++ git/Secret/NAMESPACE/login
@@ -1,6 +1,6 @@
 apiVersion: v1
 data:
-  password: '*** (before)'
+  password: '*** (after)'
 kind: Secret
 metadata:
   labels:
--- live/ConfigMap/NAMESPACE/settings
+++ git/ConfigMap/NAMESPACE/settings
@@ -1,6 +1,6 @@
 apiVersion: v1
 data:
-  key: one
+  key: two
 kind: ConfigMap
 metadata:
   labels:
- ConfigMap/NAMESPACE/obsolete would be pruned
";
    assert_eq!((ran.code, &*ran.stdout, &*ran.stderr), (Some(1), expected, ""));
    // Nothing was changed by asking.
    let live = scene.cluster.get(&scene.config_map("settings")).await?.unwrap_or_default();
    assert_eq!(live["data"]["key"], "one");
    assert!(scene.cluster.get(&scene.config_map("obsolete")).await?.is_some());
    Ok(())
}

#[tokio::test]
async fn nothing_is_pruned_where_pruning_is_off() -> anyhow::Result<()> {
    let (scene, mut apps) = applied("cli-diff-keeps").await?;
    scene.repository.remove("apps/obsolete.yaml")?;
    apps["spec"]["prune"] = json!(false);
    scene.repository.write("apps.yaml", apps.to_string())?;
    let ran = diff(&scene).await?;
    assert_eq!((ran.code, &*ran.stdout, &*ran.stderr), (Some(0), "", ""));
    Ok(())
}

#[tokio::test]
async fn what_the_api_server_refuses_is_an_error_and_the_rest_is_shown() -> anyhow::Result<()> {
    let (scene, _) = applied("cli-diff-refused").await?;
    scene.repository.write("apps/settings.yaml", config_map("settings", "two"))?;
    let broken = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: broken}\nspec: {replicas: 1}\n";
    scene.repository.write("apps/broken.yaml", broken)?;
    // The API server quotes what is not text.
    scene.repository.write("apps/login.yaml", SECRET.replace("first secret", "12345678"))?;
    let ran = diff(&scene).await?;
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stdout.contains("+  key: two"), "{}", ran.stdout);
    let lines: Vec<&str> = ran.stderr.lines().collect();
    assert_eq!(lines.len(), 3, "{}", ran.stderr);
    assert!(
        lines[1].starts_with("Secret/NAMESPACE/login: the API server refuses the Secret"),
        "{}",
        lines[1]
    );
    assert!(!ran.stderr.contains("12345678"), "{}", ran.stderr);
    assert!(
        lines[0].starts_with("Deployment/NAMESPACE/broken: [spec.selector: Required value"),
        "{}",
        lines[0]
    );
    assert_eq!(lines[2], "error: 2 of 5 objects could not be compared");
    Ok(())
}

// What a Pipeline makes in two steps is compared as it would be applied, and with what it applied before.
#[tokio::test]
async fn of_a_pipeline_with_all_its_steps() -> anyhow::Result<()> {
    let files = [
        ("apps/obsolete.yaml", &*config_map("obsolete", "one")),
        ("apps/settings.yaml", &config_map("settings", "one")),
    ];
    let scene = Scene::with_files("cli-diff-pipe", &files).await?;
    let steps = |team: &str| {
        json!([
            {"plugin": "yaml", "with": {"path": "apps"}},
            {"plugin": "labels", "with": {"labels": {"team": team}}},
        ])
    };
    let shop = scene.pipeline("shop", steps("web"), json!({}));
    scene.apply_and_wait(&shop).await?;
    scene.repository.write("pipeline.yaml", shop.to_string())?;
    let diff = async || run(&scene, &["diff", "-f", "pipeline.yaml"]).await;
    let ran = diff().await?;
    assert_eq!((ran.code, &*ran.stdout, &*ran.stderr), (Some(0), "", ""));

    scene.repository.write("apps/new.yaml", config_map("new", "one"))?;
    scene.repository.write("apps/settings.yaml", config_map("settings", "two"))?;
    scene.repository.remove("apps/obsolete.yaml")?;
    let ran = diff().await?;
    let expected = "\
--- live/ConfigMap/NAMESPACE/new
+++ git/ConfigMap/NAMESPACE/new
@@ -0,0 +1,12 @@
+apiVersion: v1
+data:
+  key: one
+kind: ConfigMap
+metadata:
+  labels:
+    kustomize.toolkit.fluxcd.io/name: shop
+    kustomize.toolkit.fluxcd.io/namespace: NAMESPACE
+    plumbline.dev/applier: Pipeline
+    team: web
+  name: new
+  namespace: NAMESPACE
--- live/ConfigMap/NAMESPACE/settings
+++ git/ConfigMap/NAMESPACE/settings
@@ -1,6 +1,6 @@
 apiVersion: v1
 data:
-  key: one
+  key: two
 kind: ConfigMap
 metadata:
   labels:
- ConfigMap/NAMESPACE/obsolete would be pruned
";
    assert_eq!((ran.code, &*ran.stdout, &*ran.stderr), (Some(1), expected, ""));

    // The second step, too, is that of the file.
    scene
        .repository
        .write("pipeline.yaml", scene.pipeline("shop", steps("mobile"), json!({})).to_string())?;
    let ran = diff().await?;
    assert!(ran.stdout.contains("-    team: web\n+    team: mobile\n"), "{}", ran.stdout);
    let live = scene.cluster.get(&scene.config_map("settings")).await?.unwrap_or_default();
    assert_eq!((&live["data"]["key"], &live["metadata"]["labels"]["team"]), (&json!("one"), &json!("web")));
    assert!(scene.cluster.get(&scene.config_map("new")).await?.is_none());
    assert!(scene.cluster.get(&scene.config_map("obsolete")).await?.is_some());
    Ok(())
}

#[tokio::test]
async fn of_a_release_with_what_its_upgrade_would_delete() -> anyhow::Result<()> {
    let other = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: other}\ndata: {stays: a, goes: b}\n";
    let kept = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: kept\n  annotations: {helm.sh/resource-policy: keep}\n";
    let files = [("charts/web/templates/other.yaml", other), ("charts/web/templates/kept.yaml", kept)];
    let scene = releases::scene("cli-diff-release", &files).await?;
    let web = releases::release(&scene, "web", json!({}));
    releases::released(&scene, &web, 1).await?;
    scene.repository.write("web.yaml", web.to_string())?;
    let diff = async || run(&scene, &["diff", "-f", "web.yaml", "--root", "."]).await;
    let ran = diff().await?;
    assert_eq!((ran.code, &*ran.stdout, &*ran.stderr), (Some(0), "", ""));

    scene.repository.remove("charts/web/templates/settings.yaml")?;
    scene.repository.remove("charts/web/templates/kept.yaml")?;
    scene.repository.write("charts/web/templates/other.yaml", other.replace(", goes: b", ""))?;
    let ran = diff().await?;
    assert!(ran.stdout.contains("\n-  goes: b\n"), "{}", ran.stdout);
    assert!(ran.stdout.ends_with("\n- ConfigMap/NAMESPACE/web-settings would be pruned\n"), "{}", ran.stdout);
    assert!(!ran.stdout.contains("kept"), "{}", ran.stdout);
    assert_eq!(ran.code, Some(1));
    Ok(())
}
