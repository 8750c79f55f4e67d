use crate::releases;
use crate::scene::{Scene, config_map};
use anyhow::Context as _;
use serde_json::{Value, json};

/// A Secret with a kubeconfig.
fn kubeconfig_secret(scene: &Scene, kubeconfig: &str) -> Value {
    let mut secret = scene.object("v1", "Secret", "far");
    secret["stringData"] = json!({"value": kubeconfig});
    secret
}

/// The kubeconfig of the cluster of this test run, as if it were another one.
fn kubeconfig(scene: &Scene) -> anyhow::Result<String> {
    Ok(std::fs::read_to_string(&scene.cluster.kubeconfig)?)
}

#[tokio::test]
async fn objects_are_applied_to_the_other_cluster_and_drift_is_seen_there() -> anyhow::Result<()> {
    let scene = Scene::with_files("remote", &[("a.yaml", &config_map("a", "x"))]).await?;
    let apps = scene.kustomization("apps", json!({"kubeConfig": {"secretRef": {"name": "far"}}}));
    scene.cluster.apply(&apps).await?;
    let message = scene.wait_condition(&apps, "False", "ReconciliationFailed").await?;
    assert_eq!(
        message,
        format!("the cluster cannot be reached: Secret '{}/far' does not exist", scene.namespace)
    );

    // The Secret is watched: nothing else has to happen.
    scene.cluster.apply(&kubeconfig_secret(&scene, &kubeconfig(&scene)?)).await?;
    scene.wait_applied(&apps, &scene.repository.head()?).await?;

    scene.cluster.edit(&scene.config_map("a"), &json!({"data": {"key": "changed"}})).await?;
    let is_back = |object: &Value| object["data"]["key"] == "x";
    scene.wait(&scene.config_map("a"), "drift is put back", is_back).await?;

    scene.cluster.delete(&apps).await?;
    scene.cluster.wait_gone(&scene.config_map("a")).await?;
    Ok(())
}

#[tokio::test]
async fn a_release_is_made_in_the_other_cluster_and_kept_there() -> anyhow::Result<()> {
    let hook = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: prepare\n  annotations: {helm.sh/hook: pre-install}\n";
    let scene = releases::scene("remote-release", &[("charts/web/templates/hook.yaml", hook)]).await?;
    let spec = json!({"kubeConfig": {"secretRef": {"name": "far"}}, "values": {"key": "two"}});
    let web = releases::release(&scene, "web", spec);
    scene.cluster.apply(&web).await?;
    let message = scene.wait_condition(&web, "False", "ReconciliationFailed").await?;
    let expected = format!("the cluster cannot be reached: Secret '{}/far' does not exist", scene.namespace);
    assert_eq!(message, expected);

    scene.cluster.apply(&kubeconfig_secret(&scene, &kubeconfig(&scene)?)).await?;
    releases::wait_released(&scene, &web, 1).await?;
    assert_eq!(releases::status_of(&scene, "web", 1).await?.as_deref(), Some("deployed"));
    assert!(scene.cluster.get(&scene.config_map("prepare")).await?.is_some(), "hooks are run there");
    let settings = scene.config_map("web-settings");
    scene.cluster.delete(&settings).await?;
    scene.wait(&settings, "it is created again", |object| object["data"]["key"] == "two").await?;
    scene.cluster.edit(&web, &json!({"spec": {"values": {"key": "three"}}})).await?;
    releases::wait_released(&scene, &web, 2).await?;
    scene.wait(&settings, "it is upgraded", |object| object["data"]["key"] == "three").await?;

    scene.cluster.delete(&web).await?;
    scene.cluster.wait_gone(&web).await?;
    scene.cluster.wait_gone(&settings).await?;
    assert_eq!(releases::status_of(&scene, "web", 2).await?, None);
    Ok(())
}

#[tokio::test]
async fn a_kubeconfig_that_is_rotated_is_used_at_once() -> anyhow::Result<()> {
    let scene = Scene::with_files("remote-rotated", &[("a.yaml", &config_map("a", "x"))]).await?;
    let good = kubeconfig(&scene)?;
    scene.cluster.apply(&kubeconfig_secret(&scene, &good)).await?;
    let apps = scene
        .kustomization("apps", json!({"kubeConfig": {"secretRef": {"name": "far"}}, "retryInterval": "1h"}));
    scene.apply_and_wait(&apps).await?;

    // The credentials are revoked: what they could do before is not done any longer.
    let mut revoked: Value = serde_yaml::from_str(&good)?;
    revoked["users"][0]["user"] = json!({"token": "revoked"});
    scene.cluster.apply(&kubeconfig_secret(&scene, &revoked.to_string())).await?;
    let commit = scene.push(&[("a.yaml", &config_map("a", "y"))]).await?;
    let message = scene.wait_condition(&apps, "False", "ReconciliationFailed").await?;
    assert!(message.contains("Unauthorized"), "{message}");
    let before = scene.cluster.get(&scene.config_map("a")).await?.unwrap_or_default();
    assert_eq!(before["data"]["key"], "x");

    // The new ones are used although the next try would be in an hour.
    scene.cluster.apply(&kubeconfig_secret(&scene, &good)).await?;
    scene.wait_applied(&apps, &commit).await?;
    scene.cluster.edit(&scene.config_map("a"), &json!({"data": {"key": "changed"}})).await?;
    let is_back = |object: &Value| object["data"]["key"] == "y";
    scene.wait(&scene.config_map("a"), "drift is put back through the new connection", is_back).await?;
    Ok(())
}

