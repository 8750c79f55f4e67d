use k8s_openapi::api::core::v1::Secret;
use plumb_api::ReleaseSnapshot;
use plumb_helm::{record, snapshot};
use plumb_test_support::cluster::is_ready;
use serde_json::{Value, json};

use super::flux::{Flux, managers};
use super::helm_controller::{apply, left_by_flux, object, older, settings_data, web};
use super::what_flux_applied_is_taken_over::get;
use crate::releases::{self, status_of, wait_released};
use crate::scene::Scene;

/// The fields of a status that Flux 2.9 defines.
const STATUS: [&str; 21] = [
    "conditions",
    "failures",
    "helmChart",
    "history",
    "installFailures",
    "inventory",
    "lastAttemptedConfigDigest",
    "lastAttemptedGeneration",
    "lastAttemptedReleaseAction",
    "lastAttemptedReleaseActionDuration",
    "lastAttemptedRevision",
    "lastAttemptedRevisionDigest",
    "lastAttemptedValuesChecksum",
    "lastHandledForceAt",
    "lastHandledReconcileAt",
    "lastHandledResetAt",
    "lastReleaseRevision",
    "observedCommonMetadataDigest",
    "observedGeneration",
    "observedPostRenderersDigest",
    "storageNamespace",
];

/// Starts Plumbline and waits until it has looked at the release.
async fn start(scene: &mut Scene, web: &Value) -> anyhow::Result<Value> {
    scene.request(web, "taken over").await?;
    scene.controller.start_again().await?;
    let is_ours =
        |object: &Value| is_ready(object) && object["status"]["lastHandledReconcileAt"] == "taken over";
    scene.wait(web, "Plumbline has looked after it", is_ours).await
}

#[tokio::test]
async fn nothing_is_released_or_written_again() -> anyhow::Result<()> {
    let (mut scene, web) = left_by_flux("migrate-release").await?;
    let names = ["web-settings", "web-older"].map(|name| scene.config_map(name));
    let objects = [names[0].clone(), names[1].clone(), releases::record(&scene, "web", 1)];
    let mut before = Vec::new();
    for object in &objects {
        before.push(get(&scene, object).await?);
    }
    let history = get(&scene, &web).await?["status"]["history"].clone();
    let found = start(&mut scene, &web).await?;
    assert_eq!(found["status"]["history"], history);
    assert_eq!(scene.cluster.get(&releases::record(&scene, "web", 2)).await?, None);
    for (object, before) in objects.iter().zip(before) {
        assert_eq!(get(&scene, object).await?, before);
    }
    Ok(())
}

#[tokio::test]
async fn and_it_is_looked_after_as_its_own() -> anyhow::Result<()> {
    let (mut scene, web) = left_by_flux("migrate-release-on").await?;
    start(&mut scene, &web).await?;
    let settings = scene.config_map("web-settings");
    scene.cluster.delete(&settings).await?;
    scene.wait(&settings, "what is gone is made again", |live| live["data"] == settings_data(1)).await?;
    scene.cluster.edit(&web, &json!({"spec": {"values": {"key": "three"}}})).await?;
    wait_released(&scene, &web, 2).await?;
    assert_eq!(get(&scene, &settings).await?["data"], json!({"key": "three", "revision": "2"}));
    assert_eq!(status_of(&scene, "web", 1).await?.as_deref(), Some("superseded"));
    Ok(())
}

#[tokio::test]
async fn and_flux_is_handed_back_what_it_expects() -> anyhow::Result<()> {
    let (mut scene, first) = left_by_flux("migrate-release-back").await?;
    start(&mut scene, &first).await?;
    // Something else than the values changes: the objects are those of another revision.
    scene.cluster.edit(&first, &json!({"spec": {"values": {"key": "two", "more": "1"}}})).await?;
    let live = wait_released(&scene, &first, 2).await?;
    scene.controller.terminate()?;

    assert_eq!(live["metadata"]["finalizers"], json!(["finalizers.fluxcd.io"]));
    let fields: Vec<&String> = live["status"].as_object().unwrap().keys().collect();
    assert!(fields.iter().all(|field| STATUS.contains(&field.as_str())), "{fields:?}");
    // Flux knows its records again.
    for version in [1, 2] {
        let secret: Secret =
            serde_json::from_value(get(&scene, &releases::record(&scene, "web", version)).await?)?;
        let history: Vec<ReleaseSnapshot> = serde_json::from_value(live["status"]["history"].clone())?;
        let known = history.iter().find(|snapshot| snapshot.version == version).unwrap();
        assert!(snapshot::is_of(known, &record::decode(&secret)?), "{known:?}");
    }
    // What it applies next changes nothing, and all fields are its own.
    let flux = Flux(&scene);
    for object in [object(&scene, "settings", &settings_data(2)), older(&scene)] {
        let before = get(&scene, &object).await?;
        assert_eq!(managers(&before), ["helm-controller Apply"], "{}", object["metadata"]["name"]);
        let after = apply(&flux, &object).await?;
        assert_eq!(after["metadata"]["resourceVersion"], before["metadata"]["resourceVersion"], "{after:#}");
    }
    Ok(())
}

#[tokio::test]
async fn a_suspended_release_stays_as_it_is() -> anyhow::Result<()> {
    let (mut scene, release) = left_by_flux("migrate-release-suspended").await?;
    scene.cluster.apply(&web(&scene, json!({"suspend": true, "values": {"key": "three"}}))).await?;
    let settings = scene.config_map("web-settings");
    let before = (get(&scene, &settings).await?, get(&scene, &release).await?["status"].clone());
    scene.controller.start_again().await?;
    // Another release is made meanwhile, so the suspended one was looked at.
    let other = releases::release(&scene, "other", json!({}));
    releases::released(&scene, &other, 1).await?;
    assert_eq!((get(&scene, &settings).await?, get(&scene, &release).await?["status"].clone()), before);
    Ok(())
}
