//! How the objects are: always told, and waited for where the spec asks for it. Waiting is a state: no worker is blocked, every change
//! of an object has it looked at again, and a new revision ends it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use jiff::Timestamp;
use kube::api::{Api, DynamicObject, ListParams, TypeMeta};
use plumb_api::{ConditionStatus, GroupVersionKind, Object, ObjectId, Reason};
use plumb_apply::{Health, HealthStatus, Kind, Live, LiveState as _, summarise, with_pods};
use plumb_health::Checks;
use plumb_pipeline::Spec;

use super::failure::{Failure, Retry};
use super::render::Desired;
use super::report::Healthy;
use super::run::Run;
use super::state::ApplierStatus;
use super::{DISCOVERY, judging};
use crate::clusters::Actor;

/// How many objects a message names.
const NAMED: usize = 5;
/// The pods of unhealthy workloads are asked for this often, for so many workloads.
pub(super) const PODS_EVERY: Duration = Duration::from_secs(10);
const WORKLOADS: usize = 5;
/// An object that is on its way is given this long before its pods are asked what is the matter.
const PODS_AFTER: Duration = Duration::from_secs(5);

/// What the pods of unhealthy workloads said, and when they were asked.
#[derive(Default)]
pub(super) struct PodsSeen {
    asked: Option<Instant>,
    /// Since when something has not been well.
    unwell_since: Option<Instant>,
    pods: Vec<(ObjectId, Vec<Object>)>,
}

/// The health of every object that matters.
pub(super) struct Assessment {
    objects: Vec<(ObjectId, Health)>,
}

/// Looks at everything that was applied, and at what `spec.healthChecks` names.
pub(super) async fn assess(
    run: &mut Run<'_, impl ApplierStatus>,
    actor: &Actor,
    checks: &Checks,
    desired: &Desired,
) -> Assessment {
    let now = Timestamp::now();
    let kinds: Vec<Kind> = desired.types.iter().filter_map(|gvk| actor.cluster.kinds.known(gvk)).collect();
    let view = actor.cluster.live.view(&kinds);
    let mut objects: Vec<(ObjectId, Found)> = Vec::new();
    let mut unseen = Vec::new();
    for object in &desired.objects {
        let id = object.id();
        match view.live(&id) {
            Live::Present(live) => objects.push((id, Found::Live(live))),
            // Its kind is not watched. Where it is waited for, it is looked at by itself.
            Live::Unknown if run.spec.health.wait => unseen.push((id, object.gvk())),
            // It was applied, and that is all that is asked of it.
            Live::Unknown | Live::Absent => {}
        }
    }
    let mut named = checked(&run.spec, &run.id.key.namespace);
    named.retain(|(id, _)| {
        objects.iter().all(|(known, _)| known != id) && unseen.iter().all(|(known, _)| known != id)
    });
    unseen.append(&mut named);
    let deadline = tokio::time::Instant::now() + DISCOVERY;
    let kinds = join_all(unseen.iter().map(|(_, gvk)| actor.cluster.kinds.resolve(gvk, deadline))).await;
    let mut followed = Vec::new();
    for ((id, _), kind) in unseen.into_iter().zip(kinds) {
        match kind {
            Ok(kind) => followed.push((id, kind)),
            Err(error) => {
                objects.push((id, Found::Told(Health::new(HealthStatus::Unknown, error.to_string()))));
            }
        }
    }
    run.memory.followed.health_checks.clone_from(&followed);
    run.memory.followed.follow(actor, &run.id);
    for (id, _) in followed {
        let found = match actor.references.live(&id) {
            Live::Present(object) => Found::Live(object),
            Live::Absent => Found::Told(Health::new(HealthStatus::NotFound, "it does not exist")),
            Live::Unknown => {
                let why = actor.references.why_unknown(&id);
                let message = why.unwrap_or_else(|| "not looked at yet".to_owned());
                Found::Told(Health::new(HealthStatus::Unknown, message))
            }
        };
        objects.push((id, found));
    }
    let mut objects = judge(run, checks, objects, now).await;
    ask_pods(run, actor, desired, &mut objects, now).await;
    Assessment { objects }
}

