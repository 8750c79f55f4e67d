//! The sources: what fetches them, and what is remembered of each.
//!
//! All kinds run the same course: [`reconcile`](mod@reconcile) takes up what was fetched before a restart, fetches, hands the tree to whoever renders
//! it, and writes the status. What differs from kind to kind is a [`Fetch`].

mod failure;
mod git;
mod recall;
mod reconcile;
mod report;
mod secrets;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use kube::Resource;
use kube::core::NamespaceResourceScope;
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{self, ObjectRef, Store};
use parking_lot::Mutex;
use plumb_api::{Artifact as ArtifactStatus, Condition, GitRepository, SourceKind};
use plumb_source::Cancel;
use plumb_source::git::{GitStore, Limits};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;

use crate::Key;
use crate::artifacts::Artifact;
use crate::context::Context;
use crate::status::Written;
use crate::wakes::Wakes;
use failure::Failure;
use git::include::Included;
use recall::Recall;

pub(crate) use reconcile::run;

/// Fetches at once: they wait for the network more than they work.
const FETCHES: usize = 8;

/// Names a source.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SourceId {
    pub(crate) kind: SourceKind,
    pub(crate) key: Key,
}

impl SourceId {
    fn of<K: Source>(object: &K) -> Self {
        Self { kind: K::KIND, key: Key::of(object) }
    }
}

impl fmt::Display for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} '{}'", self.kind, self.key)
    }
}

/// A kind of source.
pub(crate) trait Source:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + fmt::Debug
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
    /// The kind.
    const KIND: SourceKind;
    /// The status of an object.
    type Status: Clone + Default + Serialize + Send + Sync + 'static;

    /// All objects of the kind.
    fn all(sources: &Sources) -> &All<Self>;

    /// The status, as the API server has it.
    fn status(&self) -> Option<&Self::Status>;
}

/// A kind of source that is fetched here.
pub(crate) trait Fetch: Source {
    /// When to fetch.
    fn schedule(&self) -> Schedule;

    /// What the statuses of all kinds have.
    fn standing(status: &mut Self::Status) -> Standing<'_>;

    /// What was fetched before a restart, if it is still there. Blocks on the disk.
    fn recall(&self, context: &Context) -> Option<Artifact>;

    /// The newest revision, which is fetched unless it is here.
    fn fetch(&self, context: &Arc<Context>) -> impl Future<Output = Result<Fetched, Failure>> + Send;

    /// Notes in the status what the artifact was made with.
    fn note(&self, fetched: &Fetched, now: Timestamp, status: &mut Self::Status);
}

/// When to fetch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    interval: Duration,
    is_suspended: bool,
}

/// What the statuses of all kinds have.
pub(crate) struct Standing<'a> {
    observed_generation: &'a mut Option<i64>,
    conditions: &'a mut Vec<Condition>,
    artifact: &'a mut Option<ArtifactStatus>,
    last_handled_reconcile_at: &'a mut Option<String>,
}

/// What a fetch has brought.
#[derive(Debug)]
pub(crate) struct Fetched {
    artifact: Artifact,
    /// The artifacts of others that were put in.
    included: Vec<Included>,
    /// What the upstream says about the artifact.
    metadata: BTreeMap<String, String>,
}

/// All objects of a kind of source.
pub(crate) struct All<K: Source> {
    pub(crate) store: Store<K>,
    pub(crate) wakes: Wakes,
    memories: Mutex<HashMap<Key, Memory<K::Status>>>,
}

/// What is remembered of a source between two reconciliations.
struct Memory<S> {
    /// The object's identity: one of the same name may take its place.
    uid: String,
    /// The status as we wrote it last: the watch may lag behind.
    status: Option<Written<S>>,
    /// How often in a row fetching has failed.
    failures: u32,
}

impl<S> Memory<S> {
    fn new(uid: String) -> Self {
        Self { uid, status: None, failures: 0 }
    }
}

impl<K: Source> All<K> {
    fn new() -> (Self, Writer<K>) {
        let (store, writer) = reflector::store();
        (Self { store, wakes: Wakes::default(), memories: Mutex::default() }, writer)
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Arc<K>> {
        self.store.get(&ObjectRef::new(&key.name).within(&key.namespace))
    }

    /// What is remembered of the object with this UID; nothing after a panic. Whoever takes it puts it back.
    fn take_memory(&self, key: &Key, uid: String) -> Memory<K::Status> {
        match self.memories.lock().remove(key) {
            Some(memory) if memory.uid == uid => memory,
            _ => Memory::new(uid),
        }
    }

    fn put_memory(&self, key: Key, memory: Memory<K::Status>) {
        self.memories.lock().insert(key, memory);
    }
}

/// All sources, and where what they have fetched is kept.
pub(crate) struct Sources {
    pub(crate) git_repositories: All<GitRepository>,

    git: GitStore,
    recall: Recall,
    /// Bounds the fetches of all kinds.
    permits: Arc<Semaphore>,
    /// Ends the fetches when the controller stops.
    cancel: Cancel,
}

/// The writing ends of the stores, for the watches.
pub(crate) struct Writers {
    pub(crate) git_repositories: Writer<GitRepository>,
}

impl Sources {
    /// Opens what was kept in `storage`. Blocks on the disk.
    pub(crate) fn open(storage: &Path) -> anyhow::Result<(Self, Writers)> {
        let failed = || format!("cannot keep sources in {}", storage.display());
        let (git_repositories, git_repository_writer) = All::new();
        let sources = Self {
            git_repositories,
            git: GitStore::open(&storage.join("git"), Limits::default()).with_context(failed)?,
            recall: Recall::open(&storage.join("revisions")).with_context(failed)?,
            permits: Arc::new(Semaphore::new(FETCHES)),
            cancel: Cancel::new(),
        };
        Ok((sources, Writers { git_repositories: git_repository_writer }))
    }

    /// Ends the fetches that are under way.
    pub(crate) fn call_off(&self) {
        self.cancel.cancel();
    }

    /// Whether there is such a source.
    pub(crate) fn exists(&self, source: &SourceId) -> bool {
        match source.kind {
            SourceKind::GitRepository => self.git_repositories.get(&source.key).is_some(),
            SourceKind::OciRepository | SourceKind::Bucket | SourceKind::ExternalArtifact => false,
        }
    }
}

/// Has every source looked at that is made of another one too.
pub(crate) fn wake_users_of(sources: &Sources, source: &SourceId) {
    git::include::wake_users_of(sources, source);
}

/// Forgets a source that is gone.
pub(crate) fn forget<K: Source>(context: &Context, key: &Key) {
    if let Some(memory) = K::all(&context.sources).memories.lock().remove(key) {
        context.sources.recall.forget(&memory.uid);
    }
    context.artifacts.remove(&SourceId { kind: K::KIND, key: key.clone() });
    context.metrics.gone(K::KIND.as_str(), key);
}

/// Deletes what was fetched for sources that are gone.
pub(crate) fn sweep(context: &Arc<Context>) {
    let context = context.clone();
    tokio::task::spawn_blocking(move || git::sweep(&context.sources));
}
