use crate::scene::{Scene, config_map};
use plumb_test_support::cluster::is_ready;
use serde_json::{Value, json};

// Attack 23 (Kubernetes): intervals that are no length of time, or a very long or short one.
#[tokio::test]
async fn an_interval_is_a_length_of_time_or_refused() -> anyhow::Result<()> {
    let scene = Scene::with_files("odd-interval", &[("a.yaml", &config_map("settings", "one"))]).await?;
    for interval in ["1d", "-1m", "", "5", "1.m"] {
        let refused = scene.cluster.edit(&scene.source(), &json!({"spec": {"interval": interval}})).await;
        let error = format!("{:#}", refused.expect_err(interval));
        assert!(error.contains("spec.interval"), "{interval}: {error}");
    }
    // The definition lets this one in. It is left alone, and does not keep the others from being looked at.
    let mut endless = scene.source();
    endless["metadata"]["name"] = "endless".into();
    endless["spec"]["interval"] = "99999999999999999999h".into();
    scene.cluster.apply(&endless).await?;

    scene.cluster.edit(&scene.source(), &json!({"spec": {"interval": "0s"}})).await?;
    scene.wait(&scene.source(), "the source is fetched", is_ready).await?;
    scene.apply_and_wait(&scene.kustomization("apps", json!({}))).await?;
    assert_eq!(scene.cluster.get(&endless).await?.unwrap_or_default()["status"]["artifact"], Value::Null);
    assert!(scene.controller.log().contains("the object cannot be read and is left alone"));
    Ok(())
}

// Attack 23 (Kubernetes): a name of 253 characters.
#[tokio::test]
async fn a_source_may_have_the_longest_name() -> anyhow::Result<()> {
    let scene = Scene::with_files("odd-name", &[("a.yaml", &config_map("settings", "one"))]).await?;
    let name = "n".repeat(253);
    let mut source = scene.source();
    source["metadata"]["name"] = name.as_str().into();
    scene.cluster.apply(&source).await?;
    let source_ref = json!({"sourceRef": {"kind": "GitRepository", "name": name}});
    scene.apply_and_wait(&scene.kustomization("apps", source_ref)).await?;
    Ok(())
}

// Attack 21 (multi-tenancy): no field of a source names a Secret of another namespace.
#[tokio::test]
async fn a_secret_of_another_namespace_cannot_be_named() -> anyhow::Result<()> {
    let scene = Scene::set("odd-secret").await?;
    let other = json!({"name": "git", "namespace": "kube-system"});
    let url = json!({"interval": "1h", "url": "oci://registry.example/apps"});
    let bucket = json!({"interval": "1h", "bucketName": "apps", "endpoint": "s3.example"});
    let git = json!({"interval": "1h", "url": "https://git.example/apps"});
    let cases = [
        ("GitRepository", &git, "secretRef"),
        ("GitRepository", &git, "proxySecretRef"),
        ("OCIRepository", &url, "secretRef"),
        ("OCIRepository", &url, "certSecretRef"),
        ("OCIRepository", &url, "proxySecretRef"),
        ("Bucket", &bucket, "secretRef"),
        ("Bucket", &bucket, "certSecretRef"),
        ("Bucket", &bucket, "proxySecretRef"),
    ];
    for (kind, spec, field) in cases {
        let mut object = scene.object("source.toolkit.fluxcd.io/v1", kind, "thief");
        object["spec"] = spec.clone();
        object["spec"][field] = other.clone();
        let error = format!("{:#}", scene.cluster.apply(&object).await.expect_err(field));
        assert!(error.contains("field not declared in schema"), "{kind} {field}: {error}");
    }
    Ok(())
}
