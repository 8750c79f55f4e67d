//! Makes `kubernetes.txt` of what an API server says under `/openapi/v2`:
//!
//! ```sh
//! kubectl get --raw /openapi/v2 | cargo run -p plumb-schema --example reduce > /tmp/kubernetes.txt && mv /tmp/kubernetes.txt schema/
//! ```
//!
//! Kept are the kinds of Kubernetes, without their lists, and the definitions that they use, each without what is for people only. The same input gives the same
//! bytes.
#![allow(clippy::print_stdout, reason = "what is printed is the result")]

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;

use serde_json::{Map, Value};

/// What a schema is compared by. Everything else is left out.
const KEPT: [&str; 26] = [
    "$ref",
    "additionalProperties",
    "allOf",
    "anyOf",
    "enum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "items",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "not",
    "oneOf",
    "pattern",
    "properties",
    "required",
    "type",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-list-type",
];

const DEFINITIONS: &str = "#/definitions/";
const QUANTITY: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";

fn main() -> Result<(), Box<dyn Error>> {
    let document: Value = serde_json::from_reader(std::io::stdin().lock())?;
    let definitions = document["definitions"].as_object().ok_or("the input has no definitions")?;
    println!("# Kubernetes {}", document["info"]["version"].as_str().unwrap_or("?"));

    let kinds: BTreeMap<&str, Vec<String>> =
        definitions.iter().map(|(name, schema)| (name.as_str(), kinds_of(name, schema))).collect();
    let mut used = BTreeSet::new();
    let mut left: Vec<&str> =
        kinds.iter().filter(|(_, kinds)| !kinds.is_empty()).map(|(name, _)| *name).collect();
    while let Some(name) = left.pop() {
        if used.insert(name) {
            references(&definitions[name], &mut left);
        }
    }
    for name in used {
        let schema = match name {
            QUANTITY => serde_json::json!({"type": "quantity"}),
            _ => reduce(&definitions[name]),
        };
        println!("{name}\t{}\t{schema}", kinds[name].join(" "));
    }
    Ok(())
}

/// `apps/v1/Deployment`; none for lists, and for what is no object, such as `DeleteOptions`.
fn kinds_of(name: &str, schema: &Value) -> Vec<String> {
    let is_object = name.starts_with("io.k8s.") && schema.pointer("/properties/metadata/$ref").is_some();
    let kinds =
        schema["x-kubernetes-group-version-kind"].as_array().filter(|_| is_object && !name.ends_with("List"));
    let text = |kind: &Value, field: &str| kind[field].as_str().unwrap_or_default().to_owned();
    let written = |kind: &Value| {
        let (group, version, kind) = (text(kind, "group"), text(kind, "version"), text(kind, "kind"));
        if group.is_empty() { format!("{version}/{kind}") } else { format!("{group}/{version}/{kind}") }
    };
    kinds.into_iter().flatten().map(written).collect()
}

fn references<'a>(schema: &'a Value, found: &mut Vec<&'a str>) {
    match schema {
        Value::Object(fields) => {
            let reference = fields.get("$ref").and_then(Value::as_str);
            found.extend(reference.and_then(|reference| reference.strip_prefix(DEFINITIONS)));
            fields.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

fn reduce(schema: &Value) -> Value {
    let Value::Object(fields) = schema else { return schema.clone() };
    let kept = fields.iter().filter(|(name, _)| KEPT.contains(&name.as_str()));
    let reduced = kept.map(|(name, value)| {
        let value = match (name.as_str(), value) {
            ("$ref", Value::String(reference)) => {
                Value::String(reference.strip_prefix(DEFINITIONS).unwrap_or(reference).to_owned())
            }
            ("properties", Value::Object(properties)) => properties
                .iter()
                .map(|(name, schema)| (name.clone(), reduce(schema)))
                .collect::<Map<_, _>>()
                .into(),
            ("allOf" | "anyOf" | "oneOf", Value::Array(schemas)) => {
                schemas.iter().map(reduce).collect::<Vec<_>>().into()
            }
            ("items" | "additionalProperties" | "not", schema) => reduce(schema),
            (_, value) => value.clone(),
        };
        (name.clone(), value)
    });
    Value::Object(reduced.collect())
}
