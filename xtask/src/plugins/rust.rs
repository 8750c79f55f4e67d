//! Builds the plugins that are written in Rust as components.

use std::path::Path;
use std::process::Command;

use crate::plugins::Context;
use crate::tools::WasmStd;

const TARGET: &str = "wasm32-unknown-unknown";

/// Builds a renderer and writes the finished component to `out`.
///
/// Fails with the output of the step that failed.
pub(crate) fn renderer(context: &Context<'_>, out: &Path) -> anyhow::Result<()> {
    build(context, "renderer", out)
}

/// The same for a transformer.
pub(crate) fn transformer(context: &Context<'_>, out: &Path) -> anyhow::Result<()> {
    build(context, "transformer", out)
}

fn build(context: &Context<'_>, world: &str, out: &Path) -> anyhow::Result<()> {
    let target_dir = context.compiler_cache();
    context.run(
        "compile it",
        cargo(context)
            .current_dir(context.root().join("plugins").join(context.plugin))
            .args(["build", "--release", "--locked", "--target", TARGET, "--target-dir"])
            .arg(&target_dir),
    )?;
    let module = target_dir.join(TARGET).join(format!("release/plumb_{}.wasm", context.plugin));
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
