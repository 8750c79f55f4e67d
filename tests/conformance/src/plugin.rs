use std::env;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use plumb_plugin::{Call, CallError, Host, HostConfig, World};
use plumb_tree::{Directory, View};
use serde_json::json;

use crate::{Case, Rendering, folder};

/// Larger than any file of a case.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// The kustomize plugin.
#[derive(Debug)]
pub struct Plugin(plumb_plugin::Plugin);

impl Plugin {
    /// Loads the plugin from `$PLUMB_PLUGIN_DIR`, or from where `cargo xtask build` puts it. What it is compiled to is kept
    /// in the folder `cache`.
    pub fn load(cache: &Path) -> anyhow::Result<Self> {
        let file = plugins_folder().join("kustomize.wasm");
        ensure!(
            file.exists(),
            "there is no {}: build it with `cargo xtask build`, or set PLUMB_PLUGIN_DIR to the folder that holds it",
            file.display()
        );
        let host = Host::new(HostConfig { cache_dir: Some(cache.to_owned()), ..HostConfig::default() })?;
        let plugin = host
            .load_file("kustomize", &file, World::Renderer)
            .with_context(|| format!("loading {}", file.display()))?;
        Ok(Self(plugin))
    }

    /// Renders a case. An error of this function is one that says nothing about the case, such as a limit that was met.
    pub fn render(&self, case: &Case) -> anyhow::Result<Rendering> {
        let tree = Directory::open(&case.root).with_context(|| format!("opening {}", case.root.display()))?;
        let view = Arc::new(View::new(Arc::new(tree), MAX_FILE_BYTES));
        match self.0.render(view, &json!({"path": case.path}), &Call::default()) {
            Ok(objects) => {
                Ok(Rendering::Objects(objects.iter().map(serde_json::to_string).collect::<Result<_, _>>()?))
            }
            Err(CallError::Reported(errors)) => {
                let messages: Vec<_> = errors.into_iter().map(|error| error.message).collect();
                Ok(Rendering::Error(messages.join("\n")))
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn plugins_folder() -> PathBuf {
    env::var_os("PLUMB_PLUGIN_DIR").map_or_else(|| folder().join("../../target/plugins"), PathBuf::from)
}
