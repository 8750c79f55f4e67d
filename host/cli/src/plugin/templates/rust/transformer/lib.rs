//! Sets a label on every object.

use plumbline_plugin::{Errors, Object, transformer};
use serde::Deserialize;

/// What a step says under `with:`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    /// The name of the label.
    label: String,
    /// Its value.
    value: String,
}

fn transform(mut objects: Vec<Object>, parameters: Parameters) -> Result<Vec<Object>, Errors> {
    for object in &mut objects {
        object.set_label(&parameters.label, &parameters.value);
    }
    Ok(objects)
}

transformer!(transform);
