//! One reconciliation of a source that is fetched here.

use std::marker::PhantomData;
use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt as _;
use kube::api::Api;
use plumb_api::annotations::REQUESTED_AT;
use plumb_api::{Reason, is_object_name};
use plumb_lint as lint;
use tokio_util::sync::CancellationToken;

use super::failure::{Failure, Stage};
use super::report::{Report, told};
use super::{Fetch, Fetched, Memory, Recalled, SourceId, external};
use crate::Key;
use crate::context::Context;
use crate::events::{LINT, Severity, finding_note};
use crate::finalizers::{self, Finalizers};
use crate::inputs::InputId;
use crate::notifications::metadata;
use crate::queue::{self, Action, Reconciler};
use crate::status::{self, Written, said};

/// Reconciles the sources of a kind until `stop`: fetches them, or takes up what another controller has fetched.
pub(crate) async fn run<K: Fetch>(context: Arc<Context>, stop: &CancellationToken) {
    use futures::StreamExt as _;
    if !context.fetches(K::KIND) {
        return external::run::<K>(context, stop).await;
    }
    let all = K::all(&context.sources);
    let woken = all.wakes.stream().take_until(stop.clone().cancelled_owned());
    let store = all.store.clone();
    queue::run::<Fetching<K>>(context, store, woken).await;
}

struct Fetching<K>(PhantomData<K>);

impl<K: Fetch> Reconciler for Fetching<K> {
    type Kind = K;
    const KIND: &'static str = K::KIND.as_str();

    async fn reconcile(object: Arc<K>, context: Arc<Context>) -> Action {
        let key = Key::of(object.as_ref());
        if object.meta().deletion_timestamp.is_some() {
            return release(object.as_ref(), &context).await;
        }
        let all = K::all(&context.sources);
        let mut memory = all.take_memory(&key, object.uid().unwrap_or_default());
        let run = Run { context: &context, object: &object, source: SourceId::of(object.as_ref()) };
        let action = run.reconcile(&mut memory).await;
        all.put_memory(key.clone(), memory);
        // It may be gone by now, and then nothing is to be remembered.
        if all.get(&key).is_none() {
            super::forget::<K>(&context, &key);
        }
        action
    }

    fn exists(key: &Key, context: &Context) -> bool {
        K::all(&context.sources).get(key).is_some()
    }

    async fn report_panic(object: Arc<K>, context: Arc<Context>, message: String) {
        let source = SourceId::of(object.as_ref());
        let before = object.status().cloned().unwrap_or_default();
        let mut after = before.clone();
        let run = Run { context: &context, object: &object, source };
        let failure = Failure::new(Stage::Fetch, Reason::Failed, format!("internal error: {message}"));
        run.report().fail(&mut K::standing(&mut after), &failure);
        let _ = run.write_status(&before, &after).await;
    }
}

/// A source that came from Flux has its finalizer. There is nothing of ours to clean up in the cluster.
async fn release<K: Fetch>(object: &K, context: &Context) -> Action {
    match finalizers::remove(&context.client, object).await {
        Ok(Finalizers::Set) => Action::await_change(),
        Ok(Finalizers::Outdated) => Action::requeue(finalizers::CATCH_UP),
        Err(error) => {
            let key = Key::of(object);
            tracing::debug!(error = said(&error), object = %key, "could not remove the finalizer; trying again");
            Action::requeue(std::time::Duration::from_secs(1))
        }
    }
}

/// One reconciliation.
struct Run<'a, K> {
    context: &'a Arc<Context>,
    object: &'a Arc<K>,
    source: SourceId,
}

