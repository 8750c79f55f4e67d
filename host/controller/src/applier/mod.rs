//! Reconciles `Kustomization`: renders, applies, prunes, and tells how the objects are.
//!
//! Every wake runs the same course from the start. What has not changed costs next to nothing: the render comes from a cache, the
//! planner compares with what the watches have seen, and a status that says the same is not written again.

mod actor;
mod apply;
pub(crate) mod dependencies;
mod expressions;
mod failure;
mod finalize;
mod health;
mod id;
mod judging;
mod lint;
mod object;
mod providing;
mod queues;
mod render;
mod repairs;
mod report;
mod values;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use jiff::Timestamp;
use plumb_api::annotations::{PRUNE_CONFIRMED, PRUNE_LIMIT, REQUESTED_AT};
use plumb_api::{ConditionStatus, ConditionType, KustomizationStatus, ObjectId, Reason, conditions};
use plumb_apply::{Applied, Health, Kind, Live, LiveState as _, Terminating};
use plumb_health::Checks;
use plumb_pipeline::Spec;

use crate::Config;
use crate::artifacts::Artifact;
use crate::clusters::Actor;
use crate::context::Context;
use crate::events::Severity;
use crate::inputs::InputId;
use crate::kubeconfig::Reference;
use crate::notifications::metadata;
use crate::queue::Action;
use crate::sources::SourceId;
use crate::status::{self, Written};
pub(crate) use id::ApplierId;
pub(crate) use object::Applier;
pub(crate) use queues::run;

use dependencies::{Known, Waiting};
use expressions::{Compared, Expressions};
use failure::{Failure, Retry, refuse_not_honoured};
use repairs::Repairs;
use report::{Healthy, Report};

/// How long the API server has to say which kinds it serves.
const DISCOVERY: Duration = Duration::from_secs(15);

/// What is remembered of a Kustomization between two reconciliations. All of it can be lost: it saves requests.
#[derive(Default)]
pub(crate) struct Memory {
    /// The object's identity: one of the same name may take its place.
    uid: Option<String>,
    /// The status as we wrote it last: the watch may lag behind.
    status: Option<Written<KustomizationStatus>>,
    /// How often in a row something failed that may pass by itself.
    failures: u32,
    /// What was true after each object was applied.
    applied: HashMap<ObjectId, Applied>,
    repairs: Repairs,
    /// What was changed since the Kustomization was last ready, to be told when it is.
    changes: Vec<String>,
    /// What was attempted last, and since when.
    attempt: Option<(Attempt, Instant)>,
    /// Since when deleting what is no longer desired waits for others to render the same revision.
    prune_held: Option<Instant>,
    /// An attempt that failed, which is not made again before this time.
    held: Option<(Attempt, Instant)>,
    /// What the pods of unhealthy workloads said, and when.
    pods: health::PodsSeen,
    /// The expressions of the spec, for the generation that they were read from.
    expressions: Option<(Option<i64>, Arc<Expressions>)>,
    compared: Compared,
    /// What is likely to hurt and was told.
    linted: HashSet<String>,
    /// The objects of other kinds that `spec.dependsOn` names, and those that `spec.healthChecks` names and that are not applied here.
    followed: Followed,
    /// Who acted last. Kept, so that the watches of a cluster last for as long as somebody uses it.
    actor: Option<Arc<Actor>>,
}

/// Objects that are named and not owned, each with its kind.
#[derive(Default)]
struct Followed {
    dependencies: Vec<(ObjectId, Kind)>,
    health_checks: Vec<(ObjectId, Kind)>,
    /// What plugins have read.
    reads: Vec<(ObjectId, Kind)>,
}

impl Followed {
    /// Follows these and no others.
    fn follow(&self, actor: &Actor, own: &ApplierId) {
        let all: Vec<_> =
            self.dependencies.iter().chain(&self.health_checks).chain(&self.reads).cloned().collect();
        for id in actor.references.follow(&own.owner(), &all) {
            tracing::warn!(object = %own, not_followed = %id.human(), "too many objects are named by health checks and dependencies");
        }
    }
}

