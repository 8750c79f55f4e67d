use serde_json::json;

use crate::cli_process::run;
use crate::scene::{Scene, config_map};

async fn scene(name: &str) -> anyhow::Result<Scene> {
    let files = [
        ("apps/a.yaml", &*config_map("settings", "one")),
        ("first/a.yaml", &config_map("first", "one")),
        ("later/a.yaml", &config_map("later", "one")),
    ];
    let scene = Scene::with_files(name, &files).await?;
    scene.apply_and_wait(&scene.kustomization("apps", json!({"path": "apps"}))).await?;
    Ok(scene)
}

#[tokio::test]
async fn with_source_it_fetches_and_applies_the_newest_commit() -> anyhow::Result<()> {
    let scene = scene("cli-reconcile").await?;
    // Nobody fetches it: the interval is an hour.
    let commit = scene.commit(&[("apps/a.yaml", &config_map("settings", "two"))])?;
    let args = ["reconcile", "kustomization", "apps", "--with-source", "-n", &scene.namespace];
    let ran = run(&scene, &args).await?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines.len(), 2, "{}", ran.stdout);
    assert!(
        lines[0].starts_with("GitRepository NAMESPACE/source: ") && lines[0].contains(&commit),
        "{}",
        lines[0]
    );
    assert_eq!(lines[1], format!("Kustomization NAMESPACE/apps: Applied revision: main@sha1:{commit}"));
    // When the command ends, it is done.
    let live = scene.cluster.get(&scene.config_map("settings")).await?.unwrap_or_default();
    assert_eq!(live["data"]["key"], "two");
    Ok(())
}

#[tokio::test]
async fn it_fails_with_the_message_of_what_is_not_ready() -> anyhow::Result<()> {
    let scene = scene("cli-reconcile-broken").await?;
    scene.commit(&[("apps/kustomization.yaml", "resources: [missing.yaml]\n")])?;
    let args = ["reconcile", "kustomization", "apps", "--with-source", "-n", &scene.namespace];
    let ran = run(&scene, &args).await?;
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stderr.contains("error: Kustomization NAMESPACE/apps is not ready: "), "{}", ran.stderr);
    assert!(ran.stderr.contains("missing.yaml"), "{}", ran.stderr);
    Ok(())
}

#[tokio::test]
async fn it_waits_for_dependencies_and_says_so() -> anyhow::Result<()> {
    let scene = scene("cli-reconcile-waits").await?;
    let later = scene.kustomization("later", json!({"path": "later", "dependsOn": [{"name": "first"}]}));
    scene.cluster.apply(&later).await?;
    scene.wait_condition(&later, "False", "DependencyNotReady").await?;

    let args = ["reconcile", "kustomization", "later", "-n", &scene.namespace];
    let answered_then_first_is_there = async {
        let before = scene.cluster.get(&later).await?.unwrap_or_default()["status"].clone();
        let is_answered = |live: &serde_json::Value| {
            let answer = &live["status"]["lastHandledReconcileAt"];
            answer.is_string() && *answer != before["lastHandledReconcileAt"]
        };
        scene.wait(&later, "the request is answered", is_answered).await?;
        scene.cluster.apply(&scene.kustomization("first", json!({"path": "first"}))).await?;
        anyhow::Ok(())
    };
    let (ran, waited) = tokio::join!(run(&scene, &args), answered_then_first_is_there);
    waited?;
    let ran = ran?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.starts_with("Kustomization NAMESPACE/later: Applied revision: "), "{}", ran.stdout);
    assert!(ran.stderr.contains("dependency"), "{}", ran.stderr);
    Ok(())
}

#[tokio::test]
async fn it_gives_up_when_nobody_answers() -> anyhow::Result<()> {
    let mut scene = scene("cli-reconcile-nobody").await?;
    scene.controller.kill()?;
    let args = ["reconcile", "source", "source", "--timeout", "1", "-n", &scene.namespace];
    let ran = run(&scene, &args).await?;
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stderr.ends_with("error: not done after 1s; is the controller running?\n"), "{}", ran.stderr);
    Ok(())
}
