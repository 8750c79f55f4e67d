//! Encodes a core module as a component of a world.

use anyhow::{Context, Result};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};

use crate::contract::Contract;

/// What answers a Go module's calls to WASI. The file says how.
const STAND_IN_FOR_WASI: &str = include_str!("../adapter/wasi.wat");

/// Which compiler wrote the core module.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guest {
    /// Go: it calls WASI, which our stand-in answers, and exports a function that initialises it.
    Go,
    /// rustc for `wasm32-unknown-unknown`: it calls nothing but the contract, and its metadata is in it already.
    Rust,
}

/// Encodes `module` as a component.
///
/// # Errors
/// When the module imports what neither the world nor the stand-in for WASI has, or does not export what the world asks for.
pub(crate) fn encode(mut module: Vec<u8>, contract: &Contract, guest: Guest) -> Result<Vec<u8>> {
    let mut encoder = ComponentEncoder::default();
    encoder.validate(true);
    if guest == Guest::Go {
        embed_component_metadata(
            &mut module,
            &contract.resolve,
            contract.initialized_world,
            StringEncoding::UTF8,
            false,
        )?;
        let adapter = wat::parse_str(STAND_IN_FOR_WASI).context("adapter/wasi.wat is not a module")?;
        encoder.adapter("wasi_snapshot_preview1", &adapter)?;
    }
    encoder.module(&module).context("the core module was built for another contract")?;
    encoder.encode().context("cannot encode the core module as a component")
}
