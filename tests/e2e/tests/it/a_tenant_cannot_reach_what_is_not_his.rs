use crate::scene::{Scene, config_map};
use plumb_test_support::cluster::condition;
use serde_json::{Value, json};

// Attack 22 (multi-tenancy): an inventory that its owner has forged, to have objects of others pruned.
#[tokio::test]
async fn a_forged_inventory_prunes_nothing_of_others() -> anyhow::Result<()> {
    let files = [
        ("victim/a.yaml", config_map("victims", "a")),
        ("tenant/a.yaml", config_map("kept", "a")),
        ("tenant/b.yaml", config_map("dropped", "a")),
    ];
    let files = files.each_ref().map(|(path, text)| (*path, text.as_str()));
    let scene = Scene::with_files("forged", &files).await?;
    scene.apply_and_wait(&scene.kustomization("victim", json!({"path": "victim"}))).await?;
    let tenant = scene.kustomization("tenant", json!({"path": "tenant"}));
    scene.apply_and_wait(&tenant).await?;
    // Belongs to nobody.
    scene.cluster.apply(&scene.config_map("loose")).await?;

    let namespace = &scene.namespace;
    let forged = ["victims", "loose", "kept", "dropped"]
        .map(|name| json!({"id": format!("{namespace}_{name}__ConfigMap"), "v": "v1"}));
    scene
        .cluster
        .edit_status(&tenant, &json!({"status": {"inventory": {"entries": forged.clone()}}}))
        .await?;
    scene.repository.remove("tenant/b.yaml")?;
    let commit = scene.push(&[]).await?;
    scene.wait_applied(&tenant, &commit).await?;
    scene.cluster.wait_gone(&scene.config_map("dropped")).await?;
    for name in ["victims", "loose", "kept"] {
        assert!(scene.cluster.get(&scene.config_map(name)).await?.is_some(), "{name} is kept");
    }

    // Nor when the Kustomization goes.
    scene
        .cluster
        .edit_status(&tenant, &json!({"status": {"inventory": {"entries": forged.clone()}}}))
        .await?;
    scene.cluster.delete(&tenant).await?;
    scene.cluster.wait_gone(&tenant).await?;
    scene.cluster.wait_gone(&scene.config_map("kept")).await?;
    for name in ["victims", "loose"] {
        assert!(scene.cluster.get(&scene.config_map(name)).await?.is_some(), "{name} is kept");
    }
    Ok(())
}

// Attack 22 (multi-tenancy): entries that are no ids do not keep the Kustomization from being reconciled, or deleted.
#[tokio::test]
async fn an_inventory_of_rubbish_does_no_harm() -> anyhow::Result<()> {
    let scene = Scene::with_files("rubbish", &[("a.yaml", &config_map("a", "x"))]).await?;
    let apps = scene.kustomization("apps", json!({}));
    scene.apply_and_wait(&apps).await?;
    let rubbish = ["", "_", "a_b_c_d_e_f_g", "../../secrets_x__ConfigMap", "kube-system_..%2f..__Secret"]
        .map(|id| json!({"id": id, "v": "v1"}));
    scene.cluster.edit_status(&apps, &json!({"status": {"inventory": {"entries": rubbish}}})).await?;
    let commit = scene.push(&[("a.yaml", &config_map("a", "y"))]).await?;
    scene.wait_applied(&apps, &commit).await?;
    scene.cluster.delete(&apps).await?;
    scene.cluster.wait_gone(&apps).await?;
    Ok(())
}

// Attack 24 (Kubernetes): a namespace goes, with its service account and its source, while what is in it is reconciled.
#[tokio::test]
async fn a_namespace_that_is_deleted_is_not_held_up() -> anyhow::Result<()> {
    let held = config_map("settings", "one");
    let scene = Scene::with_files("goes", &[("a.yaml", &held)]).await?;
    let rules = json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["*"]}]);
    scene.service_account("robot", rules).await?;
    // Waits for what never comes.
    let checks =
        json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "nonesuch", "namespace": scene.namespace}]);
    let waits = json!({"serviceAccountName": "robot", "healthChecks": checks, "timeout": "10m"});
    let tenant = scene.kustomization("tenant", waits);
    scene.cluster.apply(&tenant).await?;
    let is_waiting =
        |object: &Value| condition(object, "Ready").is_some_and(|(status, _, _)| status == "Unknown");
    scene.wait(&tenant, "it waits", is_waiting).await?;
    let failing = scene.kustomization("failing", json!({"path": "nowhere"}));
    scene.cluster.apply(&failing).await?;
    scene.wait_condition(&failing, "False", "BuildFailed").await?;
    let far = scene.kustomization("far", json!({"kubeConfig": {"secretRef": {"name": "far"}}}));
    scene.cluster.apply(&far).await?;
    scene.wait_condition(&far, "False", "ReconciliationFailed").await?;

    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": scene.namespace}});
    scene.cluster.delete(&namespace).await?;
    for object in [&tenant, &failing, &far] {
        scene.cluster.wait_gone(object).await?;
    }
    scene.cluster.wait_gone(&namespace).await?;
    Ok(())
}

// Attack 23 (Kubernetes): intervals that are no length of time, or a very long or short one.
#[tokio::test]
async fn an_odd_interval_of_a_kustomization_is_refused_or_harmless() -> anyhow::Result<()> {
    let scene = Scene::with_files("odd-apps", &[("a.yaml", &config_map("a", "x"))]).await?;
    let apps = scene.kustomization("apps", json!({}));
    for field in ["interval", "retryInterval", "timeout"] {
        for length in ["1d", "-1m", "", "5", "1.m"] {
            let mut odd = scene.kustomization("odd", json!({}));
            odd["spec"][field] = length.into();
            let error = format!("{:#}", scene.cluster.apply(&odd).await.expect_err(length));
            assert!(error.contains(&format!("spec.{field}")), "{field} {length}: {error}");
        }
    }
    // The definition lets this one in. It is left alone, and does not keep the others from being looked at.
    let mut endless = scene.kustomization("endless", json!({"interval": "99999999999999999999h"}));
    endless["spec"]["path"] = "nowhere".into();
    scene.cluster.apply(&endless).await?;
    for zero in [json!({"interval": "0s"}), json!({"retryInterval": "0s"}), json!({"timeout": "0s"})] {
        let mut zeroed = apps.clone();
        for (field, value) in zero.as_object().into_iter().flatten() {
            zeroed["spec"][field] = value.clone();
        }
        scene.apply_and_wait(&zeroed).await?;
    }
    assert_eq!(scene.cluster.get(&endless).await?.unwrap_or_default()["status"]["conditions"], Value::Null);
    Ok(())
}
