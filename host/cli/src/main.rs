//! The `plumb` command.
#![forbid(unsafe_code)]

mod applier;
mod catalog;
mod chart;
mod cluster;
mod comparison;
mod compile;
mod completion;
mod controller;
mod diff;
mod difference;
#[cfg(test)]
mod docs;
mod events;
mod explain;
mod get;
mod history;
mod install;
mod judges;
mod kinds;
mod lint;
mod local;
mod migrate;
mod objects;
mod output;
mod plugin;
mod reader;
mod reconcile;
mod release;
mod render;
mod renderer;
mod rollback;
mod setting;
mod substitution;
mod suspend;
mod test;
mod trace;
mod tree;
mod workbench;
mod workload;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// glibc keeps a heap for each of several threads, and much of what was freed in them: a controller of a thousand Kustomizations holds a
/// third more with it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Keeps Kubernetes clusters true to Git, and renders, compares and checks the same files without a cluster.
#[derive(Debug, Parser)]
#[command(name = "plumb", version, propagate_version = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Render(render::Render),
    Diff(diff::Diff),
    Test(test::Test),
    Lint(lint::Lint),
    Plugin(plugin::Plugin),
    Get(get::Get),
    Explain(explain::Explain),
    Trace(trace::Trace),
    Tree(tree::Tree),
    Events(events::Events),
    History(history::History),
    Rollback(rollback::Rollback),
    Reconcile(reconcile::Reconcile),
    Suspend(suspend::Suspend),
    Resume(suspend::Resume),
    Install(install::Install),
    Migrate(migrate::Migrate),
    Controller(Box<controller::Controller>),
    Completion(completion::Completion),
    Compile(compile::Compile),
    /// Prints the version.
    Version,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    // reqwest and kube both use rustls; which cryptography it uses is chosen once, here.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let result = match cli.command {
        Command::Render(command) => command.run(),
        Command::Diff(command) => command.run(),
        Command::Test(command) => command.run(),
        Command::Lint(command) => command.run(),
        Command::Plugin(command) => command.run(),
        Command::Get(command) => command.run(),
        Command::Explain(command) => command.run(),
        Command::Trace(command) => command.run(),
        Command::Tree(command) => command.run(),
        Command::Events(command) => command.run(),
        Command::History(command) => command.run(),
        Command::Rollback(command) => command.run(),
        Command::Reconcile(command) => command.run(),
        Command::Suspend(command) => command.run(),
        Command::Resume(command) => command.run(),
        Command::Install(command) => command.run(),
        Command::Migrate(command) => command.run(),
        Command::Controller(command) => command.run(),
        Command::Completion(command) => command.run(),
        Command::Compile(command) => command.run(),
        Command::Version => {
            output::line(format_args!("plumb {}", env!("CARGO_PKG_VERSION"))).map(|()| ExitCode::SUCCESS)
        }
    };
    result.unwrap_or_else(|error| {
        output::error(&error);
        // 1 means "there is a difference" where a command has such an answer.
        ExitCode::from(2)
    })
}
