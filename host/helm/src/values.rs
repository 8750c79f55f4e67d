//! The values of a release: put together from ConfigMaps, Secrets and the spec, in Flux's order.

use std::collections::BTreeMap;

use plumb_api::{HelmReleaseSpec, Sensitive, ValuesKind, ValuesReference};
use serde_json::{Map, Number, Value};
use sha2::{Digest as _, Sha256, Sha384, Sha512};

use crate::go_yaml;
use tree::{Node, Table};

mod set;
mod tree;
mod yaml;

pub use set::{SetError, set, set_text};
pub use yaml::NotYaml;
pub(crate) use yaml::documents;

/// The bytes of a ConfigMap or a Secret, by key.
pub type Data = BTreeMap<String, Sensitive<Vec<u8>>>;

/// The values that a chart is given. They may come from Secrets, so they have no `Debug` and no `Display`.
#[derive(Clone, Default, PartialEq)]
pub struct Values(Map<String, Value>);

/// Why the values of a release cannot be put together. No message has anything of a value in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValuesError {
    /// The object does not exist, and is not optional.
    #[error("valuesFrom: {reference} does not exist; create it, or set optional: true")]
    NoObject {
        /// Which it is.
        reference: Reference,
    },
    /// The object has no such key, and that is not optional.
    #[error("valuesFrom: {reference} has no key {key:?}; add it, set valuesKey, or set optional: true")]
    NoKey {
        /// Which object it is.
        reference: Reference,
        /// The key.
        key: String,
    },
    /// What the key holds is not text.
    #[error("valuesFrom: {reference}: the value of {key:?} is not text in UTF-8")]
    NotText {
        /// Which object it is.
        reference: Reference,
        /// The key.
        key: String,
    },
    /// What the key holds is not YAML of an object.
    #[error("valuesFrom: {reference}: {key:?}: {problem}")]
    NotYaml {
        /// Which object it is.
        reference: Reference,
        /// The key.
        key: String,
        /// What is wrong.
        problem: NotYaml,
    },
    /// What the key holds cannot be put at the target path.
    #[error("valuesFrom: {reference}: the value of {key:?} cannot be put at targetPath {path:?}: {problem}")]
    NotSet {
        /// Which object it is.
        reference: Reference,
        /// The key.
        key: String,
        /// The target path.
        path: String,
        /// What is wrong.
        problem: SetError,
    },
}

/// Names the ConfigMap or Secret that an error is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    kind: ValuesKind,
    namespace: String,
    name: String,
}

impl std::fmt::Display for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} '{}/{}'", self.kind, self.namespace, self.name)
    }
}

/// Puts the values of a release together: those of `valuesFrom` one over the other, and those of the spec over them. `find` gives the
/// ConfigMaps and Secrets of the namespace that exist.
///
/// What is put at a `targetPath` goes into what there is by then, with the values of the spec. Whether the values of the spec go over it once
/// more at the end depends on whether the object in which it is comes from the spec alone; that is how Flux does it, and
/// [`Table`] keeps to it.
pub fn compose<'a>(
    namespace: &str,
    spec: &HelmReleaseSpec,
    find: impl Fn(ValuesKind, &str) -> Option<&'a Data>,
) -> Result<Values, ValuesError> {
    let inline = Table::from(spec.values());
    let mut result = Table::default();
    for reference in &spec.values_from {
        let Some(text) = text_of(namespace, reference, &find)? else { continue };
        let named = || Reference::new(namespace, reference);
        let key = reference.values_key();
        if let Some(path) = &reference.target_path {
            result = Table::merged(&result, &inline);
            put(&result, path, text, reference.literal).map_err(|problem| ValuesError::NotSet {
                reference: named(),
                key: key.to_owned(),
                path: path.clone(),
                problem,
            })?;
        } else {
            let read = yaml::read(text).map_err(|problem| ValuesError::NotYaml {
                reference: named(),
                key: key.to_owned(),
                problem,
            })?;
            result = Table::merged(&result, &Table::from(read));
        }
    }
    Ok(Values(Table::merged(&result, &inline).into_map()))
}

impl Reference {
    fn new(namespace: &str, reference: &ValuesReference) -> Self {
        Self { kind: reference.kind, namespace: namespace.to_owned(), name: reference.name.clone() }
    }
}

