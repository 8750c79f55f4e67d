use std::collections::BTreeMap;

use sigstore::crypto::{CosignVerificationKey, Signature};

use crate::foreign::printable;
use crate::oci::verify::InvalidVerification;

/// The keys of those who may sign.
#[derive(Clone, Debug)]
pub(super) struct PublicKeys(Vec<CosignVerificationKey>);

impl PublicKeys {
    /// The keys of a Secret whose names end in `.pub`.
    pub(super) fn from_secret(data: &BTreeMap<String, Vec<u8>>) -> Result<Self, InvalidVerification> {
        let named = data.iter().filter(|(name, _)| name.ends_with(".pub"));
        let keys = named.map(|(name, pem)| {
            CosignVerificationKey::try_from_pem(pem).map_err(|error| InvalidVerification::Key {
                name: name.clone(),
                reason: printable(&error.to_string()),
            })
        });
        let keys: Vec<_> = keys.collect::<Result<_, _>>()?;
        if keys.is_empty() { Err(InvalidVerification::NoKeys) } else { Ok(Self(keys)) }
    }

    /// Whether one of them has signed a message.
    pub(super) fn have_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        self.0.iter().any(|key| key.verify_signature(Signature::Raw(signature), message).is_ok())
    }
}
