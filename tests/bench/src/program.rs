//! A controller as a process whose time and memory are looked at.

use std::ffi::OsString;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use procfs::process::{ClearRefs, Process};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

/// How long a program may take to become ready: the first start compiles plugins.
const START: Duration = Duration::from_secs(300);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How to start a program, and where it serves.
#[derive(Debug)]
pub(crate) struct Program {
    /// The file.
    pub(crate) path: PathBuf,
    /// Its arguments.
    pub(crate) arguments: Vec<OsString>,
    /// What is added to its environment.
    pub(crate) environment: Vec<(&'static str, OsString)>,
    /// Where `/metrics` is.
    pub(crate) metrics: SocketAddr,
    /// Where `/readyz` is.
    pub(crate) health: SocketAddr,
    /// Where its log goes.
    pub(crate) log: PathBuf,
}

/// A process of a [`Program`]. It is killed with this value.
pub(crate) struct Running {
    program: Program,
    child: Child,
}

impl Running {
    /// Starts the program, and waits until it says that it is ready.
    pub(crate) async fn start(program: Program) -> anyhow::Result<Self> {
        let child = spawn(&program)?;
        let mut running = Self { program, child };
        running.wait_until_ready().await?;
        Ok(running)
    }

    /// Ends the process as a power cut would.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Starts a killed program again, without waiting.
    pub(crate) fn start_again(&mut self) -> anyhow::Result<()> {
        self.child = spawn(&self.program)?;
        Ok(())
    }

    /// The processor time that it has used, in seconds, with that of programs that it ran.
    pub(crate) fn cpu_seconds(&self) -> anyhow::Result<f64> {
        let stat = self.process()?.stat()?;
        let of_children = stat.cutime.max(0).unsigned_abs() + stat.cstime.max(0).unsigned_abs();
        let ticks = stat.utime + stat.stime + of_children;
        Ok(ticks as f64 / procfs::ticks_per_second() as f64)
    }

    /// The most resident memory since the start or since [`forget_peak`](Self::forget_peak), in MiB.
    pub(crate) fn peak_memory_mib(&self) -> anyhow::Result<f64> {
        let peak = self.process()?.status()?.vmhwm.context("the kernel does not tell VmHWM")?;
        Ok(peak as f64 / 1024.0)
    }

    /// Lets the peak begin at what is resident now.
    pub(crate) fn forget_peak(&self) -> anyhow::Result<()> {
        Ok(self.process()?.clear_refs(ClearRefs::PeakRSS)?)
    }

    /// Its metrics; `None` when it does not serve them yet.
    pub(crate) async fn metrics(&self) -> Option<String> {
        page(self.program.metrics, "/metrics").await
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.program.log).unwrap_or_default()
    }

    fn process(&self) -> anyhow::Result<Process> {
        Ok(Process::new(self.child.id().try_into()?)?)
    }

    async fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + START;
        while page(self.program.health, "/readyz").await.is_none() {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended with {status}:\n{}", self.program.path.display(), self.log());
            }
            if Instant::now() > deadline {
                bail!("{} is not ready after {START:?}:\n{}", self.program.path.display(), self.log());
            }
            sleep(LOOK_EVERY).await;
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address on loopback that nobody listens on now. It may be taken by somebody else meanwhile; then the start fails, and says so.
pub(crate) fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

fn spawn(program: &Program) -> anyhow::Result<Child> {
    let log = File::options().create(true).append(true).open(&program.log)?;
    Command::new(&program.path)
        .args(&program.arguments)
        .envs(program.environment.iter().cloned())
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("cannot start {}", program.path.display()))
}

/// The body of a page, if it is answered with 200. HTTP/1.0, so that the answer is not sent in chunks.
async fn page(address: SocketAddr, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.split(' ').nth(1).filter(|status| *status == "200").map(|_| body.to_owned())
}
