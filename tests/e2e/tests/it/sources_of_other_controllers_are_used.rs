use crate::scene::{Scene, config_map};
use crate::servers::FileServer;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use plumb_test_support::cluster::{eventually, is_ready};
use serde_json::{Value, json};

/// Writes a status, as the controller of the object does.
async fn write_status(scene: &Scene, object: &Value, status: &Value) -> anyhow::Result<()> {
    let kind = object["kind"].as_str().unwrap_or_default();
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("source.toolkit.fluxcd.io", "v1", kind));
    let api: Api<DynamicObject> =
        Api::namespaced_with(scene.cluster.client.clone(), &scene.namespace, &resource);
    let params =
        PatchParams { field_manager: Some("source-controller".to_owned()), ..PatchParams::default() };
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    api.patch_status(name, &params, &Patch::Merge(json!({"status": status}))).await?;
    Ok(())
}

/// What Flux's source-controller writes.
fn status(artifact: &Value) -> Value {
    let revision = artifact["revision"].as_str().unwrap_or_default();
    let condition = |type_: &str| {
        json!({"type": type_, "status": "True", "reason": "Succeeded", "observedGeneration": 1,
            "lastTransitionTime": "2026-01-01T00:00:00Z", "message": format!("stored artifact for revision '{revision}'")})
    };
    json!({"observedGeneration": 1, "artifact": artifact, "conditions": [condition("Ready"), condition("ArtifactInStorage")]})
}

fn applied(revision: &str) -> impl Fn(&Value) -> bool {
    move |object| is_ready(object) && object["status"]["lastAppliedRevision"] == revision
}

#[tokio::test]
async fn while_flux_fetches_the_sources_its_artifacts_are_applied() -> anyhow::Result<()> {
    let scene = Scene::set_with("of-flux", &["--kinds", "Kustomization"]).await?;
    let server = FileServer::start().await?;
    let (source, apps) = (scene.source(), scene.kustomization("apps", json!({})));
    scene.cluster.apply(&source).await?;
    scene.cluster.apply(&apps).await?;
    let message = scene.wait_condition(&apps, "False", "ArtifactFailed").await?;
    assert!(message.contains("has no artifact yet"), "{message}");

    let publish = |number: u8, value: &str| {
        let (path, revision) = (
            format!("gitrepository/{number}.tar.gz"),
            format!("main@sha1:{}", format!("{number:02}").repeat(20)),
        );
        server.publish(&path, &revision, &[("a.yaml", &config_map("settings", value))])
    };
    let first = publish(1, "one")?;
    write_status(&scene, &source, &status(&first)).await?;
    scene.wait(&apps, "the artifact is applied", applied(first["revision"].as_str().unwrap())).await?;
    let found = scene.cluster.get(&scene.config_map("settings")).await?.unwrap_or_default();
    assert_eq!(found["data"]["key"], "one");

    // Attack 9 (sources): what is served is not what the status says. What was applied stays.
    let mut forged = publish(2, "forged")?;
    forged["digest"] = format!("sha256:{}", "0".repeat(64)).into();
    write_status(&scene, &source, &status(&forged)).await?;
    let logged = async || Ok(scene.controller.log().contains("nothing of it is used").then_some(()));
    eventually("it is logged that the artifact is not used", logged).await?;
    let found = scene.cluster.get(&scene.config_map("settings")).await?.unwrap_or_default();
    assert_eq!(found["data"]["key"], "one");

    let third = publish(3, "three")?;
    write_status(&scene, &source, &status(&third)).await?;
    scene.wait(&apps, "the next artifact is applied", applied(third["revision"].as_str().unwrap())).await?;
    let found = scene.cluster.get(&scene.config_map("settings")).await?.unwrap_or_default();
    assert_eq!(found["data"]["key"], "three");
    let left_alone = scene.cluster.get(&source).await?.unwrap_or_default();
    assert_eq!(left_alone["status"]["artifact"], third, "its status is not ours to write");
    Ok(())
}

#[tokio::test]
async fn an_external_artifact_is_applied() -> anyhow::Result<()> {
    let scene = Scene::set("of-others").await?;
    let server = FileServer::start().await?;
    let mut artifact = scene.object("source.toolkit.fluxcd.io/v1", "ExternalArtifact", "generated");
    artifact["spec"] = json!({"sourceRef": {"kind": "ArtifactGenerator", "name": "generated"}});
    scene.cluster.apply(&artifact).await?;
    let apps =
        scene.kustomization("apps", json!({"sourceRef": {"kind": "ExternalArtifact", "name": "generated"}}));
    scene.cluster.apply(&apps).await?;
    scene.wait_condition(&apps, "False", "ArtifactFailed").await?;

    let revision = format!("latest@sha256:{}", "ab".repeat(32));
    let published =
        server.publish("generated.tar.gz", &revision, &[("a.yaml", &config_map("settings", "one"))])?;
    let mut gone = published.clone();
    gone["url"] = published["url"].as_str().unwrap().replace("generated", "gone").into();
    write_status(&scene, &artifact, &json!({"artifact": gone})).await?;
    let told =
        |object: &Value| format!("{}", object["status"]["conditions"]).contains("there is no artifact at");
    scene.wait(&apps, "its users tell why it cannot be used", told).await?;

    write_status(&scene, &artifact, &json!({"artifact": published})).await?;
    scene.wait(&apps, "the artifact is applied", applied(&revision)).await?;
    assert!(scene.cluster.get(&scene.config_map("settings")).await?.is_some());
    Ok(())
}