/// An object, or what is known without it.
enum Found {
    Live(Arc<Object>),
    Told(Health),
}

/// The health of all, in the same order.
async fn judge(
    run: &Run<'_, impl ApplierStatus>,
    checks: &Checks,
    objects: Vec<(ObjectId, Found)>,
    now: Timestamp,
) -> Vec<(ObjectId, Health)> {
    let live = objects.iter().filter_map(|(_, found)| match found {
        Found::Live(object) => Some(object.clone()),
        Found::Told(_) => None,
    });
    let live = live.collect();
    let mut judged = judging::judge(run.context, &run.id.key.namespace, checks, live, now).await.into_iter();
    let mut health = |found| match found {
        Found::Told(health) => health,
        Found::Live(_) => judged.next().unwrap_or_else(judging::not_looked_at),
    };
    objects.into_iter().map(|(id, found)| (id, health(found))).collect()
}

/// The objects of `spec.healthChecks`.
fn checked(spec: &Spec, namespace: &str) -> Vec<(ObjectId, GroupVersionKind)> {
    let entry = |check: &plumb_api::NamespacedObjectKindReference| {
        let gvk = GroupVersionKind::new(check.api_version.as_deref().unwrap_or("v1"), &check.kind);
        let namespace = check.namespace.clone().unwrap_or_else(|| namespace.to_owned());
        (ObjectId { namespace, name: check.name.clone(), group_kind: gvk.group_kind() }, gvk)
    };
    spec.health.checks.iter().map(entry).collect()
}

impl Assessment {
    pub(super) fn is_well(&self) -> bool {
        self.objects.iter().all(|(_, health)| health.status == HealthStatus::Current)
    }

    pub(super) fn unwell(&self) -> impl Iterator<Item = &(ObjectId, Health)> {
        self.objects.iter().filter(|(_, health)| health.status != HealthStatus::Current)
    }

    /// The Healthy condition.
    pub(super) fn condition(&self) -> Healthy {
        let message = summarise(self.objects.iter().map(|(id, health)| (id, health)), NAMED);
        let failed = self.objects.iter().any(|(_, health)| health.status == HealthStatus::Failed);
        if self.is_well() {
            Healthy { status: ConditionStatus::True, reason: Reason::Succeeded, message }
        } else if failed {
            Healthy { status: ConditionStatus::False, reason: Reason::HealthCheckFailed, message }
        } else {
            Healthy { status: ConditionStatus::Unknown, reason: Reason::Progressing, message }
        }
    }

    /// When to look again although no watch has told of a change.
    pub(super) fn look_again(&self) -> Option<Duration> {
        (!self.is_well()).then_some(PODS_EVERY)
    }
}

/// Fails until what the spec waits for is well.
pub(super) fn expect(
    run: &Run<'_, impl ApplierStatus>,
    assessment: &Assessment,
    revision: &str,
) -> Result<(), Failure> {
    let spec = &run.spec;
    let checks = checked(spec, &run.id.key.namespace);
    let is_awaited = |id: &ObjectId| spec.health.wait || checks.iter().any(|(check, _)| check == id);
    let awaited: Vec<_> = assessment.unwell().filter(|(id, _)| is_awaited(id)).collect();
    if awaited.is_empty() {
        return Ok(());
    }
    let list = awaited.iter().map(|(id, health)| describe(id, health)).collect::<Vec<_>>().join(", ");
    let timeout = spec.timeout();
    let since = run.memory.attempt.as_ref().map_or(run.started, |(_, since)| *since);
    let left = timeout.saturating_sub(since.elapsed());
    let retry = Retry::Health(PODS_EVERY.min(left.max(Duration::from_millis(100))));
    if awaited.iter().any(|(_, health)| health.status == HealthStatus::Failed) {
        return Err(Failure::new(
            Reason::HealthCheckFailed,
            Retry::Health(PODS_EVERY),
            format!("failed: [{list}]"),
        ));
    }
    if left.is_zero() {
        let message = format!("timeout after {timeout:?} waiting for: [{list}]");
        return Err(Failure::new(Reason::HealthCheckFailed, Retry::Health(PODS_EVERY), message));
    }
    let message = format!(
        "Running health checks for revision {revision} with a timeout of {timeout:?}: waiting for [{list}]"
    );
    Err(Failure::new(Reason::Progressing, retry, message))
}

