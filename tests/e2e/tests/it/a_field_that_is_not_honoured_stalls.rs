use crate::scene::{Scene, config_map};
use plumb_test_support::cluster::condition;
use serde_json::{Value, json};

#[tokio::test]
async fn a_field_that_is_not_honoured_stalls_the_object_and_is_named() -> anyhow::Result<()> {
    let scene = Scene::with_files("stalled", &[("a.yaml", &config_map("settings", "one"))]).await?;
    let apps = scene
        .kustomization("apps", json!({"decryption": {"provider": "sops", "serviceAccountName": "keys"}}));
    scene.cluster.apply(&apps).await?;
    let stalled = |object: &Value| {
        condition(object, "Stalled").is_some_and(|(status, _, message)| {
            status == "True" && message.contains("spec.decryption.serviceAccountName")
        })
    };
    scene.wait(&apps, "it is stalled", stalled).await?;
    assert!(scene.cluster.get(&scene.config_map("settings")).await?.is_none());

    scene.cluster.edit(&apps, &json!({"spec": {"decryption": null}})).await?;
    scene.wait_applied(&apps, &scene.repository.head()?).await?;

    let mut source = scene.object("source.toolkit.fluxcd.io/v1", "OCIRepository", "apps");
    source["spec"] =
        json!({"interval": "1h", "url": "oci://registry.example/apps", "verify": {"provider": "notation"}});
    scene.cluster.apply(&source).await?;
    let stalled = |object: &Value| {
        condition(object, "Stalled").is_some_and(|(_, _, message)| message.contains("notation"))
    };
    scene.wait(&source, "the source is stalled", stalled).await?;
    Ok(())
}
