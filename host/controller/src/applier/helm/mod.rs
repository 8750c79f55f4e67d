//! The course of a HelmRelease.
//!
//! What is to be done next is for [`plumb_helm::decide`] to say. An action is a row of [steps](step), each of which waits as a state: what is under
//! way is remembered, a wake goes on with it, and a restart finds its record pending. Between actions, the objects of the release that is deployed
//! are compared with the cluster, as those of a Kustomization are: where nothing has changed, nothing is asked and nothing rendered.

mod actions;
mod begin;
mod chart;
mod chart_object;
mod crds;
mod deployed;
mod drift;
mod end;
mod finalize;
mod hooks;
mod render;
mod spec;
mod step;
mod storage;
mod tell;
mod values;

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use plumb_api::annotations::{FORCE_AT, REQUESTED_AT, RESET_AT};
use plumb_api::{ConditionType, HelmRelease, HelmReleaseStatus, Reason, conditions};
use plumb_apply::{Policy, PruneLimit};
use plumb_health::Checks;
use plumb_helm::decide::{self, Decision, Desired, Situation, Step as Next, Target, Writer};
use plumb_helm::{report, unused};

use super::failure::{Failure, Retry};
use super::memory::Attempt;
use super::run::Run;
use super::{Applier, actor, finalize as finalizer, judging};
use crate::Key;
use crate::clusters::Actor;
use crate::context::Context;
use crate::events::Severity;
use crate::queue::Action;
use crate::status::said;
use chart::Chart;
use deployed::Deployed;
use step::{Ongoing, Waits};
use storage::Storage;

pub(super) use spec::{source_of, spec_of};

/// How long the time that somebody else has is waited for at a time. Where the records are watched, they tell when he is done.
const SHORTLY: Duration = Duration::from_secs(1);
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// One look at a HelmRelease.
type Turn<'a> = Run<'a, HelmReleaseStatus>;

/// What is remembered of a HelmRelease besides what is remembered of all appliers.
#[derive(Default)]
pub(crate) struct Remembered {
    /// The HelmChart as it was applied.
    helm_chart: Option<chart_object::Applied>,
    /// The chart, and the artifact that it is of.
    chart: Option<(String, Arc<Chart>)>,
    /// The newest record and its objects.
    deployed: Option<Deployed>,
    /// The action that is under way.
    ongoing: Option<Box<Ongoing>>,
    /// Whether the hooks of an uninstall cannot be run.
    skips_hooks: bool,
    /// What was done since there last was nothing to do.
    turn: decide::Turn,
}

/// What a look has come to.
enum End {
    /// There is nothing to do until something changes.
    Kept,
    /// An action is under way.
    Waits(Waits),
    /// To be decided again, with a growing delay.
    Again,
    /// To be decided again after this time.
    After(Duration),
    /// Somebody else is at work, who has time until then.
    Busy(Timestamp),
    /// There is nothing to do until somebody changes something.
    Stalled,
}

/// All that a look goes by.
struct Look {
    release: Arc<HelmRelease>,
    actor: Arc<Actor>,
    checks: Checks,
    chart: Arc<Chart>,
    desired: Desired,
    /// The namespace of the records, and the name of the release.
    key: Key,
    namespace: String,
    attempt: Attempt,
}

impl Look {
    /// The records of a release.
    fn storage<'a>(&'a self, key: &'a Key) -> Storage<'a> {
        Storage::new(&self.actor, key, Key::of(&*self.release))
    }

    fn target(&self) -> Target<'_> {
        Target { storage_namespace: &self.key.namespace, namespace: &self.namespace, name: &self.key.name }
    }
}

/// Makes a release what its HelmRelease says, as far as that can be done now.
pub(super) async fn reconcile(object: Arc<HelmRelease>, context: &Arc<Context>) -> Action {
    let applier = Applier::HelmRelease(object.clone());
    let id = applier.id();
    let mut memory = context.applier_memories.releases.take(&id).of(&applier);
    let action = Run::new(context, applier, &mut memory).keep_release(object).await;
    context.applier_memories.releases.put(id.clone(), memory);
    // It may be gone by now, and then nothing is to be remembered.
    if context.applier(&id).is_none() {
        context.forget_applier(&id);
    }
    action
}

