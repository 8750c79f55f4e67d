use plumb_test_support::cluster::eventually;
use serde_json::{Value, json};

use crate::cli_process::run;
use crate::scene::{Scene, config_map, deployment};

async fn applied(name: &str) -> anyhow::Result<(Scene, Value)> {
    let files = [("apps/a.yaml", &*config_map("settings", "one")), ("apps/web.yaml", &deployment("web", 1))];
    let scene = Scene::with_files(name, &files).await?;
    let apps = scene.kustomization("apps", json!({"path": "./apps", "buildMetadata": ["originAnnotations"]}));
    scene.apply_and_wait(&apps).await?;
    Ok((scene, apps))
}

#[tokio::test]
async fn from_an_object_to_its_file() -> anyhow::Result<()> {
    let (scene, _) = applied("cli-trace").await?;
    let replica_set = eventually("the Deployment has a ReplicaSet", async || {
        let ran = run(&scene, &["tree", "ks", "apps", "-n", &scene.namespace]).await?;
        let name =
            ran.stdout.split("ReplicaSet/NAMESPACE/").nth(1).and_then(|rest| rest.split_whitespace().next());
        Ok(name.map(str::to_owned))
    });
    let replica_set = replica_set.await?;
    let ran = run(&scene, &["trace", &format!("rs/{replica_set}"), "-n", &scene.namespace]).await?;
    assert_eq!((ran.code, &*ran.stderr), (Some(0), ""));
    let lines: Vec<&str> = ran.stdout.lines().collect();
    let revision = format!("Revision:        main@sha1:{}", scene.repository.head()?);
    for expected in [
        "Owned by:        Deployment/web",
        "Status:          Managed by Flux",
        "File:            apps/web.yaml",
        "Kustomization:   apps",
        "Path:            ./apps",
        "GitRepository:   source",
        "Branch:          main",
        &revision,
    ] {
        assert!(lines.contains(&expected), "{expected} is not in:\n{}", ran.stdout);
    }
    let ran = run(&scene, &["trace", "secret", "git", "-n", &scene.namespace]).await?;
    assert_eq!(ran.code, Some(1));
    assert!(ran.stdout.contains("Not managed"), "{}", ran.stdout);
    Ok(())
}

#[tokio::test]
async fn as_a_tree_with_what_came_of_it() -> anyhow::Result<()> {
    let (scene, _) = applied("cli-tree").await?;
    let tree = async |more: &[&str]| {
        let args = ["tree", "kustomization", "apps", "-n", &scene.namespace];
        run(&scene, &[&args[..], more].concat()).await
    };
    let ran = tree(&[]).await?;
    assert_eq!((ran.code, &*ran.stderr), (Some(0), ""));
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines[..2], ["Kustomization/NAMESPACE/apps", "├── ConfigMap/NAMESPACE/settings"]);
    assert!(lines[2].starts_with("└── Deployment/NAMESPACE/web"), "{}", ran.stdout);
    assert_eq!(tree(&["--compact"]).await?.stdout, "Kustomization/NAMESPACE/apps\n");
    let json: Value = serde_json::from_str(&tree(&["-o", "json"]).await?.stdout)?;
    let expected = json!({"Namespace": "NAMESPACE", "Name": "settings", "GroupKind": {"Group": "", "Kind": "ConfigMap"}});
    assert_eq!(
        (&json["resources"][0]["resource"], &json["resources"][0]["health"]),
        (&expected, &json!("Current"))
    );
    // An object that somebody has deleted while nobody looked.
    scene.cluster.edit(&scene.kustomization("apps", json!({})), &json!({"spec": {"suspend": true}})).await?;
    scene.cluster.delete(&scene.config_map("settings")).await?;
    scene.cluster.wait_gone(&scene.config_map("settings")).await?;
    let ran = tree(&[]).await?;
    assert!(
        ran.stdout.contains("├── ConfigMap/NAMESPACE/settings [NotFound: there is no such object]\n"),
        "{}",
        ran.stdout
    );
    Ok(())
}

#[tokio::test]
async fn and_tells_the_events() -> anyhow::Result<()> {
    let (scene, _) = applied("cli-events").await?;
    let broken = scene.kustomization("broken", json!({"path": "nowhere"}));
    scene.cluster.apply(&broken).await?;
    scene.wait_condition(&broken, "False", "BuildFailed").await?;
    let events =
        async |more: &[&str]| run(&scene, &[&["events", "-n", &scene.namespace], more].concat()).await;
    let told = eventually("the event is published", async || {
        let ran = events(&["--for", "kustomization/broken", "--types", "warning"]).await?;
        Ok(Some(ran).filter(|ran| ran.stdout.contains("BuildFailed")))
    });
    let ran = told.await?;
    let lines: Vec<Vec<&str>> = ran.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["LAST", "SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]);
    assert_eq!(lines[1][1..4], ["Warning", "BuildFailed", "Kustomization/broken"]);
    assert_eq!(lines.len(), 2, "{}", ran.stdout);
    let all = events(&[]).await?.stdout;
    assert!(
        all.contains("ReconciliationSucceeded   Kustomization/apps") && !all.contains("ReplicaSet/"),
        "{all}"
    );
    let ran = events(&["--for", "configmap"]).await?;
    let expected = "no events found in namespace NAMESPACE; look in all with -A\n";
    assert_eq!((ran.code, &*ran.stdout, &*ran.stderr), (Some(0), "", expected));
    Ok(())
}
