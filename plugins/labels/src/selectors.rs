//! Keeps what selects pods together with them.

use plumbline_plugin::Object;
use serde_json::{Map, Value};

use crate::Changes;

/// Where an object has the template of its pods, as a JSON Pointer; none when it makes no pods.
pub fn pod_template(object: &Object) -> Option<&'static str> {
    let group = object.api_version().split_once('/').map_or("", |(group, _)| group);
    match (group, object.kind()) {
        ("apps", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet")
        | ("batch", "Job")
        | ("", "ReplicationController") => Some("/spec/template"),
        ("batch", "CronJob") => Some("/spec/jobTemplate/spec/template"),
        _ => None,
    }
}

/// Where an object has the labels by which it selects pods. Jobs are told theirs by the API server.
fn selector(object: &Object) -> Option<&'static str> {
    match (object.api_version(), object.kind()) {
        ("v1", "Service" | "ReplicationController") => Some("/spec/selector"),
        (_, "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet") => Some("/spec/selector/matchLabels"),
        _ => None,
    }
}

fn selected_labels(object: &Object) -> Option<&Map<String, Value>> {
    object.get(selector(object)?)?.as_object()
}

/// A label by which the object selects its pods, and that the changes would take from them.
pub fn broken<'a>(object: &Object, changes: &'a Changes) -> Option<&'a str> {
    let selected = selected_labels(object)?;
    let differs = |(name, value): &(&String, &Option<String>)| {
        selected.get(*name).is_some_and(|selected| selected.as_str() != value.as_deref())
    };
    changes.iter().find(differs).map(|(name, _)| name.as_str())
}

/// The Services, by their place, all of whose pods get the labels: every workload that they select now is one that is changed, and there is one.
pub fn services(objects: &[Object], changed: &[bool]) -> Vec<usize> {
    let all_change = |service: &Object| {
        let Some(wanted) = selected_labels(service).filter(|wanted| !wanted.is_empty()) else { return false };
        let mut backends = objects.iter().zip(changed).filter(|(object, _)| {
            object.namespace() == service.namespace() && makes_pods_with(object, wanted)
        });
        let mut seen = false;
        backends.all(|(_, changed)| {
            seen = true;
            *changed
        }) && seen
    };
    let is_service = |object: &Object| object.is("v1", "Service");
    objects
        .iter()
        .enumerate()
        .filter(|(_, object)| is_service(object) && all_change(object))
        .map(|(at, _)| at)
        .collect()
}

fn makes_pods_with(object: &Object, wanted: &Map<String, Value>) -> bool {
    let labels = pod_template(object).and_then(|template| object.get(&format!("{template}/metadata/labels")));
    labels.is_some_and(|labels| wanted.iter().all(|(name, value)| labels.get(name) == Some(value)))
}

/// Makes the changes to the labels by which an object selects pods, if it selects any. The last one is never removed: without labels it would
/// select all pods, or none.
pub fn follow(object: &mut Object, changes: &Changes) {
    let (Some(pointer), Some(mut selected)) = (selector(object), selected_labels(object).cloned()) else {
        return;
    };
    for (name, value) in changes {
        match value {
            Some(value) => drop(selected.insert(name.clone(), Value::String(value.clone()))),
            None => drop(selected.remove(name)),
        }
    }
    if !selected.is_empty() {
        object.set(pointer, selected);
    }
}
