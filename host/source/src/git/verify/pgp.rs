use jiff::Timestamp;
use pgp::composed::{
    CleartextSignedMessage, Deserializable as _, DetachedSignature, SignedPublicKey, SignedPublicSubKey,
};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{Signature, SignatureType, SubpacketData};
use pgp::types::{KeyDetails, Tag};

use crate::foreign::printable;
use crate::git::verify::error::Flaw;

/// How far the clock of who signs may be ahead of ours.
const MAX_SKEW_SECONDS: i64 = 300;

/// The id of the trusted primary key that signed, itself or by a subkey. As in Flux, keys have to be valid now, not only when they signed.
pub(crate) fn signer(
    payload: &[u8],
    armor: &[u8],
    trusted: &[SignedPublicKey],
    now: Timestamp,
) -> Result<String, Flaw> {
    let signature = only_signature(armor)?;
    if signature.typ() != Some(SignatureType::Binary) {
        return Err(Flaw::Malformed("its signature is not one over bytes".to_owned()));
    }
    signer_of(&signature, payload, trusted, now)
}

/// The same for text with its signature below it (RFC 9580, "Cleartext Signature Framework"), and the text that was signed, with the line ends that it was signed with.
pub(crate) fn signer_of_text(
    message: &str,
    trusted: &[SignedPublicKey],
    now: Timestamp,
) -> Result<(String, String), Flaw> {
    let (message, _) = CleartextSignedMessage::from_string(message)
        .map_err(|error| Flaw::Malformed(printable(&error.to_string())))?;
    let [signature] = message.signatures() else { return Err(Flaw::Several) };
    if !matches!(signature.typ(), Some(SignatureType::Binary | SignatureType::Text)) {
        return Err(Flaw::Malformed("its signature is not one over text".to_owned()));
    }
    let text = message.signed_text();
    Ok((signer_of(signature, text.as_bytes(), trusted, now)?, text))
}

fn signer_of(
    signature: &Signature,
    payload: &[u8],
    trusted: &[SignedPublicKey],
    now: Timestamp,
) -> Result<String, Flaw> {
    check_signature(signature, now)?;
    // The same key may be there twice, once expired and once prolonged: one that is fine is enough.
    let mut flaw = None;
    for key in trusted.iter().flat_map(candidates).filter(|key| key.may_have_made(signature)) {
        let found = if key.made(signature, payload) {
            key.check(signature, now)
        } else {
            Err(Flaw::NotSigned(key.id()))
        };
        match found {
            Ok(()) => return Ok(id(&key.certificate.primary_key)),
            Err(found) => flaw = Some(better_told(flaw, found)),
        }
    }
    Err(flaw.unwrap_or_else(|| Flaw::UnknownKey(issuer(signature))))
}

/// Of several keys, the one that did sign has more to tell than one that did not.
fn better_told(before: Option<Flaw>, found: Flaw) -> Flaw {
    match (before, found) {
        (Some(before), Flaw::NotSigned(_)) => before,
        (_, found) => found,
    }
}

fn only_signature(armor: &[u8]) -> Result<Signature, Flaw> {
    let malformed = |error: pgp::errors::Error| {
        Flaw::Malformed(format!("its signature: {}", printable(&error.to_string())))
    };
    let (mut signatures, _) = DetachedSignature::from_armor_many_buf(armor).map_err(malformed)?;
    let first =
        signatures.next().ok_or_else(|| Flaw::Malformed("its armor holds no signature".to_owned()))?;
    let first = first.map_err(malformed)?;
    if signatures.next().is_some() {
        return Err(Flaw::Several);
    }
    Ok(first.signature)
}

/// What a signature says of itself.
fn check_signature(signature: &Signature, now: Timestamp) -> Result<(), Flaw> {
    match signature.hash_alg() {
        Some(
            HashAlgorithm::Sha256
            | HashAlgorithm::Sha384
            | HashAlgorithm::Sha512
            | HashAlgorithm::Sha3_256
            | HashAlgorithm::Sha3_512,
        ) => {}
        other => return Err(Flaw::WeakDigest(other.map_or_else(String::new, |hash| hash.to_string()))),
    }
    let made = signature.created().map(seconds).ok_or(Flaw::OutOfTime)?;
    let lasts = signature.signature_expiration_time().map(|lasts| i64::from(lasts.as_secs()));
    let is_over = lasts.is_some_and(|lasts| lasts != 0 && made + lasts <= now.as_second());
    if is_over || made > now.as_second() + MAX_SKEW_SECONDS { Err(Flaw::OutOfTime) } else { Ok(()) }
}

/// A key that could sign: the primary key of a certificate, or one of its subkeys.
#[derive(Clone, Copy)]
struct Candidate<'a> {
    certificate: &'a SignedPublicKey,
    subkey: Option<&'a SignedPublicSubKey>,
}

fn candidates(certificate: &SignedPublicKey) -> impl Iterator<Item = Candidate<'_>> {
    let subkeys = certificate.public_subkeys.iter().map(Some);
    std::iter::once(None).chain(subkeys).map(move |subkey| Candidate { certificate, subkey })
}

