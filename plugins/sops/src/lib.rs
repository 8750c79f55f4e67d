//! Decrypts what SOPS has encrypted (<https://getsops.io/docs/>).
//!
//! [`metadata`] is what SOPS writes beside the values of a file, and [`keys`] opens the data key that is in it. [`cipher`] decrypts single values, [`objects`]
//! those of objects, and
//! [`document`] those of files, which [`format`] takes apart. [`kustomization`] finds the files that kustomize puts into objects.

pub mod cipher;
pub mod document;
pub mod format;
pub mod keys;
pub mod kustomization;
pub mod metadata;
pub mod objects;
pub mod rules;

use plumbline_plugin::{Errors, File, Object, Tree, decryptor, secrets};
use serde::Deserialize;

use crate::keys::Keyring;

/// What a step says under `with`: nothing.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameters {}

decryptor!(transform, decrypt);

/// The objects, decrypted.
///
/// # Errors
///
/// When a key that was handed over is none, or something cannot be decrypted.
pub fn transform(objects: Vec<Object>, _: Parameters) -> Result<Vec<Object>, Errors> {
    objects::decrypt(objects, &handed_over()?)
}

/// The files that kustomize puts into objects as they are, decrypted.
///
/// # Errors
///
/// As [`transform`].
pub fn decrypt(tree: &Tree<'_>, parameters: kustomization::Parameters) -> Result<Vec<File>, Errors> {
    kustomization::decrypt(tree, &parameters, handed_over)
}

/// The keys that the step hands over.
fn handed_over() -> Result<Keyring, Errors> {
    let mut values = Vec::new();
    for name in secrets::names() {
        let value = secrets::get(&name)?;
        values.push((name, value));
    }
    Keyring::read(values)
}

/// What opens keys of RSA hides how long it takes with random numbers. A plugin has none, and nobody who could measure it. Nothing is encrypted here.
#[cfg(target_family = "wasm")]
mod random {
    fn fill(bytes: &mut [u8]) -> Result<(), getrandom::Error> {
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        for byte in bytes {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            *byte = state.to_le_bytes()[4];
        }
        Ok(())
    }

    getrandom::register_custom_getrandom!(fill);
}
