//! JSON as CEL sees it.

use std::collections::HashMap;
use std::sync::Arc;

use kube_cel::cel::Value;
use kube_cel::cel::objects::{Key, Map};

/// A number becomes an `int` where it fits, as in cel-go for objects of Kubernetes.
pub(crate) fn from_json(json: &serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(value) => Value::Bool(*value),
        serde_json::Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(value), _) => Value::Int(value),
            (None, Some(value)) => Value::UInt(value),
            (None, None) => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        serde_json::Value::String(value) => Value::String(Arc::new(value.clone())),
        serde_json::Value::Array(items) => Value::List(Arc::new(items.iter().map(from_json).collect())),
        serde_json::Value::Object(fields) => {
            let map: HashMap<Key, Value> = fields
                .iter()
                .map(|(key, value)| (Key::String(Arc::new(key.clone())), from_json(value)))
                .collect();
            Value::Map(Map { map: Arc::new(map) })
        }
    }
}

/// About how many bytes a value takes: what it costs to copy or to compare it.
pub(crate) fn bytes(value: &Value) -> u64 {
    /// What a value takes besides its text.
    const VALUE: u64 = 8;
    VALUE
        + match value {
            Value::String(text) => text.len() as u64,
            Value::Bytes(bytes) => bytes.len() as u64,
            Value::List(items) => items.iter().map(bytes).sum(),
            Value::Map(map) => map.map.iter().map(|(key, value)| key_bytes(key) + bytes(value)).sum(),
            _ => 0,
        }
}

fn key_bytes(key: &Key) -> u64 {
    match key {
        Key::String(text) => text.len() as u64,
        _ => 0,
    }
}
