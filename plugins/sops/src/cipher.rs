//! Single values: `ENC[AES256_GCM,data:…,iv:…,tag:…,type:str]`.

use std::borrow::Cow;

use aes_gcm::aead::consts::U32;
use aes_gcm::aead::{Aead as _, KeyInit as _, Payload};
use aes_gcm::aes::Aes256;
use aes_gcm::{AesGcm, Key, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// SOPS takes 32 bytes for what is 12 elsewhere.
type Cipher = AesGcm<Aes256, U32>;

const PREFIX: &str = "ENC[AES256_GCM,";
const NONCE: usize = 32;
const TAG: usize = 16;

/// The key that all values of a file are encrypted with.
#[derive(Clone)]
pub struct DataKey(Zeroizing<[u8; 32]>);

/// A value that stands for itself: neither a list nor a map.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    /// Text. What was a binary file need not be UTF-8.
    Text(Vec<u8>),
    /// A whole number.
    Integer(i64),
    /// Any other number.
    Float(f64),
    /// Yes or no.
    Bool(bool),
    /// A point in time, as YAML has them, in the form of RFC 3339.
    Time(String),
}

/// Why a value cannot be decrypted. It has nothing of the value in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undecryptable {
    /// It has not the form of an encrypted value.
    NotEncrypted,
    /// Its parts are not Base64, or not as long as they have to be.
    Malformed,
    /// It was encrypted with another key, was changed, or stood somewhere else.
    Changed,
    /// Its type is one that is not known, or the value is none of this type.
    Type,
}

impl Undecryptable {
    /// What is wrong, as the end of a sentence about the value.
    pub fn what(self) -> &'static str {
        match self {
            Self::NotEncrypted => "is not encrypted, though its name says that it is",
            Self::Malformed => "is damaged: it has not the form of a value that SOPS writes",
            Self::Changed => {
                "cannot be decrypted: it was changed, or moved here from another place or another file"
            }
            Self::Type => "is of a type that SOPS does not have",
        }
    }
}

impl Scalar {
    /// The bytes that are encrypted, and that count for the MAC.
    pub fn to_bytes(&self) -> Cow<'_, [u8]> {
        match self {
            Self::Text(text) => Cow::Borrowed(text),
            Self::Integer(number) => Cow::Owned(number.to_string().into_bytes()),
            Self::Float(number) => Cow::Owned(number.to_string().into_bytes()),
            // As Python writes them, which the first SOPS was written in.
            Self::Bool(true) => Cow::Borrowed(b"True"),
            Self::Bool(false) => Cow::Borrowed(b"False"),
            Self::Time(time) => Cow::Borrowed(time.as_bytes()),
        }
    }

    fn of(bytes: Vec<u8>, kind: &str) -> Result<Self, Undecryptable> {
        let text = || std::str::from_utf8(&bytes).map_err(|_| Undecryptable::Type);
        Ok(match kind {
            "str" | "bytes" | "comment" => Self::Text(bytes),
            "int" => Self::Integer(text()?.parse().map_err(|_| Undecryptable::Type)?),
            "float" => Self::Float(text()?.parse().map_err(|_| Undecryptable::Type)?),
            "bool" => match text()? {
                "True" | "true" => Self::Bool(true),
                "False" | "false" => Self::Bool(false),
                _ => return Err(Undecryptable::Type),
            },
            "time" => Self::Time(text()?.to_owned()),
            _ => return Err(Undecryptable::Type),
        })
    }
}

/// The parts of an encrypted value.
struct Parts<'a> {
    data: &'a str,
    iv: &'a str,
    tag: &'a str,
    kind: &'a str,
}

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Option<Self> {
        let rest = text.strip_prefix(PREFIX)?.strip_suffix(']')?;
        let rest = rest.strip_prefix("data:")?;
        let (data, rest) = rest.split_once(",iv:")?;
        let (iv, rest) = rest.split_once(",tag:")?;
        let (tag, kind) = rest.split_once(",type:")?;
        Some(Self { data, iv, tag, kind })
    }
}

/// Whether a text has the form of an encrypted value.
pub fn is_encrypted(text: &str) -> bool {
    Parts::of(text).is_some()
}

