//! Workloads and the pods that they are for. Pure.

use plumb_api::Object;
use serde_json::Value;

/// The label selector of the pods of a workload; `None` for what has no pods.
pub(crate) fn pod_selector(object: &Object) -> Option<String> {
    let gvk = object.gvk();
    match (gvk.group.as_str(), gvk.kind.as_str()) {
        ("apps", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet") => {
            let labels = object.pointer("/spec/selector/matchLabels")?.as_object()?;
            let terms = labels.iter().filter_map(|(key, value)| Some(format!("{key}={}", value.as_str()?)));
            Some(terms.collect::<Vec<_>>().join(","))
        }
        ("batch", "Job") => Some(format!("batch.kubernetes.io/job-name={}", object.name())),
        _ => None,
    }
}

/// The identities of an object's owners.
pub(crate) fn owners(object: &Object) -> impl Iterator<Item = &str> {
    let owners = object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    owners.into_iter().flatten().filter_map(|owner| owner.get("uid")?.as_str())
}