/// What a reference leads to; `None` where it leads nowhere and may.
fn text_of<'a>(
    namespace: &str,
    reference: &ValuesReference,
    find: &impl Fn(ValuesKind, &str) -> Option<&'a Data>,
) -> Result<Option<&'a str>, ValuesError> {
    let named = || Reference::new(namespace, reference);
    let key = reference.values_key();
    let Some(data) = find(reference.kind, &reference.name) else {
        let missing = ValuesError::NoObject { reference: named() };
        return if reference.optional { Ok(None) } else { Err(missing) };
    };
    let Some(value) = data.get(key) else {
        let missing = ValuesError::NoKey { reference: named(), key: key.to_owned() };
        return if reference.optional { Ok(None) } else { Err(missing) };
    };
    let text = std::str::from_utf8(value.expose());
    text.map(Some).map_err(|_| ValuesError::NotText { reference: named(), key: key.to_owned() })
}

/// Puts a text at a path, in the way of `helm --set`. In quotes it stays text, whatever it looks like.
fn put(table: &Table, path: &str, text: &str, literal: bool) -> Result<(), SetError> {
    if literal {
        let escaped: String = text.chars().flat_map(|c| escape(c).into_iter().chain([c])).collect();
        return set::into_as_text(table, &format!("{path}={escaped}"));
    }
    let is_in = |quote: char| text.starts_with(quote) && text.ends_with(quote);
    if is_in('\'') || is_in('"') {
        return set::into_as_text(table, &format!("{path}={}", text.trim_matches(['\'', '"'])));
    }
    set::into(table, &format!("{path}={text}"))
}

/// What has a meaning in the syntax of `--set`.
fn escape(c: char) -> Option<char> {
    matches!(c, '\\' | ',' | '[' | ']' | '{' | '}').then_some('\\')
}

impl From<Map<String, Value>> for Values {
    fn from(map: Map<String, Value>) -> Self {
        Self(map)
    }
}

impl Values {
    /// `upgrade.preserveValues`: what the last release was given, with these over it.
    #[must_use]
    pub fn over(&self, last: Map<String, Value>) -> Self {
        let mut all = last;
        merge(&mut all, &self.0);
        Self(all)
    }

    /// The values. Whoever calls this answers for where they go.
    pub fn expose(&self) -> &Map<String, Value> {
        &self.0
    }

    /// The values. Whoever calls this answers for where they go.
    pub fn into_exposed(self) -> Map<String, Value> {
        self.0
    }

    /// The digest of the values, as Flux computes it for `configDigest`: `sha256:HEX`.
    pub fn digest(&self) -> String {
        format!("sha256:{}", hex::encode(Sha256::digest(self.canonical())))
    }

    /// Whether a digest that was computed before, by Flux or here, is that of these values. One of an unknown algorithm is not.
    pub fn have_digest(&self, digest: &str) -> bool {
        let actual = |bytes: &[u8]| match digest.split_once(':')?.0 {
            "sha256" => Some(hex::encode(Sha256::digest(bytes))),
            "sha384" => Some(hex::encode(Sha384::digest(bytes))),
            "sha512" => Some(hex::encode(Sha512::digest(bytes))),
            _ => None,
        };
        actual(self.canonical().as_bytes()).is_some_and(|actual| digest.ends_with(&format!(":{actual}")))
    }

    /// The bytes of which digests are: YAML with sorted keys, and nothing at all for no values.
    fn canonical(&self) -> String {
        if self.0.is_empty() { String::new() } else { go_yaml::emit(&self.0) }
    }
}

/// Objects are merged, everything else is replaced.
fn merge(below: &mut Map<String, Value>, above: &Map<String, Value>) {
    for (key, value) in above {
        match (below.get_mut(key), value) {
            (Some(Value::Object(below)), Value::Object(above)) => merge(below, above),
            _ => {
                below.insert(key.clone(), value.clone());
            }
        }
    }
}

/// Whole numbers up to which every one has a float of its own. Go reads all numbers of YAML and JSON as floats.
const LARGEST_EXACT: u64 = 1 << 53;

fn as_go_reads_it(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(as_go_reads_it),
        Value::Object(fields) => fields.values_mut().for_each(as_go_reads_it),
        Value::Number(number) => {
            let magnitude = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs));
            if magnitude.is_some_and(|magnitude| magnitude > LARGEST_EXACT)
                && let Some(float) = number.as_f64().and_then(Number::from_f64)
            {
                *number = float;
            }
        }
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

impl From<Map<String, Value>> for Table {
    fn from(mut map: Map<String, Value>) -> Self {
        map.values_mut().for_each(as_go_reads_it);
        Self::new(map.into_iter().map(|(key, value)| (key, Node::from(value))).collect())
    }
}

#[cfg(test)]
#[path = "values/tests.rs"]
mod tests;
