//! All benchmarks: builds what is missing, starts a cluster if one is needed, and runs `tests/bench` on it.

use std::path::Path;

use anyhow::Context as _;

use crate::checkout::Checkout;
use crate::devcluster::{Cluster, Life};
use crate::progress::Progress;
use crate::{host, plugins};

/// What to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum What {
    /// Kustomizations on a real API server.
    Controller,
    /// HelmReleases on a real API server.
    Releases,
    /// Renders, without a cluster.
    Render,
    /// Calls of plugins, without a cluster.
    Plugins,
}

/// Runs the benchmarks, or one of them. The cluster ends with them.
///
/// Fails when something does not build, the cluster does not start, or a benchmark cannot be finished.
pub(crate) fn run(
    checkout: &Checkout,
    progress: &Progress,
    what: Option<What>,
    apps: &[u32],
    peer_bin: Option<&Path>,
) -> anyhow::Result<()> {
    plugins::build_all(checkout, progress)?;
    let plumb = host::build(checkout, progress)?;
    let bench = host::build_program(checkout, progress, "plumb-bench")?;

    let mut command = checkout.command(bench.to_str().context("the path of plumb-bench is not UTF-8")?);
    command.env("PLUMB_BIN", plumb).env("PLUMB_PLUGIN_DIR", checkout.plugins());
    if !apps.is_empty() {
        command.arg("--apps").arg(apps.iter().map(u32::to_string).collect::<Vec<_>>().join(","));
    }
    if let Some(directory) = peer_bin {
        command.arg("--peer-bin").arg(std::path::absolute(directory)?);
    }
    let cluster = match what {
        Some(What::Render | What::Plugins) => None,
        Some(What::Controller | What::Releases) | None => {
            Some(Cluster::start(checkout, progress, Life::Ours)?)
        }
    };
    if let Some(cluster) = &cluster {
        cluster.put_into(&mut command);
    }
    command.args(what.map(|what| match what {
        What::Controller => "controller",
        What::Releases => "releases",
        What::Render => "render",
        What::Plugins => "plugins",
    }));
    progress.run_openly("bench", &mut command)
}
