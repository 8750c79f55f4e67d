//! Who does the work: Plumbline, or Flux's controllers.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use plumb_test_support::cluster::Cluster;
use plumb_test_support::controller::{compile_plugins, plumb};
use tempfile::TempDir;

use crate::load::Kind;
use crate::program::{Program, Running, free_address};

/// One of those that are compared.
#[derive(Clone, Debug)]
pub(crate) enum Contender {
    /// `plumb controller`, with this directory for compiled plugins.
    Plumbline { plugin_cache: PathBuf },
    /// `source-controller`, and the controller of what is measured, of this directory.
    Flux { binaries: PathBuf },
}

impl Contender {
    /// The name in figures.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Plumbline { .. } => "plumbline",
            Self::Flux { .. } => "flux",
        }
    }

    /// Whether it puts back what was changed by hand when that happens, rather than at the next interval.
    pub(crate) fn repairs_at_once(&self) -> bool {
        matches!(self, Self::Plumbline { .. })
    }

    /// Does what is done once on a machine, and is no part of what is measured: compiles plugins.
    pub(crate) async fn prepare(&self) -> anyhow::Result<()> {
        let Self::Plumbline { plugin_cache } = self else { return Ok(()) };
        compile_plugins(&plugin_cache.join("plugins")).await
    }

    /// Starts it for one namespace, to reconcile objects of a kind, and waits until it is ready. Client limits that would hold it back are
    /// lifted.
    pub(crate) async fn start(&self, cluster: &Cluster, namespace: &str, kind: Kind) -> anyhow::Result<Team> {
        let dir = tempfile::tempdir()?;
        let setting = Setting { kubeconfig: &cluster.kubeconfig, namespace, dir: dir.path() };
        let programs = match self {
            Self::Plumbline { plugin_cache } => vec![plumbline(&setting, plugin_cache)?],
            Self::Flux { binaries } => flux(&setting, binaries, kind)?,
        };
        let mut members = Vec::new();
        for program in programs {
            members.push(Running::start(program).await?);
        }
        Ok(Team { members, _dir: dir })
    }
}

/// The processes of a contender. They are killed with this value.
pub(crate) struct Team {
    members: Vec<Running>,
    _dir: TempDir,
}

impl Team {
    /// Kills all of them and starts them again, without waiting.
    pub(crate) fn restart(&mut self) -> anyhow::Result<()> {
        for member in &mut self.members {
            member.kill()?;
        }
        self.members.iter_mut().try_for_each(Running::start_again)
    }

    /// The processor time of all, in seconds.
    pub(crate) fn cpu_seconds(&self) -> anyhow::Result<f64> {
        self.members.iter().map(Running::cpu_seconds).sum()
    }

    /// The sum of the peaks of all, in MiB, since [`forget_peak`](Self::forget_peak) or their starts.
    pub(crate) fn peak_memory_mib(&self) -> anyhow::Result<f64> {
        self.members.iter().map(Running::peak_memory_mib).sum()
    }

    /// Lets the peaks begin at what is resident now.
    pub(crate) fn forget_peak(&self) -> anyhow::Result<()> {
        self.members.iter().try_for_each(Running::forget_peak)
    }

    /// The metrics of the member that reconciles what is measured; `None` when it does not serve them yet.
    pub(crate) async fn metrics(&self) -> Option<String> {
        self.members.last()?.metrics().await
    }

    /// What they have logged.
    pub(crate) fn log(&self) -> String {
        self.members.iter().map(Running::log).collect()
    }
}

struct Setting<'a> {
    kubeconfig: &'a Path,
    namespace: &'a str,
    dir: &'a Path,
}

fn plumbline(setting: &Setting<'_>, plugin_cache: &Path) -> anyhow::Result<Program> {
    let address = free_address()?;
    let arguments = [
        "controller",
        "--log-level=error",
        "--watch-namespace",
        setting.namespace,
        "--address",
        &address.to_string(),
    ];
    let mut arguments: Vec<OsString> = arguments.map(OsString::from).into();
    arguments.extend(["--storage-path".into(), setting.dir.into()]);
    arguments.extend(["--cache-path".into(), plugin_cache.into()]);
    Ok(Program {
        path: plumb()?,
        arguments,
        environment: vec![("KUBECONFIG", setting.kubeconfig.into())],
        metrics: address,
        health: address,
        log: setting.dir.join("plumbline.log"),
    })
}

fn flux(setting: &Setting<'_>, binaries: &Path, kind: Kind) -> anyhow::Result<Vec<Program>> {
    let artifacts = free_address()?;
    let storage = format!("--storage-path={}", setting.dir.display());
    let source = [
        storage,
        format!("--storage-addr={artifacts}"),
        format!("--storage-adv-addr={artifacts}"),
        "--concurrent=10".to_owned(),
    ];
    let (name, concurrent) = flux_controller_of(kind);
    Ok(vec![
        flux_controller(setting, binaries, SOURCE_CONTROLLER, &source)?,
        // The last one: it reconciles what is measured.
        flux_controller(setting, binaries, name, &[format!("--concurrent={concurrent}")])?,
    ])
}

const SOURCE_CONTROLLER: &str = "source-controller";

/// Which controller reconciles a kind, and how many objects at once: as in Flux's own benchmark, whose authors have seen no gain from more.
fn flux_controller_of(kind: Kind) -> (&'static str, u32) {
    match kind {
        Kind::HelmRelease => ("helm-controller", 10),
        _ => ("kustomize-controller", 20),
    }
}

fn flux_controller(
    setting: &Setting<'_>,
    binaries: &Path,
    name: &str,
    own: &[String],
) -> anyhow::Result<Program> {
    let path = binaries.join(name);
    ensure!(path.is_file(), "there is no {name} in {}", binaries.display());
    let (metrics, health): (SocketAddr, SocketAddr) = (free_address()?, free_address()?);
    let common = [
        "--watch-all-namespaces=false".to_owned(),
        "--enable-leader-election=false".to_owned(),
        "--events-addr=".to_owned(),
        format!("--metrics-addr={metrics}"),
        format!("--health-addr={health}"),
        "--kube-api-qps=1000".to_owned(),
        "--kube-api-burst=2000".to_owned(),
        "--log-level=error".to_owned(),
    ];
    Ok(Program {
        path,
        arguments: common.iter().chain(own).map(OsString::from).collect(),
        environment: vec![
            ("KUBECONFIG", setting.kubeconfig.into()),
            ("RUNTIME_NAMESPACE", setting.namespace.into()),
        ],
        metrics,
        health,
        log: setting.dir.join(format!("{name}.log")),
    })
}

/// Where Flux's controllers are, checked before anything is measured.
pub(crate) fn flux_in(binaries: &Path, kind: Kind) -> anyhow::Result<Contender> {
    let binaries = binaries.canonicalize().with_context(|| format!("--peer-bin {}", binaries.display()))?;
    for name in [SOURCE_CONTROLLER, flux_controller_of(kind).0] {
        ensure!(binaries.join(name).is_file(), "--peer-bin: there is no {name} in {}", binaries.display());
    }
    Ok(Contender::Flux { binaries })
}
