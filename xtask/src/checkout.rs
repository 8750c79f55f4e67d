//! Where things are: the checkout, what cargo builds, and what outlives both.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

/// The places that every command works in.
pub(crate) struct Checkout {
    root: PathBuf,
    release: PathBuf,
    cache: PathBuf,
}

impl Checkout {
    /// Finds the checkout that this program was started from, by `cargo xtask`.
    pub(crate) fn find() -> anyhow::Result<Self> {
        let manifest = env::var_os("CARGO_MANIFEST_DIR").context("start this program as `cargo xtask`")?;
        let root =
            Path::new(&manifest).parent().context("CARGO_MANIFEST_DIR names no folder of a workspace")?;
        // Cargo put this executable where it puts every other one, wherever that was configured to be.
        let executable = env::current_exe().context("cannot tell where this program is")?;
        let release = executable.parent().context("this program is in no folder")?;
        Ok(Self { root: root.to_owned(), release: release.to_owned(), cache: cache_dir()? })
    }

    /// The folder of the workspace.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of cargo's finished release executables.
    pub(crate) fn release(&self) -> &Path {
        &self.release
    }

    /// Where the built plugins are, as `NAME.wasm`.
    pub(crate) fn plugins(&self) -> PathBuf {
        self.root.join("target/plugins")
    }

    /// A folder for what is expensive to build and outlives the checkout.
    pub(crate) fn cache(&self) -> &Path {
        &self.cache
    }

    /// A command that runs in the workspace's folder.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root);
        command
    }

    /// The cargo that this program was started with, in the workspace's folder.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
        command.current_dir(&self.root);
        command
    }
}

/// `$PLUMB_CACHE_DIR`, or `plumbline` in the user's cache folder.
fn cache_dir() -> anyhow::Result<PathBuf> {
    if let Some(dir) = absolute("PLUMB_CACHE_DIR") {
        return Ok(dir);
    }
    if let Some(dir) = absolute("XDG_CACHE_HOME") {
        return Ok(dir.join("plumbline"));
    }
    let home =
        absolute("HOME").context("neither HOME nor PLUMB_CACHE_DIR names a folder to keep builds in")?;
    Ok(home.join(".cache/plumbline"))
}

/// A folder named by a variable. Relative ones are ignored, as the XDG base directory specification asks.
fn absolute(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute())
}
