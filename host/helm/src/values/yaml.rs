//! YAML as Helm reads it: by the rules of YAML 1.1, where `yes` is true and `0644` is 420. Of several documents the first counts, of
//! several fields of one name the last.

use std::fmt;

use plumb_yaml11::options;
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::DuplicateKeyPolicy;

use crate::go::float_g;

/// Why a text is not the YAML of an object. The message has nothing of the text in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotYaml {
    /// It is not YAML, or too large or too deeply nested to be read.
    #[error("the YAML cannot be read{}", at_line(*.line))]
    Syntax {
        /// The line, counted from 1, where it is known.
        line: Option<u64>,
    },
    /// It is a list or a single value.
    #[error("it is no object with values, such as `replicas: 2`, but {0}")]
    NoObject(&'static str),
}

fn at_line(line: Option<u64>) -> String {
    line.map_or_else(String::new, |line| format!(": line {line}"))
}

/// Reads the object that a text holds. A text of nothing holds an empty one.
pub(super) fn read(text: &str) -> Result<Map<String, Value>, NotYaml> {
    let mut reader = text.as_bytes();
    let mut documents =
        serde_saphyr::read_with_options::<_, Yaml>(&mut reader, options(DuplicateKeyPolicy::LastWins));
    match documents.next() {
        None => Ok(Map::new()),
        Some(Ok(Yaml(Value::Object(fields)))) => Ok(fields),
        Some(Ok(Yaml(Value::Null))) => Ok(Map::new()),
        Some(Ok(Yaml(Value::Array(_)))) => Err(NotYaml::NoObject("a list")),
        Some(Ok(Yaml(_))) => Err(NotYaml::NoObject("a single value")),
        Some(Err(error)) => {
            let line = error.location().map(|location| location.line());
            Err(NotYaml::Syntax { line: line.filter(|line| *line > 0) })
        }
    }
}

/// Reads the objects that a text of several documents holds. Documents of nothing are left out.
pub(crate) fn documents(text: &str) -> Result<Vec<Map<String, Value>>, NotYaml> {
    let mut reader = text.as_bytes();
    let mut found = Vec::new();
    for document in
        serde_saphyr::read_with_options::<_, Yaml>(&mut reader, options(DuplicateKeyPolicy::LastWins))
    {
        match document {
            Ok(Yaml(Value::Object(fields))) => found.push(fields),
            Ok(Yaml(Value::Null)) => {}
            Ok(Yaml(Value::Array(_))) => return Err(NotYaml::NoObject("a list")),
            Ok(Yaml(_)) => return Err(NotYaml::NoObject("a single value")),
            Err(error) => {
                let line = error.location().map(|location| location.line());
                let line = line.filter(|line| *line > 0);
                return Err(NotYaml::Syntax { line });
            }
        }
    }
    Ok(found)
}

/// A value whose keys may be other than text: `yes: a` is `{"true": "a"}`.
struct Yaml(Value);

impl<'de> Deserialize<'de> for Yaml {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue).map(Self)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i128<E>(self, value: i128) -> Result<Value, E> {
        Ok(float(value as f64))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Value, E> {
        Ok(float(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Yaml(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((Yaml(key), Yaml(value))) = fields.next_entry()? {
            let key = match key {
                Value::String(key) => key,
                Value::Bool(key) => key.to_string(),
                Value::Number(key) => {
                    key.as_f64().filter(|_| key.is_f64()).map_or_else(|| key.to_string(), float_g)
                }
                Value::Null | Value::Array(_) | Value::Object(_) => {
                    return Err(de::Error::custom("a key is no text"));
                }
            };
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

/// What has no end was refused before.
fn float(value: f64) -> Value {
    Number::from_f64(value).map_or(Value::Null, Value::Number)
}
