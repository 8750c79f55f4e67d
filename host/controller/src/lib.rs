//! Keeps a cluster true to Git.
//!
//! In goes a client of an API server and a [`Config`]; what comes out is what the sources and the `Kustomization` objects of that
//! cluster ask for, with their statuses, events and metrics. [`run`] returns when it is told to stop, or when another
//! replica has become the leader.
//!
//! Decisions are made in the other crates, as functions over plain data; this crate watches, calls them in order, and
//! reports. One object is reconciled by one task at a time. Nothing polls: whatever changes ([`wakes`]) has those looked at whom
//! it concerns, and the interval of an object is a backstop.
#![forbid(unsafe_code)]

mod applier;
mod artifacts;
mod clusters;
mod context;
mod events;
mod fair;
mod finalizers;
mod inputs;
mod kinds;
mod kubeconfig;
mod leader;
mod metrics;
mod notifications;
mod plugins;
mod queue;
mod schedule;
mod server;
mod sources;
mod status;
mod wakes;
mod watch;

use std::collections::HashSet;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use kube::ResourceExt as _;
use kube::core::Selector;
use plumb_api::{Bucket, ExternalArtifact, GitRepository, HelmChart, HelmRepository, OciRepository};
use plumb_apply::{OverrideManagers, Stages};
use plumb_plugin::CompileProgram;
use plumb_source::transport::AddressPolicy;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::context::{Context, Writers};
use crate::metrics::Metrics;
use crate::server::Probes;

pub use kinds::{Kind, UnknownKind};
pub use kubeconfig::KubeConfigPolicy;
pub use leader::Election;
pub use plugins::reader_of_everything;

/// How the controller runs.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where fetched repositories are kept. What is lost there is fetched again.
    pub storage_path: PathBuf,
    /// Where compiled plugins are kept. What is lost there is compiled again.
    pub cache_dir: PathBuf,
    /// The directory of the built-in plugins.
    pub plugin_dir: PathBuf,
    /// What compiles plugins. Without it this process does, and keeps much of the memory that it took.
    pub compile_program: Option<CompileProgram>,
    /// The namespace that the controller is in: Secrets that a PluginPolicy names are of this one.
    pub namespace: String,
    /// The namespace whose objects are reconciled; all of them without one.
    pub watch_namespace: Option<String>,
    /// Which objects are reconciled, by their labels; all of them when it is empty. Several controllers share a cluster by it: `--watch-label-selector`.
    pub watch_labels: Selector,
    /// The kinds whose objects are reconciled. Sources of other kinds are used as their own controllers publish them.
    pub kinds: HashSet<Kind>,
    /// Where sources must not be fetched from.
    pub addresses: AddressPolicy,
    /// How many objects of a kind are reconciled at once. Those of one namespace get at most half of these slots, so that there is one
    /// left for those of another.
    pub concurrent: u16,
    /// The longest that a fetch may take, whatever the timeout of its source says.
    pub longest_fetch: Duration,
    /// How many bytes of memory one call of a plugin may have.
    pub plugin_memory: usize,
    /// Whether the rules that come with Plumbline tell how custom resources are: `--health-rules`.
    pub health_rules: bool,
    /// How long a Kustomization whose dependencies are not ready waits when nothing wakes it.
    pub requeue_dependency: Duration,
    /// The wait after the first of several failures that may pass by themselves; it doubles with each.
    pub min_retry_delay: Duration,
    /// The longest such wait.
    pub max_retry_delay: Duration,
    /// By how many percent of itself an interval is lengthened or shortened at random.
    pub interval_jitter_percentage: u8,
    /// Where `/healthz`, `/readyz` and `/metrics` are served; nowhere without one.
    pub serve: Option<SocketAddr>,
    /// How the leader among several replicas is elected; without it this replica takes itself for the leader.
    pub election: Option<Election>,
    /// For how long a stop waits for what has begun.
    pub grace: Duration,
    /// Where Flux's notification-controller takes news.
    pub events_addr: Option<reqwest::Url>,
    /// Which kinds are applied before the rest.
    pub stages: Stages,
    /// The field managers whose fields become ours.
    pub override_managers: OverrideManagers,
    /// What tenants may do.
    pub tenancy: Tenancy,
    /// The Secret in [`Self::namespace`] with keys of age for Kustomizations that name none: `--sops-age-secret`.
    pub sops_age_secret: Option<String>,
    /// The ConfigMap in [`Self::namespace`] that lists the servers of Vault that may decrypt: `--sops-vault-configmap`.
    pub sops_vault_config_map: Option<String>,
    /// The name of this replica in events: the pod's, or the host's.
    pub instance: String,
}

