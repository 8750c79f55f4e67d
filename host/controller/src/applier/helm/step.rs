//! How one action goes on: a row of steps, each of which is done, waits, or breaks the action. Nobody waits here: what is under way is remembered,
//! and looked at again when something has changed.

use std::collections::VecDeque;
use std::time::{Duration, Instant as Clock};

use plumb_api::{
    GroupKind, HelmReleaseSpec, Inventory, InventoryEntry, Object, ObjectId, Reason, WaitStrategyName,
};
use plumb_apply::{Deletion, FailureKind, Health, HealthStatus, Propagation, RELEASE_FIELD_MANAGER};
use plumb_health::Checks;
use plumb_helm::decide::Action;
use plumb_helm::hooks::HookEvent;
use plumb_helm::manifest::NotAManifest;
use plumb_helm::objects::Ownership;
use plumb_helm::record::Release;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Turn;
use super::crds::Definitions;
use super::hooks::{Hooks, Ring};
use super::storage::Storage;
use crate::Key;
use crate::applier::failure::{Failure, Retry};
use crate::applier::memory::Attempt;
use crate::applier::render::{self, Desired};
use crate::applier::{apply, health};
use crate::clusters::Actor;

/// How long a single request may take.
pub(super) const REQUEST: Duration = Duration::from_secs(30);
/// What is being deleted is looked at this often.
const UNTIL_GONE: Duration = Duration::from_secs(1);

/// One step of an action.
pub(super) enum Step {
    /// Create or update the definitions of the chart's `crds` directory.
    Definitions(Definitions),
    /// Create the namespace of the release.
    Namespace,
    /// See that no object is there that is not the release's.
    Ownership,
    /// Write the record before anything is changed.
    Record,
    /// Run the hooks of an event.
    Hooks(Hooks),
    /// Apply the objects, and delete those that are no longer among them.
    Apply,
    /// Wait until the objects are ready.
    Wait,
    /// Delete the objects.
    Delete,
    /// Wait until these are gone.
    Gone(Vec<Deletion>),
}

/// How an action is carried out.
#[derive(Clone, Debug)]
pub(super) struct How {
    /// How long each step may take.
    pub(super) timeout: Duration,
    pub(super) wait: bool,
    pub(super) wait_for_jobs: bool,
    /// What is waited for.
    pub(super) wait_strategy: WaitStrategyName,
    /// Replace what cannot be changed.
    pub(super) force: bool,
    /// Delete what a failed action has created.
    pub(super) clean_up: bool,
    pub(super) propagation: Propagation,
}

impl How {
    /// How an action is carried out unless the spec says something else of it.
    pub(super) fn of(action: Action, spec: &HelmReleaseSpec) -> Self {
        Self {
            timeout: action.timeout(spec),
            wait: true,
            wait_for_jobs: true,
            wait_strategy: spec.wait_strategy(),
            force: false,
            clean_up: false,
            propagation: Propagation::Background,
        }
    }

    /// Whether an object has to be ready before the action goes on. What has failed is not waited for.
    fn awaits(&self, kind: &GroupKind, status: HealthStatus) -> bool {
        let is_job = kind.group == "batch" && kind.kind == "Job";
        match self.wait_strategy {
            WaitStrategyName::Poller => !is_job || self.wait_for_jobs || status == HealthStatus::Failed,
            WaitStrategyName::Legacy if is_job => self.wait_for_jobs,
            WaitStrategyName::Legacy => HELM_3_WAITS_FOR.contains(&(kind.group.as_str(), kind.kind.as_str())),
        }
    }
}

/// The kinds that Helm 3 waits for, besides Jobs. All others are ready once they are there.
const HELM_3_WAITS_FOR: [(&str, &str); 9] = [
    ("", "PersistentVolumeClaim"),
    ("", "Pod"),
    ("", "ReplicationController"),
    ("", "Service"),
    ("apiextensions.k8s.io", "CustomResourceDefinition"),
    ("apps", "DaemonSet"),
    ("apps", "Deployment"),
    ("apps", "ReplicaSet"),
    ("apps", "StatefulSet"),
];

