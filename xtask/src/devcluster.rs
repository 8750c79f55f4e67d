//! A Kubernetes cluster for demo and tests: the user's own, or `tests/devcluster` in a folder of its own.

use std::env;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use anyhow::{Context as _, bail};

use crate::cache::{self, Key};
use crate::checkout::Checkout;
use crate::progress::{self, Progress};
use crate::tools;

const SOURCES: &str = "tests/devcluster";

/// How long a cluster that is started lives.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// As long as this process, however that ends.
    Ours,
    /// Until `cargo xtask devcluster down`.
    Kept,
}

/// A cluster that is up.
pub(crate) enum Cluster {
    /// The user's, by `PLUMB_USE_CLUSTER=1`: never touched.
    Theirs {
        /// `$KUBECONFIG`.
        kubeconfig: PathBuf,
    },
    /// A devcluster that outlives us.
    Kept {
        /// The folder that holds it.
        dir: PathBuf,
    },
    /// A devcluster that ends with us.
    Ours(OwnCluster),
}

impl Cluster {
    /// Starts a devcluster, unless the user brings a cluster.
    ///
    /// Fails when it cannot be built or does not become ready; the error or the lines before it say where
    /// the logs are.
    pub(crate) fn start(checkout: &Checkout, progress: &Progress, life: Life) -> anyhow::Result<Self> {
        if let Some(kubeconfig) = users_cluster()? {
            progress.say(&format!("using the cluster of KUBECONFIG, {}", kubeconfig.display()));
            return Ok(Self::Theirs { kubeconfig });
        }
        let program = build(checkout, progress)?;
        let dir = checkout.cache().join("clusters").join(std::process::id().to_string());
        progress.say(&format!("start a Kubernetes cluster in {}", dir.display()));
        match life {
            Life::Kept => {
                let mut up = command_in("up", &program, &dir);
                progress.run_openly("devcluster up", &mut up)?;
                Ok(Self::Kept { dir })
            }
            Life::Ours => OwnCluster::start(&program, dir).map(Self::Ours),
        }
    }

    /// The file that names the cluster and who we are there.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        match self {
            Self::Theirs { kubeconfig } => kubeconfig.clone(),
            Self::Kept { dir } => dir.join("kubeconfig"),
            Self::Ours(own) => own.dir.join("kubeconfig"),
        }
    }

    /// Lets a program use this cluster.
    pub(crate) fn put_into(&self, command: &mut Command) {
        command.env("KUBECONFIG", self.kubeconfig()).env("PLUMB_USE_CLUSTER", "1");
    }
}

/// A running `devcluster run`, which removes the cluster when its standard input closes. So it goes when
/// this value is dropped, and also when this process is killed.
pub(crate) struct OwnCluster {
    dir: PathBuf,
    supervisor: Child,
    life_line: Option<ChildStdin>,
}

impl OwnCluster {
    fn start(program: &Path, dir: PathBuf) -> anyhow::Result<Self> {
        let mut supervisor = command_in("run", program, &dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C is for us and the tests; the supervisor must live to clean up.
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let life_line = supervisor.stdin.take();
        let stdout = supervisor.stdout.take().context("the supervisor has no standard output")?;
        let cluster = Self { dir, supervisor, life_line };
        // It prints the kubeconfig's path once the cluster is ready, and nothing when it fails.
        let mut kubeconfig = String::new();
        BufReader::new(stdout).read_line(&mut kubeconfig)?;
        if kubeconfig.is_empty() {
            bail!(
                "the cluster did not start: see the lines above, and the logs in {}",
                cluster.dir.display()
            );
        }
        Ok(cluster)
    }
}

impl Drop for OwnCluster {
    fn drop(&mut self) {
        drop(self.life_line.take());
        if let Err(error) = self.supervisor.wait() {
            eprintln!("cannot wait for the cluster's end: {error}");
        }
    }
}

/// Runs `devcluster up`, `down` or `status` for the user. With a cluster of their own there is nothing to do.
///
/// Fails when the devcluster's command does.
pub(crate) fn command(
    name: &str,
    dir: &Path,
    checkout: &Checkout,
    progress: &Progress,
) -> anyhow::Result<()> {
    if let Some(kubeconfig) = users_cluster()? {
        progress.say(&format!("PLUMB_USE_CLUSTER is set: the cluster is that of {}", kubeconfig.display()));
        return Ok(());
    }
    let program = build(checkout, progress)?;
    progress.run_openly(&format!("devcluster {name}"), &mut command_in(name, &program, dir))?;
    if name == "up" {
        let kubeconfig = std::path::absolute(dir)?.join("kubeconfig");
        progress.say(&format!("ready: export KUBECONFIG={}", kubeconfig.display()));
    }
    Ok(())
}

/// Prints the path of the kubeconfig, for scripts, whether the cluster runs or not.
///
/// Fails when `PLUMB_USE_CLUSTER` is set without `KUBECONFIG`.
pub(crate) fn print_kubeconfig(dir: &Path) -> anyhow::Result<()> {
    let kubeconfig = match users_cluster()? {
        Some(kubeconfig) => kubeconfig,
        None => std::path::absolute(dir)?.join("kubeconfig"),
    };
    writeln!(std::io::stdout(), "{}", kubeconfig.display())?;
    Ok(())
}

/// The kubeconfig of the cluster that the user wants everything to run on.
fn users_cluster() -> anyhow::Result<Option<PathBuf>> {
    if env::var_os("PLUMB_USE_CLUSTER").is_none_or(|value| value != "1") {
        return Ok(None);
    }
    let kubeconfig = env::var_os("KUBECONFIG").filter(|path| !path.is_empty());
    let kubeconfig = kubeconfig.context("PLUMB_USE_CLUSTER=1 needs KUBECONFIG, the cluster to use")?;
    Ok(Some(PathBuf::from(kubeconfig)))
}

fn command_in(name: &str, program: &Path, dir: &Path) -> Command {
    let mut command = Command::new(program);
    command.arg(name).arg("--dir").arg(dir);
    command
}

/// Builds the cluster's program once for each version of its sources: Kubernetes takes minutes to compile.
fn build(checkout: &Checkout, progress: &Progress) -> anyhow::Result<PathBuf> {
    let key =
        Key::new().path(checkout.root(), SOURCES)?.value(&tools::version_line("go", "version")).finish();
    cache::get_or_make(&checkout.cache().join("devcluster"), "devcluster", &key, |out| {
        let mut go = Command::new("go");
        go.current_dir(checkout.root().join(SOURCES))
            .env("CGO_ENABLED", "0")
            .args(["build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o"])
            .arg(out)
            .arg(".");
        progress.run_quietly(
            "build the devcluster (Kubernetes itself: some ten minutes the first time)",
            &progress::log_file(checkout.cache(), "build-devcluster"),
            &mut go,
        )
    })
}
