//! The sources: what fetches them, and what is remembered of each.
//!
//! All kinds run the same course: [`reconcile`](mod@reconcile) takes up what was fetched before a restart, fetches, hands the tree to whoever renders
//! it, and writes the status. What differs from kind to kind is a [`Fetch`].

mod bucket;
pub(crate) mod external;
pub(crate) mod failure;
mod git;
mod helm;
mod kept;
mod oci;
mod recall;
mod reconcile;
pub(crate) mod registry;
mod report;
mod secrets;
pub(crate) mod workload;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use kube::core::NamespaceResourceScope;
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::{Client, Resource};
use parking_lot::Mutex;
use plumb_api::{
    Artifact as ArtifactStatus, Bucket, Condition, ExternalArtifact, GitRepository, HelmChart,
    HelmRepository, LocalObjectReference, OciRepository, SourceKind,
};
use plumb_lint::Finding;
use plumb_source::Cancel;
use plumb_source::content::{self, ContentStore};
use plumb_source::git::{GitStore, Limits};
use plumb_source::identity::Tokens;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use crate::Key;
use crate::artifacts::Artifact;
use crate::context::Context;
use crate::fair::Permits;
use crate::inputs::Inputs;
use crate::status::Written;
use crate::wakes::Wakes;
use failure::Failure;
use git::include::Included;
use helm::ChartFetched;
use recall::Recall;

pub(crate) use reconcile::run;

/// How often what is no longer used is deleted.
const SWEEP: Duration = Duration::from_secs(600);
/// Fetches at once, half of them for one namespace: they wait for the network more than they work.
const FETCHES: usize = 16;

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

    /// The artifact that the status tells of, whoever has made it.
    fn published(&self) -> Option<&ArtifactStatus>;
}

/// A kind of source that is fetched here.
pub(crate) trait Fetch: Source {
    /// When to fetch.
    fn schedule(&self) -> Schedule;

    /// Whether there is nothing to fetch: the object only says where something is. It has no status then, as in Flux.
    fn is_static(&self) -> bool {
        false
    }

    /// What the statuses of all kinds have.
    fn standing(status: &mut Self::Status) -> Standing<'_>;

    /// What was fetched before a restart, if it is still there. Blocks on the disk.
    fn recall(&self, context: &Context) -> Option<Recalled>;

    /// The newest revision, which is fetched unless it is the one that is `known`, for the spec as it is.
    fn fetch(
        &self,
        context: &Arc<Context>,
        known: Option<Artifact>,
    ) -> impl Future<Output = Result<Fetched, Failure>> + Send;

    /// The Secrets that the spec names.
    fn secrets(&self) -> Vec<&LocalObjectReference>;

    /// What is likely to hurt in the spec.
    fn lint(&self) -> Vec<Finding> {
        Vec::new()
    }

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
    /// Not all kinds have it.
    url: Option<&'a mut Option<String>>,
}

/// What was fetched before a restart.
pub(crate) struct Recalled {
    artifact: Artifact,
    /// The generation of the object for which it was fetched, where that is known.
    generation: Option<i64>,
}

/// What a fetch has brought.
#[derive(Debug)]
pub(crate) struct Fetched {
    artifact: Artifact,
    /// The artifacts of others that were put in.
    included: Vec<Included>,
    signature: Signature,
    /// What the upstream says about the artifact.
    metadata: BTreeMap<String, String>,
    /// What is told of a Helm chart.
    chart: Option<ChartFetched>,
}

/// What is known of the signature of what was fetched.
#[derive(Debug)]
pub(crate) enum Signature {
    /// The spec does not ask for one.
    NotAskedFor,
    /// The revision is the same, and was verified when it was fetched.
    AsBefore,
    /// It is good; this tells whose it is.
    Good(String),
}

