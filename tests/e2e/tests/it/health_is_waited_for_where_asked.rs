use crate::scene::{Scene, config_map, deployment};
use plumb_test_support::cluster::condition;
use serde_json::{Value, json};

/// No node of the cluster has this label, so the pods never run.
fn unschedulable(name: &str) -> String {
    deployment(name, 1).replace("    spec:\n", "    spec:\n      nodeSelector: {nowhere: \"true\"}\n")
}

#[tokio::test]
async fn a_deployment_that_becomes_available_makes_the_kustomization_ready() -> anyhow::Result<()> {
    let scene = Scene::with_files("healthy", &[("app.yaml", &deployment("web", 2))]).await?;
    let apps = scene.kustomization("apps", json!({"wait": true}));
    let ready = scene.apply_and_wait(&apps).await?;
    assert_eq!(condition(&ready, "Healthy").map(|found| found.0), Some("True"));
    let live = scene.cluster.get(&scene.deployment("web")).await?.unwrap_or_default();
    assert_eq!(live["status"]["availableReplicas"], 2);
    Ok(())
}

#[tokio::test]
async fn a_health_check_that_fails_in_time_names_the_object_and_recovers_with_the_next_commit()
-> anyhow::Result<()> {
    let scene = Scene::with_files("timeout", &[("app.yaml", &unschedulable("web"))]).await?;
    let check =
        json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "namespace": scene.namespace}]);
    let apps = scene.kustomization("apps", json!({"healthChecks": check, "timeout": "30s"}));
    scene.cluster.apply(&apps).await?;
    let waits = |object: &Value| {
        condition(object, "Ready")
            .is_some_and(|(status, _, message)| status == "Unknown" && message.contains("Deployment"))
    };
    scene.wait(&apps, "it says what it waits for", waits).await?;
    let message = scene.wait_condition(&apps, "False", "HealthCheckFailed").await?;
    assert!(message.contains(&format!("Deployment/{}/web", scene.namespace)), "{message}");

    let commit = scene.push(&[("app.yaml", &deployment("web", 1))]).await?;
    scene.wait_applied(&apps, &commit).await?;
    Ok(())
}

#[tokio::test]
async fn a_new_revision_ends_the_wait_for_the_old_one() -> anyhow::Result<()> {
    let scene = Scene::with_files("supersede", &[("app.yaml", &unschedulable("web"))]).await?;
    let apps = scene.kustomization("apps", json!({"wait": true, "timeout": "1h"}));
    scene.cluster.apply(&apps).await?;
    scene.wait_condition(&apps, "Unknown", "Progressing").await?;
    let commit = scene.push(&[("app.yaml", &deployment("web", 1))]).await?;
    scene.wait_applied(&apps, &commit).await?;
    Ok(())
}

#[tokio::test]
async fn health_is_shown_when_nobody_asked_for_it() -> anyhow::Result<()> {
    let scene = Scene::with_files("unasked", &[("app.yaml", &unschedulable("web"))]).await?;
    let apps = scene.kustomization("apps", json!({}));
    scene.apply_and_wait(&apps).await?;
    // The pods are asked after a moment; what they say is part of the message.
    let told = |object: &Value| {
        condition(object, "Ready")
            .is_some_and(|(status, _, message)| status == "True" && message.contains("web"))
            && condition(object, "Healthy")
                .is_some_and(|(status, _, message)| status != "True" && message.contains("node"))
    };
    scene.wait(&apps, "the status tells why the Deployment is not well", told).await?;
    Ok(())
}

// A Role may let one get an object and nothing else: it is asked for, then.
#[tokio::test]
async fn what_may_only_be_got_is_waited_for_too() -> anyhow::Result<()> {
    let scene = Scene::with_files("health-get", &[("a.yaml", &config_map("settings", "one"))]).await?;
    let rules =
        json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "create", "patch"]}]);
    scene.service_account("robot", rules).await?;
    let checks = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "marker"}]);
    let spec = json!({"serviceAccountName": "robot", "healthChecks": checks, "timeout": "10m"});
    let apps = scene.kustomization("apps", spec);
    scene.cluster.apply(&apps).await?;
    let is_missed = |object: &Value| {
        condition(object, "Ready").is_some_and(|(_, _, message)| message.contains("it does not exist"))
    };
    scene.wait(&apps, "the object is missed", is_missed).await?;
    let marker: Value = serde_yaml::from_str(&config_map("marker", "x"))?;
    let mut marker = marker;
    marker["metadata"]["namespace"] = scene.namespace.as_str().into();
    scene.cluster.apply(&marker).await?;
    scene.wait_applied(&apps, &scene.repository.head()?).await?;
    Ok(())
}
