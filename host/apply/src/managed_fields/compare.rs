use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use plumb_api::Object;
use serde_json::{Map, Number, Value};

use super::quantity::same_quantity;
use super::{FieldSet, is_built_in, is_leaf, is_never_owned, names_item};

/// Compares what is desired with what is live, in the fields that are owned.
#[derive(Clone, Copy)]
pub(super) struct Comparison {
    /// The objects pass through Go structs in the API server.
    is_built_in: bool,
    /// The maps `data` and `binaryData` hold base64.
    holds_base64: bool,
}

/// Where a value stands: the name of its field, and of the field that holds that one.
#[derive(Clone, Copy)]
struct Place<'a> {
    parent: &'a str,
    field: &'a str,
}

impl<'a> Place<'a> {
    fn child(self, field: &'a str) -> Self {
        Self { parent: self.field, field }
    }
}

impl Comparison {
    /// The rules for the type of an object.
    pub(super) fn of(object: &Object) -> Self {
        let group_kind = object.gvk().group_kind();
        Self {
            is_built_in: is_built_in(&group_kind),
            holds_base64: group_kind.group.is_empty() && matches!(object.kind(), "Secret" | "ConfigMap"),
        }
    }

    /// Whether two objects are the same in the owned fields, and no field is owned that is not desired.
    pub(super) fn objects(
        self,
        desired: &Map<String, Value>,
        live: &Map<String, Value>,
        owned: &FieldSet,
    ) -> bool {
        let mut desired = desired.clone();
        desired.remove("apiVersion");
        desired.remove("kind");
        if let Some(metadata) = desired.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.retain(|field, _| !is_never_owned(field));
            if metadata.is_empty() {
                desired.remove("metadata");
            }
        }
        self.maps(Place { parent: "", field: "" }, &desired, live, owned)
    }

    /// A map of which single fields are owned.
    fn maps(
        self,
        at: Place<'_>,
        desired: &Map<String, Value>,
        live: &Map<String, Value>,
        owned: &FieldSet,
    ) -> bool {
        let nothing_else_is_owned = owned
            .keys()
            .filter(|key| *key != ".")
            .all(|key| key.strip_prefix("f:").is_some_and(|field| desired.contains_key(field)));
        nothing_else_is_owned
            && desired.iter().all(|(field, value)| {
                let live = live.get(field).filter(|live| !live.is_null());
                match owned.get(&format!("f:{field}")).and_then(Value::as_object) {
                    Some(owned) => self.values(at.child(field), value, live, owned),
                    // Nobody owns an empty list of items with keys.
                    None => live.is_none() && self.is_never_kept(value),
                }
            })
    }

    /// A value that is owned, or of which parts are.
    fn values(self, at: Place<'_>, desired: &Value, live: Option<&Value>, owned: &FieldSet) -> bool {
        let Some(live) = live else {
            // Ours, and yet not there: had somebody removed it, it would no longer be ours. So the server has left it out, which it
            // does with zero values only.
            return self.is_built_in && is_zero(desired);
        };
        if is_leaf(owned) {
            return self.same(at, desired, live);
        }
        match (desired, live) {
            (Value::Object(desired), Value::Object(live)) => self.maps(at, desired, live, owned),
            (Value::Array(desired), Value::Array(live)) => self.lists(at, desired, live, owned),
            _ => false,
        }
    }

    /// A list of which single items are owned. They must stand in the same order, as applying puts them into the desired one.
    fn lists(self, at: Place<'_>, desired: &[Value], live: &[Value], owned: &FieldSet) -> bool {
        let items: Vec<_> = owned.iter().filter(|(key, _)| *key != ".").collect();
        if items.len() != desired.len() {
            return false;
        }
        let mut from = 0;
        desired.iter().all(|wanted| {
            let mut named = items.iter().filter(|(key, _)| names_item(key, wanted));
            let (Some((key, owned)), None) = (named.next(), named.next()) else { return false };
            let Some(offset) = live.iter().skip(from).position(|item| names_item(key, item)) else {
                return false;
            };
            let found = live.get(from + offset);
            from += offset + 1;
            owned.as_object().is_some_and(|owned| self.values(at, wanted, found, owned))
        })
    }

    /// Whether two values are the same but for the form in which the server writes them.
    fn same(self, at: Place<'_>, desired: &Value, live: &Value) -> bool {
        match (desired, live) {
            (Value::Object(desired), Value::Object(live)) => {
                live.keys().all(|field| desired.contains_key(field))
                    && desired.iter().all(|(field, value)| match live.get(field) {
                        Some(live) => self.same(at.child(field), value, live),
                        None => self.is_never_kept(value),
                    })
            }
            (Value::Array(desired), Value::Array(live)) => {
                desired.len() == live.len()
                    && desired.iter().zip(live).all(|(desired, live)| self.same(at, desired, live))
            }
            (Value::Number(desired), Value::Number(live)) => same_number(desired, live),
            _ if desired == live => true,
            _ if self.is_built_in && holds_quantity(at) => same_quantity(desired, live),
            (Value::String(desired), Value::String(live)) if self.is_base64(at) => same_bytes(desired, live),
            _ => false,
        }
    }

    /// What a Go struct does not even keep when it is new: nothing, and a list of nothing.
    fn is_never_kept(self, value: &Value) -> bool {
        self.is_built_in && (value.is_null() || value.as_array().is_some_and(Vec::is_empty))
    }

    fn is_base64(self, at: Place<'_>) -> bool {
        self.holds_base64 && matches!(at.parent, "data" | "binaryData")
    }
}

/// What Go calls the zero value of a type.
fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    }
}

/// YAML and Go do not agree on how to write `1.0`.
fn same_number(left: &Number, right: &Number) -> bool {
    left == right || ((left.is_f64() || right.is_f64()) && left.as_f64() == right.as_f64())
}

/// The fields of built-in types that hold quantities, and maps of them.
fn holds_quantity(at: Place<'_>) -> bool {
    let map = matches!(
        at.parent,
        "limits"
            | "requests"
            | "hard"
            | "capacity"
            | "overhead"
            | "podFixed"
            | "max"
            | "min"
            | "default"
            | "defaultRequest"
            | "maxLimitRequestRatio"
    );
    map || matches!(at.field, "sizeLimit" | "divisor" | "averageValue")
}

/// Base64 may be written over several lines; the server joins them.
fn same_bytes(left: &str, right: &str) -> bool {
    let decode = |text: &str| STANDARD.decode(text.replace(['\r', '\n'], "")).ok();
    decode(left).is_some_and(|left| decode(right) == Some(left))
}
