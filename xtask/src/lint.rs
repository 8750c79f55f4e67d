//! What must hold before a change is looked at: formatting, and no lint.

use crate::checkout::Checkout;
use crate::progress::{self, Progress};

/// Checks the whole workspace.
///
/// Fails at the first check that does, with what it printed.
pub(crate) fn run(checkout: &Checkout, progress: &Progress) -> anyhow::Result<()> {
    let mut format = checkout.cargo();
    format.args(["fmt", "--all", "--check"]);
    progress.run_openly("cargo fmt --all --check", &mut format)?;

    let mut clippy = checkout.cargo();
    clippy.args(["clippy", "--release", "--workspace", "--all-targets", "--", "-D", "warnings"]);
    progress.run_build("cargo clippy", &progress::log_file(checkout.cache(), "clippy"), &mut clippy)?;
    progress.say("formatting and lints are fine");
    Ok(())
}
