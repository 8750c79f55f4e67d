use serde_json::{Value, json};

use crate::cli_process::run;
use crate::scene::{Scene, config_map};

#[tokio::test]
async fn with_their_revisions_and_how_they_are_doing() -> anyhow::Result<()> {
    let scene = Scene::with_files("cli-get", &[("apps/a.yaml", &config_map("settings", "one"))]).await?;
    let apps = scene.kustomization("apps", json!({"path": "apps"}));
    scene.apply_and_wait(&apps).await?;
    let broken = scene.kustomization("broken", json!({"path": "nowhere"}));
    scene.cluster.apply(&broken).await?;
    scene.wait_condition(&broken, "False", "BuildFailed").await?;
    let head = scene.repository.head()?;

    let ran = run(&scene, &["get", "ks", "-n", &scene.namespace]).await?;
    assert_eq!((ran.code, &*ran.stderr), (Some(0), ""));
    // All but the age, which is the time that the test has taken so far, and the messages.
    let cells = |line: &str| line.split_whitespace().take(6).map(str::to_owned).collect::<Vec<_>>();
    let lines: Vec<Vec<String>> = ran.stdout.lines().map(cells).collect();
    let revision = format!("main@sha1:{}", &head[..8]);
    assert_eq!(lines.len(), 3, "{}", ran.stdout);
    assert_eq!(lines[0], ["NAMESPACE", "NAME", "REVISION", "SUSPENDED", "READY", "HEALTHY"]);
    assert_eq!(lines[1], ["NAMESPACE", "kustomization/apps", &*revision, "False", "True", "True"]);
    assert_eq!(lines[2][..4], ["NAMESPACE", "kustomization/broken", "False", "False"]);
    assert!(ran.stdout.contains("nowhere"), "why it is not ready: {}", ran.stdout);

    let ran = run(&scene, &["get", "ks", "-n", &scene.namespace, "-o", "json"]).await?;
    let rows: Vec<Value> = serde_json::from_str(&ran.stdout)?;
    let created =
        scene.cluster.get(&apps).await?.unwrap_or_default()["metadata"]["creationTimestamp"].clone();
    let expected = json!({
        "kind": "Kustomization", "namespace": "NAMESPACE", "name": "apps",
        "revision": format!("main@sha1:{head}"), "suspended": false, "ready": "True", "healthy": "True",
        "message": format!("Applied revision: main@sha1:{head}"), "createdAt": created,
    });
    assert_eq!(rows[0], expected);
    assert_eq!(rows[1]["ready"], "False");

    let ran = run(&scene, &["get", "-n", &scene.namespace]).await?;
    let names: Vec<Option<&str>> =
        ran.stdout.lines().skip(1).map(|line| line.split_whitespace().nth(1)).collect();
    assert_eq!(
        names,
        [Some("gitrepository/source"), Some("kustomization/apps"), Some("kustomization/broken")]
    );
    Ok(())
}

#[tokio::test]
async fn or_says_that_there_are_none() -> anyhow::Result<()> {
    let scene = Scene::set("cli-get-nothing").await?;
    let ran = run(&scene, &["get", "ks", "-n", &scene.namespace]).await?;
    let expected = "nothing found in namespace NAMESPACE; look in all with -A\n";
    assert_eq!((ran.code, &*ran.stdout, &*ran.stderr), (Some(0), "", expected));
    Ok(())
}
