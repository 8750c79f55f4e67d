//! Records, objects and a status as Helm and Flux leave them. That those of Flux are its own, the tests of `host/helm` compare.

use plumb_test_support::cluster::{eventually, is_ready};
use plumb_test_support::helm::Helm;
use rstest::rstest;
use serde_json::{Value, json};

use crate::releases::{record, release, released, scene, status_of, wait_released};
use crate::scene::{Scene, deployment};

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

#[rstest]
#[case::by_helm_4(Helm::Four, "helm-four")]
#[case::by_helm_3(Helm::Three, "helm-three")]
#[tokio::test]
async fn what_the_helm_command_has_installed_is_taken_over_without_a_restart(
    #[case] helm: Helm,
    #[case] name: &str,
) -> anyhow::Result<()> {
    let more = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: more\ndata:\n  stays: a\n  goes: b\n";
    let files =
        [("charts/web/templates/app.yaml", &*deployment("app", 1)), ("charts/web/templates/more.yaml", more)];
    let scene = scene(name, &files).await?;
    let chart = scene.repository.work_tree().join("charts/web");
    let install = ["install", "web", chart.to_str().unwrap_or_default(), "--set", "key=two"];
    helm.run(&scene.cluster.kubeconfig, &scene.namespace, &install).await?;
    let deployed = |object: &Value| object["status"]["readyReplicas"] == 1;
    let before = scene.wait(&scene.deployment("app"), "the Deployment is ready", deployed).await?;
    let pods = pods(&scene).await?;
    assert_eq!(pods.len(), 1, "{pods:?}");

    let web = release(&scene, "web", json!({"values": {"key": "two"}}));
    released(&scene, &web, 2).await?;
    assert_eq!(status_of(&scene, "web", 1).await?.as_deref(), Some("superseded"));
    let after = scene.cluster.get(&scene.deployment("app")).await?.unwrap_or_default();
    for field in ["uid", "generation"] {
        assert_eq!(after["metadata"][field], before["metadata"][field], "{field}");
    }
    assert_eq!(after["metadata"]["labels"]["helm.toolkit.fluxcd.io/name"], "web");
    assert_eq!(self::pods(&scene).await?, pods, "nothing was restarted");

    // What Helm has written is ours now: a field that the chart drops goes, and so does an object.
    scene.repository.remove("charts/web/templates/app.yaml")?;
    scene.push(&[("charts/web/templates/more.yaml", &more.replace("  goes: b\n", ""))]).await?;
    wait_released(&scene, &web, 3).await?;
    let more = scene.cluster.get(&scene.config_map("more")).await?.unwrap_or_default();
    assert_eq!(more["data"], json!({"stays": "a"}));
    scene.cluster.wait_gone(&scene.deployment("app")).await?;
    Ok(())
}

/// The UIDs of the pods in the namespace, once nothing has changed about them any more.
async fn pods(scene: &Scene) -> anyhow::Result<Vec<String>> {
    use k8s_openapi::api::core::v1::Pod;
    use kube::api::{Api, ListParams};
    let api: Api<Pod> = Api::namespaced(scene.cluster.client.clone(), &scene.namespace);
    eventually("the pods are as the Deployment says", async || {
        let pods = api.list(&ListParams::default()).await?.items;
        let is_running =
            |pod: &Pod| pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running");
        let uids = pods.iter().filter_map(|pod| pod.metadata.uid.clone()).collect();
        Ok((!pods.is_empty() && pods.iter().all(is_running)).then_some(uids))
    })
    .await
}
