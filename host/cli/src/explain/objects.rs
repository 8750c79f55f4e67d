//! What is read of an object, whatever its kind. Pure.

use plumb_api::annotations::FINALIZER;
use plumb_api::{ApplierKind, GroupKind, Object, ObjectId};
use serde_json::Value;

use crate::reader::{SOURCE_GROUP, applier_kind};

/// A condition of a status.
pub(super) struct Condition<'a> {
    pub(super) status: &'a str,
    pub(super) reason: &'a str,
    pub(super) message: &'a str,
}

/// An object that has to be ready first.
pub(super) struct Dependency {
    pub(super) id: ObjectId,
    /// Whether an expression decides what ready means.
    pub(super) has_expression: bool,
}

pub(super) fn text<'a>(object: &'a Object, pointer: &str) -> Option<&'a str> {
    object.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty())
}

pub(super) fn is_true(object: &Object, pointer: &str) -> bool {
    object.pointer(pointer).and_then(Value::as_bool).unwrap_or(false)
}

pub(super) fn condition<'a>(object: &'a Object, type_: &str) -> Option<Condition<'a>> {
    let conditions = object.pointer("/status/conditions")?.as_array()?;
    let found = conditions.iter().find(|condition| condition["type"] == type_)?;
    let text = |field: &str| found.get(field).and_then(Value::as_str).unwrap_or_default();
    Some(Condition { status: text("status"), reason: text("reason"), message: text("message").trim() })
}

/// Whether an object says that it is ready, of its spec as it is.
pub(super) fn is_ready(object: &Object) -> bool {
    let generation = object.pointer("/metadata/generation");
    let observed = object.pointer("/status/observedGeneration");
    condition(object, "Ready").is_some_and(|ready| ready.status == "True")
        && (observed.is_none() || generation == observed)
        && !is_being_deleted(object)
}

pub(super) fn is_being_deleted(object: &Object) -> bool {
    text(object, "/metadata/deletionTimestamp").is_some()
}

/// The finalizers that hold an object: our own, and those of others.
pub(super) fn finalizers(object: &Object) -> (bool, Vec<&str>) {
    let all = object.pointer("/metadata/finalizers").and_then(Value::as_array);
    let all: Vec<&str> = all.into_iter().flatten().filter_map(Value::as_str).collect();
    let others = all.iter().copied().filter(|name| *name != FINALIZER).collect();
    (all.contains(&FINALIZER), others)
}

/// Whether it is a Kustomization or a Pipeline.
pub(super) fn is_applier(object: &Object) -> bool {
    applier_kind(&object.gvk().group_kind()).is_some()
}

pub(super) fn is_source(object: &Object) -> bool {
    object.gvk().group == SOURCE_GROUP
}

/// The source that a Kustomization, a Pipeline or another object of Flux is made of.
pub(super) fn source_of(object: &Object) -> Option<ObjectId> {
    let reference = ["/spec/sourceRef", "/spec/chartRef", "/spec/chart/spec/sourceRef"];
    let reference = reference.into_iter().find_map(|pointer| object.pointer(pointer))?;
    let text = |field: &str| reference.get(field).and_then(Value::as_str);
    Some(ObjectId {
        namespace: text("namespace").or(object.namespace()).unwrap_or_default().to_owned(),
        name: text("name")?.to_owned(),
        group_kind: GroupKind::new(SOURCE_GROUP, text("kind")?),
    })
}

/// What an object depends on, in the order of its spec.
pub(super) fn dependencies_of(object: &Object) -> Vec<Dependency> {
    let own = object.gvk().group_kind();
    let dependency = |reference: &Value| {
        let text = |field: &str| reference.get(field).and_then(Value::as_str).filter(|text| !text.is_empty());
        let group = text("apiVersion").map(|version| version.split_once('/').map_or("", |(group, _)| group));
        let group_kind = match text("kind") {
            Some(kind) if kind != own.kind => {
                let known = kind.parse().map_or("", ApplierKind::group);
                GroupKind::new(group.unwrap_or(known), kind)
            }
            Some(_) => own.clone(),
            None => own.clone(),
        };
        let namespace = text("namespace").or(object.namespace()).unwrap_or_default().to_owned();
        let id = ObjectId { namespace, name: text("name")?.to_owned(), group_kind };
        Some(Dependency { id, has_expression: text("readyExpr").is_some() })
    };
    let all = object.pointer("/spec/dependsOn").and_then(Value::as_array);
    all.into_iter().flatten().filter_map(dependency).collect()
}

/// What a Kustomization or Pipeline has applied.
pub(super) fn inventory_of(object: &Object) -> Vec<ObjectId> {
    let entries = object.pointer("/status/inventory/entries").and_then(Value::as_array);
    entries.into_iter().flatten().filter_map(|entry| entry.get("id")?.as_str()?.parse().ok()).collect()
}

/// What `spec.healthChecks` names, or `spec.health.checks` of a Pipeline.
pub(super) fn health_checks_of(object: &Object) -> Vec<ObjectId> {
    let check = |check: &Value| {
        let text = |field: &str| check.get(field).and_then(Value::as_str);
        let group =
            text("apiVersion").and_then(|version| version.split_once('/')).map_or("", |(group, _)| group);
        Some(ObjectId {
            namespace: text("namespace").or(object.namespace()).unwrap_or_default().to_owned(),
            name: text("name")?.to_owned(),
            group_kind: GroupKind::new(group, text("kind")?),
        })
    };
    let pointers = ["/spec/healthChecks", "/spec/health/checks"];
    let all = pointers.into_iter().find_map(|pointer| object.pointer(pointer)).and_then(Value::as_array);
    all.into_iter().flatten().filter_map(check).collect()
}
