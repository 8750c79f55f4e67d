//! Builds the plugins that are written in Rust as components.

use std::path::Path;
use std::process::Command;

use crate::plugins::Context;
use crate::tools::WasmStd;

const TARGET: &str = "wasm32-unknown-unknown";

/// Builds a plugin for a world of the contract, and writes the finished component to `out`.
///
/// Fails with the output of the step that failed.
pub(super) fn build(context: &Context<'_>, world: &str, out: &Path) -> anyhow::Result<()> {
    let target_dir = context.compiler_cache();
    let package = format!("plumb-{}", context.name());
    context.run(
        "compile it",
        cargo(context)
            .current_dir(context.root().join("plugins"))
            // One package at a time: together they would turn on each other's features of what they share.
            .args([
                "build",
                "--release",
                "--locked",
                "--package",
                &package,
                "--target",
                TARGET,
                "--target-dir",
            ])
            .arg(&target_dir),
    )?;
    let module = target_dir.join(TARGET).join(format!("release/{}.wasm", package.replace('-', "_")));
    let componentize = context.componentize()?;
    context.run(
        "make it a component",
        Command::new(&componentize)
            .current_dir(context.root())
            .args(["rust", "--world", world])
            .arg(&module)
            .arg("--out")
            .arg(out),
    )
}

/// A cargo that can compile for [`TARGET`].
fn cargo(context: &Context<'_>) -> Command {
    match context.wasm_std() {
        WasmStd::Target => context.cargo(),
        WasmStd::DebianSources { rust_lld } => {
            let mut cargo = context.command("/usr/bin/cargo");
            cargo
                .envs([("RUSTC", "/usr/bin/rustc"), ("RUSTC_BOOTSTRAP", "1")])
                .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", rust_lld)
                // Set by the cargo that this program was started with, for a compiler that is not used here.
                .env_remove("RUSTUP_TOOLCHAIN")
                .arg("-Zbuild-std=std,panic_abort");
            cargo
        }
    }
}
