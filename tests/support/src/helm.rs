//! The `helm` command, in the versions that `tests/helm` names.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::Context as _;
use tokio::process::Command;

/// Which `helm` command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Helm {
    /// Of Helm 3.
    Three,
    /// Of Helm 4.
    Four,
}

impl Helm {
    /// Runs the command in a namespace of the cluster of a kubeconfig; what it prints. An error is what it says.
    pub async fn run(self, kubeconfig: &Path, namespace: &str, args: &[&str]) -> anyhow::Result<String> {
        let program = self.program();
        let mut command = Command::new(&program);
        command.args(args).args(["--namespace", namespace]).env("KUBECONFIG", kubeconfig);
        // Nothing of whoever runs the tests has a say.
        for directory in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
            command.env(directory, env::temp_dir().join("plumbline-test-helm"));
        }
        let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await;
        let output =
            output.with_context(|| format!("cannot run {}; run `cargo xtask servers`", program.display()))?;
        let said = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(output.status.success(), "helm {} failed: {said}", args.join(" "));
        Ok(String::from_utf8(output.stdout)?)
    }

    /// In `$PLUMB_TEST_HELM`, which `cargo xtask test` sets, or where `cargo xtask servers` puts it.
    fn program(self) -> PathBuf {
        let directory = match env::var_os("PLUMB_TEST_HELM") {
            Some(path) => PathBuf::from(path),
            None => PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/helm")),
        };
        directory.join(match self {
            Self::Three => "helm3",
            Self::Four => "helm",
        })
    }
}