/// An action that is under way. It is lost with the process; whoever finds the record pending then knows that nobody works on it.
pub(super) struct Ongoing {
    pub(super) action: Action,
    pub(super) how: How,
    /// The namespace of the records, and the name of the release.
    pub(super) key: Key,
    /// The record, as it was written last.
    pub(super) release: Release,
    /// Whether the record was written.
    pub(super) is_recorded: bool,
    /// The objects of the release, in the order of its manifest.
    pub(super) objects: Vec<Object>,
    /// What it was begun for.
    pub(super) attempt: Attempt,
    pub(super) begun: Clock,
    /// What was listed before: what is new to it, a failed action may have to delete.
    pub(super) listed_before: Inventory,
    /// The objects as they were applied.
    pub(super) desired: Option<Desired>,
    /// Why it has failed, once it has.
    pub(super) problem: Option<String>,
    pub(super) steps: VecDeque<Step>,
    /// Since when the first of the steps is under way.
    pub(super) since: Clock,
}

/// How a step has gone.
pub(super) enum Progress {
    Done,
    Waits(Waits),
}

/// What an action waits for, and when to look again although nothing has changed.
#[derive(Debug)]
pub(super) struct Waits {
    pub(super) what: String,
    pub(super) again: Duration,
}

/// Why a step does not go on.
pub(super) enum Stop {
    /// The action has failed.
    Broken(String),
    /// The API server does not answer: the step is tried again.
    Trouble(Failure),
}

impl Stop {
    pub(super) fn message(&self) -> &str {
        match self {
            Self::Broken(message) => message,
            Self::Trouble(failure) => &failure.message,
        }
    }
}

impl From<plumb_apply::Failure> for Stop {
    fn from(failure: plumb_apply::Failure) -> Self {
        let message = failure.to_string();
        match failure.kind {
            FailureKind::Unavailable => {
                Self::Trouble(Failure::new(Reason::ReconciliationFailed, Retry::Backoff, message))
            }
            _ => Self::Broken(message),
        }
    }
}

impl From<NotAManifest> for Stop {
    fn from(error: NotAManifest) -> Self {
        Self::Broken(error.to_string())
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        if failure.retry == Retry::Backoff { Self::Trouble(failure) } else { Self::Broken(failure.message) }
    }
}

impl Ongoing {
    /// An action of no steps yet.
    pub(super) fn new(action: Action, how: How, key: Key, release: Release, attempt: Attempt) -> Self {
        let now = Clock::now();
        Self {
            action,
            how,
            key,
            release,
            is_recorded: false,
            objects: Vec::new(),
            attempt,
            begun: now,
            listed_before: Inventory::default(),
            desired: None,
            problem: None,
            steps: VecDeque::new(),
            since: now,
        }
    }

    /// The hooks of an event as a step.
    pub(super) fn hooks(release: &Release, event: HookEvent) -> Step {
        Step::Hooks(Hooks::new(release, event, |_| true))
    }

    /// Whether all steps are done, and only the records have to say so.
    pub(super) fn is_done(&self) -> bool {
        self.steps.is_empty()
    }

    /// Goes on as far as that can be done now.
    pub(super) async fn go_on(
        &mut self,
        run: &mut Turn<'_>,
        actor: &Actor,
        checks: &Checks,
    ) -> Result<Progress, Stop> {
        while let Some(mut step) = self.steps.pop_front() {
            let result = self.take(&mut step, run, actor, checks).await;
            let has_time = self.since.elapsed() < self.how.timeout;
            match result {
                Ok(Progress::Done) => self.since = Clock::now(),
                Ok(Progress::Waits(waits)) if has_time => {
                    self.steps.push_front(step);
                    return Ok(Progress::Waits(waits));
                }
                Ok(Progress::Waits(waits)) => {
                    return Err(Stop::Broken(format!(
                        "timed out after {:?}: {}",
                        self.how.timeout, waits.what
                    )));
                }
                Err(Stop::Trouble(failure)) if has_time => {
                    self.steps.push_front(step);
                    return Err(Stop::Trouble(failure));
                }
                Err(stop) => return Err(Stop::Broken(stop.message().to_owned())),
            }
        }
        Ok(Progress::Done)
    }

