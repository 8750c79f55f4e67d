//! Turns the core WebAssembly module that a compiler wrote into a component that the host loads.
//!
//! In goes a core module (from Go or Rust) and the contract in `wit/`; out comes a component that imports nothing but what
//! its world allows. A Go module takes four steps: its data segments are merged, it is encoded together with our
//! stand-in for WASI, it is initialised once and for all, and the result is loaded and run. A Rust module for
//! `wasm32-unknown-unknown` needs no WASI and no initialisation, so two of the steps are left out.

#![forbid(unsafe_code)]

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use plumb_component::Contract;

mod initialize;
mod verify;

#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write the Go bindings of a world, and an overlay.json that shows them to `go build -overlay`.
    GoBindings {
        #[command(flatten)]
        contract: ContractArgs,
        /// The import path that the bindings have.
        #[arg(long)]
        package: String,
        /// The folder of the guest's sources that the import path stands for.
        #[arg(long)]
        place: PathBuf,
        /// The folder that the files are written to.
        #[arg(short, long)]
        out: PathBuf,
    },
    /// Turn a core module that Go built (GOOS=wasip1, -buildmode=c-shared) into an initialised component.
    Go(BuildArgs),
    /// Turn a core module that rustc built (wasm32-unknown-unknown) into a component.
    Rust(BuildArgs),
    /// Load a component and check that it imports only what its world allows.
    Verify {
        #[command(flatten)]
        contract: ContractArgs,
        /// The component.
        component: PathBuf,
    },
}

#[derive(Args)]
struct ContractArgs {
    /// The directory with the WIT files of the contract.
    #[arg(long, default_value = "wit")]
    wit: PathBuf,
    /// The world that the guest is built for.
    #[arg(long, default_value = "renderer")]
    world: String,
}

#[derive(Args)]
struct BuildArgs {
    #[command(flatten)]
    contract: ContractArgs,
    /// The core module.
    module: PathBuf,
    /// Where the component is written.
    #[arg(short, long)]
    out: PathBuf,
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Command::GoBindings { contract, package, place, out } => {
            let contract = Contract::load(&contract.wit, &contract.world)?.initialized()?;
            plumb_component::go_overlay(&contract, &package, &place, &out)
        }
        Command::Go(args) => build_go(&args),
        Command::Rust(args) => build_rust(&args),
        Command::Verify { contract, component } => {
            verify::verify(&read(&component)?, &Contract::load(&contract.wit, &contract.world)?)
                .with_context(|| format!("{} is not usable as a plugin", component.display()))
        }
    }
}

fn build_go(args: &BuildArgs) -> Result<()> {
    let contract = Contract::load(&args.contract.wit, &args.contract.world)?;
    let module =
        plumb_component::merge_segments(&read(&args.module)?).context("cannot merge the data segments")?;
    let component = plumb_component::encode_go(module, &contract.initialized()?)?;
    let component = initialize::initialize(&component)?;
    verify::verify(&component, &contract).context("the initialised component is not usable")?;
    write(&args.out, &component)
}

fn build_rust(args: &BuildArgs) -> Result<()> {
    let contract = Contract::load(&args.contract.wit, &args.contract.world)?;
    let component = plumb_component::encode_rust(&read(&args.module)?)?;
    verify::verify(&component, &contract).context("the component is not usable")?;
    write(&args.out, &component)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Writes next to the target and renames, so that nobody ever loads half a component.
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let unfinished = path.with_extension("wasm.unfinished");
    fs::write(&unfinished, bytes).with_context(|| format!("cannot write {}", unfinished.display()))?;
    fs::rename(&unfinished, path).with_context(|| format!("cannot write {}", path.display()))
}
