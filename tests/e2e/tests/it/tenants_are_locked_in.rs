use crate::scene::{Scene, config_map};
use serde_json::json;

// Attack 21 (multi-tenancy): a source of another namespace; and the controller's own rights for a Kustomization that names no account.
#[tokio::test]
async fn other_namespaces_and_the_controllers_rights_are_out_of_reach() -> anyhow::Result<()> {
    let flags = ["--no-cross-namespace-refs", "--default-service-account", "default"];
    let scene = Scene::with_files_and("locked", &[("a.yaml", &config_map("a", "x"))], &flags).await?;
    let foreign =
        json!({"sourceRef": {"kind": "GitRepository", "name": "source", "namespace": "flux-system"}});
    let foreign = scene.kustomization("foreign", foreign);
    scene.cluster.apply(&foreign).await?;
    let message = scene.wait_condition(&foreign, "False", "AccessDenied").await?;
    assert_eq!(
        message,
        "can't access spec.sourceRef GitRepository/flux-system/source: cross-namespace references have been blocked"
    );

    let apps = scene.kustomization("apps", json!({}));
    scene.cluster.apply(&apps).await?;
    let message = scene.wait_condition(&apps, "False", "ReconciliationFailed").await?;
    assert!(message.contains(&format!("system:serviceaccount:{}:default", scene.namespace)), "{message}");
    assert!(scene.cluster.get(&scene.config_map("a")).await?.is_none());
    Ok(())
}
