use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, ListParams};
use plumb_test_support::cluster::{condition, eventually};
use serde_json::{Value, json};

use crate::releases::{record, release, released, scene, status_of, wait_released};

#[tokio::test]
async fn by_its_values_and_by_its_chart() -> anyhow::Result<()> {
    let scene = scene("helm-upgrade", &[]).await?;
    let web = release(&scene, "web", json!({"values": {"key": "two"}}));
    let found = released(&scene, &web, 1).await?;
    let (_, reason, message) = condition(&found, "Released").unwrap_or_default();
    assert_eq!(reason, "InstallSucceeded");
    let (namespace, version) = (&scene.namespace, &found["status"]["lastAttemptedRevision"]);
    let version = version.as_str().unwrap_or_default();
    assert_eq!(
        message,
        format!("Helm install succeeded for release {namespace}/web.v1 with chart web@{version}")
    );
    assert_eq!(found["status"]["helmChart"], format!("{namespace}/{namespace}-web"));
    assert_eq!(found["status"]["storageNamespace"], namespace.as_str());
    let listed = found["status"]["inventory"]["entries"].clone();
    assert_eq!(listed, json!([{"id": format!("{namespace}_web-settings__ConfigMap"), "v": "v1"}]));

    let settings = scene.cluster.get(&scene.config_map("web-settings")).await?.unwrap_or_default();
    assert_eq!(settings["data"], json!({"key": "two", "revision": "1"}));
    let metadata = &settings["metadata"];
    assert_eq!(metadata["labels"]["app.kubernetes.io/managed-by"], "Helm");
    assert_eq!(metadata["labels"]["helm.toolkit.fluxcd.io/name"], "web");
    assert_eq!(metadata["annotations"]["meta.helm.sh/release-name"], "web");
    let secret = scene.cluster.get(&record(&scene, "web", 1)).await?.unwrap_or_default();
    assert_eq!(
        (&secret["type"], &secret["metadata"]["labels"]["status"]),
        (&"helm.sh/release.v1".into(), &"deployed".into())
    );

    scene.cluster.edit(&web, &json!({"spec": {"values": {"key": "three"}}})).await?;
    let found = wait_released(&scene, &web, 2).await?;
    assert_eq!(condition(&found, "Released").map(|found| found.1), Some("UpgradeSucceeded"));
    let settings = scene.cluster.get(&scene.config_map("web-settings")).await?.unwrap_or_default();
    assert_eq!(settings["data"], json!({"key": "three", "revision": "2"}));
    assert_eq!(status_of(&scene, "web", 1).await?.as_deref(), Some("superseded"));

    // A commit that changes the chart is another revision of it; what it no longer has is pruned.
    scene.repository.remove("charts/web/templates/settings.yaml")?;
    let other = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: other}\n";
    scene
        .push(&[
            ("charts/web/templates/other.yaml", other),
            ("charts/web/Chart.yaml", "apiVersion: v2\nname: web\nversion: 1.1.0\n"),
        ])
        .await?;
    wait_released(&scene, &web, 3).await?;
    assert!(scene.cluster.get(&scene.config_map("other")).await?.is_some());
    scene.cluster.wait_gone(&scene.config_map("web-settings")).await?;
    Ok(())
}

#[tokio::test]
async fn and_costs_nothing_when_nothing_changes() -> anyhow::Result<()> {
    let scene = scene("helm-idle", &[]).await?;
    let web = release(&scene, "web", json!({"driftDetection": {"mode": "enabled"}}));
    let before = released(&scene, &web, 1).await?;
    let requests = async || -> anyhow::Result<String> {
        let metrics = scene.controller.page("/metrics").await.unwrap_or_default();
        let lines = metrics.lines().filter(|line| {
            line.starts_with("plumb_api_requests_total") || line.starts_with("plumb_renders_total")
        });
        Ok(lines.collect::<Vec<_>>().join("\n"))
    };
    let counted = requests().await?;
    scene.request(&web, "now").await?;
    let is_handled = |object: &Value| object["status"]["lastHandledReconcileAt"] == "now";
    let after = scene.wait(&web, "it was looked at", is_handled).await?;
    assert_eq!(requests().await?, counted);
    assert_eq!(after["status"]["history"], before["status"]["history"]);
    Ok(())
}

#[tokio::test]
async fn with_values_of_secrets_that_change() -> anyhow::Result<()> {
    let scene = scene("helm-values", &[]).await?;
    let mut secret = scene.object("v1", "Secret", "values");
    secret["stringData"] = json!({"values.yaml": "key: hidden"});
    scene.cluster.apply(&secret).await?;
    let web = release(&scene, "web", json!({"valuesFrom": [{"kind": "Secret", "name": "values"}]}));
    released(&scene, &web, 1).await?;
    secret["stringData"] = json!({"values.yaml": "key: other"});
    scene.cluster.apply(&secret).await?;
    let found = wait_released(&scene, &web, 2).await?;
    let settings = scene.cluster.get(&scene.config_map("web-settings")).await?.unwrap_or_default();
    assert_eq!(settings["data"]["key"], "other");
    // Nothing of a value is in the status or the log.
    assert!(!found["status"].to_string().contains("hidden"), "{found:#}");
    assert!(!scene.controller.log().contains("hidden"));
    Ok(())
}

