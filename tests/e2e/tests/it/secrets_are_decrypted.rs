use crate::scene::{Scene, config_map};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use plumb_test_support::sops::AgeKey;
use serde_json::{Value, json};

/// A scene with an encrypted Secret and the key for it.
async fn scene(name: &str, value: &str) -> anyhow::Result<(Scene, AgeKey)> {
    let key = AgeKey::generate()?;
    let scene = Scene::with_files(name, &[("a.yaml", &key.secret("login", "password", value)?)]).await?;
    scene.cluster.apply(&keys(&scene, &key)).await?;
    Ok((scene, key))
}

/// The Secret with the key.
fn keys(scene: &Scene, key: &AgeKey) -> Value {
    let mut keys = scene.object("v1", "Secret", "sops-age");
    keys["stringData"] = json!({"age.agekey": key.file});
    keys
}

fn decrypting(scene: &Scene) -> Value {
    let decryption = json!({"provider": "sops", "secretRef": {"name": "sops-age"}});
    scene.kustomization("apps", json!({ "decryption": decryption }))
}

fn holds(key: &'static str, value: &str) -> impl Fn(&Value) -> bool + use<> {
    let encoded = STANDARD.encode(value);
    move |secret: &Value| secret["data"][key] == encoded.as_str()
}

fn login(scene: &Scene) -> Value {
    scene.object("v1", "Secret", "login")
}

#[tokio::test]
async fn a_secret_is_applied_as_it_was_before_it_was_encrypted() -> anyhow::Result<()> {
    let (scene, _) = scene("sops", "hunter2").await?;
    let apps = decrypting(&scene);
    scene.apply_and_wait(&apps).await?;
    let login = scene.wait(&login(&scene), "it is decrypted", holds("password", "hunter2")).await?;
    assert!(login.get("sops").is_none());
    Ok(())
}

#[tokio::test]
async fn what_generators_and_patches_name_is_decrypted_before_the_build() -> anyhow::Result<()> {
    let key = AgeKey::generate()?;
    let kustomization = "resources: [config.yaml]\nsecretGenerator:\n- name: made\n  envs: [.env]\n  files: [tls.key=key.enc]\n\
        generatorOptions: {disableNameSuffixHash: true}\npatches:\n- path: patch.enc.yaml\n";
    let patch = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: config\ndata:\n  key: patched\n";
    let scene = Scene::with_files(
        "sops-generators",
        &[
            ("kustomization.yaml", kustomization),
            ("config.yaml", &config_map("config", "plain")),
            (".env", &key.encrypt("dotenv", "TOKEN=hunter2\nOTHER=x=y\n", &[])?),
            ("key.enc", &key.encrypt("binary", "-----BEGIN-----\n", &[])?),
            ("patch.enc.yaml", &key.encrypt("yaml", patch, &["--encrypted-regex", "^data$"])?),
        ],
    )
    .await?;
    scene.cluster.apply(&keys(&scene, &key)).await?;
    let apps = decrypting(&scene);
    scene.apply_and_wait(&apps).await?;
    let made = scene.object("v1", "Secret", "made");
    let made = scene.wait(&made, "it has the token", holds("TOKEN", "hunter2")).await?;
    assert!(holds("OTHER", "x=y")(&made) && holds("tls.key", "-----BEGIN-----\n")(&made), "{made}");
    let config = scene.cluster.get(&scene.config_map("config")).await?.unwrap_or_default();
    assert_eq!(config["data"]["key"], "patched");
    Ok(())
}

#[tokio::test]
async fn a_new_key_is_noticed_and_what_it_opens_is_applied() -> anyhow::Result<()> {
    let (scene, _) = scene("sops-rotation", "hunter2").await?;
    let apps = decrypting(&scene);
    scene.apply_and_wait(&apps).await?;
    let next = AgeKey::generate()?;
    let commit = scene.push(&[("a.yaml", &next.secret("login", "password", "hunter3")?)]).await?;
    let message = scene.wait_condition(&apps, "False", "BuildFailed").await?;
    assert!(message.contains(&next.recipient) && message.contains("no identity fits"), "{message}");
    // Nothing but the Secret with the keys changes, and nobody asks.
    scene.cluster.apply(&keys(&scene, &next)).await?;
    scene.wait_applied(&apps, &commit).await?;
    scene.wait(&login(&scene), "the new value is applied", holds("password", "hunter3")).await?;
    Ok(())
}

