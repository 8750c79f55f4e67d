//! A registry with plugins in it, and somebody who signs them as cosign does.

use anyhow::Context as _;
use base64::Engine as _;
use plumb_test_support::Registry;
use rcgen::{KeyPair, SigningKey as _};
use serde_json::{Value, json};

use crate::scene::Scene;
use crate::servers::Artifact;

/// The repository of the plugin.
const REPOSITORY: &str = "plugins/files";

/// A registry in which the plugin `yaml` is published under another name.
pub(crate) struct Shop {
    pub(crate) registry: Registry,
}

impl Shop {
    pub(crate) fn open() -> anyhow::Result<Self> {
        Ok(Self { registry: plumb_test_support::registry(None, None)? })
    }

    /// `oci://HOST/REPOSITORY`.
    pub(crate) fn repository(&self) -> String {
        format!("oci://{}/{REPOSITORY}", self.registry.host())
    }

    /// Pushes the plugin under a tag, and returns the digest. Other notes are another digest.
    pub(crate) async fn push(&self, tag: &str, note: &str) -> anyhow::Result<String> {
        let plugins = std::env::var_os("PLUMB_PLUGIN_DIR").context("PLUMB_PLUGIN_DIR is not set")?;
        let bytes = std::fs::read(std::path::Path::new(&plugins).join("yaml.wasm"))?;
        self.push_bytes(tag, note, bytes).await
    }

    /// As [`push`](Self::push), whatever it is.
    pub(crate) async fn push_bytes(&self, tag: &str, note: &str, bytes: Vec<u8>) -> anyhow::Result<String> {
        let artifact = Artifact {
            config: "application/vnd.wasm.config.v0+json",
            layer: "application/wasm",
            bytes,
            layer_annotations: json!({}),
            annotations: json!({"org.opencontainers.image.description": note}),
        };
        artifact.push(self.registry.origin(), None, REPOSITORY, tag).await
    }

    /// Signs what has this digest.
    pub(crate) async fn sign(&self, digest: &str, signer: &Signer) -> anyhow::Result<()> {
        let payload = json!({"critical": {
            "identity": {"docker-reference": self.repository()},
            "image": {"docker-manifest-digest": digest},
            "type": "cosign container image signature",
        }, "optional": null});
        let payload = payload.to_string().into_bytes();
        let signature = base64::engine::general_purpose::STANDARD.encode(signer.0.sign(&payload)?);
        let artifact = Artifact {
            config: "application/vnd.oci.image.config.v1+json",
            layer: "application/vnd.dev.cosign.simplesigning.v1+json",
            bytes: payload,
            layer_annotations: json!({"dev.cosignproject.cosign/signature": signature}),
            annotations: json!({}),
        };
        let tag = format!("{}.sig", digest.replace(':', "-"));
        artifact.push(self.registry.origin(), None, REPOSITORY, &tag).await?;
        Ok(())
    }

    /// A Plugin of the tag `1`.
    pub(crate) fn plugin(&self, scene: &Scene, more: &Value) -> Value {
        let mut object = scene.object("plumbline.dev/v1alpha1", "Plugin", "files");
        object["spec"] = json!({"image": format!("{}:1", self.repository()), "insecure": true});
        for (field, value) in more.as_object().into_iter().flatten() {
            object["spec"][field] = value.clone();
        }
        object
    }
}

/// Somebody with a key.
pub(crate) struct Signer(KeyPair);

impl Signer {
    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(Self(KeyPair::generate()?))
    }

    /// The Secret with the public key.
    pub(crate) fn secret(&self, scene: &Scene, name: &str) -> Value {
        let mut secret = scene.object("v1", "Secret", name);
        secret["stringData"] = json!({"release.pub": self.0.public_key_pem()});
        secret
    }
}

/// `spec.verify` with the keys of a Secret.
pub(crate) fn signed_by(secret: &str) -> Value {
    json!({"provider": "cosign", "secretRef": {"name": secret}})
}

/// A policy for the namespace of the test, with these rules.
pub(crate) fn policy(scene: &Scene, rules: &Value) -> Value {
    json!({
        "apiVersion": "plumbline.dev/v1alpha1", "kind": "PluginPolicy", "metadata": {"name": scene.namespace},
        "spec": {"namespaces": [scene.namespace], "plugins": rules},
    })
}
