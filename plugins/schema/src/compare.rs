//! Compares a value with a schema, in the dialect of Kubernetes: structural OpenAPI v3 schemas, and Kubernetes' own v2 definitions.
//!
//! No message quotes a value: it may be a secret's.

use std::borrow::Cow;
use std::collections::BTreeSet;

use plumbline_plugin::Finding;
use regex_lite::Regex;
use serde_json::{Map, Value};

use crate::bundle::{Bundle, METADATA};

/// The comparison of one object.
pub struct Comparison<'a> {
    bundle: &'a Bundle,
    object: usize,
    findings: Vec<Finding>,
    /// How many `anyOf`, `oneOf` and `not` there are around: their schemas do not say which fields there are.
    alternatives: usize,
}

impl<'a> Comparison<'a> {
    /// The comparison of the object with this index.
    pub fn new(bundle: &'a Bundle, object: usize) -> Self {
        Self { bundle, object, findings: Vec::new(), alternatives: 0 }
    }

    /// What the object has that its schema does not allow.
    pub fn run(mut self, schema: &Value, object: &Value) -> Vec<Finding> {
        self.object_with_kind(schema, object, "");
        self.findings
    }

    /// A whole object: each has `apiVersion`, `kind` and `metadata`, whatever its schema says.
    fn object_with_kind(&mut self, schema: &Value, value: &Value, at: &str) {
        let Some(fields) = value.as_object() else { return self.value(schema, value, at) };
        let mut rest = fields.clone();
        for always in ["apiVersion", "kind", "metadata"] {
            rest.remove(always);
        }
        if let (Some(metadata), Some(schema)) = (fields.get("metadata"), self.bundle.definition(METADATA)) {
            self.value(&schema, metadata, &format!("{at}/metadata"));
        }
        let mut schema = Cow::Borrowed(schema);
        if let Some(required) = schema.get("required").and_then(Value::as_array) {
            let required =
                required.iter().filter(|name| !fields.contains_key(name.as_str().unwrap_or_default()));
            let required: Vec<Value> = required.cloned().collect();
            schema.to_mut()["required"] = Value::Array(required);
        }
        self.value(&schema, &Value::Object(rest), at);
    }

