//! Build and development commands: `cargo xtask help`.
//!
//! This program runs before anything about the machine is known, so it depends on almost nothing,
//! compiles in seconds, and begins every command by naming the tools that are missing.
#![forbid(unsafe_code)]

mod bench;
mod cache;
mod checkout;
mod demo;
mod devcluster;
mod fuzz;
mod groups;
mod host;
mod lint;
mod plugins;
mod progress;
mod servers;
mod tools;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use checkout::Checkout;
use groups::Group;
use progress::Progress;
use tools::Need;

#[derive(Parser)]
#[command(bin_name = "cargo xtask", about = "Build and development commands of Plumbline")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install the tools that are missing, with the commands that the other commands print
    Setup,
    /// Build target/release/plumb and target/plugins/*.wasm
    Build,
    /// Build target/plugins/*.wasm only
    Plugins,
    /// Show the main job on a throw-away cluster, from nothing
    Demo {
        /// Leave the cluster running, and say how to look around
        #[arg(long)]
        keep: bool,
        /// Arguments for the demo program itself
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Measure the controller on a throw-away cluster, and renders: one line of JSON a figure
    Bench {
        /// How many applications, one Kustomization or HelmRelease each, separated by commas: each number is a run of its own. By default 100
        /// and 1000 Kustomizations, and 100 and 500 HelmReleases
        #[arg(long, value_delimiter = ',')]
        apps: Vec<u32>,
        /// A directory with Flux's source-controller, kustomize-controller and helm-controller, to do the same work in the same run
        #[arg(long, value_name = "DIR")]
        peer_bin: Option<PathBuf>,
        /// Only this
        what: Option<bench::What>,
    },
    /// Run all tests, or one group of them
    Test {
        /// Only this group
        group: Option<Group>,
        /// Only tests with this text in their name
        filter: Option<String>,
    },
    /// Feed any bytes to what loads plugins, takes their answers, and decrypts files, and tell what breaks
    Fuzz {
        /// Only this target
        target: Option<fuzz::Target>,
        /// How long each target runs
        #[arg(long, default_value_t = 600)]
        seconds: u32,
    },
    /// Build the programs in Go that tests run, into target; `test` does that too
    Servers,
    /// Check formatting and lints
    Check,
    /// Start or stop a Kubernetes cluster on this machine, without containers
    #[command(subcommand)]
    Devcluster(Devcluster),
}

#[derive(Subcommand)]
enum Devcluster {
    /// Start a cluster in DIR and leave it running
    Up(Directory),
    /// Stop the cluster in DIR and remove DIR
    Down(Directory),
    /// Say what runs
    Status(Directory),
    /// Print the path of the kubeconfig
    Kubeconfig(Directory),
}

#[derive(clap::Args)]
struct Directory {
    /// The directory that holds everything of the cluster
    #[arg(long)]
    dir: PathBuf,
}

fn main() -> ExitCode {
    if let Some(code) = fuzz::compile_if_asked() {
        return code;
    }
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    let progress = Progress::start();
    let checkout = Checkout::find()?;
    match command {
        Command::Setup => tools::setup(&progress),
        Command::Build => {
            tools::check(&[Need::Build])?;
            plugins::build_all(&checkout, &progress)?;
            host::build(&checkout, &progress).map(drop)
        }
        Command::Plugins => {
            tools::check(&[Need::Build])?;
            plugins::build_all(&checkout, &progress)
        }
        Command::Demo { keep, arguments } => {
            tools::check(&[Need::Build])?;
            let life = if keep { devcluster::Life::Kept } else { devcluster::Life::Ours };
            demo::run(&checkout, &progress, life, &arguments)
        }
        Command::Bench { apps, peer_bin, what } => {
            tools::check(&[Need::Build])?;
            bench::run(&checkout, &progress, what, &apps, peer_bin.as_deref())
        }
        Command::Test { group, filter } => {
            tools::check(&[Need::Build, Need::Test])?;
            groups::run(&checkout, &progress, group, filter.as_deref())
        }
        Command::Fuzz { target, seconds } => {
            tools::check(&[Need::Build])?;
            fuzz::run(&checkout, &progress, target, seconds)
        }
        Command::Servers => {
            tools::check(&[Need::Build])?;
            servers::build(&checkout, &progress)
        }
        Command::Check => {
            tools::check(&[Need::Build, Need::Lint])?;
            lint::run(&checkout, &progress)
        }
        Command::Devcluster(command) => devcluster_command(command, &checkout, &progress),
    }
}

fn devcluster_command(command: Devcluster, checkout: &Checkout, progress: &Progress) -> anyhow::Result<()> {
    // Asked for by scripts: no tool is needed to say where the file is.
    if let Devcluster::Kubeconfig(Directory { dir }) = &command {
        return devcluster::print_kubeconfig(dir);
    }
    tools::check(&[Need::Devcluster])?;
    match command {
        Devcluster::Up(Directory { dir }) => devcluster::command("up", &dir, checkout, progress),
        Devcluster::Down(Directory { dir }) => devcluster::command("down", &dir, checkout, progress),
        Devcluster::Status(Directory { dir }) | Devcluster::Kubeconfig(Directory { dir }) => {
            devcluster::command("status", &dir, checkout, progress)
        }
    }
}
