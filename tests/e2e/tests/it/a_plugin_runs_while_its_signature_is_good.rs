use axum::Router;
use axum::http::header::{CONTENT_TYPE, HeaderName};
use plumb_test_support::cluster::{condition, is_ready};
use serde_json::{Value, json};

use crate::plugin_shop::{Shop, Signer, policy, signed_by};
use crate::scene::Scene;

fn runs(digest: &str) -> impl Fn(&Value) -> bool {
    move |object| is_ready(object) && object["status"]["digest"] == digest
}

fn message(object: &Value) -> String {
    condition(object, "Ready").map(|(_, _, message)| message.to_owned()).unwrap_or_default()
}

// Attack 29 (plugins): a key that was revoked; attack 27: a signature of somebody else.
#[tokio::test]
async fn and_stops_when_the_key_is_another_one() -> anyhow::Result<()> {
    let (shop, ada, eve) = (Shop::open()?, Signer::new()?, Signer::new()?);
    let scene = Scene::set("plugin-signed").await?;
    scene.cluster.apply(&ada.secret(&scene, "keys")).await?;
    let digest = shop.push("1", "first").await?;
    let plugin = shop.plugin(&scene, &json!({"verify": signed_by("keys")}));
    scene.cluster.apply(&plugin).await?;
    let told = scene.wait_condition(&plugin, "False", "VerificationError").await?;
    assert!(told.contains("there is no signature"), "{told}");

    shop.sign(&digest, &eve).await?;
    scene.request(&plugin, "signed by eve").await?;
    let is_refused = |object: &Value| message(object).contains("its signature was refused");
    scene.wait(&plugin, "the signature of somebody else is refused", is_refused).await?;

    shop.sign(&digest, &ada).await?;
    scene.request(&plugin, "signed by ada").await?;
    let found = scene.wait(&plugin, "it runs", runs(&digest)).await?;
    let status = &found["status"];
    assert_eq!(status["world"], "renderer");
    assert_eq!(status["wants"], Value::Null);
    assert_eq!(status["signature"], "cosign: release.pub of Secret keys");
    assert!(status["size"].as_i64().is_some_and(|size| size > 1000), "{status:#}");

    // The key is replaced: nobody has to ask for anything.
    scene.cluster.apply(&eve.secret(&scene, "keys")).await?;
    scene.wait_condition(&plugin, "False", "VerificationError").await?;
    scene.cluster.apply(&ada.secret(&scene, "keys")).await?;
    scene.wait(&plugin, "it runs again", runs(&digest)).await?;
    scene.cluster.delete(&ada.secret(&scene, "keys")).await?;
    let told = scene.wait_condition(&plugin, "False", "VerificationError").await?;
    assert!(told.contains("does not exist"), "{told}");
    Ok(())
}

// Attack 27 (plugins): a plugin without a signature.
#[tokio::test]
async fn unless_a_policy_asks_for_none() -> anyhow::Result<()> {
    let shop = Shop::open()?;
    let scene = Scene::set("plugin-unsigned").await?;
    let digest = shop.push("1", "first").await?;
    let plugin = shop.plugin(&scene, &json!({}));
    scene.cluster.apply(&plugin).await?;
    let told = scene.wait_condition(&plugin, "False", "VerificationError").await?;
    assert!(
        told.starts_with("nobody says who must have signed the plugin") && told.contains("set spec.verify"),
        "{told}"
    );

    let all = format!("oci://{}/plugins/*", shop.registry.host());
    let allowing = policy(&scene, &json!([{"image": all, "unsigned": true}]));
    scene.cluster.apply(&allowing).await?;
    let found = scene.wait(&plugin, "it runs", runs(&digest)).await?;
    assert_eq!(found["status"]["signature"], Value::Null);

    let other = policy(&scene, &json!([{"image": "oci://other.example/plugins/*", "unsigned": true}]));
    scene.cluster.apply(&other).await?;
    let told = scene.wait_condition(&plugin, "False", "AccessDenied").await?;
    assert!(told.contains(&format!("add `image: {}` to spec.plugins", shop.repository())), "{told}");

    // A policy that asks for a signature, with keys of the namespace of the controller.
    let asking = policy(&scene, &json!([{"image": all, "verify": signed_by("no-such-keys")}]));
    scene.cluster.apply(&asking).await?;
    let told = scene.wait_condition(&plugin, "False", "VerificationError").await?;
    assert!(told.starts_with("Secret 'plumbline-system/no-such-keys'"), "{told}");
    scene.cluster.delete(&asking).await?;
    Ok(())
}

