use plumb_test_support::cluster::condition;
use serde_json::{Value, json};

use crate::releases::{CHART, SETTINGS, VALUES, release, released, scene, wait_for, wait_released};
use crate::scene::Scene;

#[tokio::test]
async fn what_is_deleted_comes_back_and_fields_do_where_the_spec_says_so() -> anyhow::Result<()> {
    let scene = scene("helm-drift", &[]).await?;
    let web = release(&scene, "web", json!({}));
    released(&scene, &web, 1).await?;
    let settings = scene.config_map("web-settings");

    // The interval is an hour: only the watch can tell.
    let before = scene.cluster.get(&settings).await?.unwrap_or_default();
    scene.cluster.delete(&settings).await?;
    let is_new = |live: &Value| live["metadata"]["uid"] != before["metadata"]["uid"];
    scene.wait(&settings, "the object is back", is_new).await?;

    scene.cluster.edit(&settings, &json!({"data": {"key": "by hand"}})).await?;
    scene.request(&web, "one").await?;
    let is_handled = |object: &Value| object["status"]["lastHandledReconcileAt"] == "one";
    scene.wait(&web, "it was looked at", is_handled).await?;
    let live = scene.cluster.get(&settings).await?.unwrap_or_default();
    assert_eq!(live["data"]["key"], "by hand", "drift detection is off");

    scene.cluster.edit(&web, &json!({"spec": {"driftDetection": {"mode": "warn"}}})).await?;
    let message = wait_for(&scene, &web, "Drifted", "True", "DriftDetected").await?;
    assert!(message.contains("web-settings changed (/data/key)"), "{message}");
    let live = scene.cluster.get(&settings).await?.unwrap_or_default();
    assert_eq!(live["data"]["key"], "by hand", "it is only told");

    let ignore = json!([{"paths": ["/data/key"], "target": {"kind": "ConfigMap"}}]);
    let drift = json!({"spec": {"driftDetection": {"mode": "enabled", "ignore": ignore}}});
    scene.cluster.edit(&web, &drift).await?;
    wait_for(&scene, &web, "Drifted", "False", "NoDriftDetected").await?;
    scene
        .cluster
        .edit(&web, &json!({"spec": {"driftDetection": {"mode": "enabled", "ignore": null}}}))
        .await?;
    scene.wait(&settings, "the field is put back", |live| live["data"]["key"] == "one").await?;
    scene.cluster.edit(&settings, &json!({"data": {"key": "again"}})).await?;
    scene.wait(&settings, "the field is put back at once", |live| live["data"]["key"] == "one").await?;
    Ok(())
}

#[tokio::test]
async fn and_its_helm_chart_as_it_was_made() -> anyhow::Result<()> {
    let other = "apiVersion: v2\nname: other\nversion: 9.0.0\n";
    let scene = scene("helm-chart-edited", &[("charts/other/Chart.yaml", other)]).await?;
    let web = release(&scene, "web", json!({}));
    let found = released(&scene, &web, 1).await?;
    let name = format!("{}-web", scene.namespace);
    let chart = scene.object("source.toolkit.fluxcd.io/v1", "HelmChart", &name);
    // The interval is an hour: only the watch can tell.
    scene.cluster.edit(&chart, &json!({"spec": {"chart": "./charts/other"}})).await?;
    let is_back = |object: &Value| {
        object["spec"]["chart"] == "./charts/web"
            && object["status"]["observedGeneration"] == object["metadata"]["generation"]
            && plumb_test_support::cluster::is_ready(object)
    };
    scene.wait(&chart, "it is put back, and fetched", is_back).await?;
    let after = wait_released(&scene, &web, 1).await?;
    assert_eq!(after["status"]["history"], found["status"]["history"], "the other chart was not released");
    scene.cluster.delete(&chart).await?;
    scene.wait(&chart, "it is made again", is_back).await?;

    // A chart that cannot be had is told, and nothing is released meanwhile.
    let source = json!({"kind": "GitRepository", "name": "source"});
    let missing =
        json!({"spec": {"chart": "./charts/none", "sourceRef": source, "reconcileStrategy": "Revision"}});
    scene.cluster.edit(&web, &json!({"spec": {"chart": missing, "values": {"key": "two"}}})).await?;
    let told = |object: &Value| {
        let (_, reason, message) = condition(object, "Ready").unwrap_or_default();
        reason == "SourceNotReady" && message.contains("there is no chart at \"./charts/none\"")
    };
    scene.wait(&web, "it says why", told).await?;
    let settings = scene.cluster.get(&scene.config_map("web-settings")).await?.unwrap_or_default();
    assert_eq!(settings["data"]["key"], "one");
    Ok(())
}

