//! What tests have of others, as programs in Go: the servers that they fetch from (real ones, in one program), SOPS and Helm themselves, and the code of Sealed Secrets.

use std::process::Command;

use anyhow::Context as _;

use crate::cache::{self, Key};
use crate::checkout::Checkout;
use crate::progress::{self, Progress};
use crate::tools;

/// A program in Go that tests run.
struct Program {
    /// The folder in `tests` with its module.
    module: &'static str,
    /// The package to build.
    package: &'static str,
    /// Its name in `target`, where tests look for it.
    target: &'static str,
    /// What tests do with it, as the end of a sentence.
    what_for: &'static str,
}

const PROGRAMS: [Program; 6] = [
    Program { module: "servers", package: ".", target: "servers", what_for: "which tests fetch from" },
    Program {
        module: "sops",
        package: "github.com/getsops/sops/v3/cmd/sops",
        target: "sops/sops",
        what_for: "which tests encrypt with",
    },
    Program {
        module: "sops",
        package: "filippo.io/age/cmd/age-keygen",
        target: "sops/age-keygen",
        what_for: "which makes keys for tests",
    },
    Program {
        module: "sealed-secrets",
        package: ".",
        target: "sealed-secrets",
        what_for: "which tests seal with",
    },
    Program {
        module: "helm",
        package: "helm.sh/helm/v4/cmd/helm",
        target: "helm/helm",
        what_for: "which tests look at releases with",
    },
    Program {
        module: "helm",
        package: "helm.sh/helm/v3/cmd/helm",
        target: "helm/helm3",
        what_for: "whose releases tests take over",
    },
];

/// Builds the programs once for each version of their sources, and puts them into `target`.
///
/// Fails when Go does.
pub(crate) fn build(checkout: &Checkout, progress: &Progress) -> anyhow::Result<()> {
    PROGRAMS.iter().try_for_each(|program| program.bring_up_to_date(checkout, progress))
}

impl Program {
    fn bring_up_to_date(&self, checkout: &Checkout, progress: &Progress) -> anyhow::Result<()> {
        let sources = format!("tests/{}", self.module);
        let target = checkout.root().join("target").join(self.target);
        let name = target.file_name().and_then(|name| name.to_str()).context("a program has a name")?;
        let key = Key::new().path(checkout.root(), &sources)?.value(&tools::version_line("go", "version"));
        let folder = checkout.cache().join(self.module);
        let built = cache::get_or_make(&folder, name, &key.finish(), |out| {
            let mut go = Command::new("go");
            go.current_dir(checkout.root().join(&sources))
                .env("CGO_ENABLED", "0")
                .args(["build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o"])
                .arg(out)
                .arg(self.package);
            progress.run_quietly(
                &format!("build {name}, {} (some minutes the first time)", self.what_for),
                &progress::log_file(checkout.cache(), &format!("build-{name}")),
                &mut go,
            )
        })?;
        cache::copy_over(&built, &target)
    }
}