// Attack 18 (Secrets): a file that somebody else has encrypted, or that was tampered with.
#[tokio::test]
async fn what_cannot_be_decrypted_leaves_the_cluster_as_it_was() -> anyhow::Result<()> {
    let (scene, key) = scene("sops-wrong-key", "canary-4711").await?;
    let apps = decrypting(&scene);
    scene.apply_and_wait(&apps).await?;
    let foreign = AgeKey::generate()?.secret("login", "password", "canary-4712")?;
    scene.push(&[("a.yaml", &foreign), ("b.yaml", &config_map("settings", "new"))]).await?;
    let message = scene.wait_condition(&apps, "False", "BuildFailed").await?;
    assert!(message.contains("Secret") && message.contains("login cannot be decrypted"), "{message}");

    let other = key.secret("login", "user", "canary-4713")?;
    let user = other.lines().find(|line| line.contains("user: ENC")).unwrap_or_default();
    let mine = key.secret("login", "password", "canary-4714")?;
    let mixed = mine.replace("stringData:\n", &format!("stringData:\n{user}\n"));
    assert_ne!(mine, mixed);
    scene.push(&[("a.yaml", &mixed)]).await?;
    let told = |object: &Value| {
        object["status"].to_string().contains("the value of stringData.user cannot be decrypted")
    };
    scene.wait(&apps, "the moved value is told", told).await?;

    let live = scene.cluster.get(&login(&scene)).await?.unwrap_or_default();
    assert!(holds("password", "canary-4711")(&live), "{live}");
    assert!(scene.cluster.get(&scene.config_map("settings")).await?.is_none());
    let log = scene.controller.log();
    assert!(!log.contains("canary-47") && !message.contains("canary-47"), "{log}");
    Ok(())
}

#[tokio::test]
async fn an_object_that_says_so_is_not_decrypted() -> anyhow::Result<()> {
    let key = AgeKey::generate()?;
    let plain = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: kept\n  annotations:\n    kustomize.toolkit.fluxcd.io/decrypt: disabled\ndata:\n  key: hunter2\n";
    let kept = key.encrypt("yaml", plain, &["--encrypted-regex", "^data$"])?;
    // The API server does not know the field `sops` of a ConfigMap; the annotation keeps the value as it is.
    let kept = kept.split("\nsops:").next().unwrap_or_default().to_owned() + "\n";
    let scene = Scene::with_files("sops-disabled", &[("a.yaml", &kept)]).await?;
    scene.cluster.apply(&keys(&scene, &key)).await?;
    let apps = decrypting(&scene);
    scene.apply_and_wait(&apps).await?;
    let live = scene.cluster.get(&scene.config_map("kept")).await?.unwrap_or_default();
    assert!(live["data"]["key"].as_str().is_some_and(|value| value.starts_with("ENC[")), "{live}");

    let without = kept.replace("    kustomize.toolkit.fluxcd.io/decrypt: disabled\n", "    note: none\n");
    scene.push(&[("a.yaml", &without)]).await?;
    let message = scene.wait_condition(&apps, "False", "BuildFailed").await?;
    assert!(message.contains("data.key, and no `sops.mac`"), "{message}");
    Ok(())
}

#[tokio::test]
async fn who_names_no_keys_uses_those_of_the_operator() -> anyhow::Result<()> {
    let key = AgeKey::generate()?;
    let files = [("a.yaml", &*key.secret("login", "password", "hunter2")?)];
    let cluster = crate::scene::cluster().await?;
    let operator = cluster.namespace("sops-operator").await?;
    let mut keys = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "everybody", "namespace": operator}});
    keys["stringData"] = json!({"age.agekey": key.file, "sops.vault-token": "not for everybody"});
    cluster.apply(&keys).await?;
    let arguments = ["--sops-age-secret", "everybody", "--leader-election-namespace", &operator];
    let scene = Scene::with_files_and("sops-everybody", &files, &arguments).await?;
    let apps = scene.kustomization("apps", json!({"decryption": {"provider": "sops"}}));
    scene.apply_and_wait(&apps).await?;
    scene.wait(&login(&scene), "it is decrypted", holds("password", "hunter2")).await?;
    Ok(())
}

#[tokio::test]
async fn a_pipeline_decrypts_where_it_says() -> anyhow::Result<()> {
    let (scene, _) = scene("sops-pipeline", "hunter2").await?;
    let steps = json!([
        {"plugin": "kustomize", "with": {"path": ""}},
        {"plugin": "sops", "capabilities": {"secrets": [{"name": "age.agekey", "secretRef": {"name": "sops-age"}}]}},
    ]);
    let policy = json!({
        "apiVersion": "plumbline.dev/v1alpha1", "kind": "PluginPolicy", "metadata": {"name": scene.namespace},
        "spec": {"namespaces": [scene.namespace], "plugins": [{"builtin": "*", "capabilities": {"secrets": true}}]},
    });
    scene.cluster.apply(&policy).await?;
    let pipeline = scene.pipeline("apps", steps, json!({}));
    scene.cluster.apply(&pipeline).await?;
    scene.wait(&login(&scene), "it is decrypted", holds("password", "hunter2")).await?;
    scene.cluster.delete(&policy).await?;
    Ok(())
}
