use std::io;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

/// Prints a script that completes the commands and flags of plumb in a shell.
///
/// Example: source <(plumb completion bash)
#[derive(Debug, Args)]
pub(crate) struct Completion {
    /// The shell.
    shell: Shell,
}

impl Completion {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        clap_complete::generate(self.shell, &mut crate::Cli::command(), "plumb", &mut io::stdout());
        Ok(ExitCode::SUCCESS)
    }
}
