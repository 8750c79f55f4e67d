//! What must hold before a change is looked at: formatting, and no lint, in the workspace and in that of the plugins.

use crate::checkout::Checkout;
use crate::progress::{self, Progress};

/// Checks both workspaces.
///
/// Fails at the first check that does, with what it printed.
pub(crate) fn run(checkout: &Checkout, progress: &Progress) -> anyhow::Result<()> {
    for folder in [".", "plugins"] {
        let mut format = checkout.cargo();
        format.current_dir(checkout.root().join(folder)).args(["fmt", "--all", "--check"]);
        progress.run_openly(&format!("cargo fmt --all --check in {folder}"), &mut format)?;
    }

    let mut clippy = checkout.cargo();
    clippy.args(["clippy", "--release", "--workspace", "--all-targets", "--", "-D", "warnings"]);
    progress.run_build("cargo clippy", &progress::log_file(checkout.cache(), "clippy"), &mut clippy)?;

    let mut guests = checkout.cargo();
    guests.current_dir(checkout.root().join("plugins")).args(["clippy", "--locked", "--target-dir"]);
    guests.arg(checkout.cache().join("guest-tests")).args([
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]);
    let log = progress::log_file(checkout.cache(), "clippy-plugins");
    progress.run_build("cargo clippy in plugins", &log, &mut guests)?;
    progress.say("formatting and lints are fine");
    Ok(())
}
