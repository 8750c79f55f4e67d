//! Signatures of cosign.
//!
//! In go the digest that is about to be pulled, and whose signature it must carry. A signature is found in either of two places: a bundle of Sigstore that refers to the
//! manifest (cosign 3), or a payload under the tag `sha256-HEX.sig` (before). One good signature is enough, as in Flux.
//!
//! A signature is for a digest, not for a repository: one that was copied along with the artifact is good at the new place too, as with cosign.

mod bundle;
mod candidates;
mod identity;
mod keyless;
mod keys;
mod simple_signing;
mod transparency;

use std::collections::{BTreeMap, BTreeSet};

use plumb_api::{OciRepositoryVerification, OciVerificationProvider};

use crate::foreign::printable;
use crate::oci::digest::OciDigest;
use crate::oci::error::OciError;
use crate::oci::registry::Registry;
use crate::oci::verify::candidates::Candidate;
use crate::oci::verify::identity::Identities;
use crate::oci::verify::keyless::{Authorities, TrustedRoot};
use crate::oci::verify::keys::PublicKeys;

/// The data of a Secret.
type SecretData = BTreeMap<String, Vec<u8>>;

/// Whose signature an artifact must carry.
#[derive(Clone, Debug)]
pub struct Verification(By);

#[derive(Clone, Debug)]
enum By {
    Keys(PublicKeys),
    Identities(Identities, TrustedRoot),
}

/// What signatures should be verified with, but cannot be. The messages name keys of Secrets, never values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidVerification {
    /// There is nothing yet that verifies these signatures.
    #[error(
        "spec.verify.provider asks for notation, which is not supported; sign with cosign, or verify with Flux's source-controller"
    )]
    Notation,
    /// The Secret holds no keys.
    #[error(
        "the secret that spec.verify.secretRef names has no key that ends in .pub, which would be a public key of cosign"
    )]
    NoKeys,
    /// What should be a public key is not one.
    #[error("{name:?} of the secret that spec.verify.secretRef names is not a public key in PEM: {reason}")]
    Key {
        /// The key of the Secret.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// What should be a regular expression is not one.
    #[error(
        "{field} of spec.verify.matchOIDCIdentity is not a regular expression that can be used: {text:?}"
    )]
    Identity {
        /// `issuer` or `subject`.
        field: &'static str,
        /// What it is.
        text: String,
    },
    /// The Secret holds no trusted root.
    #[error("the secret that spec.verify.trustedRootSecretRef names has no key \"trusted_root.json\"")]
    NoTrustedRoot,
    /// What should be a trusted root is not one.
    #[error(
        "trusted_root.json of the secret that spec.verify.trustedRootSecretRef names cannot be used: {0}"
    )]
    TrustedRoot(String),
}

impl InvalidVerification {
    /// Whether the object itself has to change, and not a Secret that it names.
    pub fn is_of_the_object(&self) -> bool {
        matches!(self, Self::Notation | Self::Identity { .. })
    }
}

impl Verification {
    /// Reads `spec.verify` and the data of the Secrets that it names. A Secret that is named is given; `trusted_root` is looked at only without keys, as in Flux.
    pub fn new(
        spec: &OciRepositoryVerification,
        keys: Option<&SecretData>,
        trusted_root: Option<&SecretData>,
    ) -> Result<Self, InvalidVerification> {
        if spec.provider == OciVerificationProvider::Notation {
            return Err(InvalidVerification::Notation);
        }
        if let Some(keys) = keys {
            return PublicKeys::from_secret(keys).map(|keys| Self(By::Keys(keys)));
        }
        let identities = Identities::new(&spec.match_oidc_identity)?;
        let root = match trusted_root {
            None => TrustedRoot::Public,
            Some(data) => {
                let json = data.get("trusted_root.json").ok_or(InvalidVerification::NoTrustedRoot)?;
                TrustedRoot::given(json)?
            }
        };
        Ok(Self(By::Identities(identities, root)))
    }
}

/// Refuses a manifest that has no signature by whom it should be.
pub(crate) async fn verify(
    registry: &Registry,
    digest: &OciDigest,
    verification: &Verification,
) -> Result<(), OciError> {
    let verifier = Verifier::new(verification).await?;
    let mut refusals = BTreeSet::new();
    let mut looked_at = 0;
    for candidates in
        [candidates::bundles(registry, digest).await?, candidates::tagged(registry, digest).await?]
    {
        for candidate in candidates {
            looked_at += 1;
            match verifier.check(&candidate, digest).await {
                Ok(()) => return Ok(()),
                Err(refusal) => refusals.insert(refusal),
            };
        }
    }
    let reason = match looked_at {
        0 => "there is no signature".to_owned(),
        1 => format!("its signature was refused: {}", joined(refusals)),
        _ => format!("all of its {looked_at} signatures were refused: {}", joined(refusals)),
    };
    let url = registry.url().to_string();
    Err(OciError::NotVerified { url, digest: digest.to_string(), reason: printable(&reason) })
}

