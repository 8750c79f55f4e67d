use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use plumb_api::{Object, Sensitive};
use serde_json::{Map, Value, json};

use crate::Data;

/// The variables of `spec.postBuild`, merged. Any of them may come from a Secret.
#[derive(Clone, Default)]
pub struct Variables(BTreeMap<String, Sensitive<String>>);

/// Why the data of an object cannot be had. No message has a value in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DataError {
    /// It is neither a ConfigMap nor a Secret.
    #[error("{0} is neither a ConfigMap nor a Secret")]
    Kind(String),
    /// A value is not text.
    #[error("{object}: the value of {key:?} is not text")]
    NotText {
        /// `Secret cluster-vars`.
        object: String,
        /// The key.
        key: String,
    },
    /// A value of a Secret, or of `binaryData`, is not base64.
    #[error("{object}: the value of {key:?} is not base64")]
    NotBase64 {
        /// `Secret cluster-vars`.
        object: String,
        /// The key.
        key: String,
    },
}

impl Variables {
    /// Merges as Flux does: of the objects of `substituteFrom` a later one goes before an earlier one, and `substitute` goes before all.
    /// Line breaks are taken out of all values.
    pub fn merge<'a>(
        from: impl IntoIterator<Item = &'a BTreeMap<String, Sensitive<String>>>,
        substitute: &BTreeMap<String, String>,
    ) -> Self {
        let mut merged = BTreeMap::new();
        let one_line = |value: &str| Sensitive::new(value.replace('\n', ""));
        for variables in from {
            merged.extend(variables.iter().map(|(name, value)| (name.clone(), one_line(value.expose()))));
        }
        merged.extend(substitute.iter().map(|(name, value)| (name.clone(), one_line(value))));
        Self(merged)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As the plugin `substitute` wants them. The values are in it.
    pub fn parameters(&self) -> Value {
        let values: Map<String, Value> =
            self.0.iter().map(|(name, value)| (name.clone(), Value::from(value.expose().as_str()))).collect();
        json!({ "variables": values })
    }
}

/// The bytes of a ConfigMap or a Secret, by key.
///
/// # Errors
///
/// When it is another object, or a value is not what it has to be.
pub fn data_of(object: &Object) -> Result<Data, DataError> {
    let name = format!("{} {}", object.kind(), object.name());
    let fields: &[(&str, bool)] = match (object.api_version(), object.kind()) {
        ("v1", "ConfigMap") => &[("/data", false), ("/binaryData", true)],
        ("v1", "Secret") => &[("/data", true), ("/stringData", false)],
        _ => return Err(DataError::Kind(name)),
    };
    let mut data = Data::new();
    for (pointer, is_base64) in fields {
        for (key, value) in entries(object, pointer) {
            let not_text = || DataError::NotText { object: name.clone(), key: key.clone() };
            let text = value.as_str().ok_or_else(not_text)?;
            let bytes = if *is_base64 {
                let not_base64 = |_| DataError::NotBase64 { object: name.clone(), key: key.clone() };
                STANDARD.decode(text).map_err(not_base64)?
            } else {
                text.as_bytes().to_vec()
            };
            data.insert(key.clone(), Sensitive::new(bytes));
        }
    }
    Ok(data)
}

fn entries<'a>(object: &'a Object, pointer: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    object.pointer(pointer).and_then(Value::as_object).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn object(value: Value) -> Object {
        Object::new(value).unwrap()
    }

    fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, Sensitive<String>> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), Sensitive::new((*value).to_owned()))).collect()
    }

    #[test]
    fn the_later_goes_before_the_earlier_and_substitute_before_all() {
        let from =
            [texts(&[("a", "1"), ("b", "1"), ("c", "1")]), texts(&[("b", "2"), ("c", "2"), ("d", "2\n2\n")])];
        let merged = Variables::merge(&from, &BTreeMap::from([("c".to_owned(), "3\n".to_owned())]));
        assert_eq!(merged.parameters(), json!({"variables": {"a": "1", "b": "2", "c": "3", "d": "22"}}));
        assert!(!merged.is_empty());
        assert!(Variables::merge([], &BTreeMap::new()).is_empty());
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        let secret = object(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"},
            "data": {"a": "Mg==", "b": "Mg=="}, "stringData": {"b": "3"}}));
        let config = object(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"},
            "data": {"a": "Mg=="}, "binaryData": {"b": "//8="}}));
        let plain = |object: &Object| -> Vec<(String, Vec<u8>)> {
            let data = data_of(object).unwrap();
            data.iter().map(|(key, value)| (key.clone(), value.expose().clone())).collect()
        };
        assert_eq!(plain(&secret), [("a".to_owned(), b"2".to_vec()), ("b".to_owned(), b"3".to_vec())]);
        assert_eq!(plain(&config), [("a".to_owned(), b"Mg==".to_vec()), ("b".to_owned(), vec![255, 255])]);
    }

    /// Attack 19 (Secrets): what cannot be decoded is not shown.
    #[test]
    fn what_is_wrong_is_told_without_the_value() {
        let wrong = [
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"k": "hunter2!"}}),
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"k": {"hunter2": 1}}}),
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "data": {"k": "hunter2"}}),
        ];
        let told: Vec<String> =
            wrong.into_iter().map(|wrong| data_of(&object(wrong)).err().unwrap().to_string()).collect();
        assert_eq!(
            told,
            [
                "Secret s: the value of \"k\" is not base64",
                "ConfigMap c: the value of \"k\" is not text",
                "Pod p is neither a ConfigMap nor a Secret",
            ]
        );
    }
}