/// How the objects of a release are applied. Helm knows no limit for what it deletes.
fn policy(run: &Turn<'_>) -> Policy {
    Policy {
        prune: true,
        stages: run.context.config.stages.clone(),
        override_managers: run.context.config.override_managers.with_helm(),
        prune_limit: PruneLimit::OFF,
        ..Policy::new(run.id.owner())
    }
}

impl Turn<'_> {
    async fn keep_release(&mut self, release: Arc<HelmRelease>) -> Action {
        if self.object.is_being_deleted() {
            return finalize::finalize(self, &release).await;
        }
        self.context.metrics.suspended(self.id.kind.as_str(), &self.id.key, self.spec.suspend);
        if self.spec.suspend && self.memory.own.ongoing.is_none() {
            tracing::debug!(object = %self.id, "suspended");
            return Action::await_change();
        }
        if let Some(action) = finalizer::add_finalizer(self).await {
            return action;
        }
        if let Some(wait) = self.held().filter(|_| self.memory.own.ongoing.is_none()) {
            return Action::requeue(wait);
        }
        let result = self.look(release).await;
        self.end(result).await
    }

    /// Goes on with the release as far as that can be done now.
    async fn look(&mut self, release: Arc<HelmRelease>) -> Result<End, Failure> {
        let look = self.gather(release).await?;
        if let Some(ongoing) = self.memory.own.ongoing.take() {
            if let Some(end) = self.resume(ongoing, &look).await? {
                return Ok(end);
            }
            if self.spec.suspend {
                return Ok(End::Kept);
            }
            chart_object::await_artifact(self)?;
        }
        let annotation = |name| self.object.annotation(name).map(String::as_str);
        let (requested, force, reset) =
            (annotation(REQUESTED_AT), annotation(FORCE_AT), annotation(RESET_AT));
        let asked = report::asked(&mut self.status, requested, force, reset);
        let digest = look.chart.digest.as_deref();
        self.told(&look).attempting(&look.desired, look.target(), digest, asked.reset);
        let mut forced = asked.force;
        loop {
            let (decision, drifted) = self.decide(&look, forced).await?;
            forced = false;
            tracing::debug!(object = %self.id, state = ?decision.state, why = decision.why, step = ?decision.step, "decided");
            let drift = conditions::find(&self.status.conditions, ConditionType::Drifted);
            let known = drift.map(|drift| drift.message.clone());
            if let Some(told) = self.told(&look).decided(&decision, &drifted)
                && known.as_ref() != Some(&told.message)
            {
                self.publish_told(&told, &look.desired.chart_version).await;
            }
            let end = match decision.step {
                Next::Run(deed) => self.act(deed, &look).await?,
                Next::Done => Some(End::Kept),
                Next::RetryAfter(wait) => Some(End::After(wait)),
                Next::Again => Some(End::Again),
                Next::Await { until } => Some(End::Busy(until)),
                Next::Stalled { .. } => Some(End::Stalled),
            };
            if let Some(end) = end {
                return Ok(end);
            }
        }
    }

    /// Everything that has to be known before anything is decided.
    async fn gather(&mut self, release: Arc<HelmRelease>) -> Result<Look, Failure> {
        let name = plumb_helm::name::of(&release);
        let name = name
            .map_err(|error| Failure::new(Reason::ReconciliationFailed, Retry::Never, error.to_string()))?;
        actor::refuse_cross_namespace(&self.spec, &self.id, &self.context.config.tenancy)?;
        let expressions = self.expressions()?;
        let inputs = values::inputs(self, &release);
        self.context.inputs.follow(&self.id, &inputs);
        // What changes from here on makes another attempt, whether or not this one has seen it.
        self.context.inputs.answered(&inputs).await;
        self.inputs = self.context.inputs.versions(&self.id);
        self.warn_of_fields_without_effect(&release).await;
        // Whoever acts anew begins with nothing remembered, and what is applied from here on is. Nobody is needed to have a chart fetched.
        let actor = actor::actor(self).await;
        chart_object::keep(self, &release).await?;
        let actor = actor?;
        let checks = judging::checks(self, &actor, &expressions).await;
        if self.memory.own.ongoing.is_none() {
            self.await_dependencies(&actor, &expressions, &checks, "").await?;
            chart_object::await_artifact(self)?;
        }
        let artifact = self.artifact()?;
        let revision = artifact.revision.to_string();
        self.revision = Some(revision.clone());
        self.digest.clone_from(&artifact.digest);
        self.memory.held = None;
        let chart = self.chart(&artifact).await?;
        let values = values::gather(self, &release).await?;
        let key = Key { namespace: release.storage_namespace(), name };
        actor.cluster.records.follow(&self.id, Some(&key));
        let desired =
            Desired { chart_name: chart.name.clone(), chart_version: chart.version.clone(), values };
        Ok(Look {
            namespace: release.release_namespace(),
            attempt: self.attempt_at(&revision, &artifact.digest, self.inputs.clone()),
            release,
            actor,
            checks,
            chart,
            desired,
            key,
        })
    }

    /// Tells of what a new spec says for nothing.
    async fn warn_of_fields_without_effect(&mut self, release: &HelmRelease) {
        if self.written.observed_generation != release.metadata.generation {
            for note in unused::fields(&release.spec) {
                self.warn_once(Reason::UnsupportedField.as_str(), note).await;
            }
        }
    }

    /// The chart of an artifact, read once.
    async fn chart(&mut self, artifact: &crate::artifacts::Artifact) -> Result<Arc<Chart>, Failure> {
        let of = format!("{} {}", artifact.revision, artifact.digest);
        if let Some((known, chart)) = &self.memory.own.chart
            && *known == of
        {
            return Ok(chart.clone());
        }
        let (artifact, kind, context) = (artifact.clone(), self.source().kind, self.context.clone());
        let reading =
            tokio::task::spawn_blocking(move || chart::open(&artifact, kind, context.sources.content()));
        let chart = reading.await.unwrap_or_else(|error| {
            let message = format!("internal error: {error}");
            Err(Failure::new(Reason::ArtifactFailed, Retry::Interval, message))
        })?;
        let chart = Arc::new(chart);
        self.memory.own.chart = Some((of, chart.clone()));
        Ok(chart)
    }

    /// What to do next, and what others have changed.
    async fn decide(&mut self, look: &Look, forced: bool) -> Result<(Decision, String), Failure> {
        let records = self.records(look).await?;
        let found = self.drift(look).await?;
        let situation = self.situation(look, &records, found.drift, forced);
        // `preserveValues` has what was there before count as desired.
        let preserved = look.release.spec.upgrade.as_ref().is_some_and(|upgrade| upgrade.preserve_values);
        let last = records.iter().max_by_key(|record| record.version()).filter(|_| preserved);
        let desired = last
            .map(|last| Desired { values: look.desired.values.over(last.config()), ..look.desired.clone() });
        let situation = Situation { desired: desired.as_ref().unwrap_or(&look.desired), ..situation };
        Ok((self.memory.own.turn.decide(&situation), found.told))
    }

    fn situation<'a>(
        &'a self,
        look: &'a Look,
        records: &'a [plumb_helm::record::Release],
        drift: decide::Drift,
        forced: bool,
    ) -> Situation<'a> {
        Situation {
            spec: &look.release.spec,
            generation: look.release.metadata.generation.unwrap_or_default(),
            status: &self.status,
            target: look.target(),
            desired: &look.desired,
            records,
            writer: self.writer(),
            drift,
            forced,
            retry_by_default: false,
            now: Timestamp::now(),
        }
    }

    /// Who has written the newest record last.
    fn writer(&self) -> Writer {
        let deployed = self.memory.own.deployed.as_ref();
        deployed.map_or(Writer::Ourselves, |deployed| deployed.writer(&self.id.key))
    }

    /// The status, to be written to.
    fn told<'a>(&'a mut self, look: &'a Look) -> report::Report<'a> {
        report::Report {
            spec: &look.release.spec,
            generation: look.release.metadata.generation.unwrap_or_default(),
            status: &mut self.status,
            now: Timestamp::now(),
            retry_by_default: false,
        }
    }

    /// Writes the status, tells users, and says when to look again.
    async fn end(&mut self, result: Result<End, Failure>) -> Action {
        if result.is_err() && self.context.is_called_off() {
            return Action::await_change();
        }
        if let Some(requested) = self.object.annotation(REQUESTED_AT) {
            self.status.last_handled_reconcile_at = Some(requested.clone());
        }
        let interval = self.context.jittered(self.spec.interval.to_std());
        let mut news = None;
        let wait = match result {
            Ok(end) => {
                let wait = self.wait_until(&end, interval);
                if matches!(end, End::Kept | End::After(_) | End::Stalled) {
                    self.status.observed_generation = self.object.meta().generation;
                }
                if !matches!(end, End::Waits(_)) {
                    self.memory.own.turn = decide::Turn::default();
                }
                wait
            }
            Err(failure) => {
                if let (Retry::Backoff, Some(actor)) = (failure.retry, &self.memory.actor) {
                    actor.cluster.doubt();
                }
                let wait = self.wait_after(&failure);
                self.report().fail(&mut self.status, &failure);
                let awaits_source =
                    failure.retry == Retry::Source || failure.reason == Reason::SourceNotReady;
                if !failure.is_progress() && !awaits_source {
                    news = Some(failure);
                }
                wait
            }
        };
        let is_ready = conditions::is_true(&self.status.conditions, ConditionType::Ready);
        self.context.metrics.ready(self.id.kind.as_str(), &self.id.key, is_ready);
        if let Err(error) = self.write_status().await {
            self.memory.failures = self.memory.failures.saturating_add(1);
            tracing::warn!(error = said(&error), object = %self.id, "could not write the status; trying again");
            return Action::requeue(self.context.backoff(self.memory.failures, interval));
        }
        // Only now: an inventory that was written before the changes still lists what is let go.
        for heir in self.heirs.drain(..) {
            self.context.applier_wakes.wake(heir);
        }
        if let Some(failure) = news {
            tracing::warn!(object = %self.id, reason = %failure.reason, message = failure.message, "not reconciled");
            self.publish(Severity::Warning, failure.reason.as_str(), &failure.message).await;
        }
        wait.map_or_else(Action::await_change, Action::requeue)
    }

    /// When to look again; `None` when only a change helps.
    fn wait_until(&mut self, end: &End, interval: Duration) -> Option<Duration> {
        match end {
            End::Kept => {
                self.memory.failures = 0;
                Some(self.postponed.map_or(interval, |postponed| postponed.min(interval)))
            }
            End::Waits(waits) => {
                self.tell_of_wait(&waits.what);
                Some(waits.again)
            }
            End::Again => {
                self.memory.failures = self.memory.failures.saturating_add(1);
                Some(self.context.backoff(self.memory.failures, interval))
            }
            End::After(wait) => {
                self.memory.failures = 0;
                Some(self.context.jittered(*wait))
            }
            End::Busy(until) => {
                self.memory.failures = 0;
                let left = Duration::try_from(until.duration_since(Timestamp::now())).unwrap_or_default();
                Some(left.clamp(SHORTLY, LOOK_AGAIN))
            }
            End::Stalled => {
                self.memory.failures = 0;
                None
            }
        }
    }
}

/// A clock for how long an action took.
fn took(since: Instant) -> Duration {
    since.elapsed()
}
