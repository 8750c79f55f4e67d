use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use kube::core::Selector;
use plumb_api::ByteSize;
use plumb_apply::{InvalidSelector, OverrideManagers, Stages, label_selector};
use plumb_controller::{Config, Election, Kind, KubeConfigPolicy, Tenancy};
use plumb_source::transport::AddressPolicy;
use plumb_tree::ContentId;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::{cluster, compile, local};

/// Runs the controller: reconciles the sources and the Kustomizations of a cluster until it is told to stop.
///
/// The cluster is the one of KUBECONFIG, or the one that the pod runs in.
#[derive(Debug, Args)]
pub(crate) struct Controller {
    /// Reconcile the objects of this namespace only.
    #[arg(long, env = "PLUMB_WATCH_NAMESPACE")]
    watch_namespace: Option<String>,
    /// Reconcile only the objects with labels that match, for example sharding.fluxcd.io/key=shard1: so several controllers share a cluster. The
    /// objects that a Kustomization names have to match as well.
    #[arg(long, default_value = "", hide_default_value = true, value_parser = labels)]
    watch_label_selector: Selector,
    /// Reconcile objects of these kinds only, separated by commas. A source of another kind is still used, as its own controller says in
    /// `status.artifact`: so one moves from Flux kind by kind.
    #[arg(long, value_delimiter = ',', default_values_t = Kind::ALL)]
    kinds: Vec<Kind>,
    /// Never fetch from these networks, separated by commas, whatever a source says. By default these are the link-local ones, where
    /// clouds hand out credentials.
    #[arg(long, default_value = "169.254.0.0/16,fe80::/10,fd00:ec2::254", value_parser = AddressPolicy::parse)]
    denied_source_addresses: AddressPolicy,
    /// How many objects of a kind are reconciled at once. Those of one namespace get half of these slots at most, and less when others have
    /// some, so that no tenant can take the time of all.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..))]
    concurrent: u16,
    /// End every fetch of a source after this long, whatever its spec.timeout says.
    #[arg(long, default_value = "10m", value_parser = duration)]
    longest_fetch: Duration,
    /// How much memory one call of a plugin may have, such as 512Mi.
    #[arg(long, default_value = "1Gi")]
    plugin_memory: ByteSize,
    /// Whether the rules that come with Plumbline tell how custom resources are, where nobody says otherwise: those of the plugin health-cel. With
    /// false that is left to kstatus, as in Flux.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    health_rules: bool,
    /// Look again after this long at a Kustomization whose dependencies are not ready. It is woken when they are.
    #[arg(long, default_value = "30s", value_parser = duration)]
    requeue_dependency: Duration,
    /// The wait after the first failure that may pass by itself; it doubles with each.
    #[arg(long, default_value = "750ms", value_parser = duration)]
    min_retry_delay: Duration,
    /// The longest such wait.
    #[arg(long, default_value = "15m", value_parser = duration)]
    max_retry_delay: Duration,
    /// Lengthen or shorten every interval by up to so many percent, so that not all fall due at once.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(0..=99))]
    interval_jitter_percentage: u8,
    /// Where /healthz, /readyz and /metrics are served; empty for nowhere.
    #[arg(long, default_value = "0.0.0.0:8080", env = "PLUMB_ADDRESS")]
    address: String,
    /// Keep fetched repositories here, for this process alone. What is lost is fetched again.
    #[arg(long, env = "PLUMB_STORAGE_PATH")]
    storage_path: Option<PathBuf>,
    /// Keep compiled plugins here. Several controllers may share it. Default: the storage path.
    #[arg(long, env = "PLUMB_CACHE_PATH")]
    cache_path: Option<PathBuf>,
    /// Run beside other replicas: only one of them, the leader, reconciles. Without this flag there must be no other replica.
    #[arg(long)]
    enable_leader_election: bool,
    /// The namespace of the leader's lease.
    #[arg(long, default_value = "plumbline-system", env = "POD_NAMESPACE")]
    leader_election_namespace: String,
    /// The name of this replica among the others.
    #[arg(long, env = "POD_NAME")]
    replica: Option<String>,
    /// Wait so long for what has begun when told to stop.
    #[arg(long, default_value = "20s", value_parser = duration)]
    graceful_shutdown_timeout: Duration,
    /// Tell the news to Flux's notification-controller at this URL, for example http://notification-controller.flux-system.svc/.
    #[arg(long)]
    events_addr: Option<url::Url>,
    /// Apply these kinds before the rest, as GROUP/KIND separated by commas, after definitions, namespaces and classes.
    #[arg(long, default_value = "", hide_default_value = true)]
    custom_apply_stage_kinds: Stages,
    /// Take over the fields of managers whose names begin with this, besides those of kubectl. It can be given more than once.
    #[arg(long)]
    override_manager: Vec<String>,
    /// The Secret in the controller's namespace with keys of age (*.agekey) that decrypt for Kustomizations whose spec.decryption names no
    /// Secret.
    #[arg(long)]
    sops_age_secret: Option<String>,
    /// The ConfigMap in the controller's namespace that lists the servers of Vault or OpenBao that may be asked to decrypt. Without it none is.
    #[arg(long = "sops-vault-configmap", value_name = "SOPS_VAULT_CONFIGMAP")]
    sops_vault_config_map: Option<String>,
    #[command(flatten)]
    tenancy: TenancyFlags,
    /// How logs are written.
    #[arg(long, value_enum, default_value_t = LogFormat::Json, env = "PLUMB_LOG_FORMAT")]
    log_format: LogFormat,
    /// Which logs are written: a level, or directives as of tracing's EnvFilter.
    #[arg(long, default_value = "info", env = "PLUMB_LOG")]
    log_level: String,
    #[command(flatten)]
    plugins: local::PluginDir,
}

