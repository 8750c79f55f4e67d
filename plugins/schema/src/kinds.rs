//! Which schema an object has.

use std::borrow::Cow;
use std::collections::HashMap;

use plumbline_plugin::{Error, Errors, Object};
use serde_json::Value;

use crate::KindSchema;
use crate::bundle::Bundle;

/// The schemas of all kinds that are known.
pub struct Kinds<'a> {
    bundle: &'a Bundle,
    /// By `apiVersion` and `kind`.
    custom: HashMap<(String, String), &'a Value>,
}

impl<'a> Kinds<'a> {
    /// Those of the bundle, of CustomResourceDefinitions among the objects, and those that are given, which win.
    ///
    /// # Errors
    ///
    /// When a schema that is not of the bundle has a `$ref`: nothing is fetched.
    pub fn new(bundle: &'a Bundle, given: &'a [KindSchema], objects: &'a [Object]) -> Result<Self, Errors> {
        let mut custom = HashMap::new();
        let mut errors = Errors::default();
        let defined =
            objects.iter().filter(|object| object.kind() == "CustomResourceDefinition").flat_map(definitions);
        let given =
            given.iter().map(|given| ((given.api_version.clone(), given.kind.clone()), &given.schema));
        for ((api_version, kind), schema) in defined.chain(given) {
            if refers(schema) {
                errors.push(
                    Error::unsupported(format!("the schema of {api_version} {kind} has a `$ref`"))
                        .hint("Write what it refers to in its place: no other document is read."),
                );
            }
            custom.insert((api_version, kind), schema);
        }
        errors.or(Self { bundle, custom })
    }

    /// The schema of an object; none when its kind is not known.
    pub fn schema_of(&self, object: &Object) -> Option<Cow<'a, Value>> {
        let key = (object.api_version().to_owned(), object.kind().to_owned());
        match self.custom.get(&key) {
            Some(schema) => Some(Cow::Borrowed(*schema)),
            None => self.bundle.kind(object.api_version(), object.kind()),
        }
    }
}

/// The schemas that a CustomResourceDefinition has, one a version.
fn definitions(definition: &Object) -> impl Iterator<Item = ((String, String), &Value)> {
    let text = |pointer: &str| definition.get(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (group, kind) = (text("/spec/group"), text("/spec/names/kind"));
    let versions =
        definition.get("/spec/versions").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    versions.iter().filter_map(move |version| {
        let schema = version.pointer("/schema/openAPIV3Schema")?;
        let name = version.get("name")?.as_str()?;
        Some(((format!("{group}/{name}"), kind.clone()), schema))
    })
}

/// Whether a schema has a `$ref`. A property may have this name: its value is a schema, not text.
fn refers(schema: &Value) -> bool {
    match schema {
        Value::Object(fields) => {
            fields.get("$ref").is_some_and(Value::is_string) || fields.values().any(refers)
        }
        Value::Array(items) => items.iter().any(refers),
        _ => false,
    }
}
