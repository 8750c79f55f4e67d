//! Builds the host's programs with cargo.

use std::path::PathBuf;

use crate::cache;
use crate::checkout::Checkout;
use crate::progress::{self, Progress};

/// Builds `plumb`, and returns its path, which is always `target/release/plumb` of the checkout.
///
/// Fails when it does not compile.
pub(crate) fn build(checkout: &Checkout, progress: &Progress) -> anyhow::Result<PathBuf> {
    let built = build_program(checkout, progress, "plumb")?;
    let target = checkout.root().join("target/release/plumb");
    // Another target folder is in use: users and scripts still find it where they are told to look.
    if built != target {
        cache::copy_over(&built, &target)?;
    }
    Ok(target)
}

/// Builds one program of the workspace, and returns the path where cargo put it.
///
/// The whole workspace is selected, here and in every other call of cargo: for a single package, cargo would
/// turn on fewer features of third crates, and compile hundreds of them once more.
///
/// Fails when it does not compile.
pub(crate) fn build_program(
    checkout: &Checkout,
    progress: &Progress,
    program: &str,
) -> anyhow::Result<PathBuf> {
    let mut cargo = checkout.cargo();
    cargo.args(["build", "--release", "--workspace", "--bin", program]);
    progress.run_build(
        &format!("build {program}"),
        &progress::log_file(checkout.cache(), &format!("build-{program}")),
        &mut cargo,
    )?;
    Ok(checkout.release().join(program))
}
