//! Measures the controllers and the renderer: `cargo xtask bench` prepares everything and runs this.
//!
//! Every figure is one line of JSON on standard output; what is for people goes to standard error. What is measured, and how, is
//! described in `docs/performance.md`.
#![forbid(unsafe_code)]

mod board;
mod chart;
mod contender;
mod controller;
mod load;
mod metrics;
mod plugins;
mod program;
mod releases;
mod render;
mod report;
mod run;
mod workload;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};

/// Measures the controller on the cluster of KUBECONFIG, and the renderer. `cargo xtask bench` prepares everything and runs this.
#[derive(Debug, Parser)]
struct Args {
    /// How many applications, one Kustomization or HelmRelease each, separated by commas: each number is a run of its own. By default 100 and
    /// 1000 Kustomizations, and 100 and 500 HelmReleases.
    #[arg(long, value_delimiter = ',')]
    apps: Vec<u32>,
    /// A directory with Flux's `source-controller`, `kustomize-controller` and `helm-controller`: they do the same work in the same run.
    #[arg(long, value_name = "DIR")]
    peer_bin: Option<PathBuf>,
    /// What to measure; everything, if it is not said.
    what: Option<What>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    /// Kustomizations on a real API server.
    Controller,
    /// HelmReleases on a real API server.
    Releases,
    /// Renders, without a cluster.
    Render,
    /// Calls of plugins, without a cluster.
    Plugins,
}

fn main() -> ExitCode {
    let done =
        plugins::play().unwrap_or_else(|| tokio::runtime::Runtime::new()?.block_on(run(Args::parse())));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "\nThe benchmark failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> anyhow::Result<()> {
    if matches!(args.what, None | Some(What::Plugins)) {
        tokio::task::spawn_blocking(plugins::measure).await??;
    }
    if matches!(args.what, None | Some(What::Render)) {
        tokio::task::spawn_blocking(render::measure).await??;
    }
    let (apps, peer) = (args.apps.as_slice(), args.peer_bin.as_deref());
    if matches!(args.what, None | Some(What::Controller)) {
        controller::measure(unless_empty(apps, &[100, 1000]), peer).await?;
    }
    if matches!(args.what, None | Some(What::Releases)) {
        releases::measure(unless_empty(apps, &[100, 500]), peer).await?;
    }
    Ok(())
}

fn unless_empty<'a>(said: &'a [u32], otherwise: &'a [u32]) -> &'a [u32] {
    if said.is_empty() { otherwise } else { said }
}
