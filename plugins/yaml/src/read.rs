//! Reads the Kubernetes objects of one file, as kubectl and Flux would read it.

use plumb_yaml11::options;
use serde_json::{Map, Number, Value};
use serde_saphyr::{DuplicateKeyPolicy, Spanned};

/// What kind of mistake an error reports, in the words of the plugin contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The file or the parameters are wrong.
    InvalidInput,
    /// A file or directory does not exist.
    NotFound,
    /// A path leads out of the tree.
    Denied,
    /// The plugin or the host is at fault.
    Internal,
}

/// Why a file could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// What kind of mistake it is.
    pub kind: Kind,
    /// What is wrong, without the file and line.
    pub message: String,
    /// The file, from the root of the tree.
    pub file: Option<String>,
    /// The line, counted from 1.
    pub line: Option<u32>,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Error {
    pub(crate) fn invalid(message: String) -> Self {
        Self { kind: Kind::InvalidInput, message, file: None, line: None, hint: None }
    }

    fn at(line: Option<u32>, message: String) -> Self {
        Self { line, ..Self::invalid(message) }
    }

    pub(crate) fn in_file(self, file: &str) -> Self {
        Self { file: Some(file.to_owned()), ..self }
    }
}

/// Appends the objects of a file, each as the text of a JSON object, and everything that is wrong with the file.
///
/// JSON is YAML, so both are read the same way. An empty document counts for nothing. A document that has `items` is a list, whose
/// items are the objects.
///
/// Values are read by the rules of YAML 1.1 where Kubernetes does: `yes`, `on` and `y` are true, `0644` is 420. Keys are always text.
/// After an error of syntax the rest of the file is not looked at.
pub fn read(text: &[u8], objects: &mut Vec<String>, errors: &mut Vec<Error>) {
    let mut reader = text;
    for document in
        serde_saphyr::read_with_options::<_, Spanned<Value>>(&mut reader, options(DuplicateKeyPolicy::Error))
    {
        match document {
            Ok(document) => {
                let line = u32::try_from(document.referenced.line()).ok().filter(|line| *line > 0);
                collect(document.value, line, objects, errors);
            }
            Err(error) => {
                let line = error.location().and_then(|location| u32::try_from(location.line()).ok());
                errors.push(Error::at(line, sentence(&error)));
            }
        }
    }
}

/// The error's own words on one line, without the place, which is reported beside them.
fn sentence(error: &serde_saphyr::Error) -> String {
    let text = error.without_snippet().to_string();
    let first = text.lines().next().unwrap_or_default();
    let message = first.split(" at line ").next().unwrap_or(first);
    format!("the YAML is not valid: {message}")
}

/// Takes a document for an object or a list of objects.
fn collect(document: Value, line: Option<u32>, objects: &mut Vec<String>, errors: &mut Vec<Error>) {
    match document {
        Value::Object(mut fields) => match fields.remove("items") {
            Some(Value::Array(items)) => {
                for (index, item) in items.into_iter().enumerate() {
                    match item {
                        Value::Object(item) => keep(item, line, objects, errors),
                        _ => {
                            errors.push(Error::at(line, format!("item {index} of the list is not an object")))
                        }
                    }
                }
            }
            items => {
                fields.extend(items.map(|items| ("items".to_owned(), items)));
                keep(fields, line, objects, errors);
            }
        },
        Value::Null => {}
        _ => errors
            .push(Error::at(line, "the document is not a Kubernetes object but a single value".to_owned())),
    }
}

fn keep(
    mut fields: Map<String, Value>,
    line: Option<u32>,
    objects: &mut Vec<String>,
    errors: &mut Vec<Error>,
) {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).is_some_and(|text| !text.is_empty());
    let missing: Vec<_> = [
        ("apiVersion", text(fields.get("apiVersion"))),
        ("kind", text(fields.get("kind"))),
        ("metadata.name", text(fields.get("metadata").and_then(|metadata| metadata.get("name")))),
    ]
    .into_iter()
    .filter_map(|(field, present)| (!present).then_some(field))
    .collect();
    if missing.is_empty() {
        fields.values_mut().for_each(whole_numbers);
        objects.push(Value::Object(fields).to_string());
        return;
    }
    errors.push(Error {
        hint: Some("Move files that are not Kubernetes objects to another directory.".to_owned()),
        ..Error::at(line, format!("the document is not a Kubernetes object: it lacks {}", missing.join(", ")))
    });
}

/// The largest number up to which every whole number has a float of its own.
const LARGEST_EXACT: f64 = 9_007_199_254_740_992.0;

/// Writes `1.0` and `1e3` as `1` and `1000`, as kubectl does: the API server takes nothing else for an integer.
fn whole_numbers(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        Value::Object(fields) => fields.values_mut().for_each(whole_numbers),
        Value::Number(number) => {
            if let Some(float) = number.as_f64().filter(|_| number.is_f64())
                && float.fract() == 0.0
                && float.abs() <= LARGEST_EXACT
            {
                #[expect(clippy::cast_possible_truncation, reason = "it is whole and in range")]
                let whole = float as i64;
                *number = Number::from(whole);
            }
        }
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
