use plumb_test_support::cluster::{condition, is_ready};
use serde_json::{Value, json};

use crate::plugin_shop::{Shop, Signer, policy, signed_by};
use crate::scene::{Scene, config_map};

/// A step that renders the files of `deploy` with a plugin that works like `yaml`.
fn step(plugin: &str, capabilities: &Value) -> Value {
    json!([{"name": "render", "plugin": plugin, "with": {"path": "deploy"}, "capabilities": capabilities}])
}

async fn scene(name: &str) -> anyhow::Result<Scene> {
    Scene::with_files(name, &[("deploy/a.yaml", &config_map("a", "x"))]).await
}

async fn is_there(scene: &Scene) -> anyhow::Result<bool> {
    Ok(scene.cluster.get(&scene.config_map("a")).await?.is_some())
}

// Attack 29 (plugins): a key that was revoked, while Pipelines use the plugin.
#[tokio::test]
async fn a_signed_one_of_a_registry_for_as_long_as_it_is_verified() -> anyhow::Result<()> {
    let (shop, ada, eve) = (Shop::open()?, Signer::new()?, Signer::new()?);
    let scene = scene("policy-signed").await?;
    let apps = scene.pipeline("apps", step("files", &json!({})), json!({}));
    scene.cluster.apply(&apps).await?;
    let told = scene.wait_condition(&apps, "False", "PluginNotReady").await?;
    assert!(told.contains("there is no Plugin 'files' in the namespace"), "{told}");

    scene.cluster.apply(&ada.secret(&scene, "keys")).await?;
    let digest = shop.push("1", "first").await?;
    shop.sign(&digest, &ada).await?;
    let plugin = shop.plugin(&scene, &json!({"verify": signed_by("keys")}));
    scene.cluster.apply(&plugin).await?;
    scene.wait(&apps, "it is applied with the plugin", is_ready).await?;
    assert!(is_there(&scene).await?);

    scene.cluster.apply(&eve.secret(&scene, "keys")).await?;
    // First of all that it is loaded anew.
    let is_refused = |object: &Value| {
        condition(object, "Ready").is_some_and(|(status, reason, message)| {
            (status, reason) == ("False", "PluginNotReady") && message.contains("is not ready")
        })
    };
    scene.wait(&apps, "the plugin is no longer trusted", is_refused).await?;
    assert!(is_there(&scene).await?, "what was applied stays");
    scene.cluster.apply(&ada.secret(&scene, "keys")).await?;
    scene.wait(&apps, "the plugin is trusted again", is_ready).await?;
    Ok(())
}

// Attack 28 (plugins): a plugin that passes for another one by its name.
#[tokio::test]
async fn whatever_it_is_called() -> anyhow::Result<()> {
    let scene = scene("policy-names").await?;
    let allowing = policy(&scene, &json!([{"builtin": "labels", "capabilities": {"clock": true}}]));
    scene.cluster.apply(&allowing).await?;
    let mut plugin = scene.object("plumbline.dev/v1alpha1", "Plugin", "labels");
    plugin["spec"] = json!({"builtin": "yaml"});
    scene.cluster.apply(&plugin).await?;
    let apps = scene.pipeline("apps", step("labels", &json!({"clock": true})), json!({}));
    scene.cluster.apply(&apps).await?;
    let told = scene.wait_condition(&apps, "False", "PluginNotReady").await?;
    let denied = format!("the built-in plugin yaml may not run in the namespace '{}'", scene.namespace);
    assert!(told.contains(&denied) && told.contains("add `builtin: yaml` to spec.plugins"), "{told}");
    assert!(!is_there(&scene).await?);

    // A change of the policy is enough.
    let allowing = policy(&scene, &json!([{"builtin": "yaml", "capabilities": {"clock": true}}]));
    scene.cluster.apply(&allowing).await?;
    scene.wait(&apps, "it is allowed now", is_ready).await?;
    scene.cluster.delete(&allowing).await?;
    Ok(())
}

// Attack 28 (plugins): the grant of one tenant, asked for by another.
#[tokio::test]
async fn for_the_tenant_whose_grant_it_is() -> anyhow::Result<()> {
    let (ours, theirs) = (scene("policy-ours").await?, scene("policy-theirs").await?);
    let allowing = policy(&ours, &json!([{"builtin": "*", "capabilities": {"secrets": true}}]));
    ours.cluster.apply(&allowing).await?;
    for scene in [&ours, &theirs] {
        let mut secret = scene.object("v1", "Secret", "api");
        secret["stringData"] = json!({"token": "hunter2"});
        scene.cluster.apply(&secret).await?;
        let handed = json!({"secrets": [{"name": "token", "secretRef": {"name": "api", "key": "token"}}]});
        let apps = scene.pipeline("apps", step("yaml", &handed), json!({}));
        scene.cluster.apply(&apps).await?;
    }
    let apps = |scene: &Scene| scene.object("plumbline.dev/v1alpha1", "Pipeline", "apps");
    ours.wait(&apps(&ours), "who was granted it has it", is_ready).await?;
    let told = theirs.wait_condition(&apps(&theirs), "False", "PluginNotReady").await?;
    for part in
        ["to hand values of Secrets to the built-in plugin yaml", "make a PluginPolicy", "`secrets: true`"]
    {
        assert!(told.contains(part), "{told}");
    }
    assert!(told.contains(&format!("'{}'", theirs.namespace)) && !told.contains("hunter2"), "{told}");
    assert!(!is_there(&theirs).await?);
    ours.cluster.delete(&allowing).await?;
    let told = ours.wait_condition(&apps(&ours), "False", "PluginNotReady").await?;
    assert!(told.contains("no PluginPolicy allows"), "what was granted once is not kept: {told}");
    assert!(is_there(&ours).await?, "what was applied stays");
    Ok(())
}
