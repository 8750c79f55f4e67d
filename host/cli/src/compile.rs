use std::io::{Read as _, Write as _, stdin};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use plumb_plugin::{CompileProgram, Host, HostConfig, LoadError};

/// Compiles the plugin on standard input into a cache, and ends.
///
/// Compiling takes up to a third of a gigabyte of memory, which a process keeps for itself when it is done. The controller has it done by a process of
/// its own.
#[derive(Debug, Args)]
#[command(hide = true)]
pub(crate) struct Compile {
    /// The directory that compiled plugins are kept in.
    cache_path: PathBuf,
}

impl Compile {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let config = HostConfig { cache_dir: Some(self.cache_path), ..HostConfig::default() };
        let most = config.component_bytes.saturating_add(1);
        let host = Host::new(config)?;
        let mut bytes = Vec::new();
        stdin().take(most).read_to_end(&mut bytes).context("cannot read standard input")?;
        match host.compile("of standard input", &bytes) {
            Ok(()) => Ok(ExitCode::SUCCESS),
            // Whoever has started this knows the name of the plugin.
            Err(LoadError::Invalid { reason, .. }) => {
                writeln!(std::io::stderr(), "{reason}")?;
                Ok(ExitCode::FAILURE)
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// This program as the one that compiles.
pub(crate) fn program() -> anyhow::Result<CompileProgram> {
    let path = std::env::current_exe().context("cannot tell where the plumb binary is")?;
    Ok(CompileProgram { path, arguments: vec!["compile".into()] })
}