pub(super) fn describe(id: &ObjectId, health: &Health) -> String {
    let status = format!("{} status: '{:?}'", id.human(), health.status);
    if health.message.is_empty() { status } else { format!("{status}: {}", health.message) }
}

/// Adds what the pods of unhealthy workloads say, so that a crash loop is visible to those who never look at pods.
async fn ask_pods(
    run: &mut Run<'_, impl ApplierStatus>,
    actor: &Actor,
    desired: &Desired,
    objects: &mut [(ObjectId, Health)],
    now: Timestamp,
) {
    let is_unwell =
        |health: &Health| matches!(health.status, HealthStatus::InProgress | HealthStatus::Failed);
    if !objects.iter().any(|(_, health)| is_unwell(health)) {
        run.memory.pods = PodsSeen::default();
        return;
    }
    let since = *run.memory.pods.unwell_since.get_or_insert_with(Instant::now);
    let is_due = run.memory.pods.asked.is_none_or(|asked| asked.elapsed() >= PODS_EVERY);
    if since.elapsed() >= PODS_AFTER && is_due {
        let mut pods = Vec::new();
        let unwell = objects.iter().filter(|(_, health)| is_unwell(health)).map(|(id, _)| id);
        for id in unwell.filter(|id| has_pods(id)).take(WORKLOADS) {
            if let Some(workload) = desired.objects.iter().find(|object| object.id() == *id) {
                pods.push((id.clone(), pods_of(actor, workload).await));
            }
        }
        run.memory.pods.asked = Some(Instant::now());
        run.memory.pods.pods = pods;
    }
    for (id, health) in objects {
        if let Some((_, pods)) = run.memory.pods.pods.iter().find(|(workload, _)| workload == id) {
            *health = with_pods(health.clone(), pods, now);
        }
    }
}

/// The health of a workload with what its pods say.
pub(super) async fn with_its_pods(actor: &Actor, workload: &Object, health: Health) -> Health {
    match has_pods(&workload.id()) {
        true => with_pods(health, &pods_of(actor, workload).await, Timestamp::now()),
        false => health,
    }
}

fn has_pods(id: &ObjectId) -> bool {
    matches!(
        (id.group_kind.group.as_str(), id.group_kind.kind.as_str()),
        ("apps", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet") | ("batch", "Job")
    )
}

/// The pods that a workload's selector selects, a few of them; none when they cannot be listed.
async fn pods_of(actor: &Actor, workload: &Object) -> Vec<Object> {
    let labels = workload.pointer("/spec/selector/matchLabels").and_then(|labels| labels.as_object());
    let selector: Vec<String> = match labels {
        Some(labels) => {
            labels.iter().filter_map(|(key, value)| Some(format!("{key}={}", value.as_str()?))).collect()
        }
        None if workload.kind() == "Job" => vec![format!("batch.kubernetes.io/job-name={}", workload.name())],
        None => return Vec::new(),
    };
    let pod = kube::discovery::ApiResource::erase::<k8s_openapi::api::core::v1::Pod>(&());
    let namespace = workload.namespace().unwrap_or("default");
    let api: Api<DynamicObject> = Api::namespaced_with(actor.client.clone(), namespace, &pod);
    let params = ListParams::default().labels(&selector.join(",")).limit(20);
    match tokio::time::timeout(Duration::from_secs(5), api.list(&params)).await {
        Ok(Ok(list)) => {
            let object = |mut item: DynamicObject| {
                // The items of a list do not say what they are.
                item.types = Some(TypeMeta { api_version: pod.api_version.clone(), kind: pod.kind.clone() });
                Object::new(serde_json::to_value(item).ok()?).ok()
            };
            list.items.into_iter().filter_map(object).collect()
        }
        _ => Vec::new(),
    }
}