fn joined(refusals: BTreeSet<String>) -> String {
    refusals.into_iter().collect::<Vec<_>>().join("; ")
}

enum Verifier<'a> {
    Keys(&'a PublicKeys),
    Identities(&'a Identities, std::sync::Arc<Authorities>),
}

impl<'a> Verifier<'a> {
    async fn new(verification: &'a Verification) -> Result<Self, OciError> {
        Ok(match &verification.0 {
            By::Keys(keys) => Self::Keys(keys),
            By::Identities(identities, root) => Self::Identities(identities, root.authorities().await?),
        })
    }

    /// Why a signature is not good, if it is not.
    async fn check(&self, candidate: &Candidate, digest: &OciDigest) -> Result<(), String> {
        match (self, candidate) {
            (Self::Keys(keys), Candidate::Bundle(bundle)) => {
                bundle::Statement::signed_by(bundle, keys)?.is_about(digest)
            }
            (Self::Keys(keys), Candidate::SimpleSigning(signed)) => {
                signed.is_signed_by(keys)?;
                signed.is_about(digest)
            }
            (Self::Identities(identities, authorities), Candidate::Bundle(bundle)) => {
                authorities.check(bundle::parse(bundle)?, digest.bytes(), identities).await
            }
            (Self::Identities(identities, authorities), Candidate::SimpleSigning(signed)) => {
                authorities.check(signed.to_bundle()?, signed.payload_digest(), identities).await?;
                signed.is_about(digest)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use rstest::rstest;

    use super::*;

    fn secret(key: &str, value: &str) -> SecretData {
        SecretData::from([(key.to_owned(), value.as_bytes().to_vec())])
    }

    fn read(
        spec: &str,
        keys: Option<SecretData>,
        root: Option<SecretData>,
    ) -> Result<Verification, InvalidVerification> {
        Verification::new(&serde_json::from_str(spec).unwrap(), keys.as_ref(), root.as_ref())
    }

    #[rstest]
    #[case(
        "{\"provider\": \"notation\"}",
        Some(secret("a.pub", "")),
        None,
        "spec.verify.provider asks for notation, which is not supported; sign with cosign, or verify with Flux's source-controller"
    )]
    #[case(
        "{}",
        Some(secret("cosign.key", "hunter2")),
        None,
        "the secret that spec.verify.secretRef names has no key that ends in .pub, which would be a public key of cosign"
    )]
    #[case(
        "{}",
        None,
        Some(secret("root.json", "")),
        "the secret that spec.verify.trustedRootSecretRef names has no key \"trusted_root.json\""
    )]
    #[case(
        r#"{"matchOIDCIdentity": [{"issuer": "(", "subject": ""}]}"#,
        None,
        None,
        "issuer of spec.verify.matchOIDCIdentity is not a regular expression that can be used: \"(\""
    )]
    #[case(
        r#"{"matchOIDCIdentity": [{"issuer": "", "subject": "a{9999}{9999}"}]}"#,
        None,
        None,
        "subject of spec.verify.matchOIDCIdentity is not a regular expression that can be used: \"a{9999}{9999}\""
    )]
    fn what_cannot_be_used_is_told(
        #[case] spec: &str,
        #[case] keys: Option<SecretData>,
        #[case] root: Option<SecretData>,
        #[case] message: &str,
    ) {
        assert_eq!(read(spec, keys, root).unwrap_err().to_string(), message);
    }

    // Attack 19 (secrets): what is wrong is told without the value.
    #[rstest]
    #[case(Some(secret("a.pub", "hunter2")), None, "\"a.pub\" of the secret")]
    #[case(
        None,
        Some(secret("trusted_root.json", "{\"tlogs\": \"hunter2\"}")),
        "trusted_root.json of the secret"
    )]
    fn a_value_is_never_told(
        #[case] keys: Option<SecretData>,
        #[case] root: Option<SecretData>,
        #[case] start: &str,
    ) {
        let message = read("{}", keys, root).unwrap_err().to_string();
        assert!(message.starts_with(start) && !message.contains("hunter2"), "{message}");
    }
}