impl DataKey {
    /// A key of 32 bytes; none for any other length.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        Some(Self(Zeroizing::new(bytes.try_into().ok()?)))
    }

    /// The key itself, to be encrypted with somebody's key.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    fn cipher(&self) -> Cipher {
        Cipher::new(Key::<Cipher>::from_slice(self.0.as_slice()))
    }

    /// Decrypts a value. `place` is what SOPS binds it to: the names that lead to it, each followed by a colon. An empty text is its own value.
    pub fn decrypt(&self, text: &str, place: &str) -> Result<Scalar, Undecryptable> {
        if text.is_empty() {
            return Ok(Scalar::Text(Vec::new()));
        }
        let parts = Parts::of(text).ok_or(Undecryptable::NotEncrypted)?;
        let decode = |part: &str| STANDARD.decode(part).map_err(|_| Undecryptable::Malformed);
        let (mut data, iv, tag) = (decode(parts.data)?, decode(parts.iv)?, decode(parts.tag)?);
        if iv.len() != NONCE || tag.len() != TAG {
            return Err(Undecryptable::Malformed);
        }
        data.extend(tag);
        let payload = Payload { msg: &data, aad: place.as_bytes() };
        let plain = self.cipher().decrypt(Nonce::from_slice(&iv), payload);
        Scalar::of(plain.map_err(|_| Undecryptable::Changed)?, parts.kind)
    }
}

/// Encrypting needs random numbers, which a plugin has not.
#[cfg(not(target_family = "wasm"))]
impl DataKey {
    /// A new key.
    pub fn generate() -> Self {
        use aes_gcm::aead::OsRng;
        use aes_gcm::aead::rand_core::RngCore as _;
        let mut bytes = Zeroizing::new([0; 32]);
        OsRng.fill_bytes(bytes.as_mut_slice());
        Self(bytes)
    }

    /// Encrypts a value for a place, as [`Self::decrypt`] decrypts it.
    pub fn encrypt(&self, value: &Scalar, place: &str) -> String {
        let kind = match value {
            Scalar::Text(_) => "str",
            Scalar::Integer(_) => "int",
            Scalar::Float(_) => "float",
            Scalar::Bool(_) => "bool",
            Scalar::Time(_) => "time",
        };
        self.encrypt_as(kind, &value.to_bytes(), place)
    }

    /// Encrypts a comment.
    pub fn encrypt_comment(&self, text: &str, place: &str) -> String {
        self.encrypt_as("comment", text.as_bytes(), place)
    }

    fn encrypt_as(&self, kind: &str, plain: &[u8], place: &str) -> String {
        use aes_gcm::aead::OsRng;
        use aes_gcm::aead::rand_core::RngCore as _;
        if plain.is_empty() {
            return String::new();
        }
        let mut iv = [0; NONCE];
        OsRng.fill_bytes(&mut iv);
        let payload = Payload { msg: plain, aad: place.as_bytes() };
        // It fails for texts of 64 GiB only.
        let sealed = self.cipher().encrypt(Nonce::from_slice(&iv), payload).unwrap_or_default();
        let (data, tag) = sealed.split_at(sealed.len().saturating_sub(TAG));
        let [data, iv, tag] = [data, &iv, tag].map(|part| STANDARD.encode(part));
        format!("{PREFIX}data:{data},iv:{iv},tag:{tag},type:{kind}]")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_value_comes_back_in_its_own_place_only() {
        let key = DataKey::generate();
        for value in [
            Scalar::Text(b"hunter2".to_vec()),
            Scalar::Text(vec![0xff, 0]),
            Scalar::Integer(-3),
            Scalar::Float(1.5),
            Scalar::Bool(true),
            Scalar::Time("2026-01-01T00:00:00Z".to_owned()),
        ] {
            let text = key.encrypt(&value, "data:password:");
            assert!(is_encrypted(&text));
            assert_eq!(key.decrypt(&text, "data:password:"), Ok(value));
            assert_eq!(key.decrypt(&text, "data:other:"), Err(Undecryptable::Changed));
            assert_eq!(DataKey::generate().decrypt(&text, "data:password:"), Err(Undecryptable::Changed));
        }
        assert_eq!(key.decrypt("", "a:"), Ok(Scalar::Text(Vec::new())));
        assert_eq!(key.encrypt(&Scalar::Text(Vec::new()), "a:"), "");
    }

    #[test]
    fn what_is_damaged_is_told_apart() {
        let key = DataKey::generate();
        let text = key.encrypt(&Scalar::Integer(1), "a:");
        assert_eq!(key.decrypt("plain", "a:"), Err(Undecryptable::NotEncrypted));
        assert_eq!(key.decrypt(&text.replace("data:", "data:!"), "a:"), Err(Undecryptable::Malformed));
        assert_eq!(key.decrypt(&text.replace("iv:", "iv:AAAA"), "a:"), Err(Undecryptable::Malformed));
        assert_eq!(key.decrypt(&text.replace(":int", ":list"), "a:"), Err(Undecryptable::Type));
    }
}