impl Memory {
    /// What was true of another cluster, or for another user, is forgotten.
    fn act_as(&mut self, actor: &Arc<Actor>, id: &ApplierId) {
        if self.actor.as_ref().is_some_and(|before| Arc::ptr_eq(before, actor)) {
            return;
        }
        self.let_go(id);
        self.applied.clear();
        self.repairs = Repairs::default();
        self.pods = health::PodsSeen::default();
        self.compared = Compared::default();
        self.followed = Followed::default();
        self.actor = Some(actor.clone());
    }

    /// Follows nothing any longer.
    pub(crate) fn let_go(&self, id: &ApplierId) {
        if let Some(actor) = &self.actor {
            actor.references.follow(&id.owner(), &[]);
        }
    }
}

/// What makes a reconciliation another one, rather than another look at the same.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Attempt {
    generation: Option<i64>,
    revision: String,
    /// Identifies the tree: of one commit a source may show more or less.
    digest: String,
    /// The annotations that ask for something.
    asked: [Option<String>; 3],
    /// The versions of the ConfigMaps and Secrets that it is made from.
    inputs: Vec<(InputId, String)>,
}

/// One reconciliation.
struct Run<'a> {
    context: &'a Arc<Context>,
    object: Applier,
    id: ApplierId,
    spec: Spec,
    memory: &'a mut Memory,
    /// The status as the API server has it.
    written: KustomizationStatus,
    /// The status as it will be.
    status: KustomizationStatus,
    /// The revision that is reconciled, once it is known.
    revision: Option<String>,
    /// The revision that the artifact was made from, where its maker says so.
    origin: Option<String>,
    /// Whether the health of the objects is known.
    is_assessed: bool,
    /// Identifies the tree of the revision.
    digest: String,
    /// The ConfigMaps and Secrets that it is made from, as they were before anybody read them.
    inputs: Vec<(InputId, String)>,
    started: Instant,
    /// Who waits for objects that are let go, to be woken once the inventory says so.
    heirs: Vec<ApplierId>,
    /// What is being deleted and still there.
    terminating: Vec<Terminating>,
    /// How long the next repair of an object that is fought over has to wait: no watch will tell when it is due.
    postponed: Option<Duration>,
    /// The objects that wait for that.
    fought_over: Vec<ObjectId>,
}

/// The ConfigMaps and Secrets that an applier is made from.
fn inputs_of(spec: &Spec, namespace: &str, config: &Config) -> Vec<InputId> {
    let kubeconfig = spec.apply.kube_config.as_ref();
    let kubeconfig = kubeconfig.map(|reference| Reference::new(reference, namespace.to_owned()).input);
    let values =
        spec.inputs().map(|input| InputId::new(input.kind(), namespace.to_owned(), input.name.to_owned()));
    kubeconfig.into_iter().chain(values).chain(values::of_operator(spec, config)).collect()
}

/// What `spec.dependsOn` may name, as this Kustomization may see it.
struct Objects<'a> {
    context: &'a Context,
    actor: &'a Actor,
    /// Objects of kinds that cannot be looked up, and why.
    unknown: HashMap<ObjectId, String>,
    /// How those that were found are.
    healths: HashMap<ObjectId, Health>,
}

impl Known for Objects<'_> {
    fn applier(&self, id: &ApplierId) -> Option<Applier> {
        self.context.applier(id)
    }

    fn object(&self, id: &ObjectId) -> Result<Live, String> {
        if let Some(why) = self.unknown.get(id).cloned().or_else(|| self.actor.references.why_unknown(id)) {
            return Err(why);
        }
        Ok(self.actor.references.live(id))
    }

    fn health(&self, id: &ObjectId) -> Health {
        self.healths.get(id).cloned().unwrap_or_else(judging::not_looked_at)
    }
}

async fn reconcile(object: Applier, context: &Arc<Context>) -> Action {
    let id = object.id();
    let mut memory = context.take_memory(&id);
    if memory.uid != object.meta().uid {
        memory.let_go(&id);
        memory = Memory { uid: object.meta().uid.clone(), ..Memory::default() };
    }
    let action = Run::new(context, object, &mut memory).reconcile().await;
    context.put_memory(id.clone(), memory);
    // It may be gone by now, and then nothing is to be remembered.
    if context.applier(&id).is_none() {
        context.forget_applier(&id);
    }
    action
}

