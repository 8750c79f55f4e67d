//! `plumb plugin`: from an idea to a plugin that is built, tested, measured, pushed and signed. One command a file.

mod bench;
mod build;
mod cases;
mod inspect;
mod keygen;
mod keys;
mod new;
mod project;
mod push;
mod registry;
mod runner;
mod sign;
mod signatures;
mod test;
mod verify;

use std::process::ExitCode;

use clap::{Args, Subcommand};

/// Writes, builds, tests, measures, ships and looks at plugins.
#[derive(Debug, Args)]
pub(crate) struct Plugin {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    New(new::New),
    Build(build::Build),
    Test(test::Test),
    Bench(bench::Bench),
    Inspect(inspect::Inspect),
    Push(push::Push),
    Keygen(keygen::Keygen),
    Sign(sign::Sign),
    Verify(verify::Verify),
}

impl Plugin {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::New(command) => command.run(),
            Command::Build(command) => command.run(),
            Command::Test(command) => command.run(),
            Command::Bench(command) => command.run(),
            Command::Inspect(command) => command.run(),
            Command::Push(command) => command.run(),
            Command::Keygen(command) => command.run(),
            Command::Sign(command) => command.run(),
            Command::Verify(command) => command.run(),
        }
    }
}
