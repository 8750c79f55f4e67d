//! Values that the step hands over by name: keys, tokens, passwords. Needs `capabilities.secrets` of the step.

use crate::{Error, host};

/// Why a value could not be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The step hands over nothing under this name.
    NotFound,
    /// The step hands over no secrets at all.
    Denied,
}

/// The names of all values that were handed over, in the order of their bytes.
pub fn names() -> Vec<String> {
    host::secret_names()
}

/// The value under a name. Never put it into an error, a message, or an object that is not a Secret.
///
/// Fails with an error that says what the step is to hand over.
pub fn get(name: &str) -> Result<Vec<u8>, Error> {
    host::secret(name).map_err(|refused| match refused {
        Refused::NotFound => {
            Error::not_found(format!("the step hands over no secret with the name {name:?}"))
                .hint("Add it to `capabilities.secrets` of the step.")
        }
        Refused::Denied => Error::denied(format!("the step hands over no secrets, but {name:?} is needed"))
            .hint("Add it to `capabilities.secrets` of the step."),
    })
}
