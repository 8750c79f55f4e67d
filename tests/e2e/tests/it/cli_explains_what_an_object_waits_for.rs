use serde_json::json;

use crate::cli_process::run;
use crate::scene::{Scene, config_map};

#[tokio::test]
async fn along_its_dependencies() -> anyhow::Result<()> {
    let scene = Scene::with_files("cli-explain", &[("apps/a.yaml", &config_map("settings", "one"))]).await?;
    let infra = scene.kustomization("infra", json!({"path": "nowhere"}));
    let apps = scene.kustomization("apps", json!({"path": "apps", "dependsOn": [{"name": "infra"}]}));
    scene.cluster.apply(&infra).await?;
    scene.cluster.apply(&apps).await?;
    scene.wait_condition(&infra, "False", "BuildFailed").await?;
    scene.wait_condition(&apps, "False", "DependencyNotReady").await?;
    let ran = run(&scene, &["explain", "ks/apps", "-n", &scene.namespace]).await?;
    assert_eq!((ran.code, &*ran.stderr), (Some(0), ""));
    let start = "Kustomization NAMESPACE/apps is not ready: it waits for Kustomization NAMESPACE/infra, which cannot be rendered at main@sha1:";
    assert!(ran.stdout.starts_with(start), "{}", ran.stdout);
    assert!(ran.stdout.contains("kustomization path not found"), "{}", ran.stdout);

    scene.cluster.edit(&infra, &json!({"spec": {"path": "apps", "suspend": true}})).await?;
    let ran = run(&scene, &["explain", "kustomization", "apps", "-n", &scene.namespace]).await?;
    assert!(
        ran.stdout.contains("which is suspended, so that nothing is fetched, applied or put back"),
        "{}",
        ran.stdout
    );
    Ok(())
}

#[tokio::test]
async fn down_to_the_objects_that_are_not_well() -> anyhow::Result<()> {
    // The claim stays pending: nothing in the test cluster makes volumes.
    let claim = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data}\nspec:\n  accessModes: [ReadWriteOnce]\n  \
                 storageClassName: none\n  resources: {requests: {storage: 1Gi}}\n";
    let scene = Scene::with_files("cli-explain-health", &[("a.yaml", claim)]).await?;
    let apps = scene.kustomization("apps", json!({"wait": true}));
    scene.cluster.apply(&apps).await?;
    scene
        .wait(&apps, "it waits for the claim", |live| live["status"]["inventory"]["entries"][0].is_object())
        .await?;
    scene.wait_condition(&apps, "Unknown", "Progressing").await?;
    let ran = run(&scene, &["explain", "ks/apps", "-n", &scene.namespace]).await?;
    assert_eq!((ran.code, &*ran.stderr), (Some(0), ""));
    assert!(
        ran.stdout
            .contains("for an object that is not well: PersistentVolumeClaim NAMESPACE/data is InProgress:"),
        "{}",
        ran.stdout
    );
    let ran = run(&scene, &["explain", "ks/nothing", "-n", &scene.namespace]).await?;
    assert_eq!(ran.code, Some(2));
    assert!(
        ran.stderr.starts_with("error: cannot read Kustomization nothing in namespace NAMESPACE: "),
        "{}",
        ran.stderr
    );
    Ok(())
}
