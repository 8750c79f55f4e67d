//! What `metadata.managedFields` tells: which fields of a live object are ours, and whether they hold what is desired, so that
//! an object that is as it should be costs no request. The format is that of KEP-555: a trie whose keys are `f:NAME` for a
//! field, `k:{…}` for the list item with these keys, `v:…` for the list item with this value, and `.` for the path itself.

mod compare;
mod projection;
mod quantity;
mod take_over;

use plumb_api::{GroupKind, Object};
use serde_json::{Map, Value};

pub(crate) use compare::{Comparison, Place};
pub use projection::{Digest, desired_digest, projection_digest};
pub use take_over::{InvalidManager, OverrideManagers, take_over};
pub(crate) use take_over::{Writer, union};

/// A part of the trie of owned fields.
pub(crate) type FieldSet = Map<String, Value>;

/// Whether the live object holds, in the fields that `manager` owns by server-side apply, exactly what is desired, so that
/// applying again would change nothing. It may be false where applying would change nothing (the server writes some values in
/// another form); it is never true where applying would change a value. What the API server would refuse is not found out here: a
/// zero value in place of another one (`0` for `false`), which it leaves out like that one, counts as the same.
pub fn owned_as_desired(live: &Object, desired: &Object, manager: &str) -> bool {
    let Some(entry) = applied_entry(live, manager) else { return false };
    let same_version =
        live.api_version() == desired.api_version() && entry.api_version == desired.api_version();
    same_version
        && live.id() == desired.id()
        && Comparison::of(desired).objects(desired.fields(), live.fields(), entry.fields)
}

/// What one manager has applied.
struct AppliedEntry<'a> {
    api_version: &'a str,
    fields: &'a FieldSet,
}

/// The entry of `manager` for server-side apply to the object itself, not to a subresource. The API server keeps at most one; of
/// more, none is believed.
fn applied_entry<'a>(live: &'a Object, manager: &str) -> Option<AppliedEntry<'a>> {
    let mut ours = entries(live).filter(|entry| is_applied_by(entry, manager));
    let entry = ours.next().filter(|_| ours.next().is_none())?;
    let api_version = entry.get("apiVersion")?.as_str()?;
    Some(AppliedEntry { api_version, fields: entry.get("fieldsV1")?.as_object()? })
}

pub(crate) fn is_applied_by(entry: &Map<String, Value>, manager: &str) -> bool {
    let text = |field| entry.get(field).and_then(Value::as_str).unwrap_or_default();
    text("manager") == manager && text("operation") == "Apply" && text("subresource").is_empty()
}

/// The fields that `manager` owns by server-side apply.
pub(crate) fn applied_fields<'a>(live: &'a Object, manager: &str) -> Option<&'a FieldSet> {
    applied_entry(live, manager).map(|entry| entry.fields)
}

/// The entries of `metadata.managedFields`.
pub(crate) fn entries(live: &Object) -> impl Iterator<Item = &Map<String, Value>> {
    let entries = live.pointer("/metadata/managedFields").and_then(Value::as_array);
    entries.into_iter().flatten().filter_map(Value::as_object)
}

/// Whether nothing below a path is owned on its own: it is a scalar, an atomic list or map, or an empty map.
pub(crate) fn is_leaf(owned: &FieldSet) -> bool {
    owned.keys().all(|key| key == ".")
}

/// Whether a list item is the one that a key of the trie names. `protocol` is the only key of a built-in list that has a default:
/// an item of Git may lack it.
pub(crate) fn names_item(key: &str, item: &Value) -> bool {
    if let Some(value) = key.strip_prefix("v:") {
        return serde_json::from_str::<Value>(value).is_ok_and(|value| value == *item);
    }
    let keys = key.strip_prefix("k:").and_then(|keys| serde_json::from_str::<Map<String, Value>>(keys).ok());
    keys.is_some_and(|keys| {
        keys.iter().all(|(field, value)| match item.get(field) {
            Some(found) => found == value,
            None => field == "protocol" && value == "TCP",
        })
    })
}

/// Fields that the API server never lets a manager own, as they name the object or are its own.
pub(crate) fn is_never_owned(field: &str) -> bool {
    matches!(
        field,
        "name"
            | "namespace"
            | "creationTimestamp"
            | "uid"
            | "resourceVersion"
            | "generation"
            | "selfLink"
            | "managedFields"
    )
}

/// Whether a type is compiled into the API server. Its objects pass through Go structs, whose JSON leaves out empty fields and
/// writes quantities in canonical form; custom resources are kept as they were written.
pub(crate) fn is_built_in(group_kind: &GroupKind) -> bool {
    matches!(
        group_kind.group.as_str(),
        "" | "admissionregistration.k8s.io"
            | "apiextensions.k8s.io"
            | "apiregistration.k8s.io"
            | "apps"
            | "autoscaling"
            | "batch"
            | "certificates.k8s.io"
            | "coordination.k8s.io"
            | "discovery.k8s.io"
            | "events.k8s.io"
            | "flowcontrol.apiserver.k8s.io"
            | "networking.k8s.io"
            | "node.k8s.io"
            | "policy"
            | "rbac.authorization.k8s.io"
            | "resource.k8s.io"
            | "scheduling.k8s.io"
            | "storage.k8s.io"
    )
}