/// How far those who may write objects of one namespace are trusted. The flags are Flux's.
#[derive(Debug, Args)]
#[command(next_help_heading = "Multi-tenancy")]
struct TenancyFlags {
    /// Refuse references to objects of other namespaces.
    #[arg(long)]
    no_cross_namespace_refs: bool,
    /// The service account that acts for Kustomizations that name none. Without it that is the controller's own.
    #[arg(long)]
    default_service_account: Option<String>,
    /// The service account that signs in to the cluster of a spec.kubeConfig.configMapRef that names none. Without it that is the one of --default-service-account, or the controller's own.
    #[arg(long)]
    default_kubeconfig_service_account: Option<String>,
    /// The service account whose identity opens keys of a cloud's key service for Kustomizations whose spec.decryption names none. Without it that is the controller's own.
    #[arg(long)]
    default_decryption_service_account: Option<String>,
    /// Never speak to API servers in these networks, separated by commas, whatever a kubeconfig says. By default these are the link-local ones.
    #[arg(long, default_value = "169.254.0.0/16,fe80::/10,fd00:ec2::254", value_parser = AddressPolicy::parse)]
    denied_kubeconfig_addresses: AddressPolicy,
    /// Let kubeconfigs run programs of the controller's image and read its files.
    #[arg(long)]
    insecure_kubeconfig_exec: bool,
    /// Let kubeconfigs skip the verification of the API server.
    #[arg(long)]
    insecure_kubeconfig_tls: bool,
}

impl From<TenancyFlags> for Tenancy {
    fn from(flags: TenancyFlags) -> Self {
        Self {
            no_cross_namespace_refs: flags.no_cross_namespace_refs,
            default_service_account: flags.default_service_account,
            default_kubeconfig_service_account: flags.default_kubeconfig_service_account,
            default_decryption_service_account: flags.default_decryption_service_account,
            kubeconfig_addresses: flags.denied_kubeconfig_addresses,
            kubeconfig: KubeConfigPolicy {
                exec: flags.insecure_kubeconfig_exec,
                insecure_tls: flags.insecure_kubeconfig_tls,
            },
        }
    }
}

/// How logs are written.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Pretty,
}

fn duration(text: &str) -> Result<Duration, plumb_api::InvalidDuration> {
    text.parse::<plumb_api::Duration>().map(|duration| duration.to_std())
}

