use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use clap::Args;
use plumb_pipeline::Builtins;
use plumb_plugin::{Host, HostConfig};

use crate::local::PluginDir;

/// What everything waits for.
pub(crate) const RENDERER: &str = "kustomize";

/// Compiles a built-in plugin into a cache, and ends.
///
/// Compiling takes a quarter of a gigabyte of memory, which a process keeps for itself when it is done. The controller has it done by
/// a process of its own.
#[derive(Debug, Args)]
#[command(hide = true)]
pub(crate) struct Prepare {
    /// The directory that compiled plugins are kept in.
    #[arg(long)]
    cache_path: PathBuf,
    /// The plugin.
    #[arg(long, default_value = RENDERER)]
    plugin: String,
    #[command(flatten)]
    plugins: PluginDir,
}

impl Prepare {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let config = HostConfig { cache_dir: Some(self.cache_path), ..HostConfig::default() };
        Builtins::new(Host::new(config)?, self.plugins.find()?).renderer(&self.plugin)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Has another process fill the cache. When that fails, whoever needs a plugin compiles it, and says what is wrong with it.
pub(crate) fn prepare(plugin: &str, cache: &Path, plugins: &Path) {
    let prepared = std::env::current_exe().and_then(|plumb| {
        let mut command = Command::new(plumb);
        command
            .args(["prepare", "--plugin", plugin])
            .arg("--cache-path")
            .arg(cache)
            .arg("--plugin-dir")
            .arg(plugins);
        command.stdin(Stdio::null()).output()
    });
    match prepared {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            tracing::warn!(plugin, said = said.trim(), "a plugin could not be compiled ahead");
        }
        Err(error) => tracing::warn!(plugin, %error, "a plugin could not be compiled ahead"),
    }
}