    async fn take(
        &mut self,
        step: &mut Step,
        run: &mut Turn<'_>,
        actor: &Actor,
        checks: &Checks,
    ) -> Result<Progress, Stop> {
        match step {
            Step::Definitions(definitions) => definitions.go_on(run, actor).await,
            Step::Namespace => self.create_namespace(actor).await,
            Step::Ownership => self.refuse_foreign(run, actor).await,
            Step::Record => self.record(run, actor).await,
            Step::Hooks(hooks) => {
                let key = self.key.clone();
                let storage = Storage::new(actor, &key, run.id.key.clone());
                let ring = Ring { actor, checks, storage, timeout: self.how.timeout };
                hooks.go_on(run, &mut self.release, &ring).await
            }
            Step::Apply => self.apply(run, actor).await,
            Step::Wait => self.wait(run, actor, checks).await,
            Step::Delete => {
                let deletions = self.delete(run, actor).await?;
                if !self.how.wait {
                    return Ok(Progress::Done);
                }
                let progress = gone(&deletions, actor).await;
                *step = Step::Gone(deletions);
                progress
            }
            Step::Gone(deletions) => gone(deletions, actor).await,
        }
    }

    /// As `helm install --create-namespace`: what is there stays as it is.
    async fn create_namespace(&self, actor: &Actor) -> Result<Progress, Stop> {
        let name = self.release.namespace();
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {"name": name}}});
        let namespace = Object::new(namespace).map_err(|error| Stop::Broken(error.to_string()))?;
        let deadline = Instant::now() + REQUEST;
        if actor.executor.get(&namespace.id(), &namespace.gvk(), deadline).await?.is_none() {
            actor.executor.apply_once(&namespace, RELEASE_FIELD_MANAGER, deadline).await?;
        }
        Ok(Progress::Done)
    }

    /// `disableTakeOwnership`.
    async fn refuse_foreign(&self, run: &Turn<'_>, actor: &Actor) -> Result<Progress, Stop> {
        let desired = render::prepare(run, actor, self.objects.clone(), "").await?;
        let is_listed = |object: &Object| {
            let id = object.id().to_string();
            self.listed_before.entries.iter().any(|entry| entry.id == id)
        };
        let ownership = ownership(run, &self.release);
        let mut foreign = Vec::new();
        for object in desired.objects.iter().filter(|object| !is_listed(object)) {
            let deadline = Instant::now() + REQUEST;
            let Some(live) = actor.executor.get(&object.id(), &object.gvk(), deadline).await? else {
                continue;
            };
            if let Some(why) = ownership.refused_by(&Value::Object(live.fields().clone())) {
                foreign.push(format!("{} exists and cannot be imported: {why}", live.id().human()));
            }
        }
        if foreign.is_empty() { Ok(Progress::Done) } else { Err(Stop::Broken(foreign.join("\n"))) }
    }

    async fn record(&mut self, run: &Turn<'_>, actor: &Actor) -> Result<Progress, Stop> {
        let storage = Storage::new(actor, &self.key, run.id.key.clone());
        match self.action {
            Action::Uninstall(_) => storage.update(&self.release).await?,
            _ => storage.create(&self.release).await?,
        }
        self.is_recorded = true;
        Ok(Progress::Done)
    }

    async fn apply(&mut self, run: &mut Turn<'_>, actor: &Actor) -> Result<Progress, Stop> {
        let objects = marked(&self.objects, &ownership(run, &self.release));
        let desired = render::prepare(run, actor, objects, "").await?;
        let mut policy = super::policy(run);
        policy.force = self.how.force;
        let applied = apply::apply(run, actor, &desired, &policy).await;
        self.desired = Some(desired);
        match applied {
            Ok(()) => Ok(Progress::Done),
            // Something has to be there, or gone, first, and the watches tell of it.
            Err(Failure { retry: Retry::Dependency, message, .. }) => {
                Ok(Progress::Waits(Waits { what: message, again: health::PODS_EVERY }))
            }
            Err(Failure { retry: Retry::Health(again), message, .. }) => {
                Ok(Progress::Waits(Waits { what: message, again }))
            }
            Err(failure) => Err(failure.into()),
        }
    }

    async fn wait(&mut self, run: &mut Turn<'_>, actor: &Actor, checks: &Checks) -> Result<Progress, Stop> {
        let Some(desired) = &self.desired else { return Ok(Progress::Done) };
        let assessment = health::assess(run, actor, checks, desired).await;
        let is_awaited = |id: &ObjectId, health: &Health| self.how.awaits(&id.group_kind, health.status);
        let unwell: Vec<_> = assessment.unwell().filter(|(id, health)| is_awaited(id, health)).collect();
        if unwell.is_empty() {
            return Ok(Progress::Done);
        }
        let list: Vec<String> = unwell.iter().map(|(id, health)| health::describe(id, health)).collect();
        let list = list.join(", ");
        if unwell.iter().any(|(_, health)| health.status == HealthStatus::Failed) {
            return Err(Stop::Broken(format!("failed: [{list}]")));
        }
        Ok(Progress::Waits(Waits { what: format!("waiting for [{list}]"), again: health::PODS_EVERY }))
    }

    async fn delete(&self, run: &Turn<'_>, actor: &Actor) -> Result<Vec<Deletion>, Stop> {
        let desired = render::prepare(run, actor, self.objects.clone(), "").await?;
        let entries = desired.objects.iter().map(|object| InventoryEntry::of(object)).collect();
        let deletions = apply::deletions(run, actor, &Inventory { entries }).await;
        let failures = apply::delete(run, actor, &deletions, self.how.propagation).await;
        if failures.is_empty() { Ok(deletions) } else { Err(Stop::Broken(failures.join("\n"))) }
    }
}

