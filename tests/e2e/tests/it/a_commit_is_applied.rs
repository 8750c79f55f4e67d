use crate::scene::{Scene, config_map, deployment};
use serde_json::{Value, json};

#[tokio::test]
async fn a_commit_is_applied_with_everything_around_it() -> anyhow::Result<()> {
    let files = [("app.yaml", deployment("web", 2)), ("config.yaml", config_map("settings", "one"))];
    let files = files.each_ref().map(|(path, text)| (*path, text.as_str()));
    let scene = Scene::with_files("apply", &files).await?;
    let apps = scene.kustomization("apps", json!({}));
    let applied = scene.apply_and_wait(&apps).await?;

    let deployment = scene.cluster.get(&scene.deployment("web")).await?.unwrap_or_default();
    assert_eq!(deployment["spec"]["replicas"], 2);
    let labels = &deployment["metadata"]["labels"];
    assert_eq!(labels["kustomize.toolkit.fluxcd.io/name"], "apps");
    assert_eq!(labels["kustomize.toolkit.fluxcd.io/namespace"], scene.namespace.as_str());
    let managers = deployment["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    let ours = |entry: &Value| entry["manager"] == "kustomize-controller" && entry["operation"] == "Apply";
    assert!(managers.iter().any(ours), "{managers:#?}");

    let mut inventory = scene.inventory(&apps).await?;
    inventory.sort();
    let namespace = &scene.namespace;
    assert_eq!(
        inventory,
        [format!("{namespace}_settings__ConfigMap"), format!("{namespace}_web_apps_Deployment")]
    );
    assert_eq!(applied["status"]["lastAttemptedRevision"], applied["status"]["lastAppliedRevision"]);
    assert_eq!(applied["status"]["history"][0]["lastReconciledStatus"], "ReconciliationSucceeded");
    assert!(
        applied["status"]["conditions"]
            .as_array()
            .is_some_and(|list| list.iter().all(|one| one["type"] != "Reconciling"))
    );
    assert_eq!(applied["metadata"]["finalizers"], json!(["finalizers.fluxcd.io"]));

    let source = scene.cluster.get(&scene.source()).await?.unwrap_or_default();
    assert_eq!(source["status"]["artifact"]["revision"], applied["status"]["lastAppliedRevision"]);
    Ok(())
}