// Attack 21 (multi-tenancy): a kubeconfig that would have the controller run a program or read its own files.
#[tokio::test]
async fn a_kubeconfig_that_runs_programs_or_reads_files_is_refused() -> anyhow::Result<()> {
    let scene = Scene::with_files("remote-evil", &[("a.yaml", &config_map("a", "x"))]).await?;
    let evil = "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{name: c, context: {cluster: c, user: u}}]\n\
                clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1', insecure-skip-tls-verify: true}}]\n\
                users:\n- name: u\n  user:\n    tokenFile: /var/run/secrets/kubernetes.io/serviceaccount/token\n    \
                exec: {apiVersion: client.authentication.k8s.io/v1, command: touch, args: [/tmp/plumb-e2e-was-here]}\n";
    scene.cluster.apply(&kubeconfig_secret(&scene, evil)).await?;
    let apps = scene.kustomization("apps", json!({"kubeConfig": {"secretRef": {"name": "far"}}}));
    scene.cluster.apply(&apps).await?;
    let message = scene.wait_condition(&apps, "False", "ReconciliationFailed").await?;
    for refused in ["(exec)", "(tokenFile)", "(insecure-skip-tls-verify)"] {
        assert!(message.contains(refused), "{refused} is named: {message}");
    }
    assert!(!std::path::Path::new("/tmp/plumb-e2e-was-here").exists());
    Ok(())
}

#[tokio::test]
async fn a_service_account_signs_in_to_a_cluster_that_knows_it() -> anyhow::Result<()> {
    let scene = Scene::with_files("remote-workload", &[("a.yaml", &config_map("a", "x"))]).await?;
    let rules = json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "watch", "create", "patch", "delete"]}]);
    scene.service_account("traveller", rules).await?;
    let config: Value = serde_yaml::from_str(&kubeconfig(&scene)?)?;
    let cluster = &config["clusters"][0]["cluster"];
    let authority =
        cluster["certificate-authority-data"].as_str().context("the kubeconfig holds its authority")?;
    let authority = String::from_utf8(base64(authority)?)?;
    let mut map = scene.object("v1", "ConfigMap", "far");
    map["data"] = json!({
        "provider": "generic", "address": cluster["server"], "ca.crt": authority, "serviceAccountName": "traveller",
        "audiences": "https://kubernetes.default.svc",
    });
    scene.cluster.apply(&map).await?;
    let apps = scene.kustomization("apps", json!({"kubeConfig": {"configMapRef": {"name": "far"}}}));
    scene.apply_and_wait(&apps).await?;
    assert!(scene.cluster.get(&scene.config_map("a")).await?.is_some());
    Ok(())
}

// Attack 21 (multi-tenancy): a tenant who names no service account would have the controller's own token sent to a server of his.
#[tokio::test]
async fn the_controllers_own_token_is_not_sent_to_a_cluster_that_a_tenant_names() -> anyhow::Result<()> {
    let flags = ["--default-kubeconfig-service-account", "nonesuch"];
    let scene = Scene::with_files_and("remote-own", &[("a.yaml", &config_map("a", "x"))], &flags).await?;
    let mut map = scene.object("v1", "ConfigMap", "far");
    map["data"] = json!({
        "provider": "generic", "address": "https://127.0.0.1:1", "audiences": "https://kubernetes.default.svc",
    });
    scene.cluster.apply(&map).await?;
    let apps = scene.kustomization("apps", json!({"kubeConfig": {"configMapRef": {"name": "far"}}}));
    scene.cluster.apply(&apps).await?;
    let message = scene.wait_condition(&apps, "False", "ReconciliationFailed").await?;
    assert!(message.contains(&format!("service account {}/nonesuch", scene.namespace)), "{message}");
    Ok(())
}

fn base64(text: &str) -> anyhow::Result<Vec<u8>> {
    use base64::Engine as _;
    Ok(base64::engine::general_purpose::STANDARD.decode(text)?)
}
