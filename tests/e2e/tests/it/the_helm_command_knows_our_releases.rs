//! The `helm` command of upstream against releases of ours: what it shows of them, and what becomes of what it does to them.

use plumb_test_support::helm::Helm;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::releases::{is_waiting, release, released, scene, status_of, wait_for, wait_released};
use crate::scene::Scene;

const HOOK: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: prepare\n  annotations:\n    helm.sh/hook: pre-install,pre-upgrade\n";
const NOTES: &str = "{{ .Release.Name }} is revision {{ .Release.Revision }}\n";

async fn helm(scene: &Scene, args: &[&str]) -> anyhow::Result<String> {
    Helm::Four.run(&scene.cluster.kubeconfig, &scene.namespace, args).await
}

async fn helm_json(scene: &Scene, args: &[&str]) -> anyhow::Result<Value> {
    Ok(serde_json::from_str(&helm(scene, &[args, &["--output", "json"]].concat()).await?)?)
}

/// The revisions that Helm shows, each with its status.
async fn history(scene: &Scene) -> anyhow::Result<Vec<(i64, String)>> {
    let history = helm_json(scene, &["history", "web"]).await?;
    let revision = |of: &Value| Some((of["revision"].as_i64()?, of["status"].as_str()?.to_owned()));
    Ok(history.as_array().into_iter().flatten().filter_map(revision).collect())
}

fn all(statuses: &[(i64, &str)]) -> Vec<(i64, String)> {
    statuses.iter().map(|(revision, status)| (*revision, (*status).to_owned())).collect()
}

/// A scene with a release of two revisions.
async fn with_release(name: &str) -> anyhow::Result<(Scene, Value)> {
    let files = [("charts/web/templates/hook.yaml", HOOK), ("charts/web/templates/NOTES.txt", NOTES)];
    let scene = scene(name, &files).await?;
    let web = release(&scene, "web", json!({"values": {"key": "two"}}));
    released(&scene, &web, 1).await?;
    let web = release(&scene, "web", json!({"values": {"key": "three"}}));
    released(&scene, &web, 2).await?;
    Ok((scene, web))
}

#[tokio::test]
async fn it_shows_all_of_them() -> anyhow::Result<()> {
    let (scene, web) = with_release("helm-shows").await?;
    let list = helm_json(&scene, &["list"]).await?;
    let found = scene.cluster.get(&web).await?.unwrap_or_default();
    let version = found["status"]["history"][0]["chartVersion"].as_str().unwrap_or_default();
    let (one, fields) = (&list[0], ["name", "namespace", "revision", "status", "chart", "app_version"]);
    let shown: Vec<&str> = fields.iter().filter_map(|field| one[*field].as_str()).collect();
    let chart = format!("web-{version}");
    assert_eq!(shown, ["web", &scene.namespace, "2", "deployed", &chart, "7"], "{list:#}");
    assert_eq!(list.as_array().map(Vec::len), Some(1));

    let status = helm_json(&scene, &["status", "web"]).await?;
    assert_eq!(
        (&status["info"]["status"], &status["version"]),
        (&"deployed".into(), &2.into()),
        "{status:#}"
    );
    assert_eq!(status["info"]["notes"], "web is revision 2\n");
    let values = helm_json(&scene, &["get", "values", "web"]).await?;
    assert_eq!(values, json!({"key": "three"}));
    let before = helm_json(&scene, &["get", "values", "web", "--revision", "1", "--all"]).await?;
    assert_eq!(before, json!({"key": "two"}));
    let manifest = helm(&scene, &["get", "manifest", "web"]).await?;
    assert!(manifest.starts_with("---\n# Source: web/templates/settings.yaml\n"), "{manifest}");
    assert!(manifest.contains("\n  key: three\n") || manifest.contains("\n  key: \"three\"\n"), "{manifest}");
    assert!(!manifest.contains("prepare"), "hooks are none of it: {manifest}");
    let hooks = helm(&scene, &["get", "hooks", "web"]).await?;
    assert!(
        hooks.contains("# Source: web/templates/hook.yaml") && hooks.contains("name: prepare"),
        "{hooks}"
    );
    assert_eq!(history(&scene).await?, all(&[(1, "superseded"), (2, "deployed")]));
    let history = helm_json(&scene, &["history", "web"]).await?;
    let descriptions = [&history[0]["description"], &history[1]["description"]];
    assert_eq!(descriptions, [&Value::from("Install complete"), &"Upgrade complete".into()]);
    Ok(())
}

