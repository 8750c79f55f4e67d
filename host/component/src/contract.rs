//! The WIT package of the contract, and the world in it that a guest is built for.

use std::path::Path;

use anyhow::{Context as _, Result};
use wit_parser::{Resolve, WorldId};

/// The function that initialises a Go guest once and for all while it is built. The component goes on exporting it
/// (the tool that takes the snapshot cannot remove an export of a component); nobody calls it again.
pub const INITIALIZE: &str = "initialize";

/// A world of the contract, and every package that it needs.
#[derive(Clone)]
pub struct Contract {
    pub(crate) resolve: Resolve,
    pub(crate) world: WorldId,
}

impl Contract {
    /// Reads the WIT files of a directory, and of `deps` in it.
    ///
    /// # Errors
    /// When the directory cannot be read, its text is not WIT, or it has no such world.
    pub fn load(directory: &Path, world: &str) -> Result<Self> {
        let mut resolve = Resolve::default();
        let (package, _) = resolve
            .push_dir(directory)
            .with_context(|| format!("cannot read the contract in {}", directory.display()))?;
        let world = resolve
            .select_world(&[package], Some(world))
            .with_context(|| format!("{} has no world {world:?}", directory.display()))?;
        Ok(Self { resolve, world })
    }

    /// The same world with the export [`INITIALIZE`].
    ///
    /// # Errors
    /// When the world is not in a package of its own, which [`Contract::load`] excludes.
    pub fn initialized(&self) -> Result<Self> {
        let mut resolve = self.resolve.clone();
        let world = &resolve.worlds[self.world];
        let package = world.package.context("the world is in no package")?;
        let package = &resolve.packages[package].name;
        let version = package.version.as_ref().map(|version| format!("@{version}")).unwrap_or_default();
        let build = format!(
            "package plumbline:build;\n\
             world initialized {{ include {}:{}/{}{version}; export {INITIALIZE}: func(); }}\n",
            package.namespace, package.name, world.name
        );
        let build = resolve.push_str("build.wit", &build).context("cannot derive the world of a Go guest")?;
        let world = resolve.select_world(&[build], Some("initialized"))?;
        Ok(Self { resolve, world })
    }

    /// What a component of this world may import and must export.
    pub fn shape(&self) -> Shape {
        Shape::of(&self.resolve, self.world)
    }
}

/// The names of what a component of a world imports and exports, as it writes them: `plumbline:plugin/render@0.1.0`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// What it imports.
    pub imports: Vec<String>,
    /// What it exports.
    pub exports: Vec<String>,
}

impl Shape {
    fn of(resolve: &Resolve, world: WorldId) -> Self {
        let world = &resolve.worlds[world];
        Self {
            imports: world.imports.keys().map(|key| resolve.name_world_key(key)).collect(),
            exports: world.exports.keys().map(|key| resolve.name_world_key(key)).collect(),
        }
    }
}
