//! One reconciliation of a Plugin.

use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt as _;
use kube::api::Api;
use plumb_api::annotations::{FORCE_AT, REQUESTED_AT};
use plumb_api::{Plugin, PluginStatus, Reason};
use tokio_util::sync::CancellationToken;

use super::failure::{Failure, Retry};
use super::pull::{self, Found};
use super::report::{Report, Running, moved};
use super::{Loaded, Memory, Origin, Signed, inspect};
use crate::Key;
use crate::context::Context;
use crate::events::Severity;
use crate::finalizers::{self, Finalizers};
use crate::notifications::metadata;
use crate::queue::{self, Action, Reconciler};
use crate::status::{self, Written, said};

/// Reconciles all Plugins until `stop`.
pub(crate) async fn run(context: Arc<Context>, stop: &CancellationToken) {
    use futures::StreamExt as _;
    let woken = context.plugins.wakes.stream().take_until(stop.clone().cancelled_owned());
    let store = context.plugins.store.clone();
    queue::run::<Reconciling>(context, store, woken).await;
}

struct Reconciling;

impl Reconciler for Reconciling {
    type Kind = Plugin;
    const KIND: &'static str = "Plugin";

    async fn reconcile(object: Arc<Plugin>, context: Arc<Context>) -> Action {
        let key = Key::of(object.as_ref());
        if object.metadata.deletion_timestamp.is_some() {
            return release(&object, &context).await;
        }
        let uid = object.uid().unwrap_or_default();
        let mut memory = context.plugins.take_memory(&key, &uid);
        let run = Run { context: &context, object: &object, key: key.clone(), uid };
        let action = run.reconcile(&mut memory).await;
        context.plugins.put_memory(key.clone(), memory);
        // It may be gone by now, and then nothing is to be remembered.
        if context.plugins.get(&key).is_none() {
            super::forget(&context, &key);
        }
        action
    }

    fn exists(key: &Key, context: &Context) -> bool {
        context.plugins.get(key).is_some()
    }

    async fn report_panic(object: Arc<Plugin>, context: Arc<Context>, message: String) {
        let (key, uid) = (Key::of(object.as_ref()), object.uid().unwrap_or_default());
        let before = object.status.clone().unwrap_or_default();
        let run = Run { context: &context, object: &object, key, uid };
        let failure = Failure::new(Reason::Failed, Retry::Backoff, format!("internal error: {message}"));
        let mut after = before.clone();
        run.report().fails(&mut after, &failure);
        let _ = run.write_status(&before, &after).await;
    }
}

/// There is nothing of ours to clean up in the cluster; a finalizer is one that somebody has left.
async fn release(object: &Plugin, context: &Context) -> Action {
    match finalizers::remove(&context.client, object).await {
        Ok(Finalizers::Set) => Action::await_change(),
        Ok(Finalizers::Outdated) => Action::requeue(finalizers::CATCH_UP),
        Err(error) => {
            tracing::debug!(error = said(&error), "could not remove the finalizer; trying again");
            Action::requeue(std::time::Duration::from_secs(1))
        }
    }
}

/// One reconciliation.
pub(super) struct Run<'a> {
    pub(super) context: &'a Arc<Context>,
    pub(super) object: &'a Plugin,
    pub(super) key: Key,
    pub(super) uid: String,
}

