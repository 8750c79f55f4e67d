//! The servers that tests fetch from: `tests/servers`, which has real ones in one program.

use std::process::Command;

use crate::cache::{self, Key};
use crate::checkout::Checkout;
use crate::progress::{self, Progress};
use crate::tools;

const SOURCES: &str = "tests/servers";

/// Builds the program once for each version of its sources, and puts it where tests look for it: `target/servers`.
///
/// Fails when Go does.
pub(crate) fn build(checkout: &Checkout, progress: &Progress) -> anyhow::Result<()> {
    let key =
        Key::new().path(checkout.root(), SOURCES)?.value(&tools::version_line("go", "version")).finish();
    let built = cache::get_or_make(&checkout.cache().join("servers"), "servers", &key, |out| {
        let mut go = Command::new("go");
        go.current_dir(checkout.root().join(SOURCES))
            .env("CGO_ENABLED", "0")
            .args(["build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o"])
            .arg(out)
            .arg(".");
        progress.run_quietly(
            "build the servers that tests fetch from (some minutes the first time)",
            &progress::log_file(checkout.cache(), "build-servers"),
            &mut go,
        )
    })?;
    cache::copy_over(&built, &checkout.root().join("target/servers"))
}
