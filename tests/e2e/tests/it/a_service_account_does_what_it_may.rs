use crate::scene::{Scene, config_map};
use serde_json::json;

/// What a tenant needs to have ConfigMaps kept.
fn config_maps() -> serde_json::Value {
    json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "watch", "create", "patch", "delete"]}])
}

// Attack 17 (rendering): objects that the tenant could not create himself.
#[tokio::test]
async fn what_the_account_may_not_do_is_not_done() -> anyhow::Result<()> {
    let secret = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: token\n  annotations: {kubernetes.io/service-account.name: default}\n\
                  type: kubernetes.io/service-account-token\n";
    let role = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata:\n  name: plumb-e2e-escalation\n\
                rules:\n- {apiGroups: ['*'], resources: ['*'], verbs: ['*']}\n";
    let scene = Scene::with_files("tenant", &[("a.yaml", &config_map("a", "x"))]).await?;
    scene.service_account("robot", config_maps()).await?;
    let apps = scene.kustomization("apps", json!({"serviceAccountName": "robot"}));
    scene.apply_and_wait(&apps).await?;

    scene.push(&[("secret.yaml", secret), ("role.yaml", role), ("b.yaml", &config_map("b", "x"))]).await?;
    let message = scene.wait_condition(&apps, "False", "ReconciliationFailed").await?;
    let user = format!("system:serviceaccount:{}:robot", scene.namespace);
    assert!(message.contains("Secret") && message.contains("ClusterRole"), "both are named: {message}");
    assert!(message.contains(&user), "{message}");
    assert!(scene.cluster.get(&scene.config_map("b")).await?.is_none(), "a commit is applied as a whole");
    assert!(scene.cluster.get(&scene.config_map("a")).await?.is_some(), "nothing was pruned");

    // What the tenant is granted takes effect without a change of the Kustomization.
    scene.repository.remove("secret.yaml")?;
    scene.repository.remove("role.yaml")?;
    scene.push(&[]).await?;
    scene.wait_applied(&apps, &scene.repository.head()?).await?;
    assert!(scene.cluster.get(&scene.config_map("b")).await?.is_some());
    Ok(())
}

// Attack 24 (multi-tenancy): the service account is deleted while it is in use.
#[tokio::test]
async fn a_kustomization_whose_account_is_gone_can_be_deleted() -> anyhow::Result<()> {
    let scene = Scene::with_files("tenant-gone", &[("a.yaml", &config_map("a", "x"))]).await?;
    scene.service_account("robot", config_maps()).await?;
    let apps = scene.kustomization("apps", json!({"serviceAccountName": "robot"}));
    scene.apply_and_wait(&apps).await?;

    scene.cluster.delete(&scene.object("v1", "ServiceAccount", "robot")).await?;
    scene.cluster.delete(&apps).await?;
    scene.cluster.wait_gone(&apps).await?;
    assert!(scene.cluster.get(&scene.config_map("a")).await?.is_some(), "nobody could delete it");
    Ok(())
}
