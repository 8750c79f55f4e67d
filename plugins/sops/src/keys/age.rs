//! age, with its own keys and those of SSH.

use std::io::Read as _;

use age::armor::ArmoredReader;
use age::{DecryptError, Decryptor, Identity};
use zeroize::Zeroizing;

/// The identities that were handed over.
#[derive(Default)]
pub(super) struct Identities(Vec<Box<dyn Identity>>);

/// A data key is short; what is longer is none.
const LONGEST: u64 = 1024;

impl Identities {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds what a file of age or SSH holds.
    pub(super) fn add(&mut self, file: &[u8]) -> Result<(), &'static str> {
        let text = std::str::from_utf8(file).map_err(|_| "it is not text")?;
        if text.contains("-----BEGIN ") {
            return self.add_ssh(text);
        }
        if text.contains("AGE-SECRET-KEY-PQ-") {
            return Err("identities of the post-quantum kind (AGE-SECRET-KEY-PQ-) are not supported");
        }
        if text.contains("AGE-PLUGIN-") {
            return Err("identities of age plugins (AGE-PLUGIN-) need a program, which cannot be run here");
        }
        // Spaces around an identity are easily left by whoever copied it.
        let lines = Zeroizing::new(text.lines().map(str::trim).collect::<Vec<_>>().join("\n"));
        let file = age::IdentityFile::from_buffer(lines.as_bytes());
        let identities = file.ok().and_then(|file| file.into_identities().ok());
        let identities =
            identities.ok_or("it is no age identity, which is a line that starts with AGE-SECRET-KEY-1")?;
        if identities.is_empty() {
            return Err("it has no identity in it");
        }
        self.0.extend(identities.into_iter().map(|identity| identity as Box<dyn Identity>));
        Ok(())
    }

    fn add_ssh(&mut self, text: &str) -> Result<(), &'static str> {
        let identity = age::ssh::Identity::from_buffer(text.as_bytes(), None);
        match identity.map_err(|_| "it is no private key of SSH")? {
            identity @ age::ssh::Identity::Unencrypted(_) => self.0.push(Box::new(identity)),
            age::ssh::Identity::Encrypted(_) => {
                return Err("it is a private key of SSH with a passphrase, which nobody can be asked for");
            }
            age::ssh::Identity::Unsupported(_) => {
                return Err("age takes private keys of SSH of the kinds ed25519 and rsa only");
            }
        }
        Ok(())
    }

    /// What a file says to one of the identities.
    pub(super) fn open(&self, file: &str) -> Result<Zeroizing<Vec<u8>>, &'static str> {
        if self.is_empty() {
            return Err("no age identity was handed over");
        }
        let wrong = |error: DecryptError| match error {
            DecryptError::NoMatchingKeys => "no identity fits",
            _ => "it is damaged",
        };
        let armoured = ArmoredReader::new(file.as_bytes());
        let decryptor = Decryptor::new_buffered(armoured).map_err(wrong)?;
        let identities = self.0.iter().map(|identity| identity.as_ref() as &dyn Identity);
        let mut reader = decryptor.decrypt(identities).map_err(wrong)?;
        let mut plain = Zeroizing::new(Vec::new());
        reader.by_ref().take(LONGEST).read_to_end(&mut plain).map_err(|_| "it is damaged")?;
        Ok(plain)
    }
}

/// A file for a recipient; none if that is none.
#[cfg(not(target_family = "wasm"))]
pub(super) fn seal(plain: &[u8], recipient: &str) -> Option<String> {
    if let Ok(recipient) = recipient.parse::<age::x25519::Recipient>() {
        return age::encrypt_and_armor(&recipient, plain).ok();
    }
    let recipient: age::ssh::Recipient = recipient.parse().ok()?;
    age::encrypt_and_armor(&recipient, plain).ok()
}