#[tokio::test]
async fn we_go_on_from_what_it_does() -> anyhow::Result<()> {
    let (scene, web) = with_release("helm-changes").await?;
    let key = async || -> anyhow::Result<Value> {
        let settings = scene.cluster.get(&scene.config_map("web-settings")).await?.unwrap_or_default();
        Ok(settings["data"]["key"].clone())
    };
    // Otherwise both would be at work at once.
    let suspend = |suspended: bool| json!({"spec": {"suspend": suspended}});
    scene.cluster.edit(&web, &suspend(true)).await?;
    helm(&scene, &["rollback", "web", "1", "--force-conflicts"]).await?;
    assert_eq!(key().await?, "two");
    assert_eq!(history(&scene).await?, all(&[(1, "superseded"), (2, "superseded"), (3, "deployed")]));
    scene.cluster.edit(&web, &suspend(false)).await?;
    wait_released(&scene, &web, 4).await?;
    assert_eq!(key().await?, "three", "the spec says so");

    scene.cluster.edit(&web, &suspend(true)).await?;
    let chart = scene.repository.work_tree().join("charts/web");
    let chart = chart.to_str().unwrap_or_default();
    helm(&scene, &["upgrade", "web", chart, "--set", "key=four", "--force-conflicts"]).await?;
    assert_eq!(key().await?, "four");
    scene.cluster.edit(&web, &suspend(false)).await?;
    wait_released(&scene, &web, 6).await?;
    assert_eq!(key().await?, "three");
    // `maxHistory` is 5.
    let statuses =
        [(2, "superseded"), (3, "superseded"), (4, "superseded"), (5, "superseded"), (6, "deployed")];
    assert_eq!(history(&scene).await?, all(&statuses));

    // What it uninstalls is installed again.
    scene.cluster.edit(&web, &suspend(true)).await?;
    helm(&scene, &["uninstall", "web", "--wait"]).await?;
    scene.cluster.edit(&web, &suspend(false)).await?;
    wait_released(&scene, &web, 1).await?;
    assert_eq!(key().await?, "three");
    Ok(())
}

/// A hook that goes on until somebody says that it has ended.
const SLOW: &str = "{{ if .Values.slow }}\napiVersion: v1\nkind: Pod\nmetadata:\n  name: slow\n  annotations:\n    helm.sh/hook: pre-upgrade\n    \
                    devcluster.plumbline.dev/waiting: ImagePullBackOff\nspec:\n  containers:\n  - {name: a, image: example.invalid/a}\n{{ end }}\n";

/// A scene with a release that `helm upgrade` is changing, in a task that ends with the command, and the hook that it waits for.
async fn with_upgrade_under_way(
    name: &str,
    timeout: &str,
) -> anyhow::Result<(Scene, Value, Value, JoinHandle<anyhow::Result<String>>)> {
    let scene = scene(name, &[("charts/web/templates/slow.yaml", SLOW)]).await?;
    let web = release(&scene, "web", json!({"timeout": timeout}));
    released(&scene, &web, 1).await?;
    let (kubeconfig, namespace) = (scene.cluster.kubeconfig.clone(), scene.namespace.clone());
    let chart = scene.repository.work_tree().join("charts/web").display().to_string();
    let upgrade = tokio::spawn(async move {
        let set = ["--set", "slow=true", "--set", "key=theirs", "--force-conflicts"];
        let args = [&["upgrade", "web", &chart], set.as_slice()].concat();
        Helm::Four.run(&kubeconfig, &namespace, &args).await
    });
    let slow = scene.object("v1", "Pod", "slow");
    // What the node says of it comes a moment later, and would be the last word.
    scene.wait(&slow, "the hook runs", is_waiting).await?;
    Ok((scene, web, slow, upgrade))
}

#[tokio::test]
async fn we_wait_for_what_it_is_at() -> anyhow::Result<()> {
    let (scene, web, slow, upgrade) = with_upgrade_under_way("helm-busy", "5m").await?;
    let message = wait_for(&scene, &web, "Ready", "Unknown", "Progressing").await?;
    let expected = format!("somebody else is at work on release {}/web.v2", scene.namespace);
    assert!(message.contains(&expected), "{message}");
    scene.request(&web, "now").await?;
    let is_handled = |object: &Value| object["status"]["lastHandledReconcileAt"] == "now";
    scene.wait(&web, "it was looked at", is_handled).await?;
    assert_eq!(status_of(&scene, "web", 2).await?.as_deref(), Some("pending-upgrade"));

    scene.cluster.edit_status(&slow, &json!({"status": {"phase": "Succeeded"}})).await?;
    upgrade.await??;
    // The interval is an hour: the watch tells that it is done.
    wait_released(&scene, &web, 3).await?;
    assert_eq!(history(&scene).await?, all(&[(1, "superseded"), (2, "superseded"), (3, "deployed")]));
    let settings = scene.cluster.get(&scene.config_map("web-settings")).await?.unwrap_or_default();
    assert_eq!(settings["data"]["key"], "one");
    Ok(())
}

#[tokio::test]
async fn but_no_longer_than_it_may_take() -> anyhow::Result<()> {
    let (scene, web, _, upgrade) = with_upgrade_under_way("helm-killed", "15s").await?;
    upgrade.abort();
    wait_released(&scene, &web, 3).await?;
    assert_eq!(history(&scene).await?, all(&[(1, "superseded"), (2, "failed"), (3, "deployed")]));
    Ok(())
}
