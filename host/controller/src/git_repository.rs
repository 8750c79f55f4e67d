//! Reconciles `GitRepository`: fetches, and hands the tree to whoever renders it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Api, Patch};
use kube::runtime::controller::Action;
use kube::{Resource as _, ResourceExt as _};
use plumb_api::annotations::{FINALIZER, REQUESTED_AT};
use plumb_api::conditions::remove;
use plumb_api::{
    Artifact as ArtifactStatus, ConditionStatus, ConditionType, GitProvider, GitRepository,
    GitRepositorySpec, GitRepositoryStatus, Reason, SourceKind, set_condition,
};
use plumb_source::git::{Credentials, Fetch, Fetched, GitError, GitUrl, Snapshot};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::Key;
use crate::artifacts::Artifact;
use crate::context::Context;
use crate::events::Severity;
use crate::queue::{self, Reconciler};
use crate::status::{self, Written, bounded, patch_params, said};

/// What is remembered of a GitRepository between two reconciliations.
#[derive(Default)]
pub(crate) struct Memory {
    /// The object's identity: one of the same name may take its place.
    uid: String,
    /// The status as we wrote it last: the watch may lag behind.
    status: Option<Written<GitRepositoryStatus>>,
    /// How often in a row fetching has failed.
    failures: u32,
}

impl Memory {
    pub(crate) fn uid(&self) -> &str {
        &self.uid
    }
}

struct GitRepositories;

/// Reconciles until `stop`.
pub(crate) async fn run(context: Arc<Context>, stop: &CancellationToken) {
    use futures::StreamExt as _;
    let woken = context.repository_wakes.stream().take_until(stop.clone().cancelled_owned());
    queue::run::<GitRepositories>(context.clone(), context.repositories.clone(), woken).await;
}

impl Reconciler for GitRepositories {
    type Kind = GitRepository;
    const KIND: &'static str = "GitRepository";

    async fn reconcile(object: Arc<GitRepository>, context: Arc<Context>) -> Action {
        let key = Key::of(object.as_ref());
        if object.meta().deletion_timestamp.is_some() {
            return release(&object, &context).await;
        }
        let uid = object.uid().unwrap_or_default();
        let mut memory = context.take_repository_memory(&key);
        if memory.uid != uid {
            memory = Memory { uid, ..Memory::default() };
        }
        recall(&object, &context, &key).await;
        context.metrics.suspended(Self::KIND, &key, object.spec.suspend);
        let action = if object.spec.suspend {
            tracing::debug!(object = %key, "suspended");
            Action::await_change()
        } else {
            reconcile(&object, &context, &key, &mut memory).await
        };
        context.put_repository_memory(key.clone(), memory);
        // It may be gone by now, and then nothing is to be remembered.
        if context.repository(&key).is_none() {
            context.forget_repository(&key);
        }
        action
    }

    fn exists(key: &Key, context: &Context) -> bool {
        context.repository(key).is_some()
    }

    async fn report_panic(object: Arc<GitRepository>, context: Arc<Context>, message: String) {
        let key = Key::of(object.as_ref());
        let before = object.status.clone().unwrap_or_default();
        let mut after = before.clone();
        let failure = Failure::new(Reason::GitOperationFailed, format!("internal error: {message}"));
        show_failure(&mut after, object.meta().generation, &failure);
        let _ = write_status(&context, &key, &before, &after).await;
    }
}

/// Why there is no new revision.
struct Failure {
    /// The reason of the conditions.
    reason: Reason,
    message: String,
    /// Trying again cannot help: the spec has to change.
    stalled: bool,
}

impl Failure {
    fn new(reason: Reason, message: String) -> Self {
        Self { reason, message, stalled: false }
    }

    fn stalled(reason: Reason, message: String) -> Self {
        Self { reason, message, stalled: true }
    }
}

impl From<GitError> for Failure {
    fn from(error: GitError) -> Self {
        Self { reason: error.reason(), message: error.to_string(), stalled: error.needs_a_change() }
    }
}

/// After a restart, takes up the tree that was fetched last: nobody has to wait for the server, which may be down, and a suspended
/// source still serves what it has.
async fn recall(object: &GitRepository, context: &Arc<Context>, key: &Key) {
    if context.artifacts.get(SourceKind::GitRepository, key).is_some() {
        return;
    }
    let (working, url, uid) = (context.clone(), object.spec.url.clone(), object.uid().unwrap_or_default());
    let recalled = tokio::task::spawn_blocking(move || {
        let revision = working.recall.revision(&uid, &url)?;
        working.git.snapshot(&GitUrl::parse(&url).ok()?, &revision)
    });
    if let Ok(Some(snapshot)) = recalled.await {
        tracing::info!(object = %key, revision = %snapshot.revision, "took up the revision that was fetched last");
        context.artifacts.put(SourceKind::GitRepository, key.clone(), artifact(snapshot));
        context.wake_users_of(key);
    }
}