async fn report_panic(object: Applier, context: &Arc<Context>, message: &str) {
    let mut memory = Memory::default();
    let mut run = Run::new(context, object, &mut memory);
    let failure =
        Failure::new(Reason::ReconciliationFailed, Retry::Interval, format!("internal error: {message}"));
    run.report().fail(&mut run.status, &failure);
    let _ = run.write_status().await;
}

/// What people are told of a reconciliation.
struct News {
    severity: Severity,
    reason: Reason,
    note: String,
    /// Whether it is worth an event of the cluster. That a commit has changed nothing here is not: of a repository with a thousand
    /// applications every commit would cost a thousand events. The status has it, and the notification-controller is told.
    is_event: bool,
}

/// What a reconciliation that got to its end found.
struct Done {
    /// What was changed, as people read it; empty when nothing was.
    changes: Vec<String>,
    digest: String,
    healthy: Healthy,
    /// When to look at the health of the objects again, where no watch tells.
    look_again: Option<Duration>,
}

impl<'a> Run<'a> {
    fn new(context: &'a Arc<Context>, object: Applier, memory: &'a mut Memory) -> Self {
        let written = object.newest_status(memory.status.as_ref());
        Self {
            context,
            id: object.id(),
            spec: object.spec(),
            object,
            memory,
            status: written.clone(),
            written,
            revision: None,
            origin: None,
            is_assessed: false,
            digest: String::new(),
            inputs: Vec::new(),
            started: Instant::now(),
            heirs: Vec::new(),
            terminating: Vec::new(),
            postponed: None,
            fought_over: Vec::new(),
        }
    }

    async fn reconcile(&mut self) -> Action {
        if self.object.is_being_deleted() {
            return finalize::finalize(self).await;
        }
        self.context.metrics.suspended(self.id.kind.as_str(), &self.id.key, self.spec.suspend);
        if self.spec.suspend {
            tracing::debug!(object = %self.id, "suspended");
            return Action::await_change();
        }
        if let Some(action) = finalize::add_finalizer(self).await {
            return action;
        }
        if let Some(wait) = self.held() {
            return Action::requeue(wait);
        }
        let result = self.attempt().await;
        self.finish(result).await
    }

    /// How long a failed attempt is still to be left alone, if this would be the same one again.
    fn held(&self) -> Option<Duration> {
        let (attempt, until) = self.memory.held.as_ref()?;
        let artifact = self.context.artifacts.get(&self.source())?;
        let wait = until.checked_duration_since(Instant::now()).filter(|wait| !wait.is_zero())?;
        let inputs = self.context.inputs.versions(&self.id);
        (*attempt == self.attempt_at(&artifact.revision.to_string(), &artifact.digest, inputs))
            .then_some(wait)
    }

    async fn attempt(&mut self) -> Result<Done, Failure> {
        refuse_not_honoured(&self.spec)?;
        actor::refuse_cross_namespace(&self.spec, &self.id, &self.context.config.tenancy)?;
        let expressions = self.expressions()?;
        let inputs = inputs_of(&self.spec, &self.id.key.namespace, &self.context.config);
        self.context.inputs.follow(&self.id, &inputs);
        // What changes from here on makes another attempt, whether or not this one has seen it.
        self.context.inputs.answered(&inputs).await;
        self.inputs = self.context.inputs.versions(&self.id);
        self.warn_of_dropped_fields().await;
        let artifact = self.artifact()?;
        let revision = artifact.revision.to_string();
        self.revision = Some(revision.clone());
        self.origin.clone_from(&artifact.origin);
        self.digest.clone_from(&artifact.digest);
        // Rendered before the dependencies are looked at: mistakes are told early, and the others know what is wanted here.
        self.memory.held = None;
        let actor = actor::actor(self).await?;
        let rendered = render::render(self, &actor, &expressions, &artifact, &revision).await?;
        let checks = judging::checks(self, &actor, &expressions).await;
        self.await_dependencies(&actor, &expressions, &checks, &revision).await?;
        let attempt = self.attempt_at(&revision, &self.digest, self.inputs.clone());
        self.tell_of_canceled_wait(&revision).await;
        if self.memory.attempt.as_ref().is_none_or(|(last, _)| *last != attempt) {
            self.memory.attempt = Some((attempt, Instant::now()));
        }
        lint::warn(self, &rendered, &revision).await;
        let desired = render::prepare(self, &actor, &rendered).await?;
        apply::apply(self, &actor, &expressions, &desired).await?;
        let assessment = health::assess(self, &actor, &checks, &desired).await;
        let healthy = assessment.condition();
        self.report().health(&mut self.status, &healthy);
        self.is_assessed = true;
        health::expect(self, &assessment, &revision)?;
        Ok(Done {
            changes: std::mem::take(&mut self.memory.changes),
            digest: desired.digest.clone(),
            healthy,
            look_again: assessment.look_again().into_iter().chain(self.postponed).min(),
        })
    }

