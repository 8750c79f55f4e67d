use crate::scene::{Scene, config_map};
use plumb_test_support::cluster::condition;
use rstest::rstest;
use serde_json::{Value, json};

#[rstest]
#[case::mirror_prune_on("mirror-on", json!({"prune": true}), false)]
#[case::mirror_prune_off("mirror-off", json!({"prune": false}), true)]
#[case::delete("delete", json!({"prune": false, "deletionPolicy": "Delete"}), false)]
#[case::orphan("orphan", json!({"prune": true, "deletionPolicy": "Orphan"}), true)]
#[tokio::test]
async fn the_objects_of_a_deleted_kustomization(
    #[case] name: &str,
    #[case] spec: Value,
    #[case] stay: bool,
) -> anyhow::Result<()> {
    let scene = Scene::with_files(name, &[("a.yaml", &config_map("settings", "one"))]).await?;
    let apps = scene.kustomization("apps", spec);
    scene.apply_and_wait(&apps).await?;
    scene.cluster.delete(&apps).await?;
    scene.cluster.wait_gone(&apps).await?;
    if stay {
        assert!(scene.cluster.get(&scene.config_map("settings")).await?.is_some());
    } else {
        scene.cluster.wait_gone(&scene.config_map("settings")).await?;
    }
    Ok(())
}

#[tokio::test]
async fn wait_for_termination_waits_for_finalizers_and_names_them() -> anyhow::Result<()> {
    let held = config_map("settings", "one")
        .replace("name: settings", "name: settings\n  finalizers: [example.com/hold]");
    let scene = Scene::with_files("termination", &[("a.yaml", &held)]).await?;
    let apps = scene.kustomization("apps", json!({"deletionPolicy": "WaitForTermination"}));
    scene.apply_and_wait(&apps).await?;
    scene.cluster.delete(&apps).await?;
    let names_it = |object: &Value| {
        condition(object, "Ready").is_some_and(|(_, _, message)| message.contains("example.com/hold"))
    };
    scene.wait(&apps, "the finalizer is named", names_it).await?;
    scene.cluster.edit(&scene.config_map("settings"), &json!({"metadata": {"finalizers": null}})).await?;
    scene.cluster.wait_gone(&apps).await?;
    scene.cluster.wait_gone(&scene.config_map("settings")).await?;
    Ok(())
}
