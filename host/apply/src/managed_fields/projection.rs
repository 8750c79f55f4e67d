use plumb_api::Object;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{FieldSet, applied_entry, is_leaf, names_item};

/// A SHA-256.
pub type Digest = [u8; 32];

/// A digest of an object as it is rendered, whatever the order of its keys.
pub fn desired_digest(desired: &Object) -> Digest {
    let mut hasher = Sha256::new();
    let fields = desired.fields();
    write_fields(&mut hasher, fields.iter().map(|(field, value)| (field.as_str(), value)));
    hasher.finalize().into()
}

/// A digest of the fields that `manager` owns by server-side apply, with their values, the version in which they were applied, and the
/// order of the list items among them. `None` when it owns none.
pub fn projection_digest(live: &Object, manager: &str) -> Option<Digest> {
    let entry = applied_entry(live, manager)?;
    let mut hasher = Sha256::new();
    write_text(&mut hasher, live.api_version());
    write_text(&mut hasher, entry.api_version);
    let children = entry.fields.iter().map(|(key, owned)| {
        let value = key.strip_prefix("f:").and_then(|field| live.fields().get(field));
        (key.as_str(), owned, value)
    });
    write_children(&mut hasher, children.collect());
    Some(hasher.finalize().into())
}

/// The owned part of a value. Every node is written with what it is, how long, and its parts, so that no two write the same.
fn write_owned(hasher: &mut Sha256, owned: &FieldSet, value: Option<&Value>) {
    match value {
        None => hasher.update(b"-"),
        Some(value) if is_leaf(owned) => write_value(hasher, value),
        Some(Value::Array(items)) => write_items(hasher, owned, items),
        Some(value) => {
            let children = owned.iter().map(|(key, owned)| {
                (key.as_str(), owned, key.strip_prefix("f:").and_then(|field| value.get(field)))
            });
            write_children(hasher, children.collect());
        }
    }
}

/// The owned items of a list, in the order in which they stand there, then those that are not there.
fn write_items(hasher: &mut Sha256, owned: &FieldSet, items: &[Value]) {
    let owner = |item: &Value| owned.iter().find(|(key, _)| names_item(key, item));
    let there =
        items.iter().filter_map(|item| owner(item).map(|(key, owned)| (key.as_str(), owned, Some(item))));
    let gone = owned
        .iter()
        .filter(|(key, _)| !items.iter().any(|item| names_item(key, item)))
        .map(|(key, owned)| (key.as_str(), owned, None));
    write_in_order(hasher, &there.chain(gone).collect::<Vec<_>>());
}

fn write_children(hasher: &mut Sha256, mut children: Vec<(&str, &Value, Option<&Value>)>) {
    children.sort_by_key(|(key, _, _)| *key);
    write_in_order(hasher, &children);
}

fn write_in_order(hasher: &mut Sha256, children: &[(&str, &Value, Option<&Value>)]) {
    hasher.update(b"o");
    write_len(hasher, children.len());
    for (key, owned, value) in children {
        write_text(hasher, key);
        match owned.as_object() {
            Some(owned) => write_owned(hasher, owned, *value),
            None => hasher.update(b"?"),
        }
    }
}

fn write_value(hasher: &mut Sha256, value: &Value) {
    match value {
        Value::Null => hasher.update(b"n"),
        Value::Bool(value) => hasher.update([b'b', u8::from(*value)]),
        Value::Number(number) => {
            hasher.update(b"d");
            write_text(hasher, &number.to_string());
        }
        Value::String(text) => {
            hasher.update(b"s");
            write_text(hasher, text);
        }
        Value::Array(items) => {
            hasher.update(b"a");
            write_len(hasher, items.len());
            for item in items {
                write_value(hasher, item);
            }
        }
        Value::Object(fields) => {
            write_fields(hasher, fields.iter().map(|(field, value)| (field.as_str(), value)));
        }
    }
}

/// A map, whatever the order of its keys.
fn write_fields<'a>(hasher: &mut Sha256, fields: impl Iterator<Item = (&'a str, &'a Value)>) {
    let mut fields: Vec<_> = fields.collect();
    fields.sort_by_key(|(field, _)| *field);
    hasher.update(b"m");
    write_len(hasher, fields.len());
    for (field, value) in fields {
        write_text(hasher, field);
        write_value(hasher, value);
    }
}

fn write_text(hasher: &mut Sha256, text: &str) {
    write_len(hasher, text.len());
    hasher.update(text);
}

fn write_len(hasher: &mut Sha256, len: usize) {
    hasher.update((len as u64).to_be_bytes());
}
