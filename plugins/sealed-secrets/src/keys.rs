//! The keys that were handed over, and the values that they open.
//!
//! A value is the length of what RSA-OAEP has encrypted (two bytes), that, and then what AES-GCM has encrypted with the key that is in it. A key is used once, so
//! the nonce is zero. The label of OAEP says for which object a value was sealed.

use aes_gcm::aead::{Aead as _, KeyInit as _};
use aes_gcm::{Aes256Gcm, Nonce};
use rsa::pkcs1::DecodeRsaPrivateKey as _;
use rsa::pkcs8::DecodePrivateKey as _;
use rsa::{Oaep, RsaPrivateKey};
use sha2::Sha256;
use zeroize::Zeroizing;

/// Private keys, each of which may open a value.
#[derive(Default)]
pub struct Keys(Vec<RsaPrivateKey>);

/// Why a value cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unopened {
    /// It is shorter than what it says.
    TooShort,
    /// No key opens it for this object.
    NoKey,
    /// There is no key at all.
    NoKeys,
}

impl Unopened {
    /// What is wrong, as the end of a sentence about the value.
    pub fn what(self) -> &'static str {
        match self {
            Self::TooShort => "is damaged: it is shorter than what it says",
            Self::NoKey => {
                "is opened by none of the keys that were handed over: it was sealed for another key, name, namespace or scope, or changed"
            }
            Self::NoKeys => "cannot be opened: no key was handed over",
        }
    }
}

impl Keys {
    /// Adds a private key of RSA in PEM, as PKCS #8 or PKCS #1.
    ///
    /// # Errors
    ///
    /// When it is none; the text says what is wrong.
    pub fn add(&mut self, pem: &[u8]) -> Result<(), &'static str> {
        let text = std::str::from_utf8(pem).map_err(|_| "it is not text")?;
        let key =
            RsaPrivateKey::from_pkcs8_pem(text).ok().or_else(|| RsaPrivateKey::from_pkcs1_pem(text).ok());
        self.0.push(key.ok_or(
            "it is no private key of RSA in PEM, such as tls.key of the Secret with the sealing key",
        )?);
        Ok(())
    }

    /// Opens a value that was sealed under a label.
    ///
    /// # Errors
    ///
    /// When no key opens it.
    pub fn open(&self, sealed: &[u8], label: &str) -> Result<Zeroizing<Vec<u8>>, Unopened> {
        let (length, rest) = sealed.split_first_chunk::<2>().ok_or(Unopened::TooShort)?;
        let (key, value) =
            rest.split_at_checked(usize::from(u16::from_be_bytes(*length))).ok_or(Unopened::TooShort)?;
        if self.0.is_empty() {
            return Err(Unopened::NoKeys);
        }
        self.0.iter().find_map(|private| open(private, key, value, label)).ok_or(Unopened::NoKey)
    }
}

fn open(private: &RsaPrivateKey, key: &[u8], value: &[u8], label: &str) -> Option<Zeroizing<Vec<u8>>> {
    let padding = Oaep::new_with_label::<Sha256, _>(label);
    let key = Zeroizing::new(private.decrypt(padding, key).ok()?);
    let cipher = Aes256Gcm::new_from_slice(&key).ok()?;
    cipher.decrypt(&Nonce::default(), value).ok().map(Zeroizing::new)
}

/// Seals a value, as `kubeseal` does. It needs random numbers, which a plugin has not.
#[cfg(not(target_family = "wasm"))]
pub fn seal(public: &rsa::RsaPublicKey, value: &[u8], label: &str) -> Option<Vec<u8>> {
    use aes_gcm::aead::OsRng;
    let key = Aes256Gcm::generate_key(&mut OsRng);
    let sealed_key = public.encrypt(&mut OsRng, Oaep::new_with_label::<Sha256, _>(label), &key).ok()?;
    let mut sealed = u16::try_from(sealed_key.len()).ok()?.to_be_bytes().to_vec();
    sealed.extend(sealed_key);
    sealed.extend(Aes256Gcm::new(&key).encrypt(&Nonce::default(), value).ok()?);
    Some(sealed)
}
