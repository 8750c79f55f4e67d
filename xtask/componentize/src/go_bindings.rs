//! Writes the Go side of the contract.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use wit_bindgen_core::Files;

use crate::contract::Contract;

/// Writes the bindings of the contract's world, with the export that initialises the guest, below `out`.
///
/// They need the module `go.bytecodealliance.org/pkg`. What the guest exports, it implements in files of its own inside the packages
/// `exports/…` that are written here.
///
/// # Errors
/// When the bindings cannot be made or written.
pub(crate) fn write(contract: &Contract, package: &str, out: &Path) -> Result<()> {
    let mut resolve = contract.resolve.clone();
    let mut files = Files::default();
    wit_bindgen_go::Opts { pkg_name: Some(package.to_owned()), quiet: true, ..Default::default() }
        .build()
        .generate(&mut resolve, contract.initialized_world, &mut files)
        .context("cannot make the Go bindings")?;
    for (name, contents) in files.iter() {
        let path = out.join(name);
        let directory = path.parent().unwrap_or(out);
        fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
        fs::write(&path, contents).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
