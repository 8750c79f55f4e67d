//! Builds `plugins/yaml`: plain YAML files, in Rust, as a component.

use std::path::Path;
use std::process::Command;

use crate::plugins::Context;
use crate::tools::WasmStd;

const TARGET: &str = "wasm32-unknown-unknown";

/// Builds the plugin and writes the finished component to `out`.
///
/// Fails with the output of the step that failed.
pub(crate) fn build(context: &Context<'_>, out: &Path) -> anyhow::Result<()> {
    let target_dir = context.compiler_cache();
    context.run(
        "compile the reader of plain files",
        cargo(context)
            .current_dir(context.root().join("plugins/yaml"))
            .args(["build", "--release", "--locked", "--target", TARGET, "--target-dir"])
            .arg(&target_dir),
    )?;
    let module = target_dir.join(TARGET).join("release/plumb_yaml.wasm");
    let componentize = context.componentize()?;
    context.run(
        "make it a component",
        Command::new(&componentize)
            .current_dir(context.root())
            .arg("rust")
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
