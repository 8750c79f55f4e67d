use crate::scene::{Scene, config_map};
use object_store::ObjectStoreExt as _;
use object_store::path::Path;
use plumb_test_support::S3;
use plumb_test_support::cluster::is_ready;
use serde_json::{Value, json};

#[tokio::test]
async fn as_its_objects_change_and_with_those_left_out_that_should_be() -> anyhow::Result<()> {
    let server = plumb_test_support::s3(None)?;
    server.create_bucket("apps").await?;
    let bucket = server.bucket("apps")?;
    let put = async |key: &str, text: String| {
        bucket.put(&Path::parse(key)?, text.into()).await.map_err(anyhow::Error::from)
    };
    put("production/a.yaml", config_map("settings", "one")).await?;
    put("production/draft.yaml", config_map("draft", "one")).await?;
    put("staging/b.yaml", config_map("staging", "one")).await?;

    let scene = Scene::set("bucket").await?;
    let secret = |key: &str| {
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys", "namespace": scene.namespace},
            "stringData": {"accesskey": S3::ACCESS_KEY, "secretkey": key},
        })
    };
    scene.cluster.apply(&secret("another-secret-key")).await?;
    let mut source = scene.object("source.toolkit.fluxcd.io/v1", "Bucket", "manifests");
    source["spec"] = json!({
        "interval": "1h", "bucketName": "apps", "endpoint": server.host(), "insecure": true, "region": S3::REGION,
        "prefix": "production/", "ignore": "draft.yaml", "secretRef": {"name": "keys"},
    });
    scene.cluster.apply(&source).await?;
    let message = scene.wait_condition(&source, "False", "AuthenticationFailed").await?;
    assert!(
        !message.contains("another-secret-key") && !scene.controller.log().contains("another-secret-key")
    );

    scene.cluster.apply(&secret(S3::SECRET_KEY)).await?;
    scene.request(&source, "now").await?;
    let found = scene.wait(&source, "it is fetched", is_ready).await?;
    assert_eq!(found["status"]["observedIgnore"], "draft.yaml");
    assert!(
        found["status"]["artifact"]["revision"]
            .as_str()
            .is_some_and(|revision| revision.starts_with("sha256:"))
    );
    let apps = scene.kustomization("apps", json!({"sourceRef": {"kind": "Bucket", "name": "manifests"}}));
    scene.cluster.apply(&apps).await?;
    scene.wait(&apps, "it is applied", is_ready).await?;
    assert!(scene.cluster.get(&scene.config_map("settings")).await?.is_some());
    for left_out in ["draft", "staging"] {
        assert!(scene.cluster.get(&scene.config_map(left_out)).await?.is_none(), "{left_out}");
    }

    put("production/a.yaml", config_map("settings", "two")).await?;
    scene.request(&source, "again").await?;
    let is_changed = |object: &Value| object["data"]["key"] == "two";
    scene.wait(&scene.config_map("settings"), "the change is applied", is_changed).await?;
    Ok(())
}

// Attack 21 (multi-tenancy): the identity of the controller is not lent to a tenant who names a service account.
#[tokio::test]
async fn a_service_account_is_not_replaced_by_that_of_the_controller() -> anyhow::Result<()> {
    let scene = Scene::set("bucket-account").await?;
    let mut source = scene.object("source.toolkit.fluxcd.io/v1", "Bucket", "manifests");
    source["spec"] = json!({
        "interval": "1h", "provider": "aws", "bucketName": "apps", "endpoint": "s3.example", "region": "eu-west-1",
        "serviceAccountName": "tenant",
    });
    scene.cluster.apply(&source).await?;
    let message = scene.wait_condition(&source, "False", "AuthenticationFailed").await?;
    assert!(message.contains(&format!("the service account {}/tenant", scene.namespace)), "{message}");
    let account = json!({
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "tenant", "namespace": scene.namespace},
    });
    scene.cluster.apply(&account).await?;
    scene.request(&source, "now").await?;
    let is_told = |object: &Value| object.to_string().contains("eks.amazonaws.com/role-arn");
    scene.wait(&source, "it is told what the service account lacks", is_told).await?;
    Ok(())
}
