//! The main job, shown step by step on the cluster of `KUBECONFIG`: `cargo xtask demo` prepares everything and runs this.
#![forbid(unsafe_code)]

mod narrate;
mod story;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// Shows the main job on the cluster of KUBECONFIG. `cargo xtask demo` prepares everything and runs this.
#[derive(Debug, Parser)]
struct Args {
    /// The files that the repository begins with.
    #[arg(long, default_value = "examples/multi-env")]
    example: PathBuf,
    /// Leave the objects, the Git server and the controller as they are at the end, until Ctrl-C.
    #[arg(long)]
    keep: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    match story::tell(&args.example, args.keep).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            narrate::failed(&error);
            ExitCode::FAILURE
        }
    }
}
