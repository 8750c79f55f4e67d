//! Signatures in the older form of cosign, which every version of it and Flux understand: a payload that names a digest, and its signature in an annotation.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oci_client::client::{Config, ImageLayer};
use plumb_api::Sensitive;
use serde_json::{Value, json};
use sigstore::crypto::signing_key::{SigStoreKeyPair, SigStoreSigner};
use sigstore::crypto::{CosignVerificationKey, Signature as Signed, SigningScheme};

use super::registry::{Registry, digest_of};

const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
const CERTIFICATE: &str = "dev.sigstore.cosign/certificate";

/// A private key that can sign.
pub(super) struct PrivateKey(SigStoreSigner);

/// A key that says who has signed.
pub(super) struct PublicKey(CosignVerificationKey);

/// One signature of an artifact.
pub(super) struct Signature(ImageLayer);

/// Who has made a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signer {
    /// Who has the private half of the given key.
    Key,
    /// Who had a certificate for it, by cosign without keys.
    Certificate,
    /// Somebody else.
    Unknown,
}

impl PrivateKey {
    /// An encrypted key of cosign.
    pub(super) fn read(file: &Path, password: &Sensitive<String>) -> anyhow::Result<Self> {
        let pem = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        let Ok(pair) = SigStoreKeyPair::from_encrypted_pem(&pem, password.expose().as_bytes()) else {
            bail!(
                "{} cannot be used: either it is not a private key of cosign, or COSIGN_PASSWORD is not its password",
                file.display()
            );
        };
        let scheme = match &pair {
            SigStoreKeyPair::ECDSA(_) => SigningScheme::ECDSA_P256_SHA256_ASN1,
            SigStoreKeyPair::ED25519(_) => SigningScheme::ED25519,
            SigStoreKeyPair::RSA(_) => SigningScheme::RSA_PKCS1_SHA256(2048),
        };
        let signer = pair.to_sigstore_signer(&scheme);
        signer.map(Self).with_context(|| format!("{} is a key that cannot sign here", file.display()))
    }

    /// A signature of the artifact with this digest.
    pub(super) fn sign(&self, registry: &Registry, digest: &str) -> anyhow::Result<Signature> {
        let payload = json!({
            "critical": {
                "identity": {"docker-reference": registry.repository()},
                "image": {"docker-manifest-digest": digest},
                "type": "cosign container image signature",
            },
            "optional": null,
        })
        .to_string();
        let signature = self.0.sign(payload.as_bytes()).context("cannot sign")?;
        let annotations = BTreeMap::from([(SIGNATURE.to_owned(), STANDARD.encode(signature))]);
        Ok(Signature(ImageLayer::new(payload.into_bytes(), SIMPLE_SIGNING.to_owned(), Some(annotations))))
    }

    /// Its public half.
    pub(super) fn public(&self) -> anyhow::Result<PublicKey> {
        self.0.to_verification_key().map(PublicKey).context("cannot tell the public key")
    }
}

impl PublicKey {
    /// A key in PEM.
    pub(super) fn read(file: &Path) -> anyhow::Result<Self> {
        let pem = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        let key = CosignVerificationKey::try_from_pem(&pem);
        key.map(Self).with_context(|| format!("{} is not a public key in PEM", file.display()))
    }
}

impl Signature {
    /// Who has made it, for the artifact with this digest.
    pub(super) fn signer(&self, key: Option<&PublicKey>, digest: &str) -> Signer {
        if self.annotation(CERTIFICATE).is_some() {
            return Signer::Certificate;
        }
        match key {
            Some(key) if self.is_about(digest) && self.is_by(key) => Signer::Key,
            _ => Signer::Unknown,
        }
    }

    fn is_by(&self, PublicKey(key): &PublicKey) -> bool {
        let Some(signature) = self.annotation(SIGNATURE) else { return false };
        key.verify_signature(Signed::Base64Encoded(signature.as_bytes()), &self.0.data).is_ok()
    }

    fn is_about(&self, digest: &str) -> bool {
        let payload: Value = serde_json::from_slice(&self.0.data).unwrap_or_default();
        payload.pointer("/critical/image/docker-manifest-digest") == Some(&json!(digest))
    }

    fn annotation(&self, name: &str) -> Option<&String> {
        self.0.annotations.as_ref()?.get(name)
    }
}

/// All signatures of an artifact.
pub(super) async fn of(registry: &Registry, digest: &str) -> anyhow::Result<Vec<Signature>> {
    let layers = registry.signatures(digest).await?.into_iter();
    Ok(layers.filter(|layer| layer.media_type == SIMPLE_SIGNING).map(Signature).collect())
}

/// Adds a signature to those that the artifact has.
pub(super) async fn add(registry: &Registry, digest: &str, signature: Signature) -> anyhow::Result<()> {
    let mut layers = registry.signatures(digest).await?;
    layers.push(signature.0);
    let ids: Vec<_> = layers.iter().map(|layer| digest_of(&layer.data)).collect();
    let config = json!({
        "architecture": "",
        "os": "",
        "created": "0001-01-01T00:00:00Z",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": ids},
    });
    registry.push_signatures(digest, &layers, Config::oci_v1(config.to_string().into_bytes(), None)).await
}
