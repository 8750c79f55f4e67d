//! Writes the Go side of the contract.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::json;
use wit_bindgen_core::Files;

use crate::contract::Contract;

/// Writes the bindings of the contract's world to the folder `out`, and next to them `overlay.json`, which shows them to
/// `go build -overlay` as if they were in the folder `place` of the guest's sources. So they are never stale, and never in the repository.
///
/// The bindings need the module `go.bytecodealliance.org/pkg`. What the guest exports, it implements in files of its own
/// inside the packages `exports/…` that are written here.
///
/// # Errors
/// When the bindings cannot be made or written.
pub fn go_overlay(contract: &Contract, package: &str, place: &Path, out: &Path) -> Result<()> {
    let place = std::path::absolute(place)?;
    let out = std::path::absolute(out)?;
    let mut replace = BTreeMap::new();
    for (name, contents) in generate(contract, package)?.iter() {
        let (path, shown_at) = (out.join(name), place.join(name));
        write_file(&path, contents)?;
        // Go's assembler goes to the folder of its sources, overlay or not. Git does not see empty folders.
        create_directory_of(&shown_at)?;
        replace.insert(text(shown_at)?, text(path)?);
    }
    write_file(&out.join("overlay.json"), json!({ "Replace": replace }).to_string().as_bytes())
}

/// Writes the bindings of the contract's world to the folder `place`, whose import path is `package`.
///
/// # Errors
/// When the bindings cannot be made or written.
pub fn go_bindings(contract: &Contract, package: &str, place: &Path) -> Result<()> {
    for (name, contents) in generate(contract, package)?.iter() {
        write_file(&place.join(name), contents)?;
    }
    Ok(())
}

fn generate(contract: &Contract, package: &str) -> Result<Files> {
    let mut files = Files::default();
    wit_bindgen_go::Opts { pkg_name: Some(package.to_owned()), quiet: true, ..Default::default() }
        .build()
        .generate(&mut contract.resolve.clone(), contract.world, &mut files)
        .context("cannot make the Go bindings")?;
    Ok(files)
}

fn write_file(path: &Path, contents: &[u8]) -> Result<()> {
    create_directory_of(path)?;
    fs::write(path, contents).with_context(|| format!("cannot write {}", path.display()))
}

fn create_directory_of(path: &Path) -> Result<()> {
    let Some(directory) = path.parent() else { return Ok(()) };
    fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))
}

fn text(path: PathBuf) -> Result<String> {
    path.into_os_string()
        .into_string()
        .map_err(|path| anyhow::anyhow!("Go needs a path that is UTF-8, which {} is not", path.display()))
}