    /// The expressions of the spec, read once a generation.
    fn expressions(&mut self) -> Result<Arc<Expressions>, Failure> {
        let generation = self.object.meta().generation;
        if let Some((of, expressions)) = &self.memory.expressions
            && *of == generation
        {
            return Ok(expressions.clone());
        }
        let expressions = Arc::new(Expressions::read(&self.spec, self.id.kind)?);
        self.memory.compared = Compared::default();
        self.memory.expressions = Some((generation, expressions.clone()));
        Ok(expressions)
    }

    /// Fails until all dependencies are ready.
    async fn await_dependencies(
        &mut self,
        actor: &Arc<Actor>,
        expressions: &Expressions,
        checks: &Checks,
        revision: &str,
    ) -> Result<(), Failure> {
        let spec = &self.spec;
        let others = spec
            .depends_on
            .iter()
            .filter(|dependency| dependencies::applier_of(dependency, &self.id).is_none());
        let deadline = tokio::time::Instant::now() + DISCOVERY;
        let named: Vec<_> = others
            .map(|dependency| {
                (dependencies::id_of(dependency, &self.id), dependencies::kind_of(dependency, self.id.kind))
            })
            .collect();
        let kinds = join_all(named.iter().map(|(_, gvk)| actor.cluster.kinds.resolve(gvk, deadline))).await;
        let mut objects =
            Objects { actor, unknown: HashMap::new(), healths: HashMap::new(), context: self.context };
        let mut followed = Vec::new();
        for ((id, gvk), kind) in named.into_iter().zip(kinds) {
            match kind {
                Ok(kind) => followed.push((id, kind)),
                Err(error) => {
                    actor.cluster.await_kinds(&self.id, [&gvk]);
                    objects.unknown.insert(id, error.to_string());
                }
            }
        }
        self.memory.followed.dependencies = followed;
        self.memory.followed.follow(actor, &self.id);
        expressions::compare(spec, self.id.kind, expressions, &mut self.memory.compared, actor).await?;
        objects.healths = self.healths_of_dependencies(actor, checks).await;
        let waiting = Waiting { object: &self.object, id: &self.id, revision, ready: &expressions.ready };
        // Expressions over large objects take some milliseconds each.
        let unmet = tokio::task::block_in_place(|| waiting.unmet(&objects));
        if unmet.is_empty() {
            return Ok(());
        }
        let message = format!("dependency {}", unmet.join("; dependency "));
        Err(Failure::new(Reason::DependencyNotReady, Retry::Dependency, message))
    }

    /// How the objects of other kinds that `spec.dependsOn` names are, as far as they are there.
    async fn healths_of_dependencies(
        &self,
        actor: &Arc<Actor>,
        checks: &Checks,
    ) -> HashMap<ObjectId, Health> {
        let followed = self.memory.followed.dependencies.iter();
        let found = followed.filter_map(|(id, _)| match actor.references.live(id) {
            Live::Present(object) => Some((id.clone(), object)),
            Live::Absent | Live::Unknown => None,
        });
        let (ids, objects): (Vec<_>, Vec<_>) = found.unzip();
        let namespace = &self.id.key.namespace;
        let healths = judging::judge(self.context, namespace, checks, objects, Timestamp::now()).await;
        ids.into_iter().zip(healths).collect()
    }

