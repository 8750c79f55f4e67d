use crate::scene::{Scene, config_map};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use plumb_test_support::sealed_secrets::SealingKey;
use serde_json::{Value, json};

/// A scene without a commit, in which Pipelines may hand Secrets to plugins.
async fn scene(name: &str) -> anyhow::Result<Scene> {
    let scene = Scene::set(name).await?;
    scene.cluster.apply(&policy(&scene)).await?;
    Ok(scene)
}

fn policy(scene: &Scene) -> Value {
    json!({
        "apiVersion": "plumbline.dev/v1alpha1", "kind": "PluginPolicy", "metadata": {"name": scene.namespace},
        "spec": {"namespaces": [scene.namespace], "plugins": [{"builtin": "*", "capabilities": {"secrets": true}}]},
    })
}

/// Puts private keys into a Secret of the cluster, as the controller of Sealed Secrets has them: one Secret a key.
async fn hand_over(scene: &Scene, name: &str, key: &SealingKey) -> anyhow::Result<()> {
    let mut secret = scene.object("v1", "Secret", name);
    secret["stringData"] = json!({"tls.key": key.private});
    scene.cluster.apply(&secret).await?;
    Ok(())
}

/// A Pipeline that unseals with the keys in these Secrets.
fn unsealing(scene: &Scene, secrets: &[&str]) -> Value {
    let key = |secret: &&str| json!({"name": secret, "secretRef": {"name": secret, "key": "tls.key"}});
    let secrets: Vec<_> = secrets.iter().map(key).collect();
    let steps = json!([
        {"plugin": "yaml", "with": {"path": ""}},
        {"plugin": "sealed-secrets", "capabilities": {"secrets": secrets}},
    ]);
    scene.pipeline("apps", steps, json!({}))
}

/// A Secret that was sealed under this name in the namespace of the test. `scope` is an annotation, or nothing for the strict one.
fn sealed(scene: &Scene, key: &SealingKey, name: &str, value: &str, scope: &str) -> anyhow::Result<String> {
    let mut secret = scene.object("v1", "Secret", name);
    secret["data"] = json!({"password": STANDARD.encode(value)});
    if !scope.is_empty() {
        secret["metadata"]["annotations"] = json!({format!("sealedsecrets.bitnami.com/{scope}"): "true"});
    }
    key.seal(&secret)
}

fn holds(value: &str) -> impl Fn(&Value) -> bool + use<> {
    let encoded = STANDARD.encode(value);
    move |secret: &Value| secret["data"]["password"] == encoded.as_str()
}

#[tokio::test]
async fn what_upstream_has_sealed_is_the_secret_that_it_was() -> anyhow::Result<()> {
    let scene = scene("sealed").await?;
    let key = SealingKey::generate()?;
    hand_over(&scene, "sealing-key", &key).await?;
    let wide = sealed(&scene, &key, "any", "canary-4802", "namespace-wide")?;
    scene.commit(&[
        ("strict.yaml", &sealed(&scene, &key, "login", "canary-4801", "")?),
        ("wide.yaml", &wide.replace("\"any\"", "\"renamed\"")),
        ("cluster.yaml", &sealed(&scene, &key, "everywhere", "canary-4803", "cluster-wide")?),
    ])?;
    scene.cluster.apply(&scene.source()).await?;
    scene.apply_and_wait(&unsealing(&scene, &["sealing-key"])).await?;
    for (name, value) in [("login", "canary-4801"), ("renamed", "canary-4802"), ("everywhere", "canary-4803")]
    {
        let live = scene.cluster.get(&scene.object("v1", "Secret", name)).await?.unwrap_or_default();
        assert!(holds(value)(&live), "{name}: {live}");
    }
    assert!(!scene.controller.log().contains("canary-48"));
    scene.cluster.delete(&policy(&scene)).await?;
    Ok(())
}

#[tokio::test]
async fn keys_are_rotated_by_handing_over_another() -> anyhow::Result<()> {
    let scene = scene("sealed-rotation").await?;
    let (old, new) = (SealingKey::generate()?, SealingKey::generate()?);
    hand_over(&scene, "old", &old).await?;
    scene.commit(&[("a.yaml", &sealed(&scene, &old, "login", "hunter2", "")?)])?;
    scene.cluster.apply(&scene.source()).await?;
    let apps = unsealing(&scene, &["old"]);
    scene.apply_and_wait(&apps).await?;

    let commit = scene.push(&[("b.yaml", &sealed(&scene, &new, "token", "hunter3", "")?)]).await?;
    let message = scene.wait_condition(&apps, "False", "BuildFailed").await?;
    assert!(message.contains("token cannot be unsealed") && !message.contains("login"), "{message}");
    hand_over(&scene, "new", &new).await?;
    scene.cluster.apply(&unsealing(&scene, &["old", "new"])).await?;
    scene.wait_applied(&apps, &commit).await?;
    let token = scene.object("v1", "Secret", "token");
    scene.wait(&token, "the new key opens it", holds("hunter3")).await?;

    // Nothing but the Secret with the key changes, and nobody asks.
    let newest = SealingKey::generate()?;
    let commit = scene.push(&[("b.yaml", &sealed(&scene, &newest, "token", "hunter4", "")?)]).await?;
    scene.wait_condition(&apps, "False", "BuildFailed").await?;
    hand_over(&scene, "new", &newest).await?;
    scene.wait_applied(&apps, &commit).await?;
    scene.wait(&token, "the newest key opens it", holds("hunter4")).await?;
    let login = scene.cluster.get(&scene.object("v1", "Secret", "login")).await?.unwrap_or_default();
    assert!(holds("hunter2")(&login), "{login}");
    scene.cluster.delete(&policy(&scene)).await?;
    Ok(())
}

// Attack 18 (Secrets): what was sealed for one object is put under another name, or its scope is widened.
#[tokio::test]
async fn what_is_used_out_of_its_scope_leaves_the_cluster_as_it_was() -> anyhow::Result<()> {
    let scene = scene("sealed-scope").await?;
    let key = SealingKey::generate()?;
    hand_over(&scene, "sealing-key", &key).await?;
    let strict = sealed(&scene, &key, "login", "canary-4811", "")?;
    scene.commit(&[("a.yaml", &strict)])?;
    scene.cluster.apply(&scene.source()).await?;
    let apps = unsealing(&scene, &["sealing-key"]);
    scene.apply_and_wait(&apps).await?;

    let annotated =
        "\"annotations\": {\"sealedsecrets.bitnami.com/cluster-wide\": \"true\"}, \"name\": \"mine\"";
    let moved = strict.replace("\"name\": \"login\"", annotated);
    assert_ne!(moved, strict);
    scene.push(&[("b.yaml", &moved), ("c.yaml", &config_map("settings", "new"))]).await?;
    let message = scene.wait_condition(&apps, "False", "BuildFailed").await?;
    let told = format!("SealedSecret {}/mine cannot be unsealed: the value of password", scene.namespace);
    assert!(
        message.contains(&told) && message.contains("another key, name, namespace or scope"),
        "{message}"
    );

    let live = scene.cluster.get(&scene.object("v1", "Secret", "login")).await?.unwrap_or_default();
    assert!(holds("canary-4811")(&live), "{live}");
    assert!(scene.cluster.get(&scene.config_map("settings")).await?.is_none());
    assert!(scene.cluster.get(&scene.object("v1", "Secret", "mine")).await?.is_none());
    let log = scene.controller.log();
    assert!(!log.contains("canary-48") && !message.contains("canary-48"), "{log}");
    scene.cluster.delete(&policy(&scene)).await?;
    Ok(())
}
