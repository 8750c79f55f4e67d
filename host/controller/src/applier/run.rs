//! One reconciliation, as far as all kinds of appliers go the same way.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use jiff::Timestamp;
use plumb_api::annotations::{PRUNE_CONFIRMED, PRUNE_LIMIT, REQUESTED_AT};
use plumb_api::{ObjectId, Reason};
use plumb_apply::{Health, Live, LiveState as _, Terminating};
use plumb_health::Checks;
use plumb_pipeline::Spec;

use super::dependencies::{self, Known, Waiting};
use super::expressions::{self, Compared, Expressions};
use super::failure::{Failure, Retry};
use super::judging;
use super::memory::{Attempt, Memory};
use super::report::Report;
use super::state::ApplierStatus;
use super::{Applier, ApplierId, DISCOVERY, values};
use crate::Config;
use crate::artifacts::Artifact;
use crate::clusters::Actor;
use crate::context::Context;
use crate::events::Severity;
use crate::inputs::InputId;
use crate::kubeconfig::Reference;
use crate::notifications::metadata;
use crate::sources::SourceId;

/// One reconciliation of an applier whose status is an `S`.
pub(super) struct Run<'a, S: ApplierStatus> {
    pub(super) context: &'a Arc<Context>,
    pub(super) object: Applier,
    pub(super) id: ApplierId,
    pub(super) spec: Spec,
    pub(super) memory: &'a mut Memory<S>,
    /// The status as the API server has it.
    pub(super) written: S,
    /// The status as it will be.
    pub(super) status: S,
    /// The revision that is reconciled, once it is known.
    pub(super) revision: Option<String>,
    /// The revision that the artifact was made from, where its maker says so.
    pub(super) origin: Option<String>,
    /// Whether the health of the objects is known.
    pub(super) is_assessed: bool,
    /// Identifies the tree of the revision.
    pub(super) digest: String,
    /// The ConfigMaps and Secrets that it is made from, as they were before anybody read them.
    pub(super) inputs: Vec<(InputId, String)>,
    pub(super) started: Instant,
    /// Who waits for objects that are let go, to be woken once the inventory says so.
    pub(super) heirs: Vec<ApplierId>,
    /// What is being deleted and still there.
    pub(super) terminating: Vec<Terminating>,
    /// How long the next repair of an object that is fought over has to wait: no watch will tell when it is due.
    pub(super) postponed: Option<Duration>,
    /// The objects that wait for that.
    pub(super) fought_over: Vec<ObjectId>,
}

/// The ConfigMaps and Secrets that an applier is made from.
pub(super) fn inputs_of(spec: &Spec, namespace: &str, config: &Config) -> Vec<InputId> {
    let kubeconfig = spec.apply.kube_config.as_ref();
    let kubeconfig = kubeconfig.map(|reference| Reference::new(reference, namespace.to_owned()).input);
    let values =
        spec.inputs().map(|input| InputId::new(input.kind(), namespace.to_owned(), input.name.to_owned()));
    kubeconfig.into_iter().chain(values).chain(values::of_operator(spec, config)).collect()
}

/// What `spec.dependsOn` may name, as this applier may see it.
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

impl<'a, S: ApplierStatus> Run<'a, S> {
    pub(super) fn new(context: &'a Arc<Context>, object: Applier, memory: &'a mut Memory<S>) -> Self {
        let written = S::newest(&object, memory.status.as_ref());
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

    /// How long a failed attempt is still to be left alone, if this would be the same one again.
    pub(super) fn held(&self) -> Option<Duration> {
        let (attempt, until) = self.memory.held.as_ref()?;
        let artifact = self.context.artifacts.get(&self.source())?;
        let wait = until.checked_duration_since(Instant::now()).filter(|wait| !wait.is_zero())?;
        let inputs = self.context.inputs.versions(&self.id);
        (*attempt == self.attempt_at(&artifact.revision.to_string(), &artifact.digest, inputs))
            .then_some(wait)
    }

    /// The expressions of the spec, read once a generation.
    pub(super) fn expressions(&mut self) -> Result<Arc<Expressions>, Failure> {
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
    pub(super) async fn await_dependencies(
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

    /// When to look again after a failure; `None` when only a change helps.
    pub(super) fn wait_after(&mut self, failure: &Failure) -> Option<Duration> {
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

    pub(super) fn artifact(&self) -> Result<Artifact, Failure> {
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

    pub(super) fn source(&self) -> SourceId {
        self.object.source()
    }

    pub(super) fn attempt_at(&self, revision: &str, digest: &str, inputs: Vec<(InputId, String)>) -> Attempt {
        Attempt {
            generation: self.object.meta().generation,
            revision: revision.to_owned(),
            digest: digest.to_owned(),
            asked: [REQUESTED_AT, PRUNE_LIMIT, PRUNE_CONFIRMED]
                .map(|name| self.object.annotation(name).cloned()),
            inputs,
        }
    }

    pub(super) fn report(&self) -> Report {
        Report {
            generation: self.object.meta().generation,
            now: Timestamp::now(),
            revision: self.revision.clone(),
            origin: self.origin.clone(),
        }
    }

    pub(super) async fn write_status(&mut self) -> kube::Result<()> {
        let written = S::write(&self.object, &self.context.client, &self.written, &self.status).await?;
        self.memory.status = written.or(self.memory.status.take());
        self.written = self.status.clone();
        self.context.lists(&self.id, self.status.inventory().cloned().unwrap_or_default());
        Ok(())
    }

    pub(super) async fn publish(&self, severity: Severity, reason: &str, note: &str) {
        let metadata = metadata(self.object.meta(), self.id.kind.group(), self.revision.as_deref());
        self.context.events.publish(&self.object.reference(), severity, reason, note, &metadata).await;
    }
}