/// All objects of a kind of source.
pub(crate) struct All<K: Source> {
    pub(crate) store: Store<K>,
    pub(crate) wakes: Wakes,
    /// The Secrets that the objects name: a change of one has those looked at that use it.
    secrets: Inputs<Key>,
    memories: Mutex<HashMap<Key, Memory<K::Status>>>,
    /// Why those that others publish cannot be taken up.
    troubles: Mutex<HashMap<Key, String>>,
}

/// What is remembered of a source between two reconciliations.
struct Memory<S> {
    /// The object's identity: one of the same name may take its place.
    uid: String,
    /// The status as we wrote it last: the watch may lag behind.
    status: Option<Written<S>>,
    /// How often in a row fetching has failed.
    failures: u32,
    /// The generation of the object for which the artifact was fetched.
    fetched_for: Option<i64>,
}

impl<S> Memory<S> {
    fn new(uid: String) -> Self {
        Self { uid, status: None, failures: 0, fetched_for: None }
    }
}

impl<K: Source> All<K> {
    fn new(client: &Client) -> (Self, Writer<K>) {
        let (store, writer) = reflector::store();
        let wakes = Wakes::default();
        let woken = wakes.clone();
        let secrets = Inputs::new(client.clone(), move |key: &Key| woken.wake(key.clone()));
        let (memories, troubles) = (Mutex::default(), Mutex::default());
        (Self { store, wakes, secrets, memories, troubles }, writer)
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
    pub(crate) oci_repositories: All<OciRepository>,
    pub(crate) buckets: All<Bucket>,
    pub(crate) helm_repositories: All<HelmRepository>,
    pub(crate) helm_charts: All<HelmChart>,
    pub(crate) external_artifacts: All<ExternalArtifact>,

    git: GitStore,
    /// What is not Git.
    content: Arc<ContentStore>,
    recall: Recall,
    /// Of identities that sign in without a password.
    pub(crate) tokens: Arc<Tokens>,
    /// Bounds the fetches of all kinds.
    permits: Permits,
    /// End the fetches when the controller stops.
    cancel: Cancel,
    called_off: CancellationToken,
}

/// The writing ends of the stores, for the watches.
pub(crate) struct Writers {
    pub(crate) git_repositories: Writer<GitRepository>,
    pub(crate) oci_repositories: Writer<OciRepository>,
    pub(crate) buckets: Writer<Bucket>,
    pub(crate) helm_repositories: Writer<HelmRepository>,
    pub(crate) helm_charts: Writer<HelmChart>,
    pub(crate) external_artifacts: Writer<ExternalArtifact>,
}

impl Sources {
    /// Opens what was kept in `storage`. Blocks on the disk.
    pub(crate) fn open(storage: &Path, client: &Client) -> anyhow::Result<(Self, Writers)> {
        let failed = || format!("cannot keep sources in {}", storage.display());
        let (git_repositories, git_repository_writer) = All::new(client);
        let (oci_repositories, oci_repository_writer) = All::new(client);
        let (buckets, bucket_writer) = All::new(client);
        let (helm_repositories, helm_repository_writer) = All::new(client);
        let (helm_charts, helm_chart_writer) = All::new(client);
        let (external_artifacts, external_artifact_writer) = All::new(client);
        let content =
            ContentStore::open(&storage.join("content"), content::Limits::default()).with_context(failed)?;
        let sources = Self {
            git_repositories,
            oci_repositories,
            buckets,
            helm_repositories,
            helm_charts,
            external_artifacts,
            content: Arc::new(content),
            git: GitStore::open(&storage.join("git"), Limits::default()).with_context(failed)?,
            recall: Recall::open(&storage.join("revisions")).with_context(failed)?,
            tokens: Arc::new(Tokens::new()),
            permits: Permits::new(FETCHES),
            cancel: Cancel::new(),
            called_off: CancellationToken::new(),
        };
        let writers = Writers {
            git_repositories: git_repository_writer,
            oci_repositories: oci_repository_writer,
            buckets: bucket_writer,
            helm_repositories: helm_repository_writer,
            helm_charts: helm_chart_writer,
            external_artifacts: external_artifact_writer,
        };
        Ok((sources, writers))
    }

