use std::sync::Arc;

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

/// Managers whose fields become ours besides those of kubectl: Flux's `--override-manager`. What they write into our objects and Git does
/// not have is removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OverrideManagers(Arc<[String]>);

/// A name that no manager has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the name of a field manager to override is empty, which would be every manager")]
pub struct InvalidManager;

/// Who has written an entry of the managed fields, as far as it matters when we apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writer {
    /// We, or one whose fields become ours.
    Us,
    /// Another one that applies: its fields stay its own when we do not send them.
    OtherApplier,
    /// One that updates, or writes to a subresource.
    Nobody,
}

impl OverrideManagers {
    /// Managers whose names begin with one of these, as in Flux.
    pub fn new(names: impl IntoIterator<Item = String>) -> Result<Self, InvalidManager> {
        let names: Arc<[String]> = names.into_iter().collect();
        if names.iter().any(|name| name.trim().is_empty()) { Err(InvalidManager) } else { Ok(Self(names)) }
    }

    /// These and Helm, by whichever name and in whichever way it wrote: for releases that were Helm's, or those of an older Flux.
    #[must_use]
    pub fn with_helm(&self) -> Self {
        Self(self.0.iter().cloned().chain(["helm".to_owned()]).collect())
    }

    /// Whether what an entry says becomes ours: whatever kubectl did, what was there before the first apply, and what `manager` wrote
    /// without server-side apply, as in Flux; and whatever the managers of this list did.
    pub(crate) fn take_over(&self, entry: &Map<String, Value>, manager: &str) -> bool {
        let text = |field| entry.get(field).and_then(Value::as_str).unwrap_or_default();
        let name = text("manager");
        let is_listed = || self.0.iter().any(|listed| name.starts_with(listed.as_str()));
        if !text("subresource").is_empty() || is_applied_by(entry, manager) {
            return false;
        }
        match text("operation") {
            "Apply" => name.starts_with("kubectl") || is_listed(),
            "Update" => {
                ["kubectl", "before-first-apply", manager].iter().any(|prefix| name.starts_with(prefix))
                    || is_listed()
            }
            _ => false,
        }
    }

    pub(crate) fn writer_of(&self, entry: &Map<String, Value>, manager: &str) -> Writer {
        let text = |field| entry.get(field).and_then(Value::as_str).unwrap_or_default();
        if is_applied_by(entry, manager) || self.take_over(entry, manager) {
            Writer::Us
        } else if text("operation") == "Apply" && text("subresource").is_empty() {
            Writer::OtherApplier
        } else {
            Writer::Nobody
        }
    }
}

/// A JSON Patch (RFC 6902) that makes the fields which kubectl, or one of `overridden`, has written fields of `manager`, as Flux does: without it, a field that
/// somebody has added with `kubectl edit` would belong to `kubectl-edit` for ever, and applying would not remove it. The patch is refused
/// with a conflict when the object has changed meanwhile. It is empty when there is nothing to take over.
pub fn take_over(
    live: &Object,
    desired: &Object,
    manager: &str,
    overridden: &OverrideManagers,
) -> Vec<Value> {
    let mut patch = Vec::new();
    if let Some(entries) = entries_taken_over(live, manager, overridden) {
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
fn entries_taken_over(live: &Object, manager: &str, overridden: &OverrideManagers) -> Option<Vec<Value>> {
    let (taken, mut rest): (Vec<_>, Vec<_>) =
        entries(live).cloned().partition(|entry| overridden.take_over(entry, manager));
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
