use anyhow::Context as _;
use plumb_test_support::cluster::eventually;
use serde_json::{Value, json};

use super::flux::{APPLIER, Flux, managers};
use crate::scene::{Scene, config_map, deployment};

/// A cluster in which Flux has applied a commit, and in which no controller runs.
pub(super) async fn left_by_flux(name: &str) -> anyhow::Result<(Scene, Value)> {
    let mut scene = Scene::set(name).await?;
    scene.controller.kill()?;
    let commit = scene.commit(&[
        ("settings.yaml", &config_map("settings", "one")),
        ("obsolete.yaml", &config_map("obsolete", "one")),
        ("old.yaml", &config_map("old", "one")),
        ("older.yaml", &config_map("older", "one")),
        ("web.yaml", &deployment("web", 0)),
    ])?;
    let kustomization = scene.kustomization("apps", json!({}));
    scene.cluster.apply(&scene.source()).await?;
    scene.cluster.apply(&kustomization).await?;
    let flux = Flux(&scene);
    let object = |name: &str| {
        let mut object = scene.config_map(name);
        object["data"] = json!({"key": "one"});
        object
    };
    for name in ["settings", "obsolete"] {
        flux.apply("apps", &object(name)).await?;
    }
    flux.create_as_kubectl_did("apps", &object("old"), APPLIER).await?;
    flux.create_as_kubectl_did("apps", &object("older"), "kubectl-client-side-apply").await?;
    flux.apply("apps", &web(&scene)).await?;
    let id = |name: &str, kind: &str| format!("{}_{name}_{kind}", scene.namespace);
    let names = ["settings", "obsolete", "old", "older"];
    let ids: Vec<String> =
        names.into_iter().map(|name| id(name, "_ConfigMap")).chain([id("web", "apps_Deployment")]).collect();
    flux.finish(&kustomization, &commit, &ids).await?;
    flux.fetched(&scene.source(), &commit).await?;
    Ok((scene, kustomization))
}

/// The Deployment as Flux sends it.
pub(super) fn web(scene: &Scene) -> Value {
    let mut web = scene.deployment("web");
    let labels = json!({"app": "web"});
    let containers = json!([{"name": "app", "image": "example.invalid/app"}]);
    web["spec"] = json!({
        "replicas": 0, "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": containers}},
    });
    web
}

pub(super) async fn get(scene: &Scene, object: &Value) -> anyhow::Result<Value> {
    scene.cluster.get(object).await?.with_context(|| format!("{object} is gone"))
}

/// Starts Plumbline and waits until it has written the status of the Kustomization.
pub(super) async fn start(scene: &mut Scene, kustomization: &Value) -> anyhow::Result<()> {
    scene.controller.start_again().await?;
    let commit = scene.repository.head()?;
    let is_ours = |object: &Value| {
        let healthy = plumb_test_support::cluster::condition(object, "Healthy");
        healthy.is_some() && object["status"]["lastAppliedRevision"] == format!("main@sha1:{commit}")
    };
    scene.wait(kustomization, "Plumbline has looked after it", is_ours).await?;
    Ok(())
}

#[tokio::test]
async fn without_recreating_or_losing_anything() -> anyhow::Result<()> {
    let (mut scene, kustomization) = left_by_flux("migrate-over").await?;
    // What others have, Flux leaves alone.
    let annotation = json!({"metadata": {"annotations": {"example.com/theirs": "kept"}}});
    scene.cluster.edit_as("some-operator", &scene.config_map("settings"), &annotation).await?;
    let mut objects: Vec<Value> =
        ["settings", "obsolete", "old", "older"].map(|name| scene.config_map(name)).into();
    objects.extend([scene.deployment("web"), kustomization.clone(), scene.source()]);
    let mut before = Vec::new();
    for object in &objects {
        before.push(get(&scene, object).await?);
    }
    let inventory = scene.inventory(&kustomization).await?;
    start(&mut scene, &kustomization).await?;

    for (object, before) in objects.iter().zip(&before) {
        let after = get(&scene, object).await?;
        assert_eq!(after["metadata"]["uid"], before["metadata"]["uid"], "{object} was made anew");
        assert_eq!((&after["data"], &after["spec"]), (&before["data"], &before["spec"]), "{object}");
        assert_eq!(after["metadata"]["labels"], before["metadata"]["labels"], "{object}");
        assert_eq!(after["metadata"]["finalizers"], before["metadata"]["finalizers"], "{object}");
    }
    // What Flux has applied as we would is not even written.
    for (index, name) in [(0, "settings"), (1, "obsolete")] {
        let after = get(&scene, &scene.config_map(name)).await?;
        assert_eq!(
            after["metadata"]["resourceVersion"], before[index]["metadata"]["resourceVersion"],
            "{name}"
        );
    }
    let settings = get(&scene, &scene.config_map("settings")).await?;
    assert_eq!(settings["metadata"]["annotations"], json!({"example.com/theirs": "kept"}));
    // What its first versions left behind is Flux's field manager's now, as Flux itself would have it.
    for name in ["old", "older"] {
        let object = get(&scene, &scene.config_map(name)).await?;
        assert_eq!(managers(&object), ["kustomize-controller Apply"], "{name}");
        assert_eq!(object["metadata"]["annotations"], Value::Null, "{name}");
    }
    let (mut after, mut inventory) = (scene.inventory(&kustomization).await?, inventory);
    after.sort();
    inventory.sort();
    assert_eq!(after, inventory);
    Ok(())
}

#[tokio::test]
async fn and_looked_after_as_its_own() -> anyhow::Result<()> {
    let (mut scene, kustomization) = left_by_flux("migrate-on").await?;
    start(&mut scene, &kustomization).await?;
    let settings = scene.config_map("settings");
    scene.cluster.edit(&settings, &json!({"data": {"key": "by hand", "more": "by hand"}})).await?;
    scene.wait(&settings, "drift is put back", |live| live["data"] == json!({"key": "one"})).await?;
    scene.repository.remove("obsolete.yaml")?;
    scene.push(&[("settings.yaml", &config_map("settings", "two"))]).await?;
    scene.wait(&settings, "the commit is applied", |live| live["data"]["key"] == "two").await?;
    scene.cluster.wait_gone(&scene.config_map("obsolete")).await?;
    let listed = eventually("the inventory is that of the commit", async || {
        Ok(Some(scene.inventory(&kustomization).await?).filter(|ids| ids.len() == 4))
    });
    assert!(!listed.await?.iter().any(|id| id.contains("obsolete")));
    Ok(())
}
