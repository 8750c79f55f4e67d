//! The WIT package of the contract, and the world in it that a guest is built for.

use std::path::Path;

use anyhow::{Context, Result};
use wit_parser::{Resolve, WorldId};

/// The function that initialises a Go guest once and for all while it is built. The component goes on exporting it
/// (the tool that takes the snapshot cannot remove an export of a component); nobody calls it again.
pub(crate) const INITIALIZE: &str = "initialize";

/// A world of the contract.
pub(crate) struct Contract {
    /// Every package that was read.
    pub(crate) resolve: Resolve,
    /// The world as it is written in the contract.
    pub(crate) world: WorldId,
    /// The same world with the export [`INITIALIZE`].
    pub(crate) initialized_world: WorldId,
}

impl Contract {
    /// Reads the WIT files of a directory.
    ///
    /// # Errors
    /// When the directory cannot be read, its text is not WIT, or it has no such world.
    pub(crate) fn load(directory: &Path, world: &str) -> Result<Self> {
        let mut resolve = Resolve::default();
        let (package, _) = resolve
            .push_dir(directory)
            .with_context(|| format!("cannot read the contract in {}", directory.display()))?;
        let world_id = resolve
            .select_world(&[package], Some(world))
            .with_context(|| format!("{} has no world {world:?}", directory.display()))?;
        let name = resolve.packages[package].name.clone();
        let version = name.version.as_ref().map(|version| format!("@{version}")).unwrap_or_default();
        let build = format!(
            "package plumbline:build;\n\
             world initialized {{ include {0}:{1}/{world}{version}; export {INITIALIZE}: func(); }}\n",
            name.namespace, name.name
        );
        let build = resolve.push_str("build.wit", &build).context("cannot derive the world of a Go guest")?;
        let initialized_world = resolve.select_world(&[build], Some("initialized"))?;
        Ok(Self { resolve, world: world_id, initialized_world })
    }

    /// The names of what a component of this world may import, as a component writes them.
    pub(crate) fn allowed_imports(&self) -> Vec<String> {
        let world = &self.resolve.worlds[self.world];
        world.imports.keys().map(|key| self.resolve.name_world_key(key)).collect()
    }

    /// The names of what a component of this world must export.
    pub(crate) fn required_exports(&self) -> Vec<String> {
        let world = &self.resolve.worlds[self.world];
        world.exports.keys().map(|key| self.resolve.name_world_key(key)).collect()
    }
}
