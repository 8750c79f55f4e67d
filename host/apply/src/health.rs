//! Whether an object has become what it should be, by the rules of kstatus (`kubernetes-sigs/cli-utils`, `pkg/kstatus`) as Flux
//! uses them. Nothing is held up that Flux would not hold up, but for an APIService that nothing answers.

mod batch;
mod cluster;
mod conditions;
mod pod;
mod summary;
mod workload;

use jiff::Timestamp;
use plumb_api::Object;
use serde_json::Value;

use conditions::{ConditionState, condition, conditions};

pub use pod::{ending, with_pods};
pub use summary::summarise;

/// How far an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HealthStatus {
    /// The cluster has made of it what it says.
    Current,
    /// The cluster is at it.
    InProgress,
    /// It is being deleted.
    Terminating,
    /// It cannot be told.
    Unknown,
    /// There is no such object.
    NotFound,
    /// It will not become what it says unless somebody does something.
    Failed,
}

impl HealthStatus {
    /// `InProgress`, as kstatus writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Current => "Current",
            Self::InProgress => "InProgress",
            Self::Terminating => "Terminating",
            Self::Unknown => "Unknown",
            Self::NotFound => "NotFound",
            Self::Failed => "Failed",
        }
    }
}

impl std::fmt::Display for HealthStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// How far an object is, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// How far.
    pub status: HealthStatus,
    /// Why, in the words of the cluster where there are any.
    pub message: String,
}

impl Health {
    /// A status and why.
    pub fn new(status: HealthStatus, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    /// The health of an object that does not exist.
    pub fn not_found() -> Self {
        Self::new(HealthStatus::NotFound, "there is no such object")
    }

    fn current(message: impl Into<String>) -> Self {
        Self::new(HealthStatus::Current, message)
    }

    fn in_progress(message: impl Into<String>) -> Self {
        Self::new(HealthStatus::InProgress, message)
    }

    fn failed(message: impl Into<String>) -> Self {
        Self::new(HealthStatus::Failed, message)
    }
}

/// The health of an object as the cluster holds it, with its status. `now` matters only to a pod that waits for a node: it is
/// given 15 seconds.
pub fn health(object: &Object, now: Timestamp) -> Health {
    unsettled(object)
        .or_else(|| of_any_kind(object))
        .or_else(|| of_its_kind(object, now))
        .or_else(|| by_ready_condition(object))
        .unwrap_or_else(|| Health::current("the object needs no time to become ready"))
}

/// What holds for every kind, whoever judges it otherwise: an object that is being deleted, or whose spec its controller has not observed
/// yet, is not current.
pub fn unsettled(object: &Object) -> Option<Health> {
    if object.pointer("/metadata/deletionTimestamp").is_some_and(|time| !time.is_null()) {
        let finalizers = object.pointer("/metadata/finalizers").and_then(Value::as_array);
        let waits_for =
            finalizers.into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>().join(", ");
        let message = match waits_for.as_str() {
            "" => "it is being deleted".to_owned(),
            finalizers => format!("it is being deleted, and waits for its finalizers: {finalizers}"),
        };
        return Some(Health::new(HealthStatus::Terminating, message));
    }
    let generation = object.pointer("/metadata/generation").and_then(Value::as_i64);
    let observed = object.pointer("/status/observedGeneration").and_then(Value::as_i64);
    if let (Some(generation), Some(observed)) = (generation, observed)
        && generation != observed
    {
        return Some(Health::in_progress(format!(
            "generation {generation} has not been observed yet, the last one was {observed}"
        )));
    }
    None
}

/// The conditions that were made for kstatus.
fn of_any_kind(object: &Object) -> Option<Health> {
    conditions(object).find_map(|condition| match (condition.kind, condition.state) {
        ("Reconciling", ConditionState::True) => Some(Health::in_progress(condition.explain())),
        ("Stalled", ConditionState::True) => Some(Health::failed(condition.explain())),
        _ => None,
    })
}

fn of_its_kind(object: &Object, now: Timestamp) -> Option<Health> {
    let gvk = object.gvk();
    match (gvk.group.as_str(), gvk.kind.as_str()) {
        ("apps" | "extensions", "Deployment") => Some(workload::deployment(object)),
        ("apps" | "extensions", "ReplicaSet") => Some(workload::replica_set(object)),
        ("apps" | "extensions", "DaemonSet") => Some(workload::daemon_set(object)),
        ("apps", "StatefulSet") => Some(workload::stateful_set(object)),
        ("", "Pod") => Some(pod::pod(object, now)),
        ("", "PersistentVolumeClaim") => Some(cluster::persistent_volume_claim(object)),
        ("", "PersistentVolume") => Some(cluster::persistent_volume(object)),
        ("", "Service") => Some(cluster::service(object)),
        ("", "Namespace") => Some(cluster::namespace(object)),
        ("batch", "Job") => Some(batch::job(object)),
        ("batch", "CronJob") => Some(batch::cron_job(object)),
        ("policy", "PodDisruptionBudget") => Some(cluster::pod_disruption_budget(object)),
        ("autoscaling", "HorizontalPodAutoscaler") => Some(cluster::horizontal_pod_autoscaler(object)),
        ("networking.k8s.io" | "extensions", "Ingress") => Some(cluster::ingress(object)),
        ("apiregistration.k8s.io", "APIService") => Some(cluster::api_service(object)),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => {
            Some(cluster::custom_resource_definition(object))
        }
        _ => None,
    }
}

/// Not part of the API conventions, but used by most custom resources, by Flux's own, and by nodes.
fn by_ready_condition(object: &Object) -> Option<Health> {
    let ready = condition(object, "Ready")?;
    match ready.state {
        ConditionState::True => Some(Health::current(ready.explain())),
        ConditionState::False | ConditionState::Unknown => Some(Health::in_progress(ready.explain())),
        ConditionState::Other => None,
    }
}

/// A count; `default` when it is not there.
fn count(object: &Object, pointer: &str, default: i64) -> i64 {
    object.pointer(pointer).and_then(Value::as_i64).unwrap_or(default)
}

/// A text; empty when it is not there.
fn text<'a>(object: &'a Object, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}
