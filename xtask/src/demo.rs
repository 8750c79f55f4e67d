//! The main job, shown: builds what is missing, starts a cluster and runs `tests/demo` on it.

use anyhow::Context as _;

use crate::checkout::Checkout;
use crate::devcluster::{Cluster, Life};
use crate::progress::Progress;
use crate::{host, plugins};

/// Runs the demo. The cluster ends with it, also on Ctrl-C and on failure, unless it is to be kept.
///
/// Fails when something does not build, the cluster does not start, or the demo fails.
pub(crate) fn run(
    checkout: &Checkout,
    progress: &Progress,
    life: Life,
    arguments: &[String],
) -> anyhow::Result<()> {
    plugins::build_all(checkout, progress)?;
    let plumb = host::build(checkout, progress)?;
    let demo = host::build_program(checkout, progress, "plumb-demo")?;
    let cluster = Cluster::start(checkout, progress, life)?;

    let mut command = checkout.command(demo.to_str().context("the path of plumb-demo is not UTF-8")?);
    cluster.put_into(&mut command);
    command.env("PLUMB_BIN", plumb).env("PLUMB_PLUGIN_DIR", checkout.plugins());
    if life == Life::Kept {
        command.arg("--keep");
    }
    let shown = progress.run_openly("demo", command.args(arguments));
    if let Cluster::Kept { dir } = &cluster {
        progress.say("the cluster is still up. Look around, and remove it when you are done:");
        eprintln!("\n  export KUBECONFIG={}", cluster.kubeconfig().display());
        eprintln!("  cargo xtask devcluster down --dir {}\n", dir.display());
    }
    shown
}
