//! Rust, by cargo for wasm32-unknown-unknown: the module has its contract in it already.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use plumb_component::encode_rust;

use super::super::project::Project;
use super::super::runner::read;

const TARGET: &str = "wasm32-unknown-unknown";

/// Builds the crate and makes a component of it.
pub(super) fn build(project: &Project) -> anyhow::Result<Vec<u8>> {
    let target = project.directory.join("target");
    let mut cargo = cargo(project)?;
    cargo.args(["build", "--release", "--lib", "--target", TARGET, "--target-dir"]).arg(&target);
    super::run(project, &mut cargo, "install Rust from https://rustup.rs")?;
    let file = format!("{}.wasm", project.manifest.name.replace('-', "_"));
    let module = target.join(TARGET).join("release").join(file);
    let module = read(&module).context(
        "cargo succeeded, but the module is not where it should be; the crate's name must be that in plugin.yaml, and its \
         crate-type must include \"cdylib\"",
    )?;
    encode_rust(&module)
}

/// A cargo that can compile for [`TARGET`]. What cargo itself would say of a target that is missing fills a screen.
fn cargo(project: &Project) -> anyhow::Result<Command> {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let Some(libraries) = rustc_says(project, &rustc, &["--print", "target-libdir", "--target", TARGET])
    else {
        bail!(
            "there is no Rust here; install it from https://rustup.rs, and then `rustup target add {TARGET}`"
        )
    };
    if Path::new(&libraries).is_dir() {
        return Ok(Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())));
    }
    debian_cargo(project).with_context(|| {
        format!("Rust cannot compile for {TARGET} here; run `rustup target add {TARGET}`, or on Debian install rustc-web, cargo-web and rust-web-src")
    })
}

/// Debian has the sources of the standard library instead of what was compiled of them, and the linker beside them.
fn debian_cargo(project: &Project) -> Option<Command> {
    let (rustc, cargo) = ("/usr/bin/rustc", "/usr/bin/cargo");
    let sysroot = PathBuf::from(rustc_says(project, rustc, &["--print", "sysroot"])?);
    let host = rustc_says(project, rustc, &["--print", "host-tuple"])?;
    let linker =
        [sysroot.join(format!("lib/rustlib/{host}/bin/rust-lld")), PathBuf::from("/usr/bin/rust-lld")];
    let linker = linker.into_iter().find(|linker| linker.exists())?;
    let has_sources = sysroot.join("lib/rustlib/src/rust/library/std/Cargo.toml").is_file();
    if !has_sources || !Path::new(cargo).exists() {
        return None;
    }
    let mut command = Command::new(cargo);
    command
        .envs([("RUSTC", rustc), ("RUSTC_BOOTSTRAP", "1")])
        .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker)
        // Set by rustup's cargo, if one has started us, for a compiler that is not used here.
        .env_remove("RUSTUP_TOOLCHAIN")
        .arg("-Zbuild-std=std,panic_abort");
    Some(command)
}

/// What the compiler answers; none when there is no such compiler, or it fails.
fn rustc_says(project: &Project, rustc: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(rustc).args(args).current_dir(&project.directory).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