/// The objects with what Helm writes on each, so that it knows them as its own.
pub(super) fn marked(objects: &[Object], ownership: &Ownership<'_>) -> Vec<Object> {
    let mark = |object: &Object| {
        let mut value = Value::Object(object.fields().clone());
        ownership.mark(&mut value);
        // Labels and annotations are no part of what an object needs.
        Object::new(value).unwrap_or_else(|_| object.clone())
    };
    objects.iter().map(mark).collect()
}

/// Whose the objects of a release are.
pub(super) fn ownership<'a>(run: &'a Turn<'_>, release: &'a Release) -> Ownership<'a> {
    Ownership {
        release_name: release.name(),
        release_namespace: release.namespace(),
        name: &run.id.key.name,
        namespace: &run.id.key.namespace,
    }
}

async fn gone(deletions: &[Deletion], actor: &Actor) -> Result<Progress, Stop> {
    let remaining = apply::remaining(actor, deletions).await;
    if remaining.is_empty() {
        return Ok(Progress::Done);
    }
    let what = format!("waiting until these are gone: {}", remaining.join("; "));
    Ok(Progress::Waits(Waits { what, again: UNTIL_GONE }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use rstest::rstest;

    use super::*;

    fn how(strategy: Option<&str>, waits_for_jobs: bool) -> How {
        let strategy = strategy.map(|name| json!({ "name": name }));
        let spec = json!({"interval": "5m", "chartRef": {"kind": "HelmChart", "name": "web"}, "waitStrategy": strategy});
        let spec = serde_json::from_value(spec).unwrap();
        How { wait_for_jobs: waits_for_jobs, ..How::of(Action::Upgrade, &spec) }
    }

    #[rstest]
    #[case::of_any_kind(None, true, ("example.com", "Database"), HealthStatus::InProgress, true)]
    #[case::jobs(Some("poller"), true, ("batch", "Job"), HealthStatus::InProgress, true)]
    #[case::no_jobs(Some("poller"), false, ("batch", "Job"), HealthStatus::InProgress, false)]
    #[case::jobs_that_have_failed(Some("poller"), false, ("batch", "Job"), HealthStatus::Failed, true)]
    #[case::helm_3_knows_workloads(Some("legacy"), true, ("apps", "Deployment"), HealthStatus::InProgress, true)]
    #[case::helm_3_knows_jobs(Some("legacy"), true, ("batch", "Job"), HealthStatus::InProgress, true)]
    #[case::helm_3_knows_jobs_where_asked(Some("legacy"), false, ("batch", "Job"), HealthStatus::Failed, false)]
    #[case::helm_3_knows_no_others(Some("legacy"), true, ("example.com", "Database"), HealthStatus::InProgress, false)]
    #[case::nor_those_of_a_similar_name(Some("legacy"), true, ("example.com", "Service"), HealthStatus::Failed, false)]
    fn what_is_waited_for(
        #[case] strategy: Option<&str>,
        #[case] waits_for_jobs: bool,
        #[case] (group, kind): (&str, &str),
        #[case] status: HealthStatus,
        #[case] expected: bool,
    ) {
        assert_eq!(how(strategy, waits_for_jobs).awaits(&GroupKind::new(group, kind), status), expected);
    }
}
