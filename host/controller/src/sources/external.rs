//! Sources that another controller fetches: Flux's own, for as long as it is there, and whoever writes an `ExternalArtifact`. They are used as their
//! `status.artifact` says; their statuses are not ours to write.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt as _;
use plumb_api::{Artifact as ArtifactStatus, ExternalArtifact, ExternalArtifactStatus, Revision, SourceKind};
use plumb_source::artifact::{ArtifactFetch, ArtifactFetched};
use plumb_source::transport::Transport;
use tokio_util::sync::CancellationToken;

use super::kept::{self, Kept};
use super::{All, Source, SourceId, Sources};
use crate::Key;
use crate::artifacts::{Artifact, ORIGIN};
use crate::context::Context;
use crate::queue::{self, Action, Reconciler};

/// How long a download may take.
const TIMEOUT: Duration = Duration::from_secs(120);
/// The longest wait between two tries: the controller that serves the artifact may be starting.
const RETRY: Duration = Duration::from_secs(60);

impl Source for ExternalArtifact {
    const KIND: SourceKind = SourceKind::ExternalArtifact;
    type Status = ExternalArtifactStatus;

    fn all(sources: &Sources) -> &All<Self> {
        &sources.external_artifacts
    }

    fn status(&self) -> Option<&ExternalArtifactStatus> {
        self.status.as_ref()
    }

    fn published(&self) -> Option<&ArtifactStatus> {
        self.status.as_ref()?.artifact.as_ref()
    }
}

/// Takes up what is published for the sources of a kind, until `stop`.
pub(crate) async fn run<K: Source>(context: Arc<Context>, stop: &CancellationToken) {
    use futures::StreamExt as _;
    let all = K::all(&context.sources);
    let woken = all.wakes.stream().take_until(stop.clone().cancelled_owned());
    let store = all.store.clone();
    queue::run::<TakingUp<K>>(context, store, woken).await;
}

struct TakingUp<K>(PhantomData<K>);

impl<K: Source> Reconciler for TakingUp<K> {
    type Kind = K;
    const KIND: &'static str = K::KIND.as_str();

    async fn reconcile(object: Arc<K>, context: Arc<Context>) -> Action {
        let key = Key::of(object.as_ref());
        let all = K::all(&context.sources);
        let mut memory = all.take_memory(&key, object.uid().unwrap_or_default());
        let action = match take_up(object.as_ref(), &context).await {
            Ok(()) => {
                memory.failures = 0;
                all.troubles.lock().remove(&key);
                Action::await_change()
            }
            Err(_) if context.is_called_off() => Action::await_change(),
            Err(trouble) => {
                memory.failures = memory.failures.saturating_add(1);
                tell(object.as_ref(), &context, trouble);
                Action::requeue(context.backoff(memory.failures, RETRY))
            }
        };
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
        tell(object.as_ref(), &context, format!("internal error: {message}"));
    }
}

/// Hands what is published to its users, unless they have it.
async fn take_up<K: Source>(object: &K, context: &Arc<Context>) -> Result<(), String> {
    let source = SourceId::of(object);
    let Some(published) = object.published() else { return Ok(()) };
    let revision: Revision = published.revision.parse().map_err(|error| format!("{error}"))?;
    let known = context.artifacts.get(&source);
    if known.is_some_and(|known| known.revision == revision && known.digest == published.digest) {
        return Ok(());
    }
    let origin = published.metadata.get(ORIGIN).cloned();
    let fetch = ArtifactFetch {
        url: published.url.clone(),
        digest: published.digest.clone(),
        transport: Transport { addresses: context.config.addresses.clone(), ..Transport::default() },
        timeout: TIMEOUT.min(context.config.longest_fetch),
        known: None,
    };
    let content = &context.sources.content;
    let permit = context.sources.permits.acquire(&source.key.namespace).await;
    let fetched = context.sources.unless_called_off(fetch.fetch(content)).await;
    drop(permit);
    let stored = match fetched.ok_or("called off")?.map_err(|error| error.to_string())? {
        ArtifactFetched::New(stored) => stored,
        ArtifactFetched::Unchanged => return Ok(()),
    };
    tracing::info!(%source, %revision, "took up an artifact");
    let digest = published.digest.clone();
    let (generation, place) = (object.meta().generation, published.url.clone());
    let kept = Kept {
        place,
        revision: revision.clone(),
        generation,
        digest: Some(digest.clone()),
        origin: origin.clone(),
    };
    kept::keep(content, object, &stored, kept).await;
    let artifact = Artifact { revision, tree: stored.tree, digest, origin };
    if context.artifacts.put(source.clone(), artifact, generation) {
        context.wake_users_of(&source);
    }
    Ok(())
}

/// Notes why an artifact is not taken up, for those who use it to tell.
fn tell<K: Source>(object: &K, context: &Context, trouble: String) {
    let source = SourceId::of(object);
    tracing::warn!(%source, trouble, "the artifact cannot be taken up");
    let before = K::all(&context.sources).troubles.lock().insert(source.key.clone(), trouble.clone());
    if before.as_ref() != Some(&trouble) {
        context.wake_users_of(&source);
    }
}
