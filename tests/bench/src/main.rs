//! Measures the controller and the renderer: `cargo xtask bench` prepares everything and runs this.
//!
//! Every figure is one line of JSON on standard output; what is for people goes to standard error. What is measured, and how, is
//! described in `docs/performance.md`.
#![forbid(unsafe_code)]

mod board;
mod contender;
mod controller;
mod load;
mod metrics;
mod plugins;
mod program;
mod render;
mod report;
mod workload;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};

/// Measures the controller on the cluster of KUBECONFIG, and the renderer. `cargo xtask bench` prepares everything and runs this.
#[derive(Debug, Parser)]
struct Args {
    /// How many applications, one Kustomization each, separated by commas: each number is a run of its own.
    #[arg(long, value_delimiter = ',', default_values_t = [100, 1000])]
    apps: Vec<u32>,
    /// A directory with Flux's `source-controller` and `kustomize-controller`: they do the same work in the same run.
    #[arg(long, value_name = "DIR")]
    peer_bin: Option<PathBuf>,
    /// What to measure; everything, if it is not said.
    what: Option<What>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    /// The controller on a real API server.
    Controller,
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
    if matches!(args.what, None | Some(What::Controller)) {
        controller::measure(&args.apps, args.peer_bin.as_deref()).await?;
    }
    Ok(())
}