fn artifact(snapshot: Snapshot) -> Artifact {
    let Snapshot { revision, tree, tree_id, .. } = snapshot;
    Artifact { revision, tree, digest: format!("sha1:{tree_id}") }
}

async fn reconcile(object: &GitRepository, context: &Arc<Context>, key: &Key, memory: &mut Memory) -> Action {
    let before = Written::newest(memory.status.as_ref(), object, object.status.as_ref());
    let mut after = before.clone();
    let interval = object.spec.interval.to_std();
    let fetched = fetch(object, context, key).await;
    if fetched.is_err() && context.is_called_off() {
        // What was interrupted by the end of this process is not a failure, and another replica may be at it already.
        return Action::await_change();
    }
    let (action, news) = match &fetched {
        Ok(artifact) => {
            let is_new = show_success(&mut after, object, key, artifact);
            (Action::requeue(context.jittered(interval)), is_new.then(|| success_message(&artifact.revision)))
        }
        Err(failure) => {
            memory.failures = memory.failures.saturating_add(1);
            show_failure(&mut after, object.meta().generation, failure);
            let action = match failure.stalled {
                true => Action::await_change(),
                false => Action::requeue(context.backoff(memory.failures, interval)),
            };
            (action, None)
        }
    };
    if let Some(requested) = object.annotations().get(REQUESTED_AT) {
        after.last_handled_reconcile_at = Some(requested.clone());
    }
    context.metrics.ready("GitRepository", key, fetched.is_ok());
    // Users of the source are woken before the status is written: the write is for people.
    if let Ok(artifact) = &fetched
        && context.artifacts.put(SourceKind::GitRepository, key.clone(), artifact.clone())
    {
        context.wake_users_of(key);
    }
    match write_status(context, key, &before, &after).await {
        Ok(written) => {
            memory.status = written.or(memory.status.take());
            if fetched.is_ok() {
                memory.failures = 0;
            }
        }
        Err(error) => {
            memory.failures = memory.failures.saturating_add(1);
            tracing::warn!(error = said(&error), object = %key, "could not write the status; trying again");
            return Action::requeue(context.backoff(memory.failures, interval));
        }
    }
    let about = object.object_ref(&());
    match (&fetched, news) {
        (Err(failure), _) => {
            tracing::warn!(object = %key, reason = %failure.reason, message = failure.message, "fetch failed");
            context
                .events
                .publish(&about, Severity::Warning, failure.reason.as_str(), &failure.message)
                .await;
        }
        (Ok(artifact), Some(news)) => {
            tracing::info!(object = %key, revision = %artifact.revision, "fetched a new revision");
            context.events.publish(&about, Severity::Normal, "NewArtifact", &news).await;
        }
        (Ok(_), None) => {}
    }
    action
}

async fn fetch(object: &GitRepository, context: &Arc<Context>, key: &Key) -> Result<Artifact, Failure> {
    let spec = &object.spec;
    if let Some(field) = not_honoured(spec) {
        let message = format!(
            "{field} is not supported yet; remove it, or let Flux's source-controller reconcile this object"
        );
        return Err(Failure::stalled(Reason::UnsupportedField, message));
    }
    let reference =
        spec.reference().map_err(|error| Failure::stalled(Reason::GitOperationFailed, error.to_string()))?;
    let data = secret(object, context, key).await?;
    let url = GitUrl::parse(&spec.url).map_err(GitError::from)?;
    // A Secret can be mended without touching this object: it is looked at again.
    let credentials = Credentials::from_secret(&data, &url)
        .map_err(|error| Failure::new(Reason::AuthenticationFailed, error.to_string()))?;
    let known = context.artifacts.get(SourceKind::GitRepository, key);
    let request = Fetch {
        url,
        reference,
        credentials,
        timeout: spec.timeout(),
        known: known.as_ref().map(|artifact| artifact.revision.clone()),
    };
    let permit = context.fetches.clone().acquire_owned().await;
    let working = context.clone();
    let fetched = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        working.git.fetch(&request, &working.fetches_cancelled)
    });
    let broke_down = |error| Failure::new(Reason::GitOperationFailed, format!("internal error: {error}"));
    match (fetched.await.map_err(broke_down)??, known) {
        (Fetched::Unchanged(_), Some(known)) => Ok(known),
        (Fetched::Unchanged(revision), None) => Err(Failure::new(
            Reason::GitOperationFailed,
            format!("the tree of {revision} is not in the store"),
        )),
        (Fetched::New(snapshot), _) => {
            context.recall.remember(&object.uid().unwrap_or_default(), &spec.url, &snapshot.revision);
            Ok(artifact(snapshot))
        }
    }
}

/// The first field that asks for something that is not done yet. It is never silently ignored.
fn not_honoured(spec: &GitRepositorySpec) -> Option<&'static str> {
    let asked = [
        ("spec.provider", spec.provider() != GitProvider::Generic),
        ("spec.serviceAccountName", spec.service_account_name.is_some()),
        ("spec.verify", spec.verify.is_some()),
        ("spec.proxySecretRef", spec.proxy_secret_ref.is_some()),
        ("spec.ignore", spec.ignore.is_some()),
        ("spec.recurseSubmodules", spec.recurse_submodules),
        ("spec.include", !spec.include.is_empty()),
        ("spec.sparseCheckout", !spec.sparse_checkout.is_empty()),
    ];
    asked.into_iter().find_map(|(field, is_asked)| is_asked.then_some(field))
}

