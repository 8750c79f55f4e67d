use crate::scene::{Scene, config_map, deployment};
use plumb_test_support::cluster::{condition, eventually};
use serde_json::{Value, json};

#[tokio::test]
async fn a_changed_field_and_a_deleted_object_are_put_back() -> anyhow::Result<()> {
    let (web, settings) = (deployment("web", 2), config_map("settings", "one"));
    let scene = Scene::with_files("drift", &[("app.yaml", &web), ("config.yaml", &settings)]).await?;
    scene.apply_and_wait(&scene.kustomization("apps", json!({}))).await?;

    // The interval is an hour: only the watch can tell.
    scene.cluster.edit(&scene.deployment("web"), &json!({"spec": {"replicas": 7}})).await?;
    scene
        .wait(&scene.deployment("web"), "the replicas are put back", |live| live["spec"]["replicas"] == 2)
        .await?;

    let before = scene.cluster.get(&scene.config_map("settings")).await?.unwrap_or_default();
    scene.cluster.delete(&scene.config_map("settings")).await?;
    let is_new = |live: &Value| live["metadata"]["uid"] != before["metadata"]["uid"];
    scene.wait(&scene.config_map("settings"), "the ConfigMap is back", is_new).await?;
    Ok(())
}

#[tokio::test]
async fn what_other_controllers_add_stays() -> anyhow::Result<()> {
    let scene = Scene::with_files("additions", &[("config.yaml", &config_map("settings", "one"))]).await?;
    scene.apply_and_wait(&scene.kustomization("apps", json!({}))).await?;
    let added = json!({"metadata": {"annotations": {"example.com/note": "mine"}}, "data": {"other": "mine", "key": "theirs"}});
    scene.cluster.edit_as("their-controller", &scene.config_map("settings"), &added).await?;
    let put_back = |live: &Value| live["data"]["key"] == "one";
    let live = scene.wait(&scene.config_map("settings"), "our field is put back", put_back).await?;
    assert_eq!(live["data"]["other"], "mine");
    assert_eq!(live["metadata"]["annotations"]["example.com/note"], "mine");
    Ok(())
}

#[tokio::test]
async fn the_last_word_in_a_fight_is_ours() -> anyhow::Result<()> {
    let scene = Scene::with_files("fight", &[("config.yaml", &config_map("settings", "one"))]).await?;
    scene.apply_and_wait(&scene.kustomization("apps", json!({}))).await?;
    // More often than an object is put back at once: the last time has to wait, and then no watch tells of it.
    for round in 0..7 {
        let theirs = json!({"data": {"key": format!("theirs {round}")}});
        scene.cluster.edit_as("their-controller", &scene.config_map("settings"), &theirs).await?;
        scene
            .wait(&scene.config_map("settings"), "it is put back", |live| live["data"]["key"] == "one")
            .await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_object_that_is_fought_over_is_named_while_it_is_not_as_applied() -> anyhow::Result<()> {
    let scene = Scene::with_files("fight-told", &[("a.yaml", &config_map("settings", "one"))]).await?;
    let apps = scene.kustomization("apps", json!({}));
    scene.apply_and_wait(&apps).await?;
    let fight = async || {
        scene
            .cluster
            .edit_as("rival", &scene.config_map("settings"), &json!({"data": {"key": "rival"}}))
            .await?;
        let object = scene.cluster.get(&apps).await?.unwrap_or_default();
        let message =
            condition(&object, "Ready").map(|(_, _, message)| message.to_owned()).unwrap_or_default();
        Ok(message.contains("/settings is not as applied: something keeps changing it").then_some(()))
    };
    eventually("the fight is told of", fight).await?;
    // In the end the rival gives up.
    scene
        .wait(&scene.config_map("settings"), "it is put back", |object| object["data"]["key"] == "one")
        .await?;
    let is_quiet = |object: &Value| {
        condition(object, "Ready")
            .is_some_and(|(status, _, message)| status == "True" && !message.contains("not as applied"))
    };
    scene.wait(&apps, "the fight is over", is_quiet).await?;
    Ok(())
}
