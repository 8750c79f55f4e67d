use crate::scene::{Scene, config_map};
use crate::servers::push;
use plumb_test_support::cluster::{condition, is_ready};
use serde_json::{Value, json};

const LOGIN: (&str, &str) = ("puller", "correct horse");

fn repository(scene: &Scene, url: &str, more: &Value) -> Value {
    let mut object = scene.object("source.toolkit.fluxcd.io/v1", "OCIRepository", "manifests");
    object["spec"] = json!({"interval": "1h", "url": url, "insecure": true});
    for (field, value) in more.as_object().into_iter().flatten() {
        object["spec"][field] = value.clone();
    }
    object
}

fn fetched(revision: &str) -> impl Fn(&Value) -> bool {
    move |object| is_ready(object) && object["status"]["artifact"]["revision"] == revision
}

#[tokio::test]
async fn as_its_tag_moves_and_after_a_restart() -> anyhow::Result<()> {
    let registry = plumb_test_support::registry(Some(LOGIN), None)?;
    let files = |value: &str| {
        [("deploy/a.yaml", config_map("settings", value)), ("test/b.yaml", config_map("unwanted", "x"))]
    };
    let push = async |tag: &str, value: &str| {
        let files = files(value);
        let files = files.each_ref().map(|(path, text)| (*path, text.as_str()));
        push(registry.origin(), Some(LOGIN), "apps/manifests", tag, &files).await
    };
    let first = push("latest", "one").await?;
    let mut scene = Scene::set("oci").await?;
    let url = format!("oci://{}/apps/manifests", registry.host());
    let source = repository(&scene, &url, &json!({"secretRef": {"name": "registry"}, "ignore": "/test/"}));
    scene.cluster.apply(&source).await?;
    let message = scene.wait_condition(&source, "False", "AuthenticationFailed").await?;
    assert!(message.contains("does not exist"), "{message}");

    let config = json!({"auths": {registry.host(): {"username": LOGIN.0, "password": LOGIN.1}}});
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "registry", "namespace": scene.namespace},
        "type": "kubernetes.io/dockerconfigjson", "stringData": {".dockerconfigjson": config.to_string()},
    });
    scene.cluster.apply(&secret).await?;
    scene.request(&source, "now").await?;
    let found = scene.wait(&source, "it is pulled", fetched(&format!("latest@{first}"))).await?;
    let status = &found["status"];
    assert_eq!(status["observedIgnore"], "/test/");
    assert_eq!(status["artifact"]["metadata"]["org.opencontainers.image.source"], "https://git.example/apps");
    assert_eq!(status["url"], status["artifact"]["url"]);

    let source_ref = json!({"sourceRef": {"kind": "OCIRepository", "name": "manifests"}});
    let apps = scene.kustomization("apps", source_ref);
    scene.cluster.apply(&apps).await?;
    scene.wait(&apps, "it is applied", is_ready).await?;
    assert!(scene.cluster.get(&scene.config_map("settings")).await?.is_some());
    assert!(scene.cluster.get(&scene.config_map("unwanted")).await?.is_none());

    let second = push("latest", "two").await?;
    scene.request(&source, "again").await?;
    let is_changed = |object: &Value| object["data"]["key"] == "two";
    scene.wait(&scene.config_map("settings"), "the new artifact is applied", is_changed).await?;
    scene.wait(&source, "the status tells of it", fetched(&format!("latest@{second}"))).await?;

    // The registry is gone, and a restart goes on with what was pulled.
    scene.controller.terminate()?;
    drop(registry);
    scene.cluster.delete(&scene.config_map("settings")).await?;
    scene.controller.start_again().await?;
    scene.wait(&scene.config_map("settings"), "what is missing is put back", is_changed).await?;
    Ok(())
}

#[tokio::test]
async fn only_when_it_is_signed_by_whom_it_should_be() -> anyhow::Result<()> {
    let registry = plumb_test_support::registry(None, None)?;
    push(registry.origin(), None, "apps", "v1.0.0", &[("a.yaml", &config_map("settings", "one"))]).await?;
    let scene = Scene::set("oci-signed").await?;
    let key = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt\n\
               6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q==\n-----END PUBLIC KEY-----\n";
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "signers", "namespace": scene.namespace},
        "stringData": {"team.pub": key},
    });
    scene.cluster.apply(&secret).await?;
    let url = format!("oci://{}/apps", registry.host());
    let verify =
        json!({"ref": {"tag": "v1.0.0"}, "verify": {"provider": "cosign", "secretRef": {"name": "signers"}}});
    let source = repository(&scene, &url, &verify);
    scene.cluster.apply(&source).await?;
    // Attack 9 (sources): an artifact without a signature.
    scene.wait_condition(&source, "False", "VerificationError").await?;
    let found = scene.cluster.get(&source).await?.unwrap_or_default();
    assert!(condition(&found, "SourceVerified").is_some_and(|(status, ..)| status == "False"), "{found:#}");
    assert_eq!(found["status"]["artifact"], Value::Null);

    let source = repository(&scene, &url, &json!({"ref": {"semver": ">=1.0.0"}}));
    scene.cluster.apply(&source).await?;
    let found = scene.wait(&source, "it is pulled by its version", is_ready).await?;
    assert!(condition(&found, "SourceVerified").is_none(), "{found:#}");
    Ok(())
}
