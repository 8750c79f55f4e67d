//! Records, objects and a status as Helm and Flux leave them. That they are theirs, the tests of `host/helm` compare.

use plumb_test_support::cluster::is_ready;
use serde_json::{Value, json};

use crate::releases::{record, release, released, scene, status_of, wait_released};
use crate::scene::Scene;

/// Lets go of a release whose HelmRelease is deleted while it is suspended; returns its last status.
async fn left(scene: &Scene) -> anyhow::Result<Value> {
    let web = release(scene, "web", json!({"values": {"key": "two"}}));
    let found = released(scene, &web, 1).await?;
    scene.cluster.edit(&web, &json!({"spec": {"suspend": true}})).await?;
    scene.cluster.delete(&web).await?;
    scene.cluster.wait_gone(&web).await?;
    assert_eq!(status_of(scene, "web", 1).await?.as_deref(), Some("deployed"));
    Ok(found["status"].clone())
}

#[tokio::test]
async fn what_flux_has_released_is_not_released_again() -> anyhow::Result<()> {
    let scene = scene("helm-moved", &[]).await?;
    let status = left(&scene).await?;
    let before = scene.cluster.get(&scene.config_map("web-settings")).await?;
    assert!(before.is_some());
    let web = release(&scene, "web", json!({"values": {"key": "two"}, "suspend": true}));
    scene.cluster.apply(&web).await?;
    scene.cluster.edit_status(&web, &json!({"status": status})).await?;
    scene.cluster.edit(&web, &json!({"spec": {"suspend": false}})).await?;
    let found = scene.wait(&web, "it is ready", is_ready).await?;
    assert_eq!(found["status"]["history"], status["history"]);
    assert_eq!(scene.cluster.get(&record(&scene, "web", 2)).await?, None);
    let after = scene.cluster.get(&scene.config_map("web-settings")).await?;
    assert_eq!(after, before);
    Ok(())
}

#[tokio::test]
async fn what_helm_has_released_is_upgraded_once() -> anyhow::Result<()> {
    let scene = scene("helm-adopted", &[]).await?;
    left(&scene).await?;
    let web = release(&scene, "web", json!({"values": {"key": "two"}}));
    scene.cluster.apply(&web).await?;
    wait_released(&scene, &web, 2).await?;
    assert_eq!(status_of(&scene, "web", 1).await?.as_deref(), Some("superseded"));
    Ok(())
}
