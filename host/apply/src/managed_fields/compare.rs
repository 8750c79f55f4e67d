use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use plumb_api::Object;
use serde_json::{Map, Number, Value, json};

use super::quantity::same_quantity;
use super::{FieldSet, is_built_in, is_leaf, is_never_owned, names_item};

/// Compares what is desired with what is live, in the fields that are owned.
#[derive(Clone, Copy)]
pub(crate) struct Comparison {
    /// The objects pass through Go structs in the API server.
    is_built_in: bool,
    /// The maps `data` and `binaryData` hold base64.
    holds_base64: bool,
}

/// Where a value stands: the name of its field, and of the field that holds that one.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    /// The field that holds it.
    pub(crate) parent: &'a str,
    /// Its own.
    pub(crate) field: &'a str,
}

impl<'a> Place<'a> {
    fn child(self, field: &'a str) -> Self {
        Self { parent: self.field, field }
    }
}

impl Comparison {
    /// The rules for the type of an object.
    pub(crate) fn of(object: &Object) -> Self {
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
                let owned = owned.get(&format!("f:{field}")).and_then(Value::as_object);
                owned.is_some_and(|owned| self.values(at.child(field), value, live, owned))
            })
    }

    /// A value that is owned, or of which parts are.
    fn values(self, at: Place<'_>, desired: &Value, live: Option<&Value>, owned: &FieldSet) -> bool {
        let Some(live) = live else { return self.is_left_out(desired) };
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
    pub(crate) fn same(self, at: Place<'_>, desired: &Value, live: &Value) -> bool {
        match (desired, live) {
            (Value::Object(desired), Value::Object(live)) => {
                let is_wanted = |(field, value): (&String, &Value)| {
                    desired.contains_key(field) || (self.is_built_in && is_default(at.field, field, value))
                };
                live.iter().all(is_wanted)
                    && desired.iter().all(|(field, value)| {
                        live.get(field).is_some_and(|live| self.same(at.child(field), value, live))
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

    /// Whether a value that is ours may not be there. Had somebody removed it, it would no longer be ours; so the server has left it
    /// out, which it does with zero values only.
    pub(crate) fn is_left_out(self, desired: &Value) -> bool {
        self.is_built_in && is_zero(desired)
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

/// What the server adds to atomic lists and maps of built-in types: the field that holds it, its own name, and its value.
fn is_default(parent: &str, field: &str, value: &Value) -> bool {
    let text = match (parent, field) {
        ("fieldRef", "apiVersion") => "v1",
        ("resourceFieldRef", "divisor") => "0",
        ("ports", "protocol") => "TCP",
        ("rules", "scope") => "*",
        ("volumeClaimTemplates", "apiVersion") => "v1",
        ("volumeClaimTemplates", "kind") => "PersistentVolumeClaim",
        ("volumeClaimTemplates", "status") => return *value == json!({"phase": "Pending"}),
        ("spec", "volumeMode") => "Filesystem",
        ("serviceAccountToken", "expirationSeconds") => return *value == json!(3600),
        _ => return value.is_null(),
    };
    value == text
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
