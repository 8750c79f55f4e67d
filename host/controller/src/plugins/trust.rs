//! Whose signatures a plugin must carry, with the keys that the Secrets hold now.

use std::collections::BTreeMap;

use plumb_api::{LocalObjectReference, OciRepositoryVerification, Reason};
use plumb_source::oci::Verification;
use sha2::{Digest as _, Sha256};

use super::failure::{Failure, Retry};
use crate::Key;
use crate::inputs::{Input, InputId, Inputs};

/// What public keys of cosign end in.
const PUBLIC_KEY: &str = ".pub";
const TRUSTED_ROOT: &str = "trusted_root.json";

/// The data of a Secret.
type SecretData = BTreeMap<String, Vec<u8>>;

/// Who asks for a signature, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Demand<'a> {
    /// Where the Secrets are.
    pub(super) namespace: &'a str,
    pub(super) verify: &'a OciRepositoryVerification,
}

/// A demand that can be verified.
#[derive(Debug)]
pub(super) struct Trust {
    pub(super) verification: Verification,
    /// Identifies what is verified with, keys included: another one means that all has to be verified again.
    pub(super) fingerprint: String,
    /// Whose signature it is, for people.
    pub(super) signer: String,
}

impl Demand<'_> {
    /// The Secrets that hold the keys.
    pub(super) fn inputs(&self) -> impl Iterator<Item = InputId> {
        let references = [&self.verify.secret_ref, &self.verify.trusted_root_secret_ref];
        references.into_iter().flatten().map(|reference| self.input(reference))
    }

    fn input(&self, reference: &LocalObjectReference) -> InputId {
        InputId::secret(self.namespace.to_owned(), reference.name.clone())
    }

    /// Reads the keys.
    pub(super) async fn trust(&self, inputs: &Inputs<Key>) -> Result<Trust, Failure> {
        let keys =
            self.read(inputs, self.verify.secret_ref.as_ref(), "the keys of those who may sign").await?;
        let root = self.verify.trusted_root_secret_ref.as_ref();
        let root = self.read(inputs, root, "the authorities of signatures").await?;
        let verification = Verification::new(self.verify, keys.as_ref(), root.as_ref()).map_err(|error| {
            // A Secret is watched.
            let retry = if error.is_of_the_object() { Retry::Never } else { Retry::Backoff };
            Failure::new(Reason::VerificationError, retry, error.to_string())
        })?;
        let fingerprint = self.fingerprint(keys.as_ref(), root.as_ref());
        Ok(Trust { verification, fingerprint, signer: self.signer(keys.as_ref()) })
    }

    async fn read(
        &self,
        inputs: &Inputs<Key>,
        reference: Option<&LocalObjectReference>,
        content: &str,
    ) -> Result<Option<SecretData>, Failure> {
        let Some(reference) = reference else { return Ok(None) };
        let id = self.input(reference);
        let (reason, why) = match inputs.get(&id).await {
            Input::Present { data, .. } => {
                let data = data.iter().map(|(key, value)| (key.clone(), value.expose().clone()));
                return Ok(Some(data.collect()));
            }
            Input::Absent => (Reason::VerificationError, "does not exist".to_owned()),
            Input::Unreadable(reason) => (Reason::Failed, format!("cannot be read: {reason}")),
        };
        Err(Failure::new(reason, Retry::Backoff, format!("{id} with {content} {why}")))
    }

    fn fingerprint(&self, keys: Option<&SecretData>, root: Option<&SecretData>) -> String {
        let mut hash = Sha256::new();
        let mut add = |part: &[u8]| {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        };
        // A Secret of the same name in another namespace is another one, even with the same keys in it.
        add(self.namespace.as_bytes());
        add(&serde_json::to_vec(self.verify).unwrap_or_default());
        for (key, value) in keys.into_iter().flatten().filter(|(key, _)| key.ends_with(PUBLIC_KEY)) {
            add(key.as_bytes());
            add(value);
        }
        if let Some(root) = root.and_then(|root| root.get(TRUSTED_ROOT)) {
            add(root);
        }
        format!("{:x}", hash.finalize())
    }

    /// For example `cosign: release.pub of Secret cosign-keys`.
    fn signer(&self, keys: Option<&SecretData>) -> String {
        let (Some(keys), Some(secret)) = (keys, &self.verify.secret_ref) else {
            let identities = self.verify.match_oidc_identity.iter();
            let identities: Vec<String> =
                identities.map(|identity| format!("{} of {}", identity.subject, identity.issuer)).collect();
            return match identities.is_empty() {
                true => "cosign: any identity".to_owned(),
                false => format!("cosign: {}", identities.join(" or ")),
            };
        };
        let names: Vec<&str> =
            keys.keys().filter(|key| key.ends_with(PUBLIC_KEY)).map(String::as_str).collect();
        format!("cosign: {} of Secret {}", names.join(" or "), secret.name)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use rstest::rstest;

    use super::*;

    fn verify(yaml: &str) -> OciRepositoryVerification {
        serde_yaml::from_str(yaml).unwrap()
    }

    fn data(key: &str, value: &str) -> SecretData {
        SecretData::from([(key.to_owned(), value.as_bytes().to_vec())])
    }

    // Attack 29 (plugins): a key that was replaced, with nothing else changed.
    #[test]
    fn whatever_signatures_are_verified_with_is_in_the_fingerprint() {
        let (keyed, keyless) = (verify("{secretRef: {name: keys}}"), verify("{provider: cosign}"));
        let of = |namespace, verify: &OciRepositoryVerification, keys: &SecretData| {
            Demand { namespace, verify }.fingerprint(Some(keys), None)
        };
        let (one, two) = (data("a.pub", "1"), data("a.pub", "2"));
        let all = [
            of("team-a", &keyed, &one),
            of("team-a", &keyed, &two),
            of("team-b", &keyed, &one),
            of("team-a", &keyless, &one),
            of("team-a", &keyed, &data("b.pub", "1")),
            Demand { namespace: "team-a", verify: &keyed }
                .fingerprint(Some(&one), Some(&data(TRUSTED_ROOT, "1"))),
        ];
        let distinct: std::collections::BTreeSet<&String> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
        assert_eq!(of("team-a", &keyed, &one), all[0]);
        let with_more =
            SecretData::from([("a.pub".to_owned(), b"1".to_vec()), ("note".to_owned(), b"x".to_vec())]);
        assert_eq!(of("team-a", &keyed, &with_more), all[0], "what is no key does not matter");
    }

    #[rstest]
    #[case("{secretRef: {name: keys}}", Some(data("release.pub", "x")), "cosign: release.pub of Secret keys")]
    #[case("{provider: cosign}", None, "cosign: any identity")]
    #[case(
        "{matchOIDCIdentity: [{issuer: ^https://issuer$, subject: ^me$}]}",
        None,
        "cosign: ^me$ of ^https://issuer$"
    )]
    fn a_signer_is_named(#[case] yaml: &str, #[case] keys: Option<SecretData>, #[case] signer: &str) {
        let verify = verify(yaml);
        assert_eq!(Demand { namespace: "a", verify: &verify }.signer(keys.as_ref()), signer);
    }
}