    fn value(&mut self, schema: &Value, value: &Value, at: &str) {
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            // Only the bundle has references, and each of them is there.
            if let Some(schema) = self.bundle.definition(reference) {
                self.value(&schema, value, at);
            }
            return;
        }
        // As the API server, which takes it for a field that is not there.
        if value.is_null() {
            return;
        }
        if let Some(expected) = wrong_type(schema, value) {
            return self.add("type", at, format!("it has to be {expected}, and is {}", type_of(value)));
        }
        if let Some(allowed) = schema.get("enum").and_then(Value::as_array)
            && !allowed.contains(value)
        {
            self.add("enum", at, format!("it has to be one of {}", listed(allowed)));
        }
        match value {
            Value::Object(fields) => self.fields(schema, fields, at),
            Value::Array(items) => self.items(schema, items, at),
            Value::String(text) => self.text(schema, text, at),
            Value::Number(number) => self.number(schema, number.as_f64().unwrap_or_default(), at),
            Value::Null | Value::Bool(_) => {}
        }
        self.alternatives(schema, value, at);
    }

    fn fields(&mut self, schema: &Value, fields: &Map<String, Value>, at: &str) {
        self.size(schema, ["minProperties", "maxProperties"], fields.len(), "fields", at);
        for name in
            schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
        {
            if fields.get(name).is_none_or(Value::is_null) {
                self.add("required", at, format!("it lacks the field {name:?}"));
            }
        }
        let properties = schema.get("properties").and_then(Value::as_object);
        let is_object = is_true(schema, "x-kubernetes-embedded-resource");
        for (name, value) in fields {
            let below = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
            let known = properties.and_then(|properties| properties.get(name));
            match (known, schema.get("additionalProperties")) {
                (Some(known), _) if is_true(known, "x-kubernetes-embedded-resource") => {
                    self.object_with_kind(known, value, &below);
                }
                (Some(known), _) => self.value(known, value, &below),
                (None, Some(Value::Object(additional))) => {
                    self.value(&Value::Object(additional.clone()), value, &below);
                }
                (None, Some(Value::Bool(true))) => {}
                _ if is_object && matches!(name.as_str(), "apiVersion" | "kind" | "metadata") => {}
                _ => self.unknown(schema, properties, name, &below),
            }
        }
    }

    /// A field that the schema does not name. A schema that names none says nothing.
    fn unknown(&mut self, schema: &Value, properties: Option<&Map<String, Value>>, name: &str, at: &str) {
        let Some(properties) = properties else { return };
        if self.alternatives > 0 || is_true(schema, "x-kubernetes-preserve-unknown-fields") {
            return;
        }
        let likeness =
            |known: &&String| strsim::damerau_levenshtein(&known.to_lowercase(), &name.to_lowercase());
        let nearest =
            properties.keys().min_by_key(likeness).filter(|known| likeness(known) <= 1 + name.len() / 4);
        let meant = nearest.map_or_else(String::new, |known| format!("; did you mean {known:?}?"));
        self.add("unknown-field", at, format!("there is no field {name:?}{meant}"));
    }

    fn items(&mut self, schema: &Value, items: &[Value], at: &str) {
        self.size(schema, ["minItems", "maxItems"], items.len(), "items", at);
        if let Some(of_item) = schema.get("items") {
            for (index, item) in items.iter().enumerate() {
                self.value(of_item, item, &format!("{at}/{index}"));
            }
        }
        let key_of = |item: &Value| match schema.get("x-kubernetes-list-type").and_then(Value::as_str) {
            Some("set") => Some(item.to_string()),
            Some("map") => {
                let names =
                    schema.get("x-kubernetes-list-map-keys")?.as_array()?.iter().filter_map(Value::as_str);
                Some(names.map(|name| item.get(name).unwrap_or(&Value::Null).to_string() + "\n").collect())
            }
            _ => None,
        };
        let mut seen = BTreeSet::new();
        for (index, key) in items.iter().enumerate().filter_map(|(index, item)| Some((index, key_of(item)?)))
        {
            if !seen.insert(key) {
                self.add(
                    "duplicate",
                    &format!("{at}/{index}"),
                    "another item of the list has the same key".to_owned(),
                );
            }
        }
    }

    fn text(&mut self, schema: &Value, text: &str, at: &str) {
        self.size(schema, ["minLength", "maxLength"], text.chars().count(), "characters", at);
        let pattern = schema.get("pattern").and_then(Value::as_str);
        // A pattern that is none here may be one for the API server, which then says more.
        if let Some(regex) = pattern.and_then(|pattern| Regex::new(pattern).ok())
            && !regex.is_match(text)
        {
            self.add("pattern", at, format!("it does not fit the pattern `{}`", regex.as_str()));
        }
    }

    fn number(&mut self, schema: &Value, number: f64, at: &str) {
        let bound = |name: &str| schema.get(name).and_then(Value::as_f64);
        if let Some(least) = bound("minimum")
            && (number < least || (is_true(schema, "exclusiveMinimum") && number <= least))
        {
            self.add("range", at, format!("it has to be {least} or more"));
        }
        if let Some(most) = bound("maximum")
            && (number > most || (is_true(schema, "exclusiveMaximum") && number >= most))
        {
            self.add("range", at, format!("it has to be {most} or less"));
        }
    }

    fn size(&mut self, schema: &Value, bounds: [&str; 2], size: usize, of: &str, at: &str) {
        let [least, most] = bounds.map(|name| schema.get(name).and_then(Value::as_u64));
        if let Some(least) = least.filter(|least| (size as u64) < *least) {
            self.add("range", at, format!("it has {size} {of}, and at least {least} are needed"));
        }
        if let Some(most) = most.filter(|most| size as u64 > *most) {
            self.add("range", at, format!("it has {size} {of}, and {most} are allowed"));
        }
    }

    fn alternatives(&mut self, schema: &Value, value: &Value, at: &str) {
        let list =
            |name: &str| schema.get(name).and_then(Value::as_array).filter(|schemas| !schemas.is_empty());
        self.alternatives += 1;
        for of_all in list("allOf").into_iter().flatten() {
            self.value(of_all, value, at);
        }
        for (name, fits) in [("anyOf", 1..=usize::MAX), ("oneOf", 1..=1)] {
            let Some(schemas) = list(name) else { continue };
            let count = schemas.iter().filter(|schema| self.allows(schema, value, at)).count();
            if !fits.contains(&count) {
                self.add(
                    "alternatives",
                    at,
                    format!("it fits {count} of the {} schemas of `{name}`", schemas.len()),
                );
            }
        }
        if schema.get("not").is_some_and(|not| self.allows(not, value, at)) {
            self.add("alternatives", at, "it fits the schema of `not`".to_owned());
        }
        self.alternatives -= 1;
    }

    /// Whether a value fits a schema; what does not is not told.
    fn allows(&mut self, schema: &Value, value: &Value, at: &str) -> bool {
        let before = self.findings.len();
        self.value(schema, value, at);
        let fits = self.findings.len() == before;
        self.findings.truncate(before);
        fits
    }

    fn add(&mut self, rule: &str, at: &str, message: String) {
        self.findings.push(Finding::error(self.object, rule, message).field(at));
    }
}

fn is_true(schema: &Value, name: &str) -> bool {
    schema.get(name) == Some(&Value::Bool(true))
}

/// What a value has to be, when it is something else.
fn wrong_type(schema: &Value, value: &Value) -> Option<&'static str> {
    let format = schema.get("format").and_then(Value::as_str);
    let expected = if is_true(schema, "x-kubernetes-int-or-string") || format == Some("int-or-string") {
        "int-or-string"
    } else {
        schema.get("type").and_then(Value::as_str).unwrap_or_default()
    };
    let is_whole =
        value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0);
    let (fits, name) = match expected {
        "object" => (value.is_object(), "an object"),
        "array" => (value.is_array(), "a list"),
        "string" => (value.is_string(), "text"),
        "boolean" => (value.is_boolean(), "true or false"),
        "integer" => (is_whole, "a whole number"),
        "number" => (value.is_number(), "a number"),
        "int-or-string" => (value.is_string() || is_whole, "a whole number or text"),
        "quantity" => (value.is_string() || value.is_number(), "a quantity, such as 100m or 1Gi"),
        _ => return None,
    };
    (!fits).then_some(name)
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false; write it in quotes if text is meant",
        Value::Number(_) => "a number; write it in quotes if text is meant",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn listed(allowed: &[Value]) -> String {
    allowed.iter().map(Value::to_string).collect::<Vec<_>>().join(", ")
}
