//! Refuses objects without a label.

use plumbline_plugin::{Errors, Finding, Object, validator};
use serde::Deserialize;

/// What a step says under `with:`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    /// The label that every object must have.
    label: String,
}

fn validate(objects: &[Object], parameters: Parameters) -> Result<Vec<Finding>, Errors> {
    let without = objects.iter().enumerate().filter(|(_, object)| object.label(&parameters.label).is_none());
    let found = without.map(|(index, object)| {
        let message = format!("the {} {} has no label {}", object.kind(), object.name(), parameters.label);
        Finding::error(index, "label-required", message).field("/metadata/labels")
    });
    Ok(found.collect())
}

validator!(validate);