    /// A new revision ends the wait for the health of the one before.
    async fn tell_of_canceled_wait(&self, revision: &str) {
        let Some((last, _)) = &self.memory.attempt else { return };
        let is_healthy = conditions::is_true(&self.written.conditions, ConditionType::Healthy);
        if last.revision != revision && !is_healthy {
            let note = format!(
                "no longer waiting for the health of revision {}: revision {revision} has come",
                last.revision
            );
            self.publish(Severity::Normal, Reason::HealthCheckCanceled.as_str(), &note).await;
        }
    }

    /// Writes the status, tells users, and says when to look again.
    async fn finish(&mut self, result: Result<Done, Failure>) -> Action {
        if result.is_err() && self.context.is_called_off() {
            // What was interrupted by the end of this process is not a failure, and another replica may be at it already.
            return Action::await_change();
        }
        let spec_interval = self.spec.interval.to_std();
        if let Some(requested) = self.object.annotation(REQUESTED_AT) {
            self.status.last_handled_reconcile_at = Some(requested.clone());
        }
        if let (Err(Failure { retry: Retry::Backoff, .. }), Some(actor)) = (&result, &self.memory.actor) {
            actor.cluster.doubt();
        }
        self.context.metrics.ready(self.id.kind.as_str(), &self.id.key, result.is_ok());
        let (wait, news) = match &result {
            Ok(done) => {
                let is_event = !done.changes.is_empty()
                    || self.written.last_applied_revision.is_none()
                    || self.written.observed_generation != self.object.meta().generation;
                let is_new = is_event || self.written.last_applied_revision != self.revision;
                let report = self.report();
                let message = self.success_message(&done.healthy);
                report.succeed(&mut self.status, &message);
                if is_new {
                    report.record(
                        &mut self.status,
                        &done.digest,
                        Reason::ReconciliationSucceeded,
                        self.started.elapsed(),
                    );
                }
                let interval = self.context.jittered(spec_interval);
                let wait = done.look_again.map_or(interval, |look_again| look_again.min(interval));
                (
                    Some(wait),
                    is_new.then(|| News {
                        severity: Severity::Normal,
                        reason: Reason::ReconciliationSucceeded,
                        note: self.success_note(done),
                        is_event,
                    }),
                )
            }
            Err(failure) => {
                let wait = self.wait_after(failure);
                self.report().fail(&mut self.status, failure);
                if !self.is_assessed {
                    self.report().health_unknown(&mut self.status, failure);
                }
                let is_news = !failure.is_progress() && failure.retry != Retry::Source;
                (
                    wait,
                    is_news.then(|| News {
                        severity: Severity::Warning,
                        reason: failure.reason,
                        note: failure.message.clone(),
                        is_event: true,
                    }),
                )
            }
        };
        if let Err(error) = self.write_status().await {
            self.memory.failures = self.memory.failures.saturating_add(1);
            tracing::warn!(error = status::said(&error), object = %self.id, "could not write the status; trying again");
            return Action::requeue(self.context.backoff(self.memory.failures, spec_interval));
        }
        // Only now: an inventory that was written before the changes still lists what is let go.
        for heir in self.heirs.drain(..) {
            self.context.applier_wakes.wake(heir);
        }
        if result.is_ok() {
            self.memory.failures = 0;
            // What gets unwell later has its own time to recover.
            self.memory.attempt = None;
        }
        if let Some(news) = news {
            self.tell(&news).await;
        }
        wait.map_or_else(Action::await_change, Action::requeue)
    }

    /// When to look again after a failure; `None` when only a change helps.
    fn wait_after(&mut self, failure: &Failure) -> Option<Duration> {
        let retry_interval = self.spec.retry_interval();
        match failure.retry {
            Retry::Never => None,
            Retry::Dependency => Some(self.context.config.requeue_dependency),
            Retry::Source | Retry::Confirmation => Some(self.context.jittered(retry_interval)),
            Retry::Interval => {
                let wait = self.context.jittered(retry_interval);
                let revision = self.revision.as_deref().unwrap_or_default();
                let attempt = self.attempt_at(revision, &self.digest, self.inputs.clone());
                self.memory.held = Some((attempt, Instant::now() + wait));
                Some(wait)
            }
            Retry::Backoff => {
                self.memory.failures = self.memory.failures.saturating_add(1);
                Some(self.context.backoff(self.memory.failures, retry_interval))
            }
            Retry::Health(wait) => Some(wait),
        }
    }