impl Candidate<'_> {
    fn id(&self) -> String {
        match self.subkey {
            Some(subkey) => id(&subkey.key),
            None => id(&self.certificate.primary_key),
        }
    }

    /// Whether the signature names this key. One that names none may be of any.
    fn may_have_made(&self, signature: &Signature) -> bool {
        let (ids, fingerprints) = (signature.issuer_key_id(), signature.issuer_fingerprint());
        let named = |key: &dyn KeyDetails| {
            ids.iter().any(|id| **id == key.legacy_key_id())
                || fingerprints.iter().any(|fingerprint| **fingerprint == key.fingerprint())
        };
        (ids.is_empty() && fingerprints.is_empty())
            || match self.subkey {
                Some(subkey) => named(&subkey.key),
                None => named(&self.certificate.primary_key),
            }
    }

    fn made(&self, signature: &Signature, payload: &[u8]) -> bool {
        match self.subkey {
            Some(subkey) => signature.verify(&subkey.key, payload).is_ok(),
            None => signature.verify(&self.certificate.primary_key, payload).is_ok(),
        }
    }

    /// Whether the key may sign now, and could when it did.
    fn check(&self, signature: &Signature, now: Timestamp) -> Result<(), Flaw> {
        check_primary(self.certificate, self.subkey.is_none(), now)?;
        if let Some(subkey) = self.subkey {
            check_subkey(self.certificate, subkey, now)?;
        }
        let created = match self.subkey {
            Some(subkey) => subkey.key.created_at(),
            None => self.certificate.primary_key.created_at(),
        };
        let is_older = signature.created().is_none_or(|made| seconds(made) < seconds(created));
        if is_older { Err(Flaw::OutOfTime) } else { Ok(()) }
    }
}

fn check_primary(certificate: &SignedPublicKey, signs: bool, now: Timestamp) -> Result<(), Flaw> {
    let primary = &certificate.primary_key;
    let is_revocation = |signature: &&Signature| {
        signature.typ() == Some(SignatureType::KeyRevocation) && signature.verify_key(primary).is_ok()
    };
    if certificate.details.revocation_signatures.iter().any(|signature| is_revocation(&signature)) {
        return Err(Flaw::Revoked(id(primary)));
    }
    let own = newest(own_signatures(certificate), now).ok_or_else(|| Flaw::NotForSigning(id(primary)))?;
    if is_expired(primary.created_at(), own, now) {
        return Err(Flaw::Expired(id(primary)));
    }
    // Old keys do not say what they are for.
    if signs && says_what_for(own) && !own.key_flags().sign() {
        return Err(Flaw::NotForSigning(id(primary)));
    }
    Ok(())
}

/// What the owner of a key says of it: to everybody, or along with a name that was not taken back.
fn own_signatures(certificate: &SignedPublicKey) -> impl Iterator<Item = &Signature> {
    let primary = &certificate.primary_key;
    let direct = certificate.details.direct_signatures.iter();
    let direct = direct.filter(|signature| {
        signature.typ() == Some(SignatureType::Key) && signature.verify_key(primary).is_ok()
    });
    let by_user = certificate.details.users.iter().flat_map(move |user| {
        let verified =
            |signature: &&Signature| signature.verify_certification(primary, Tag::UserId, &user.id).is_ok();
        let own: Vec<&Signature> = user.signatures.iter().filter(verified).collect();
        let is_revoked = own.iter().any(|signature| signature.typ() == Some(SignatureType::CertRevocation));
        own.into_iter().filter(move |signature| !is_revoked && signature.is_certification())
    });
    direct.chain(by_user)
}

fn check_subkey(
    certificate: &SignedPublicKey,
    subkey: &SignedPublicSubKey,
    now: Timestamp,
) -> Result<(), Flaw> {
    let primary = &certificate.primary_key;
    let own = |kind| {
        subkey.signatures.iter().filter(move |signature| {
            signature.typ() == Some(kind) && signature.verify_subkey_binding(primary, &subkey.key).is_ok()
        })
    };
    if own(SignatureType::SubkeyRevocation).next().is_some() {
        return Err(Flaw::Revoked(id(&subkey.key)));
    }
    let not_for_signing = || Flaw::NotForSigning(id(&subkey.key));
    let binding = newest(own(SignatureType::SubkeyBinding), now).ok_or_else(not_for_signing)?;
    if is_expired(subkey.key.created_at(), binding, now) {
        return Err(Flaw::Expired(id(&subkey.key)));
    }
    // Without its own word for it, anybody could adopt the key of somebody else.
    let agrees = binding
        .embedded_signature()
        .is_some_and(|back| back.verify_primary_key_binding(&subkey.key, primary).is_ok());
    if binding.key_flags().sign() && agrees { Ok(()) } else { Err(not_for_signing()) }
}

/// The last word that was said by now.
fn newest<'a>(signatures: impl Iterator<Item = &'a Signature>, now: Timestamp) -> Option<&'a Signature> {
    signatures
        .filter_map(|signature| Some((seconds(signature.created()?), signature)))
        .filter(|(made, _)| *made <= now.as_second() + MAX_SKEW_SECONDS)
        .max_by_key(|(made, _)| *made)
        .map(|(_, signature)| signature)
}

fn is_expired(created: pgp::types::Timestamp, own: &Signature, now: Timestamp) -> bool {
    let lasts = own.key_expiration_time().map_or(0, |lasts| i64::from(lasts.as_secs()));
    lasts != 0 && seconds(created) + lasts <= now.as_second()
}

fn says_what_for(own: &Signature) -> bool {
    own.config().is_some_and(|config| {
        config.hashed_subpackets().any(|packet| matches!(packet.data, SubpacketData::KeyFlags(_)))
    })
}

fn seconds(time: pgp::types::Timestamp) -> i64 {
    i64::from(time.as_secs())
}

fn id(key: &impl KeyDetails) -> String {
    hex::encode_upper(key.legacy_key_id())
}

/// The key that a signature names.
fn issuer(signature: &Signature) -> String {
    match (signature.issuer_key_id().first(), signature.issuer_fingerprint().first()) {
        (Some(id), _) => hex::encode_upper(id),
        (None, Some(fingerprint)) => format!("{fingerprint:X}"),
        (None, None) => "that it does not name".to_owned(),
    }
}