/// The data of the Secret with the credentials; empty when the object names none.
async fn secret(
    object: &GitRepository,
    context: &Context,
    key: &Key,
) -> Result<BTreeMap<String, Vec<u8>>, Failure> {
    let Some(reference) = &object.spec.secret_ref else { return Ok(BTreeMap::new()) };
    let api: Api<Secret> = Api::namespaced(context.client.clone(), &key.namespace);
    let failed = |why: String| {
        let message = format!("the Secret {}/{} with the credentials {why}", key.namespace, reference.name);
        Failure::new(Reason::AuthenticationFailed, message)
    };
    match bounded(api.get_opt(&reference.name)).await {
        Ok(Some(secret)) => {
            Ok(secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect())
        }
        Ok(None) => Err(failed("does not exist; create it, or remove spec.secretRef".to_owned())),
        Err(error) => Err(failed(format!("cannot be read: {}", said(&error)))),
    }
}

/// Whether the revision is another than before.
fn show_success(
    status: &mut GitRepositoryStatus,
    object: &GitRepository,
    key: &Key,
    artifact: &Artifact,
) -> bool {
    let generation = object.meta().generation;
    let (now, revision) = (Timestamp::now(), artifact.revision.to_string());
    let is_new = status.artifact.as_ref().is_none_or(|artifact| artifact.revision != revision);
    if is_new {
        let name = format!("{}/{}", key.namespace, key.name);
        let commit = artifact.revision.hex();
        status.artifact = Some(ArtifactStatus {
            digest: artifact.digest.clone(),
            path: format!("gitrepository/{name}/{commit}"),
            // Nothing is served at a URL: trees are handed over within the process.
            url: format!("plumbline://gitrepository/{name}/{commit}"),
            revision,
            last_update_time: Time(now),
            size: None,
            metadata: BTreeMap::new(),
        });
    }
    status.observed_generation = generation;
    let message = success_message(&artifact.revision);
    let list = &mut status.conditions;
    for gone in [
        ConditionType::Reconciling,
        ConditionType::Stalled,
        ConditionType::FetchFailed,
        ConditionType::ArtifactOutdated,
    ] {
        remove(list, gone);
    }
    for set in [ConditionType::Ready, ConditionType::ArtifactInStorage] {
        set_condition(list, set, ConditionStatus::True, Reason::Succeeded, &message, generation, now);
    }
    is_new
}

fn success_message(revision: &plumb_api::Revision) -> String {
    format!("stored artifact for revision '{revision}'")
}

fn show_failure(status: &mut GitRepositoryStatus, generation: Option<i64>, failure: &Failure) {
    let now = Timestamp::now();
    let Failure { reason, message, stalled } = failure;
    let list = &mut status.conditions;
    // A stalled object was looked at to the end; one that is tried again was not.
    let (set, removed) = match stalled {
        true => (ConditionType::Stalled, ConditionType::Reconciling),
        false => (ConditionType::Reconciling, ConditionType::Stalled),
    };
    if *stalled {
        status.observed_generation = generation;
    }
    remove(list, removed);
    let why = if *stalled { *reason } else { Reason::ProgressingWithRetry };
    set_condition(list, set, ConditionStatus::True, why, message, generation, now);
    set_condition(list, ConditionType::FetchFailed, ConditionStatus::True, *reason, message, generation, now);
    set_condition(list, ConditionType::Ready, ConditionStatus::False, *reason, message, generation, now);
}

async fn write_status(
    context: &Context,
    key: &Key,
    before: &GitRepositoryStatus,
    after: &GitRepositoryStatus,
) -> kube::Result<Option<Written<GitRepositoryStatus>>> {
    let api: Api<GitRepository> = Api::namespaced(context.client.clone(), &key.namespace);
    status::write(&api, &key.name, before, after).await
}

/// A GitRepository that came from Flux has its finalizer. There is nothing of ours to clean up in the cluster.
async fn release(object: &GitRepository, context: &Context) -> Action {
    let key = Key::of(object);
    let others: Vec<&String> = object.finalizers().iter().filter(|name| *name != FINALIZER).collect();
    if others.len() == object.finalizers().len() {
        return Action::await_change();
    }
    let api: Api<GitRepository> = Api::namespaced(context.client.clone(), &key.namespace);
    let patch = json!({ "metadata": { "finalizers": others, "resourceVersion": object.resource_version() } });
    match bounded(api.patch(&key.name, &patch_params(), &Patch::Merge(patch))).await {
        Ok(_) => Action::await_change(),
        Err(error) => {
            tracing::debug!(error = said(&error), object = %key, "could not remove the finalizer; trying again");
            Action::requeue(Duration::from_secs(1))
        }
    }
}