// Attack 27 (plugins): another plugin under the same tag. Attack 29: the registry is down.
#[tokio::test]
async fn whatever_its_tag_or_registry_do() -> anyhow::Result<()> {
    let (shop, ada) = (Shop::open()?, Signer::new()?);
    let mut scene = Scene::set("plugin-tag").await?;
    scene.cluster.apply(&ada.secret(&scene, "keys")).await?;
    let first = shop.push("1", "first").await?;
    shop.sign(&first, &ada).await?;
    let mut plugin = shop.plugin(&scene, &json!({"verify": signed_by("keys")}));
    scene.cluster.apply(&plugin).await?;
    scene.wait(&plugin, "it runs", runs(&first)).await?;

    let second = shop.push("1", "second").await?;
    shop.sign(&second, &ada).await?;
    scene.request(&plugin, "look").await?;
    let is_told = |object: &Value| object["status"]["available"]["digest"] == second.as_str();
    let found = scene.wait(&plugin, "the tag has moved", is_told).await?;
    assert!(runs(&first)(&found) && message(&found).contains("which is not followed"), "{found:#}");

    let asked = json!({"metadata": {"annotations": {
        "reconcile.fluxcd.io/requestedAt": "now", "reconcile.fluxcd.io/forceAt": "now",
    }}});
    scene.cluster.edit(&plugin, &asked).await?;
    let found = scene.wait(&plugin, "it is followed once", runs(&second)).await?;
    assert_eq!(found["status"]["available"], Value::Null);

    // Back to the first by its digest, and the second is only told.
    plugin["spec"]["digest"] = json!(first);
    scene.cluster.apply(&plugin).await?;
    scene.wait(&plugin, "the pin runs", runs(&first)).await?;

    // Without a good signature, nothing is followed either.
    let plugin = shop.plugin(&scene, &json!({"verify": signed_by("keys"), "upgrade": "Automatic"}));
    let third = shop.push("1", "third").await?;
    scene.cluster.apply(&plugin).await?;
    let is_refused =
        |object: &Value| runs(&first)(object) && object["status"]["available"]["digest"] == third.as_str();
    let found = scene.wait(&plugin, "the unsigned one does not run", is_refused).await?;
    assert!(message(&found).contains("there is no signature"), "{found:#}");

    // The registry is gone, and a restart goes on with what was pulled.
    drop(shop);
    scene.controller.terminate()?;
    scene.controller.start_again().await?;
    let goes_on = |object: &Value| {
        runs(&first)(object) && condition(object, "FetchFailed").is_some_and(|(status, ..)| status == "True")
    };
    scene.wait(&plugin, "it runs without the registry", goes_on).await?;

    // What cannot be verified with the keys that there are now does not run, registry or not.
    scene.cluster.apply(&Signer::new()?.secret(&scene, "keys")).await?;
    scene.wait_condition(&plugin, "False", "VerificationError").await?;
    Ok(())
}

// Attack 9 (sources): a registry that sends something else than what was asked for.
#[tokio::test]
async fn and_never_when_it_is_not_what_was_asked_for() -> anyhow::Result<()> {
    let digest = format!("sha256:{}", "ab".repeat(32));
    let answered = digest.clone();
    let answer = move || {
        let digest = answered.clone();
        async move {
            let headers = [
                (CONTENT_TYPE, "application/vnd.oci.image.manifest.v1+json".to_owned()),
                (HeaderName::from_static("docker-content-digest"), digest),
            ];
            (headers, r#"{"schemaVersion": 2, "config": {}, "layers": []}"#)
        }
    };
    let router = Router::new().fallback(axum::routing::any(answer));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let host = listener.local_addr()?.to_string();
    tokio::spawn(async move { axum::serve(listener, router).await });

    let scene = Scene::set("plugin-digest").await?;
    scene
        .cluster
        .apply(&policy(&scene, &json!([{"image": format!("oci://{host}/*"), "unsigned": true}])))
        .await?;
    let mut plugin = scene.object("plumbline.dev/v1alpha1", "Plugin", "files");
    plugin["spec"] = json!({"image": format!("oci://{host}/files:1"), "insecure": true});
    scene.cluster.apply(&plugin).await?;
    let told = scene.wait_condition(&plugin, "False", "OCIArtifactPullFailed").await?;
    assert!(told.contains(&format!("sent something else for the manifest {digest}")), "{told}");
    Ok(())
}

#[tokio::test]
async fn and_only_when_it_is_a_plugin() -> anyhow::Result<()> {
    let shop = Shop::open()?;
    let scene = Scene::set("plugin-odd").await?;
    shop.push_bytes("1", "no plugin", b"#!/bin/sh\n".to_vec()).await?;
    let all = format!("oci://{}/*", shop.registry.host());
    scene
        .cluster
        .apply(&policy(&scene, &json!([{"image": all, "unsigned": true}, {"builtin": "*"}])))
        .await?;
    let plugin = shop.plugin(&scene, &json!({}));
    scene.cluster.apply(&plugin).await?;
    let told = scene.wait_condition(&plugin, "False", "OCIArtifactLayerOperationFailed").await?;
    assert!(told.contains("cannot be loaded"), "{told}");

    let mut builtin = scene.object("plumbline.dev/v1alpha1", "Plugin", "render");
    builtin["spec"] = json!({"builtin": "kustomize"});
    scene.cluster.apply(&builtin).await?;
    let found = scene.wait(&builtin, "a built-in one runs", is_ready).await?;
    assert_eq!(found["status"]["world"], "renderer");
    builtin["spec"] = json!({"builtin": "no-such-plugin"});
    scene.cluster.apply(&builtin).await?;
    scene.wait_condition(&builtin, "False", "NotFound").await?;
    Ok(())
}
