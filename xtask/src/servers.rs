//! What tests have of others: the servers that they fetch from (`tests/servers`, which has real ones in one program), and SOPS itself (`tests/sops`).

use std::process::Command;

use crate::cache::{self, Key};
use crate::checkout::Checkout;
use crate::progress::{self, Progress};
use crate::tools;

const SOURCES: &str = "tests/servers";
const SOPS: &str = "tests/sops";
/// The programs that `tests/sops` names, each with its package.
const SOPS_PROGRAMS: [(&str, &str); 2] =
    [("sops", "github.com/getsops/sops/v3/cmd/sops"), ("age-keygen", "filippo.io/age/cmd/age-keygen")];

/// Builds the programs once for each version of their sources, and puts them where tests look for them: `target/servers` and `target/sops/`.
///
/// Fails when Go does.
pub(crate) fn build(checkout: &Checkout, progress: &Progress) -> anyhow::Result<()> {
    build_servers(checkout, progress)?;
    for (name, package) in SOPS_PROGRAMS {
        build_sops(checkout, progress, name, package)?;
    }
    Ok(())
}

fn build_sops(checkout: &Checkout, progress: &Progress, name: &str, package: &str) -> anyhow::Result<()> {
    let key = Key::new().path(checkout.root(), SOPS)?.value(&tools::version_line("go", "version")).finish();
    let built = cache::get_or_make(&checkout.cache().join("sops"), name, &key, |out| {
        let mut go = Command::new("go");
        go.current_dir(checkout.root().join(SOPS))
            .env("CGO_ENABLED", "0")
            .args(["build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o"])
            .arg(out)
            .arg(package);
        progress.run_quietly(
            &format!("build {name}, which tests encrypt with (some minutes the first time)"),
            &progress::log_file(checkout.cache(), &format!("build-{name}")),
            &mut go,
        )
    })?;
    cache::copy_over(&built, &checkout.root().join("target/sops").join(name))
}

fn build_servers(checkout: &Checkout, progress: &Progress) -> anyhow::Result<()> {
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