    fn artifact(&self) -> Result<Artifact, Failure> {
        let source = self.source();
        if let Some(artifact) = self.context.artifacts.get(&source) {
            return Ok(artifact);
        }
        let message = match self.context.sources.exists(&source) {
            true => match self.context.sources.trouble(&source) {
                Some(trouble) => format!("{source} cannot be used: {trouble}"),
                None => format!("{source} has no artifact yet"),
            },
            false => format!("{source} does not exist"),
        };
        Err(Failure::new(Reason::ArtifactFailed, Retry::Source, message))
    }

    fn source(&self) -> SourceId {
        self.object.source()
    }

    fn attempt_at(&self, revision: &str, digest: &str, inputs: Vec<(InputId, String)>) -> Attempt {
        Attempt {
            generation: self.object.meta().generation,
            revision: revision.to_owned(),
            digest: digest.to_owned(),
            asked: [REQUESTED_AT, PRUNE_LIMIT, PRUNE_CONFIRMED]
                .map(|name| self.object.annotation(name).cloned()),
            inputs,
        }
    }

    fn report(&self) -> Report {
        Report {
            generation: self.object.meta().generation,
            now: Timestamp::now(),
            revision: self.revision.clone(),
            origin: self.origin.clone(),
        }
    }

    async fn write_status(&mut self) -> kube::Result<()> {
        let written = self.object.write_status(&self.context.client, &self.written, &self.status).await?;
        self.memory.status = written.or(self.memory.status.take());
        self.written = self.status.clone();
        self.context.lists(&self.id, self.status.inventory.clone().unwrap_or_default());
        Ok(())
    }

    async fn warn_of_dropped_fields(&self) {
        if self.object.has_dropped_fields() {
            let note = "spec.validation was dropped from Flux and has no effect: the API server validates every object \
                        before any is applied; remove the field";
            self.publish(Severity::Warning, Reason::DeprecatedField.as_str(), note).await;
        }
    }

    /// Tells what a reconciliation has come to.
    async fn tell(&self, news: &News) {
        let News { severity, reason, note, is_event } = news;
        match severity {
            Severity::Normal if *is_event => {
                tracing::info!(object = %self.id, revision = self.revision, "{note}");
            }
            Severity::Normal => tracing::debug!(object = %self.id, revision = self.revision, "{note}"),
            Severity::Warning => {
                tracing::warn!(object = %self.id, %reason, message = note, "not reconciled");
            }
        }
        if *is_event {
            self.publish(*severity, reason.as_str(), note).await;
        } else {
            let metadata = metadata(self.object.meta(), self.id.kind.group(), self.revision.as_deref());
            let about = self.object.reference();
            self.context.events.notify(&about, *severity, reason.as_str(), note, &metadata);
        }
    }

    async fn publish(&self, severity: Severity, reason: &str, note: &str) {
        let metadata = metadata(self.object.meta(), self.id.kind.group(), self.revision.as_deref());
        self.context.events.publish(&self.object.reference(), severity, reason, note, &metadata).await;
    }

    /// What `kubectl get` shows: the revision, and what is not well although nobody asked to wait for it.
    fn success_message(&self, healthy: &Healthy) -> String {
        let revision = self.revision.as_deref().unwrap_or_default();
        let mut message = format!("Applied revision: {revision}");
        if healthy.status != ConditionStatus::True {
            message = format!("{message}; {}", healthy.message);
        }
        for object in self.terminating.iter().filter(|object| object.is_held()) {
            message = format!("{message}; {object}");
        }
        for id in &self.fought_over {
            message = format!("{message}; {} is not as applied: something keeps changing it", id.human());
        }
        message
    }

    fn success_note(&self, done: &Done) -> String {
        let revision = self.revision.as_deref().unwrap_or_default();
        match done.changes.as_slice() {
            [] => format!("Applied revision: {revision}; nothing had to change"),
            changes => format!("Applied revision: {revision}\n{}", changes.join("\n")),
        }
    }
}
