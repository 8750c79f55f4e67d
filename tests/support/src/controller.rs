//! The controller as a process of its own.

use std::env;
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;
use tempfile::TempDir;

use tokio::sync::OnceCell;

use crate::cluster::{Cluster, eventually};

/// Whether the plugins are compiled: otherwise every controller that is started meanwhile would compile them.
static PREPARED: OnceCell<()> = OnceCell::const_new();

/// A `plumb controller` that is killed with this value. It has its own storage, which it keeps when it is restarted.
pub struct Controller {
    child: Child,
    dir: TempDir,
    address: String,
    kubeconfig: PathBuf,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
}

impl Controller {
    /// Starts a controller for one namespace, and waits until it is ready.
    pub async fn start(cluster: &Cluster, namespace: &str) -> anyhow::Result<Self> {
        Self::start_with(cluster, namespace, &[]).await
    }

    /// As [`start`](Self::start), with more arguments.
    pub async fn start_with(cluster: &Cluster, namespace: &str, more: &[&str]) -> anyhow::Result<Self> {
        Self::start_in(cluster, namespace, more, &[]).await
    }

    /// As [`start_with`](Self::start_with), with these variables in its environment.
    pub async fn start_in(
        cluster: &Cluster,
        namespace: &str,
        more: &[&str],
        variables: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        Self::start_as(cluster, [&["--watch-namespace", namespace], more].concat(), variables).await
    }

    /// Starts a controller for the objects with labels that match, in whichever namespace, and waits until it is ready.
    pub async fn start_for(cluster: &Cluster, labels: &str) -> anyhow::Result<Self> {
        Self::start_as(cluster, vec!["--watch-label-selector", labels], &[]).await
    }

    async fn start_as(
        cluster: &Cluster,
        arguments: Vec<&str>,
        variables: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        PREPARED.get_or_try_init(prepare_plugins).await?;
        let dir = tempfile::tempdir()?;
        let arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
        let variables: Vec<(String, String)> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        // The port may be taken by somebody else meanwhile; then the start fails, and the log says why.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let child = spawn(dir.path(), &address, &cluster.kubeconfig, &arguments, &variables)?;
        let kubeconfig = cluster.kubeconfig.clone();
        let mut controller = Self { child, dir, address, kubeconfig, arguments, variables };
        controller.wait_until_ready().await?;
        Ok(controller)
    }

    /// Ends the process as a power cut would.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks the process to stop, as Kubernetes does, and waits until it has; fails when it did not end well.
    pub fn terminate(&mut self) -> anyhow::Result<()> {
        Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status()?;
        let status = self.child.wait()?;
        anyhow::ensure!(
            status.success(),
            "the controller ended with {status}; it has logged:\n{}",
            self.log()
        );
        Ok(())
    }

    /// Starts the process again, on the same storage.
    pub async fn start_again(&mut self) -> anyhow::Result<()> {
        let Self { dir, address, kubeconfig, arguments, variables, .. } = &*self;
        self.child = spawn(dir.path(), address, kubeconfig, arguments, variables)?;
        self.wait_until_ready().await
    }

    /// The directory with everything that the controller keeps: its storage, and its log.
    pub fn directory(&self) -> &Path {
        self.dir.path()
    }

    /// What has been logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// The body of a page that the controller serves, such as `/metrics`; `None` when it does not answer, or not with 200.
    pub async fn page(&self, path: &str) -> Option<String> {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut stream = tokio::net::TcpStream::connect(&self.address).await.ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address);
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        head.starts_with("HTTP/1.1 200").then(|| body.to_owned())
    }

    async fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let ready = eventually("the controller is ready", async || Ok(self.page("/readyz").await)).await;
        ready.with_context(|| format!("the controller has logged:\n{}", self.log()))?;
        Ok(())
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the controller has logged:\n{}", self.log());
        }
    }
}

/// The binary of this test run.
pub fn plumb() -> anyhow::Result<PathBuf> {
    let path = env::var_os("PLUMB_BIN").map(PathBuf::from);
    path.context("PLUMB_BIN is not set: run `cargo xtask test e2e`, or set it to the path of plumb")
}

/// Compiled plugins are shared by all controllers of all test runs.
fn plugin_cache() -> PathBuf {
    env::temp_dir().join("plumbline-test-plugins")
}

async fn prepare_plugins() -> anyhow::Result<()> {
    compile_plugins(&plugin_cache().join("plugins")).await
}

/// Compiles the plugins that take long into the directory `plugins` of a controller's cache, unless that has been done before.
pub async fn compile_plugins(cache: &Path) -> anyhow::Result<()> {
    let plugins = env::var_os("PLUMB_PLUGIN_DIR").map(PathBuf::from);
    let plugins = plugins.context("PLUMB_PLUGIN_DIR is not set: `cargo xtask` sets it")?;
    for plugin in ["kustomize", "helm"] {
        let path = plugins.join(plugin).with_extension("wasm");
        let file =
            File::open(&path).with_context(|| format!("{}: run `cargo xtask build`", path.display()))?;
        let mut command = tokio::process::Command::new(plumb()?);
        let output = command.arg("compile").arg(cache).stdin(Stdio::from(file)).output().await?;
        anyhow::ensure!(
            output.status.success(),
            "plumb compile failed with {plugin}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

/// Installs the custom resource definitions of this version into the cluster.
pub async fn install_crds(cluster: &Cluster) -> anyhow::Result<()> {
    let mut command = tokio::process::Command::new(plumb()?);
    let output =
        command.args(["install", "--crds-only"]).env("KUBECONFIG", &cluster.kubeconfig).output().await?;
    anyhow::ensure!(
        output.status.success(),
        "plumb install failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

fn spawn(
    dir: &Path,
    address: &str,
    kubeconfig: &Path,
    arguments: &[String],
    variables: &[(String, String)],
) -> anyhow::Result<Child> {
    let log = File::options().create(true).append(true).open(dir.join("log"))?;
    let plumb = plumb()?;
    let is_said = arguments.iter().any(|argument| argument.starts_with("--min-retry-delay"));
    let impatient: &[&str] = if is_said { &[] } else { &["--min-retry-delay", "200ms"] };
    Command::new(&plumb)
        .args(["controller", "--address", address, "--log-format", "pretty"])
        .args(arguments)
        .args(impatient)
        .args(["--requeue-dependency", "60s"])
        .arg("--storage-path")
        .arg(dir)
        .env("KUBECONFIG", kubeconfig)
        .env("PLUMB_CACHE_PATH", plugin_cache())
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .with_context(|| format!("cannot start {}", plumb.display()))
}
