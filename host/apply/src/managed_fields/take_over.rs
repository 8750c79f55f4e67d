use plumb_api::Object;
use serde_json::{Map, Value, json};

use super::{FieldSet, entries, is_applied_by};

/// Annotations and labels that kubectl and early versions of Flux leave on objects, and that Flux removes.
const LEFTOVERS: [(&str, &str); 4] = [
    ("annotations", "kubectl.kubernetes.io/last-applied-configuration"),
    ("annotations", "kustomize.toolkit.fluxcd.io/checksum"),
    ("annotations", "fluxcd.io/sync-checksum"),
    ("labels", "fluxcd.io/sync-gc-mark"),
];

/// A JSON Patch (RFC 6902) that makes the fields which kubectl has written fields of `manager`, as Flux does: without it, a field that
/// somebody has added with `kubectl edit` would belong to `kubectl-edit` for ever, and applying would not remove it. The patch is refused
/// with a conflict when the object has changed meanwhile. It is empty when there is nothing to take over.
pub fn take_over(live: &Object, desired: &Object, manager: &str) -> Vec<Value> {
    let mut patch = Vec::new();
    if let Some(entries) = entries_taken_over(live, manager) {
        patch.push(json!({"op": "replace", "path": "/metadata/managedFields", "value": entries}));
    }
    for (map, key) in LEFTOVERS {
        let path = format!("/metadata/{map}/{}", key.replace('~', "~0").replace('/', "~1"));
        if live.pointer(&path).is_some() && desired.pointer(&path).is_none() {
            patch.push(json!({"op": "remove", "path": path}));
        }
    }
    if let (false, Some(version)) = (patch.is_empty(), live.pointer("/metadata/resourceVersion")) {
        patch.push(json!({"op": "replace", "path": "/metadata/resourceVersion", "value": version}));
    }
    patch
}

/// `managedFields` in which what others wrote in our stead is ours; `None` when that is how they are.
fn entries_taken_over(live: &Object, manager: &str) -> Option<Vec<Value>> {
    let (taken, mut rest): (Vec<_>, Vec<_>) =
        entries(live).cloned().partition(|entry| is_taken_over(entry, manager));
    if taken.is_empty() {
        return None;
    }
    let ours =
        rest.iter().position(|entry| is_applied_by(entry, manager)).map(|position| rest.remove(position));
    let mut entries = ours.into_iter().chain(taken);
    let mut merged = entries.next()?;
    merged.insert("manager".to_owned(), manager.into());
    merged.insert("operation".to_owned(), "Apply".into());
    for entry in entries {
        let fields = |entry: &Map<String, Value>| entry.get("fieldsV1").and_then(Value::as_object).cloned();
        let both = match (fields(&merged), fields(&entry)) {
            (Some(left), Some(right)) => union(left, right),
            (left, right) => left.or(right).unwrap_or_default(),
        };
        merged.insert("fieldsV1".to_owned(), Value::Object(both));
    }
    rest.push(merged);
    Some(rest.into_iter().map(Value::Object).collect())
}

/// Flux's list: whatever kubectl did, what was there before the first apply, and what `manager` wrote without server-side apply.
fn is_taken_over(entry: &Map<String, Value>, manager: &str) -> bool {
    let text = |field| entry.get(field).and_then(Value::as_str).unwrap_or_default();
    if !text("subresource").is_empty() {
        return false;
    }
    let name = text("manager");
    match text("operation") {
        "Apply" => name.starts_with("kubectl"),
        "Update" => {
            name.starts_with("kubectl") || name.starts_with("before-first-apply") || name.starts_with(manager)
        }
        _ => false,
    }
}

/// The union of two sets of fields. A path that has parts is in the set itself only when it is marked so, with `.`; one without is
/// in it always.
pub(crate) fn union(mut left: FieldSet, right: FieldSet) -> FieldSet {
    for (key, value) in right {
        let merged = match (left.remove(&key), value) {
            (Some(Value::Object(left)), Value::Object(right)) => Value::Object(union_of_paths(left, right)),
            (_, value) => value,
        };
        left.insert(key, merged);
    }
    left
}

fn union_of_paths(left: FieldSet, right: FieldSet) -> FieldSet {
    let marked = |mut set: FieldSet, other: &FieldSet| {
        if set.is_empty() && !other.is_empty() {
            set.insert(".".to_owned(), Value::Object(Map::new()));
        }
        set
    };
    let left = marked(left, &right);
    let right = marked(right, &left);
    union(left, right)
}
