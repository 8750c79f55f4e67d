use serde_json::json;

use crate::cli_process::run;
use crate::scene::{Scene, config_map};

#[tokio::test]
async fn a_suspended_object_is_left_alone_until_it_is_resumed() -> anyhow::Result<()> {
    let scene = Scene::with_files("cli-suspend", &[("a.yaml", &config_map("settings", "one"))]).await?;
    let apps = scene.kustomization("apps", json!({}));
    scene.apply_and_wait(&apps).await?;
    let plumb =
        async |verb: &str| run(&scene, &[verb, "kustomization", "apps", "-n", &scene.namespace]).await;

    let ran = plumb("suspend").await?;
    assert_eq!((ran.code, &*ran.stdout, &*ran.stderr), (Some(0), "apps suspended\n", ""));
    assert_eq!(scene.cluster.get(&apps).await?.unwrap_or_default()["spec"]["suspend"], true);
    let ran = plumb("reconcile").await?;
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stderr.contains("is suspended; resume it with `plumb resume`"), "{}", ran.stderr);

    scene.cluster.edit(&scene.config_map("settings"), &json!({"data": {"key": "by hand"}})).await?;
    let ran = plumb("resume").await?;
    assert_eq!((ran.code, &*ran.stdout, &*ran.stderr), (Some(0), "apps resumed\n", ""));
    let is_put_back = |live: &serde_json::Value| live["data"]["key"] == "one";
    scene.wait(&scene.config_map("settings"), "it is put back", is_put_back).await?;
    Ok(())
}

#[tokio::test]
async fn an_object_that_is_not_there_is_named() -> anyhow::Result<()> {
    let scene = Scene::set("cli-suspend-nothing").await?;
    let ran = run(&scene, &["suspend", "source", "nothing", "-n", &scene.namespace]).await?;
    assert_eq!((ran.code, &*ran.stdout), (Some(2), ""));
    let expected = "error: cannot change GitRepository NAMESPACE/nothing: \
                    gitrepositories.source.toolkit.fluxcd.io \"nothing\" not found\n";
    assert_eq!(ran.stderr, expected);
    Ok(())
}
