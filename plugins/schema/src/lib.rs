//! Compares objects with the schemas of their kinds: those of Kubernetes, of CustomResourceDefinitions among the objects, and of parameters.
//!
//! [`bundle`] has the schemas of Kubernetes, [`kinds`] finds the schema of an object, and [`compare`] does the work.

pub mod bundle;
pub mod compare;
pub mod kinds;

use plumbline_plugin::{Errors, Finding, Object, Selector, validator};
use serde::Deserialize;
use serde_json::Value;

use crate::bundle::Bundle;
use crate::compare::Comparison;
use crate::kinds::Kinds;

/// What a step says under `with`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// Which objects; all when nothing is said.
    #[serde(default, rename = "match")]
    selector: Selector,
    /// Whether a kind without a schema is an error instead of a warning.
    #[serde(default)]
    strict: bool,
    /// Schemas of further kinds.
    #[serde(default)]
    schemas: Vec<KindSchema>,
}

/// The schema of a kind.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct KindSchema {
    /// `example.com/v1`.
    pub api_version: String,
    /// `Widget`.
    pub kind: String,
    /// An OpenAPI v3 schema, as in a CustomResourceDefinition.
    pub schema: Value,
}

validator!(validate);

/// Everything in the objects that their schemas do not allow.
///
/// # Errors
///
/// When a schema of the parameters, or of a CustomResourceDefinition, refers to another document.
pub fn validate(objects: &[Object], parameters: Parameters) -> Result<Vec<Finding>, Errors> {
    let bundle = Bundle::of_kubernetes();
    let kinds = Kinds::new(&bundle, &parameters.schemas, objects)?;
    let mut findings = Vec::new();
    for (index, object) in
        objects.iter().enumerate().filter(|(_, object)| parameters.selector.selects(object))
    {
        match kinds.schema_of(object) {
            Some(schema) => findings.extend(Comparison::new(&bundle, index).run(&schema, object.as_value())),
            None => findings.push(unknown_kind(index, object, parameters.strict)),
        }
    }
    Ok(findings)
}

fn unknown_kind(index: usize, object: &Object, strict: bool) -> Finding {
    let message = format!(
        "there is no schema of {} {}; put its CustomResourceDefinition among the objects, or its schema under `schemas`",
        object.api_version(),
        object.kind()
    );
    let finding = if strict { Finding::error } else { Finding::warning };
    finding(index, "unknown-kind", message)
}

#[cfg(test)]
mod tests;
