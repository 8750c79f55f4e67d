//! OpenPGP.

use pgp::composed::{Deserializable as _, Message, SignedSecretKey, TheRing};
use pgp::types::Password;
use zeroize::Zeroizing;

/// The private keys that were handed over.
#[derive(Default)]
pub(super) struct Keys(Vec<SignedSecretKey>);

impl Keys {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds the keys of an armoured file.
    pub(super) fn add(&mut self, file: &[u8]) -> Result<(), &'static str> {
        const WRONG: &str =
            "it is no armoured private key of OpenPGP, as gpg --export-secret-keys --armor writes it";
        let (keys, _) = SignedSecretKey::from_armor_many(file).map_err(|_| WRONG)?;
        let keys: Vec<_> = keys.collect::<Result<_, _>>().map_err(|_| WRONG)?;
        if keys.is_empty() {
            return Err(WRONG);
        }
        let is_locked = |key: &SignedSecretKey| {
            key.primary_key.secret_params().is_encrypted()
                || key.secret_subkeys.iter().any(|key| key.key.secret_params().is_encrypted())
        };
        if keys.iter().any(is_locked) {
            return Err("it has a passphrase, which nobody can be asked for");
        }
        self.0.extend(keys);
        Ok(())
    }

    /// What a message says to one of the keys.
    pub(super) fn open(&self, message: &str) -> Result<Zeroizing<Vec<u8>>, &'static str> {
        if self.is_empty() {
            return Err("no key of OpenPGP was handed over");
        }
        let (message, _) = Message::from_armor(message.as_bytes()).map_err(|_| "it is damaged")?;
        let nothing = Password::empty();
        let ring = TheRing {
            secret_keys: self.0.iter().collect(),
            key_passwords: self.0.iter().map(|_| &nothing).collect(),
            ..TheRing::default()
        };
        let (message, _) = message.decrypt_the_ring(ring, true).map_err(|_| "no key fits")?;
        let message = if message.is_compressed() { message.decompress() } else { Ok(message) };
        let plain = message.and_then(|mut message| message.as_data_vec().map_err(pgp::errors::Error::from));
        plain.map(Zeroizing::new).map_err(|_| "it is damaged")
    }
}

/// A message for a public key; none if that is none.
#[cfg(not(target_family = "wasm"))]
pub(super) fn seal(plain: &[u8], public: &str) -> Option<(String, String)> {
    use pgp::composed::{ArmorOptions, MessageBuilder, SignedPublicKey};
    use pgp::crypto::sym::SymmetricKeyAlgorithm;
    use pgp::types::KeyDetails as _;
    let (key, _) = SignedPublicKey::from_armor_single(public.as_bytes()).ok()?;
    let mut rng = rand::rngs::OsRng;
    let builder = MessageBuilder::from_bytes("", plain.to_vec());
    let mut builder = builder.seipd_v1(&mut rng, SymmetricKeyAlgorithm::AES256);
    match key.public_subkeys.first() {
        Some(subkey) => builder.encrypt_to_key(&mut rng, subkey).ok()?,
        None => builder.encrypt_to_key(&mut rng, &key).ok()?,
    };
    let message = builder.to_armored_string(rng, ArmorOptions::default()).ok()?;
    Some((format!("{:X}", key.fingerprint()), message))
}
