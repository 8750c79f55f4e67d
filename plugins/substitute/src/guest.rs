//! Connects the plugin with the host.

#![allow(missing_docs, reason = "the contract documents what is generated from it")]

mod bindings {
    wit_bindgen::generate!({ path: "../../wit", world: "transformer" });

    use super::Substitute;
    export!(Substitute);
}

use bindings::exports::plumbline::plugin::transform::Guest;
use bindings::plumbline::plugin::types;

use crate::transform::{self, Error};

struct Substitute;

impl Guest for Substitute {
    fn transform(objects: Vec<String>, parameters: String) -> Result<Vec<String>, Vec<types::Error>> {
        transform::transform(&objects, &parameters)
            .map_err(|errors| errors.into_iter().map(types::Error::from).collect())
    }
}

impl From<Error> for types::Error {
    fn from(error: Error) -> Self {
        Self {
            kind: match error {
                Error::Host(_) => types::ErrorKind::Internal,
                _ => types::ErrorKind::InvalidInput,
            },
            hint: error.hint(),
            message: error.to_string(),
            file: None,
            line: None,
        }
    }
}
