//! Who signed a commit or a tag.
//!
//! In go the bytes of an object as Git stores it, the keys of those who may sign, and the time; out comes the key that signed it, or what is wrong. No I/O.

mod error;
mod keys;
mod object;
mod pgp;
mod ssh;

use std::fmt;

use gix::ObjectId;
use jiff::Timestamp;
use plumb_api::GitVerificationMode;

pub use error::{Flaw, Signed, VerifyError};
pub use keys::{InvalidKeys, TrustedKeys};

use object::{SignedObject, TagHead};

/// What has to be signed, and who may sign.
#[derive(Clone, Debug)]
pub struct Verify {
    /// What has to be signed.
    pub mode: GitVerificationMode,
    /// Who may sign.
    pub keys: TrustedKeys,
}

/// An object whose signature is right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// What was signed.
    pub signed: Signed,
    /// Who signed it: the id of the primary key in 16 hexadecimal digits for PGP, `SHA256:…` for SSH, as in Flux.
    pub key: String,
}

/// As Flux tells it in the condition `SourceVerified`.
impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} with key '{}'", self.signed, self.key)
    }
}

/// Looks for the signature of a commit. `bytes` are those of the object whose id is `id`, which the caller has made sure of.
pub(crate) fn verify_commit(
    bytes: &[u8],
    id: ObjectId,
    keys: &TrustedKeys,
    now: Timestamp,
) -> Result<Verified, VerifyError> {
    let signed = Signed::Commit { id: id.to_string() };
    let key = SignedObject::of_commit(bytes).and_then(|object| signer(&object, keys, now));
    told(signed, key)
}

/// Looks for the signature of an annotated tag, and whether it is the tag that was asked for: `name`, of the commit `target`. So nobody can put the signed tag of
/// an old version in the place of another.
pub(crate) fn verify_tag(
    bytes: &[u8],
    name: &str,
    id: ObjectId,
    target: ObjectId,
    keys: &TrustedKeys,
    now: Timestamp,
) -> Result<Verified, VerifyError> {
    let signed = Signed::Tag { name: name.to_owned(), id: id.to_string() };
    let key = SignedObject::of_tag(bytes).and_then(|object| {
        TagHead::of(bytes)?.check(name, target)?;
        signer(&object, keys, now)
    });
    told(signed, key)
}

/// Looks for the signature below a text, by PGP. Returns the key that signed it, and the text that was signed.
pub(crate) fn verify_text(
    message: &str,
    keys: &TrustedKeys,
    now: Timestamp,
) -> Result<(String, String), Flaw> {
    pgp::signer_of_text(message, keys.pgp(), now)
}

fn told(signed: Signed, key: Result<String, Flaw>) -> Result<Verified, VerifyError> {
    match key {
        Ok(key) => Ok(Verified { signed, key }),
        Err(flaw) => Err(VerifyError::Flawed { signed, flaw }),
    }
}

fn signer(object: &SignedObject, keys: &TrustedKeys, now: Timestamp) -> Result<String, Flaw> {
    let armor = object.signature.trim_ascii();
    if armor.starts_with(b"-----BEGIN PGP SIGNATURE-----") {
        pgp::signer(&object.payload, armor, keys.pgp(), now)
    } else if armor.starts_with(b"-----BEGIN SSH SIGNATURE-----") {
        ssh::signer(&object.payload, armor, keys.ssh())
    } else {
        Err(Flaw::UnknownFormat)
    }
}

#[cfg(test)]
mod tests;