#[tokio::test]
async fn and_waits_for_what_it_depends_on() -> anyhow::Result<()> {
    use crate::scene::config_map;
    let scene = scene(
        "helm-depends",
        &[
            ("apps/kustomization.yaml", "resources: [a.yaml]"),
            ("apps/a.yaml", &config_map("a", "b")),
            ("later/kustomization.yaml", "resources: [b.yaml]"),
            ("later/b.yaml", &config_map("b", "c")),
        ],
    )
    .await?;
    let on = json!({"dependsOn": [{"kind": "Kustomization", "name": "apps"}]});
    let web = release(&scene, "web", on);
    scene.cluster.apply(&web).await?;
    let message = scene.wait_condition(&web, "False", "DependencyNotReady").await?;
    assert!(message.contains("does not exist"), "{message}");
    let after = json!({"path": "./later", "dependsOn": [{"kind": "HelmRelease", "name": "web"}]});
    let apps = scene.kustomization("apps", json!({"path": "./apps"}));
    scene.cluster.apply(&apps).await?;
    released(&scene, &web, 1).await?;
    // And the other way round.
    let later = scene.kustomization("later", after);
    scene.cluster.apply(&later).await?;
    scene.wait(&later, "it is ready", plumb_test_support::cluster::is_ready).await?;
    Ok(())
}

// Attack 21 (multi-tenancy): a release in the name of somebody who may not.
#[tokio::test]
async fn and_does_what_its_service_account_may() -> anyhow::Result<()> {
    let scene = scene("helm-tenant", &[]).await?;
    let rules = json!([{"apiGroups": [""], "resources": ["secrets"], "verbs": ["*"]}]);
    scene.service_account("robot", rules).await?;
    let web = release(&scene, "web", json!({"serviceAccountName": "robot"}));
    scene.cluster.apply(&web).await?;
    let message = wait_for(&scene, &web, "Released", "False", "InstallFailed").await?;
    assert!(message.contains("configmaps \"web-settings\" is forbidden"), "{message}");
    assert!(scene.cluster.get(&scene.config_map("web-settings")).await?.is_none());
    // Its account is gone, and nobody can uninstall it: it goes all the same.
    scene.cluster.delete(&scene.object("v1", "ServiceAccount", "robot")).await?;
    scene.cluster.delete(&web).await?;
    scene.cluster.wait_gone(&web).await?;
    Ok(())
}

// Attack 21 (multi-tenancy): charts and values of somebody else, and a kubeconfig that runs a program.
#[tokio::test]
async fn and_reaches_nothing_of_other_namespaces() -> anyhow::Result<()> {
    let files = [
        ("charts/web/Chart.yaml", CHART),
        ("charts/web/values.yaml", VALUES),
        ("charts/web/templates/settings.yaml", SETTINGS),
    ];
    let scene = Scene::with_files_and("helm-locked", &files, &["--no-cross-namespace-refs"]).await?;
    let source = json!({"kind": "GitRepository", "name": "source", "namespace": "default"});
    let foreign = json!({"spec": {"chart": "./charts/web", "sourceRef": source}});
    let chart_ref = json!({"kind": "HelmChart", "name": "web", "namespace": "default"});
    for spec in [json!({"chart": foreign}), json!({"chartRef": chart_ref})] {
        let mut web = release(&scene, "web", json!({}));
        web["spec"] = spec;
        web["spec"]["interval"] = "1h".into();
        scene.cluster.apply(&web).await?;
        let message = scene.wait_condition(&web, "False", "AccessDenied").await?;
        assert!(message.contains("cross-namespace references have been blocked"), "{message}");
        scene.cluster.delete(&web).await?;
        scene.cluster.wait_gone(&web).await?;
    }
    let elsewhere = json!([{"kind": "Secret", "name": "../default/values"}]);
    let web = release(&scene, "values", json!({"valuesFrom": elsewhere}));
    scene.cluster.apply(&web).await?;
    scene.wait_condition(&web, "False", "ValuesError").await?;

    let mut secret = scene.object("v1", "Secret", "hostile");
    let user = json!({"name": "u", "user": {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "touch"}}});
    let cluster = json!({"name": "c", "cluster": {"server": "https://127.0.0.1:1"}});
    let context = json!({"name": "x", "context": {"cluster": "c", "user": "u"}});
    let kubeconfig = json!({"apiVersion": "v1", "kind": "Config", "current-context": "x",
        "clusters": [cluster], "users": [user], "contexts": [context]});
    secret["stringData"] = json!({"value": kubeconfig.to_string()});
    scene.cluster.apply(&secret).await?;
    let kubeconfig = json!({"secretRef": {"name": "hostile"}});
    let web = release(&scene, "elsewhere", json!({"kubeConfig": kubeconfig}));
    scene.cluster.apply(&web).await?;
    let message = scene.wait_condition(&web, "False", "ReconciliationFailed").await?;
    assert!(message.contains("(exec)"), "{message}");
    Ok(())
}