    /// Where what is not Git is kept.
    pub(crate) fn content(&self) -> &ContentStore {
        &self.content
    }

    /// Ends the fetches that are under way.
    pub(crate) fn call_off(&self) {
        self.cancel.cancel();
        self.called_off.cancel();
    }

    /// Does what waits for the network, unless the controller stops meanwhile.
    pub(crate) async fn unless_called_off<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        self.called_off.run_until_cancelled(work).await
    }

    /// Whether there is such a source.
    pub(crate) fn exists(&self, source: &SourceId) -> bool {
        match source.kind {
            SourceKind::GitRepository => self.git_repositories.get(&source.key).is_some(),
            SourceKind::OciRepository => self.oci_repositories.get(&source.key).is_some(),
            SourceKind::Bucket => self.buckets.get(&source.key).is_some(),
            SourceKind::ExternalArtifact => self.external_artifacts.get(&source.key).is_some(),
            SourceKind::HelmRepository => self.helm_repositories.get(&source.key).is_some(),
            SourceKind::HelmChart => self.helm_charts.get(&source.key).is_some(),
        }
    }

    /// A HelmChart, if there is such a one.
    pub(crate) fn helm_chart(&self, key: &Key) -> Option<Arc<HelmChart>> {
        self.helm_charts.get(key)
    }

    /// Why a source that another controller fetches cannot be used.
    pub(crate) fn trouble(&self, source: &SourceId) -> Option<String> {
        let troubles = match source.kind {
            SourceKind::GitRepository => &self.git_repositories.troubles,
            SourceKind::OciRepository => &self.oci_repositories.troubles,
            SourceKind::Bucket => &self.buckets.troubles,
            SourceKind::ExternalArtifact => &self.external_artifacts.troubles,
            SourceKind::HelmRepository => &self.helm_repositories.troubles,
            SourceKind::HelmChart => &self.helm_charts.troubles,
        };
        troubles.lock().get(&source.key).cloned()
    }
}

/// What a source has: also right after a start, when nobody has looked at it yet.
async fn artifact_of<K: Fetch>(context: &Arc<Context>, object: &Arc<K>) -> Option<Artifact> {
    let found = context.artifacts.get(&SourceId::of(object.as_ref()));
    if found.is_some() || !context.fetches(K::KIND) {
        return found;
    }
    let (context, object) = (context.clone(), object.clone());
    let recalled = tokio::task::spawn_blocking(move || object.recall(&context)).await;
    recalled.ok().flatten().map(|recalled| recalled.artifact)
}

/// Has every source looked at that is made of another one too.
pub(crate) fn wake_users_of(sources: &Sources, source: &SourceId) {
    git::include::wake_users_of(sources, source);
    helm::wake_users_of(sources, source);
}

/// Forgets a source that is gone.
pub(crate) fn forget<K: Source>(context: &Context, key: &Key) {
    if let Some(memory) = K::all(&context.sources).memories.lock().remove(key) {
        context.sources.recall.forget(&memory.uid);
    }
    K::all(&context.sources).troubles.lock().remove(key);
    K::all(&context.sources).secrets.follow(key, &[]);
    context.artifacts.remove(&SourceId { kind: K::KIND, key: key.clone() });
    context.metrics.gone(K::KIND.as_str(), key);
}

/// Deletes what was fetched for sources that are gone.
pub(crate) fn sweep(context: &Arc<Context>) {
    let context = context.clone();
    tokio::task::spawn_blocking(move || {
        git::sweep(&context.sources);
        kept::sweep(&context.sources);
    });
}

/// Deletes what is no longer used, from time to time. It ends with the task.
pub(crate) async fn sweep_regularly(context: Arc<Context>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        sweep(&context);
    }
}