/// How far those who may write objects of one namespace are trusted.
#[derive(Clone, Debug, Default)]
pub struct Tenancy {
    /// Refuse references to objects of other namespaces: `--no-cross-namespace-refs`.
    pub no_cross_namespace_refs: bool,
    /// The service account that acts for Kustomizations that name none: `--default-service-account`.
    pub default_service_account: Option<String>,
    /// The service account that signs in to the cluster of a `spec.kubeConfig.configMapRef` that names none:
    /// `--default-kubeconfig-service-account`.
    pub default_kubeconfig_service_account: Option<String>,
    /// The service account whose identity opens keys of key services for Kustomizations whose `spec.decryption` names none:
    /// `--default-decryption-service-account`.
    pub default_decryption_service_account: Option<String>,
    /// What a kubeconfig may ask for.
    pub kubeconfig: KubeConfigPolicy,
    /// Where the API servers of kubeconfigs must not be: `--denied-kubeconfig-addresses`.
    pub kubeconfig_addresses: AddressPolicy,
}

impl Tenancy {
    /// Who signs in to a cluster whose ConfigMap names nobody; `None` for the controller itself. Where tenants do not act as the
    /// controller, they do not get its token either.
    fn kubeconfig_account(&self) -> Option<&str> {
        self.default_kubeconfig_service_account.as_deref().or(self.default_service_account.as_deref())
    }
}

/// The name of an object and its namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Key {
    fn of(object: &impl kube::Resource) -> Self {
        Self { namespace: object.namespace().unwrap_or_default(), name: object.name_any() }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Runs until `stop`, then finishes what has begun. An error means that it cannot start, or that it is no longer the leader.
pub async fn run(client: kube::Client, config: Config, stop: CancellationToken) -> anyhow::Result<()> {
    let metrics = Arc::new(Metrics::new());
    let ready = Arc::new(AtomicBool::new(false));
    // A port that is taken ends the start, not the stop.
    let listener = match config.serve {
        Some(address) => Some(server::bind(address).await?),
        None => None,
    };
    let probes = Probes { metrics: metrics.clone(), ready: ready.clone() };
    let serving = listener.map(|listener| tokio::spawn(server::serve(listener, probes, stop.clone())));
    let result = Box::pin(lead(client, config, metrics, &ready, &stop)).await;
    stop.cancel();
    if let Some(serving) = serving {
        serving.await.context("the server of probes and metrics broke down")??;
    }
    result
}

/// Waits to become the leader, and reconciles for as long as it is.
async fn lead(
    client: kube::Client,
    config: Config,
    metrics: Arc<Metrics>,
    ready: &AtomicBool,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    // Compiling the plugins takes seconds: a replica that waits to lead does it meanwhile.
    let (context, writers) = Context::new(client.clone(), config, metrics).await?;
    // A replica that waits is ready: it is there to take over.
    ready.store(true, Ordering::Relaxed);
    let Some(election) = context.config.election.clone() else {
        return Box::pin(reconcile(context, writers, stop.clone())).await;
    };
    let Some(leadership) = leader::acquire(client, election, stop).await? else {
        return Ok(());
    };
    // The lease is kept until every reconciliation has ended.
    let lease_stop = CancellationToken::new();
    let mut keeping = AbortOnDropHandle::new(tokio::spawn(leadership.keep(lease_stop.clone())));
    tokio::select! {
        // What is under way is dropped with the other branch: another replica may be at it already.
        lost = &mut keeping => {
            context.call_off();
            lost.context("the renewal of the lease broke down")?
        }
        worked = reconcile(context.clone(), writers, stop.clone()) => {
            lease_stop.cancel();
            keeping.await.context("the renewal of the lease broke down")??;
            worked
        }
    }
}

async fn reconcile(context: Arc<Context>, writers: Writers, stop: CancellationToken) -> anyhow::Result<()> {
    let grace = context.config.grace;
    let mut watches = watch::start(&context, writers);
    let work = async {
        tokio::join!(
            sources::run::<GitRepository>(context.clone(), &stop),
            sources::run::<OciRepository>(context.clone(), &stop),
            sources::run::<Bucket>(context.clone(), &stop),
            sources::run::<HelmRepository>(context.clone(), &stop),
            sources::run::<HelmChart>(context.clone(), &stop),
            sources::external::run::<ExternalArtifact>(context.clone(), &stop),
            applier::run(context.clone(), &stop),
            plugins::run(context.clone(), &stop),
        )
    };
    let deadline = async {
        stop.cancelled().await;
        context.call_off();
        tokio::time::sleep(grace).await;
    };
    tokio::select! {
        _ = work => {}
        () = deadline => tracing::warn!(?grace, "stopping although some reconciliations have not ended"),
    }
    watches.abort_all();
    Ok(())
}
