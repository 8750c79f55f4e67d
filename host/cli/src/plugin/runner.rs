//! Loads a plugin for the world that it was made for.

use std::path::Path;

use anyhow::Context as _;
use plumb_plugin::{Host, HostConfig, Plugin};

use crate::local::cache_dir;

/// A host with the user's cache: an engine that lies in a component, as that of JavaScript, takes seconds to compile.
pub(super) fn host() -> anyhow::Result<Host> {
    let config = HostConfig { cache_dir: Some(cache_dir()?.join("plugins")), ..HostConfig::default() };
    Ok(Host::new(config)?)
}

pub(super) fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// The plugin in a file, in the one world that it is made for.
pub(super) fn load(host: &Host, path: &Path) -> anyhow::Result<Plugin> {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    Ok(host.open(&name, path)?)
}
