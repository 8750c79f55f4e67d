use crate::scene::{Scene, config_map};
use serde_json::json;

// Attack 17 (rendering): objects that the tenant could not create himself.
#[tokio::test]
async fn what_the_account_may_not_do_is_not_done() -> anyhow::Result<()> {
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: token}\n";
    let scene = Scene::with_files("pipe-tenant", &[("a.yaml", &config_map("a", "x"))]).await?;
    let verbs = ["get", "list", "watch", "create", "patch", "delete"];
    let rules = json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": verbs}]);
    scene.service_account("robot", rules).await?;
    let apply = json!({"targetNamespace": scene.namespace, "serviceAccountName": "robot"});
    let shop =
        scene.pipeline("shop", json!([{"plugin": "yaml", "with": {"path": ""}}]), json!({ "apply": apply }));
    scene.apply_and_wait(&shop).await?;

    scene.push(&[("secret.yaml", secret), ("b.yaml", &config_map("b", "x"))]).await?;
    let message = scene.wait_condition(&shop, "False", "ReconciliationFailed").await?;
    assert!(message.contains(&format!("system:serviceaccount:{}:robot", scene.namespace)), "{message}");
    assert!(scene.cluster.get(&scene.config_map("b")).await?.is_none(), "a commit is applied as a whole");
    assert!(scene.cluster.get(&scene.config_map("a")).await?.is_some(), "nothing was pruned");
    Ok(())
}

// Attack 21 (multi-tenancy): a source of another namespace.
#[tokio::test]
async fn other_namespaces_are_out_of_reach_where_that_is_said() -> anyhow::Result<()> {
    let scene = Scene::with_files_and(
        "pipe-locked",
        &[("a.yaml", &config_map("a", "x"))],
        &["--no-cross-namespace-refs", "--default-service-account", "local"],
    )
    .await?;
    let other = json!({"sourceRef": {"kind": "GitRepository", "name": "source", "namespace": "default"}});
    let shop = scene.pipeline("shop", json!([{"plugin": "yaml", "with": {"path": ""}}]), other);
    scene.cluster.apply(&shop).await?;
    let message = scene.wait_condition(&shop, "False", "AccessDenied").await?;
    assert!(message.contains("cross-namespace references have been blocked"), "{message}");

    // Without a service account of its own it acts as the default one, which may do nothing.
    scene.cluster.apply(&scene.object("v1", "ServiceAccount", "local")).await?;
    scene
        .cluster
        .apply(&scene.pipeline("shop", json!([{"plugin": "yaml", "with": {"path": ""}}]), json!({})))
        .await?;
    let message = scene.wait_condition(&shop, "False", "ReconciliationFailed").await?;
    assert!(message.contains(&format!("system:serviceaccount:{}:local", scene.namespace)), "{message}");
    Ok(())
}