impl Run<'_> {
    async fn reconcile(&self, memory: &mut Memory) -> Action {
        let (context, spec) = (self.context, &self.object.spec);
        context.metrics.suspended("Plugin", &self.key, spec.suspend);
        let before = Written::newest(memory.status.as_ref(), self.object, self.object.status.as_ref());
        let found = match (&spec.builtin, &spec.image) {
            (Some(name), None) => self.builtin(name).await,
            (None, Some(image)) => pull::find(self, image, &before).await,
            _ => Err(Failure::stalled(
                Reason::UnsupportedField,
                "exactly one of spec.image and spec.builtin must be given",
            )),
        };
        if found.is_err() && context.is_called_off() {
            // What was interrupted by the end of this process is not a failure.
            return Action::await_change();
        }
        context.metrics.ready("Plugin", &self.key, found.is_ok());
        self.hand_over(&found);
        let after = self.status(&before, &found);
        match self.write_status(&before, &after).await {
            Ok(written) => memory.status = written.or(memory.status.take()),
            Err(error) => {
                memory.failures = memory.failures.saturating_add(1);
                tracing::warn!(error = said(&error), plugin = %self.key, "could not write the status; trying again");
                return Action::requeue(context.backoff(memory.failures, spec.interval.to_std()));
            }
        }
        self.tell(&before, &found).await;
        self.next(memory, &found)
    }

    fn next(&self, memory: &mut Memory, found: &Result<Found, Failure>) -> Action {
        let (context, interval) = (self.context, self.object.spec.interval.to_std());
        let trouble = match found {
            Ok(found) => found.trouble.as_ref(),
            Err(failure) => Some(failure),
        };
        match trouble {
            None => {
                memory.failures = 0;
                if self.object.spec.suspend || self.object.spec.builtin.is_some() {
                    return Action::await_change();
                }
                Action::requeue(context.jittered(interval))
            }
            Some(Failure { retry: Retry::Never, .. }) => Action::await_change(),
            Some(Failure { retry: Retry::Backoff, .. }) => {
                memory.failures = memory.failures.saturating_add(1);
                Action::requeue(context.backoff(memory.failures, interval))
            }
        }
    }

    async fn builtin(&self, name: &str) -> Result<Found, Failure> {
        let origin = Origin::Builtin(name.to_owned());
        if let Some(loaded) = self.loaded().filter(|loaded| loaded.origin == origin) {
            return Ok(Found::running(loaded));
        }
        let (builtins, wanted) = (self.context.builtins.clone(), name.to_owned());
        let loading = tokio::task::spawn_blocking(move || inspect::builtin(&builtins, &wanted));
        let plugin = loading
            .await
            .map_err(|error| {
                Failure::new(Reason::Failed, Retry::Backoff, format!("internal error: {error}"))
            })?
            .map_err(|message| Failure::stalled(Reason::NotFound, message))?;
        Ok(Found::running(Arc::new(Loaded {
            uid: self.uid.clone(),
            origin,
            digest: plugin.digest().to_owned(),
            size: None,
            plugin,
            signatures: Signed::default(),
        })))
    }

    /// What runs for this object.
    pub(super) fn loaded(&self) -> Option<Arc<Loaded>> {
        self.context.plugins.loaded(&self.key).filter(|loaded| loaded.uid == self.uid)
    }

    /// Whether somebody asks for the newest, and was not answered yet.
    pub(super) fn is_forced(&self, before: &PluginStatus) -> bool {
        let annotations = self.object.annotations();
        let requested = annotations.get(REQUESTED_AT);
        requested.is_some()
            && requested == annotations.get(FORCE_AT)
            && requested != before.last_handled_reconcile_at.as_ref()
    }

    /// Makes known what runs from now on. The Pipelines of the namespace are looked at when that is another one.
    fn hand_over(&self, found: &Result<Found, Failure>) {
        let mut all = self.context.plugins.loaded.lock();
        let before = match found {
            Ok(found) => all.insert(self.key.clone(), found.loaded.clone()),
            Err(_) => all.remove(&self.key),
        };
        drop(all);
        let is_same = match (&before, found) {
            (Some(before), Ok(found)) => Arc::ptr_eq(before, &found.loaded),
            (None, Err(_)) => true,
            _ => false,
        };
        if !is_same {
            self.context.wake_users_of_plugins(Some(&self.key.namespace));
        }
    }

    fn status(&self, before: &PluginStatus, found: &Result<Found, Failure>) -> PluginStatus {
        let mut after = before.clone();
        match found {
            Ok(found) => self.report().runs(&mut after, &found.running_now()),
            Err(failure) => self.report().fails(&mut after, failure),
        }
        if let Some(requested) = self.object.annotations().get(REQUESTED_AT) {
            after.last_handled_reconcile_at = Some(requested.clone());
        }
        after
    }

    fn report(&self) -> Report {
        Report { generation: self.object.metadata.generation, now: Timestamp::now() }
    }

    async fn write_status(
        &self,
        before: &PluginStatus,
        after: &PluginStatus,
    ) -> kube::Result<Option<Written<PluginStatus>>> {
        let api: Api<Plugin> = Api::namespaced(self.context.client.clone(), &self.key.namespace);
        status::write(&api, &self.key.name, before, after).await
    }

    /// Tells what is new.
    async fn tell(&self, before: &PluginStatus, found: &Result<Found, Failure>) {
        let found = match found {
            Ok(found) => found,
            Err(Failure { reason, message, .. }) => {
                tracing::warn!(plugin = %self.key, %reason, message, "a plugin does not run");
                return self.publish(Severity::Warning, *reason, message).await;
            }
        };
        let digest = &found.loaded.digest;
        if before.digest.as_ref() != Some(digest) {
            tracing::info!(plugin = %self.key, digest, "a plugin runs");
            self.publish(Severity::Normal, Reason::NewArtifact, &format!("runs {digest} from now on")).await;
        }
        let told = before.available.as_ref().map(|available| &available.digest);
        if let Some(available) = found.available.as_ref().filter(|available| Some(*available) != told) {
            self.publish(Severity::Warning, Reason::NewRevision, &moved(available)).await;
        }
        if let Some(Failure { reason, message, .. }) = &found.trouble {
            tracing::warn!(plugin = %self.key, %reason, message, "a plugin runs as before");
            self.publish(Severity::Warning, *reason, message).await;
        }
    }

    async fn publish(&self, severity: Severity, reason: Reason, note: &str) {
        let digest = self.loaded().map(|loaded| loaded.digest.clone());
        let metadata = metadata(&self.object.metadata, "plumbline.dev", digest.as_deref());
        let about = kube::Resource::object_ref(self.object, &());
        self.context.events.publish(&about, severity, reason.as_str(), note, &metadata).await;
    }
}

impl Found {
    fn running_now(&self) -> Running<'_> {
        Running { loaded: &self.loaded, available: self.available.as_deref(), trouble: self.trouble.as_ref() }
    }
}