fn labels(text: &str) -> Result<Selector, InvalidSelector> {
    label_selector("--watch-label-selector", text)
}

/// The lease that the replicas of one shard share: every shard has a leader of its own.
fn lease(labels: &Selector) -> String {
    let name = "plumbline-controller";
    if labels.selects_all() {
        return name.to_owned();
    }
    let digest = ContentId::of_bytes(labels.to_string().as_bytes());
    let hex = digest.as_str().rsplit(':').next().unwrap_or_default();
    format!("{name}-{}", hex.get(..10).unwrap_or(hex))
}

impl Controller {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        self.start_logs()?;
        let config = self.config()?;
        cluster::block_on(async {
            let client = cluster::client(cluster::Pace::Watching).await?;
            let stop = CancellationToken::new();
            stop_on_signal(stop.clone())?;
            Box::pin(plumb_controller::run(client, config, stop)).await?;
            Ok(ExitCode::SUCCESS)
        })
    }

    fn start_logs(&self) -> anyhow::Result<()> {
        let filter = EnvFilter::try_new(&self.log_level).with_context(|| {
            format!("--log-level {:?} is neither a level nor a directive", self.log_level)
        })?;
        let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
        match self.log_format {
            LogFormat::Json => logs.json().flatten_event(true).init(),
            LogFormat::Pretty => logs.init(),
        }
        // A panic goes where all the other news goes.
        std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
        Ok(())
    }

    fn config(self) -> anyhow::Result<Config> {
        let serve = match self.address.as_str() {
            "" => None,
            address => Some(address.parse::<SocketAddr>().with_context(|| {
                format!("--address {address:?} is not an address and a port, such as 0.0.0.0:8080")
            })?),
        };
        // Two replicas must never have one name: the process id is 1 in every container.
        let replica = self.replica.unwrap_or_else(|| format!("plumb-{:016x}", rand::random::<u64>()));
        let storage = match self.storage_path {
            Some(path) => path,
            None => local::cache_dir()?.join("controller"),
        };
        let election = self.enable_leader_election.then(|| {
            Election::new(
                self.leader_election_namespace.clone(),
                lease(&self.watch_label_selector),
                replica.clone(),
            )
        });
        Ok(Config {
            // A mounted volume may be open to all; a directory of our own in it is not.
            cache_dir: self.cache_path.unwrap_or_else(|| storage.clone()).join("plugins"),
            storage_path: storage,
            plugin_dir: self.plugins.find()?,
            compile_program: Some(compile::program()?),
            namespace: self.leader_election_namespace,
            watch_namespace: self.watch_namespace,
            watch_labels: self.watch_label_selector,
            kinds: self.kinds.into_iter().collect(),
            addresses: self.denied_source_addresses,
            concurrent: self.concurrent,
            longest_fetch: self.longest_fetch,
            health_rules: self.health_rules,
            plugin_memory: usize::try_from(self.plugin_memory.bytes())
                .context("--plugin-memory is too large")?,
            requeue_dependency: self.requeue_dependency,
            min_retry_delay: self.min_retry_delay,
            max_retry_delay: self.max_retry_delay,
            interval_jitter_percentage: self.interval_jitter_percentage,
            serve,
            election,
            grace: self.graceful_shutdown_timeout,
            events_addr: self.events_addr,
            stages: self.custom_apply_stage_kinds,
            override_managers: OverrideManagers::new(self.override_manager).context("--override-manager")?,
            tenancy: self.tenancy.into(),
            sops_age_secret: self.sops_age_secret,
            sops_vault_config_map: self.sops_vault_config_map,
            instance: replica,
        })
    }
}

/// Stops on SIGTERM, which Kubernetes sends, and on SIGINT, which a terminal sends. A second one ends the process at once.
fn stop_on_signal(stop: CancellationToken) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    tokio::spawn(async move {
        for times in 0.. {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if times > 0 {
                std::process::exit(130);
            }
            tracing::info!("stopping; a second signal stops at once");
            stop.cancel();
        }
    });
    Ok(())
}
