//! The command as a user runs it against the cluster of a scene.

use std::env;
use std::process::Stdio;

use plumb_test_support::controller::plumb;
use tokio::process::Command;

use crate::scene::Scene;

/// What a command left behind. The name of the namespace, which is random, reads NAMESPACE.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs plumb in the work tree of the scene's repository.
pub(crate) async fn run(scene: &Scene, args: &[&str]) -> anyhow::Result<Ran> {
    let mut command = Command::new(plumb()?);
    command.args(args).current_dir(scene.repository.work_tree()).stdin(Stdio::null()).kill_on_drop(true);
    command.env("KUBECONFIG", &scene.cluster.kubeconfig);
    command.env("XDG_CACHE_HOME", env::temp_dir().join("plumbline-test-plugins"));
    let output = command.output().await?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(&scene.namespace, "NAMESPACE");
    Ok(Ran { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) })
}