#[tokio::test]
async fn and_uninstalled_with_its_object() -> anyhow::Result<()> {
    let kept = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: kept\n  annotations: {helm.sh/resource-policy: keep}\n";
    let scene = scene("helm-uninstall", &[("charts/web/templates/kept.yaml", kept)]).await?;
    let web = release(&scene, "web", json!({}));
    let found = released(&scene, &web, 1).await?;
    scene.cluster.delete(&web).await?;
    scene.cluster.wait_gone(&web).await?;
    assert!(scene.cluster.get(&scene.config_map("web-settings")).await?.is_none());
    assert!(scene.cluster.get(&scene.config_map("kept")).await?.is_some(), "its annotation says so");
    assert_eq!(status_of(&scene, "web", 1).await?, None);
    let chart = found["status"]["helmChart"].as_str().and_then(|chart| chart.split_once('/'));
    let chart = scene.object("source.toolkit.fluxcd.io/v1", "HelmChart", chart.unwrap_or_default().1);
    scene.cluster.wait_gone(&chart).await?;
    eventually("the metrics are gone", async || {
        let metrics = scene.controller.page("/metrics").await.unwrap_or_default();
        Ok((!metrics.contains("kind=\"HelmRelease\"")).then_some(()))
    })
    .await
}

#[tokio::test]
async fn and_changed_by_post_renderers() -> anyhow::Result<()> {
    let scene = scene("helm-post", &[]).await?;
    let renderers = |value: &str| {
        let patch = format!("- op: add\n  path: /data/patched\n  value: {value}\n");
        json!([{"kustomize": {"patches": [{"patch": patch, "target": {"kind": "ConfigMap"}}]}}])
    };
    let labels = json!({"labels": {"team": "shop"}});
    let web = release(&scene, "web", json!({"commonMetadata": labels, "postRenderers": renderers("first")}));
    released(&scene, &web, 1).await?;
    let settings = scene.cluster.get(&scene.config_map("web-settings")).await?.unwrap_or_default();
    assert_eq!(settings["data"], json!({"key": "one", "revision": "1", "patched": "first"}));
    assert_eq!(settings["metadata"]["labels"]["team"], "shop");
    scene.cluster.edit(&web, &json!({"spec": {"postRenderers": renderers("second")}})).await?;
    wait_released(&scene, &web, 2).await?;
    let settings = scene.cluster.get(&scene.config_map("web-settings")).await?.unwrap_or_default();
    assert_eq!(settings["data"]["patched"], "second");
    Ok(())
}

#[tokio::test]
async fn and_waits_for_what_its_strategy_says() -> anyhow::Result<()> {
    let scene = scene("helm-legacy", &[]).await?;
    scene.cluster.apply(&scene.widget_definition()).await?;
    let widget = serde_json::to_string(&scene.widget("gear"))?;
    scene.push(&[("charts/web/templates/widget.yaml", &widget)]).await?;
    let check = json!({"apiVersion": format!("{}/v1", scene.group()), "kind": "Widget", "current": "has(status.phase)"});
    let polled = release(&scene, "polled", json!({"healthCheckExprs": [check]}));
    scene.cluster.apply(&polled).await?;
    let waits = |object: &Value| {
        condition(object, "Ready").is_some_and(|(_, _, message)| message.contains("waiting for [Widget/"))
    };
    scene.wait(&polled, "it waits for the custom resource", waits).await?;
    scene.cluster.delete(&polled).await?;
    scene.cluster.wait_gone(&polled).await?;
    // Helm 3 does not know the kind.
    let legacy = json!({"healthCheckExprs": [check], "waitStrategy": {"name": "legacy"}});
    released(&scene, &release(&scene, "legacy", legacy), 1).await?;
    scene.cluster.delete(&scene.widget_definition()).await?;
    Ok(())
}

#[tokio::test]
async fn and_tells_once_what_has_no_effect() -> anyhow::Result<()> {
    let scene = scene("helm-unused", &[]).await?;
    let web = release(&scene, "web", json!({"install": {"serverSideApply": false}}));
    released(&scene, &web, 1).await?;
    scene.request(&web, "again").await?;
    let is_handled = |object: &Value| object["status"]["lastHandledReconcileAt"] == "again";
    scene.wait(&web, "it was looked at again", is_handled).await?;
    let events: Api<Event> = Api::namespaced(scene.cluster.client.clone(), &scene.namespace);
    let events = events.list(&ListParams::default()).await?.items;
    let told = events.iter().filter(|event| event.reason.as_deref() == Some("UnsupportedField"));
    let notes: Vec<&str> = told.filter_map(|event| event.note.as_deref()).collect();
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].starts_with("spec.install.serverSideApply: false has no effect"), "{notes:?}");
    Ok(())
}

#[tokio::test]
async fn and_tells_what_is_no_definition_in_its_crds() -> anyhow::Result<()> {
    let mixed = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: misplaced}\n";
    let scene = scene("helm-crds", &[("charts/web/crds/mixed.yaml", mixed)]).await?;
    let definition = serde_json::to_string(&scene.widget_definition())?;
    scene.push(&[("charts/web/crds/widget.json", &definition)]).await?;
    let web = release(&scene, "web", json!({}));
    released(&scene, &web, 1).await?;
    assert!(scene.cluster.get(&scene.widget_definition()).await?.is_some());
    assert!(scene.cluster.get(&scene.config_map("misplaced")).await?.is_none());
    let events: Api<Event> = Api::namespaced(scene.cluster.client.clone(), &scene.namespace);
    let events = events.list(&ListParams::default()).await?.items;
    let told = events.iter().filter(|event| event.reason.as_deref() == Some("BuildWarning"));
    let notes: Vec<&str> = told.filter_map(|event| event.note.as_deref()).collect();
    let expected = "the ConfigMap \"misplaced\" of web/crds/mixed.yaml is left out: crds/ is for CustomResourceDefinitions; it belongs to templates/";
    assert!(notes.len() == 1 && notes[0].contains(expected), "{notes:?}");
    scene.cluster.delete(&scene.widget_definition()).await?;
    Ok(())
}