impl<K: Fetch> Run<'_, K> {
    async fn reconcile(&self, memory: &mut Memory<K::Status>) -> Action {
        if let Some(generation) = self.recall().await {
            memory.fetched_for = generation;
        }
        let (context, schedule) = (self.context, self.object.schedule());
        context.metrics.suspended(K::KIND.as_str(), &self.source.key, schedule.is_suspended);
        if schedule.is_suspended {
            tracing::debug!(source = %self.source, "suspended");
            return Action::await_change();
        }
        self.follow_secrets().await;
        if self.object.is_static() {
            // Whoever uses it may be waiting for what has changed in it, or in its Secrets.
            context.wake_users_of(&self.source);
            return Action::await_change();
        }
        let generation = self.object.meta().generation;
        // What was made by another spec is not what is asked for.
        let known = context.artifacts.get(&self.source).filter(|_| memory.fetched_for == generation);
        let fetched = self.object.fetch(context, known).await;
        if fetched.is_err() && context.is_called_off() {
            // What was interrupted by the end of this process is not a failure, and another replica may be at it already.
            return Action::await_change();
        }
        context.metrics.ready(K::KIND.as_str(), &self.source.key, fetched.is_ok());
        // Users of the source are woken before the status is written: the write is for people.
        if let Ok(fetched) = &fetched {
            self.hand_over(fetched);
        }
        let before = Written::newest(memory.status.as_ref(), self.object.as_ref(), self.object.status());
        let is_new_spec = *K::standing(&mut before.clone()).observed_generation != generation;
        let (after, is_new) = self.status(&before, &fetched);
        match self.write_status(&before, &after).await {
            Ok(written) => memory.status = written.or(memory.status.take()),
            Err(error) => {
                memory.failures = memory.failures.saturating_add(1);
                tracing::warn!(error = said(&error), source = %self.source, "could not write the status; trying again");
                return Action::requeue(context.backoff(memory.failures, schedule.interval));
            }
        }
        match fetched {
            Ok(fetched) => {
                memory.failures = 0;
                memory.fetched_for = generation;
                if is_new {
                    self.tell_success(&fetched).await;
                }
                if is_new_spec {
                    self.warn().await;
                }
                Action::requeue(context.jittered(schedule.interval))
            }
            Err(failure) => {
                memory.failures = memory.failures.saturating_add(1);
                self.tell_failure(&failure).await;
                match failure.stalled {
                    true => Action::await_change(),
                    false => Action::requeue(context.backoff(memory.failures, schedule.interval)),
                }
            }
        }
    }

    /// After a restart, takes up the tree that was fetched last: nobody has to wait for the server, which may be down, and a suspended
    /// source still serves what it has. Returns the generation of the object for which it was fetched.
    async fn recall(&self) -> Option<Option<i64>> {
        if self.context.artifacts.get(&self.source).is_some() {
            return None;
        }
        let (context, object) = (self.context.clone(), self.object.clone());
        let recalled = tokio::task::spawn_blocking(move || object.recall(&context));
        let Recalled { artifact, generation } = recalled.await.ok().flatten()?;
        tracing::info!(source = %self.source, revision = %artifact.revision, "took up the revision that was fetched last");
        self.context.artifacts.put(self.source.clone(), artifact, generation);
        self.context.wake_users_of(&self.source);
        Some(generation)
    }

    /// From now on the source is looked at when a Secret that it names changes: what was mended is used at once.
    async fn follow_secrets(&self) {
        let secrets = &K::all(&self.context.sources).secrets;
        let names = self.object.secrets().into_iter().map(|secret| &secret.name);
        let namespace = &self.source.key.namespace;
        let ids: Vec<InputId> = names
            .filter(|name| is_object_name(name))
            .map(|name| InputId::secret(namespace.clone(), name.clone()))
            .collect();
        secrets.follow(&self.source.key, &ids);
        // What changes from here on is told, whether or not the fetch has seen it.
        secrets.answered(&ids).await;
    }

    fn hand_over(&self, fetched: &Fetched) {
        let generation = self.object.meta().generation;
        if self.context.artifacts.put(self.source.clone(), fetched.artifact.clone(), generation) {
            self.context.wake_users_of(&self.source);
        }
    }

    /// The status after a fetch, and whether the artifact is another one than before.
    fn status(&self, before: &K::Status, fetched: &Result<Fetched, Failure>) -> (K::Status, bool) {
        let mut after = before.clone();
        let is_new = match fetched {
            Ok(fetched) => {
                let report = self.report();
                self.object.note(fetched, report.now, &mut after);
                report.succeed(&mut K::standing(&mut after), &self.source, fetched)
            }
            Err(failure) => {
                self.report().fail(&mut K::standing(&mut after), failure);
                false
            }
        };
        if let Some(requested) = self.object.annotations().get(REQUESTED_AT) {
            *K::standing(&mut after).last_handled_reconcile_at = Some(requested.clone());
        }
        (after, is_new)
    }

    fn report(&self) -> Report {
        Report { generation: self.object.meta().generation, now: Timestamp::now() }
    }

    async fn write_status(
        &self,
        before: &K::Status,
        after: &K::Status,
    ) -> kube::Result<Option<Written<K::Status>>> {
        let Key { namespace, name } = &self.source.key;
        let api: Api<K> = Api::namespaced(self.context.client.clone(), namespace);
        status::write(&api, name, before, after).await
    }

    async fn tell_success(&self, fetched: &Fetched) {
        let revision = &fetched.artifact.revision;
        tracing::info!(source = %self.source, %revision, "fetched a new revision");
        let (reason, message) = told(fetched);
        let reason = if fetched.chart.is_some() { reason } else { Reason::NewArtifact };
        self.publish(Severity::Normal, reason.as_str(), &message).await;
    }

    /// Tells once what is likely to hurt.
    async fn warn(&self) {
        for finding in self.object.lint().iter().filter(|finding| finding.severity != lint::Severity::Info) {
            self.publish(Severity::Warning, LINT, &finding_note(finding)).await;
        }
    }

    async fn tell_failure(&self, failure: &Failure) {
        let Failure { reason, message, .. } = failure;
        tracing::warn!(source = %self.source, %reason, message, "fetch failed");
        self.publish(Severity::Warning, reason.as_str(), message).await;
    }

    async fn publish(&self, severity: Severity, reason: &str, note: &str) {
        let artifact = self.context.artifacts.get(&self.source);
        let revision = artifact.map(|artifact| artifact.revision.to_string());
        let metadata = metadata(self.object.meta(), &K::group(&()), revision.as_deref());
        let about = self.object.object_ref(&());
        self.context.events.publish(&about, severity, reason, note, &metadata).await;
    }
}
