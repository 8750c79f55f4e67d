//! Makes Secrets of SealedSecrets (<https://github.com/bitnami-labs/sealed-secrets>).
//!
//! [`keys`] opens single values, [`template`] puts them into texts, and [`sealed`] is about whole objects.

pub mod keys;
pub mod sealed;
pub mod template;

use plumbline_plugin::{Error, Errors, Object, secrets, transformer};
use serde::Deserialize;

use crate::keys::Keys;

/// What a step says under `with`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Parameters {
    /// The namespace of SealedSecrets that name none: what they were sealed for.
    namespace: Option<String>,
}

transformer!(transform);

/// The objects, with a Secret in the place of each SealedSecret.
///
/// # Errors
///
/// When a key that was handed over is none, and every SealedSecret that cannot be unsealed.
pub fn transform(objects: Vec<Object>, parameters: Parameters) -> Result<Vec<Object>, Errors> {
    if !objects.iter().any(sealed::is_sealed) {
        return Ok(objects);
    }
    let keys = handed_over()?;
    let (mut unsealed, mut errors) = (Vec::new(), Errors::default());
    for object in objects {
        if !sealed::is_sealed(&object) {
            unsealed.push(object);
            continue;
        }
        match sealed::unseal(&object, parameters.namespace.as_deref(), &keys) {
            Ok(secret) => unsealed.push(secret),
            Err(wrong) => errors.extend(wrong),
        }
    }
    errors.or(unsealed)
}

/// The private keys that the step hands over. Their names do not matter.
fn handed_over() -> Result<Keys, Errors> {
    let (mut keys, mut errors) = (Keys::default(), Errors::default());
    for name in secrets::names() {
        let pem = secrets::get(&name)?;
        if let Err(why) = keys.add(&pem) {
            errors.push(Error::invalid(format!("the key {name:?} cannot be used: {why}")));
        }
    }
    errors.or(keys)
}

/// Nothing that unseals asks for random numbers, which a plugin has not.
#[cfg(target_family = "wasm")]
mod random {
    fn none(_: &mut [u8]) -> Result<(), getrandom::Error> {
        Err(getrandom::Error::UNSUPPORTED)
    }

    getrandom::register_custom_getrandom!(none);
}
