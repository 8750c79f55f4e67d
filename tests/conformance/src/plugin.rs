use std::env;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use plumb_api::{Object, PostBuild};
use plumb_pipeline::Variables;
use plumb_plugin::{Call, CallError, Host, HostConfig, PluginError, World};
use plumb_tree::{Directory, View};
use serde_json::json;

use crate::{Case, Rendering, Substitution, folder};

/// Larger than any file of a case.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// The kustomize plugin.
#[derive(Debug)]
pub struct Plugin(plumb_plugin::Plugin);

impl Plugin {
    /// Loads the plugin from `$PLUMB_PLUGIN_DIR`, or from where `cargo xtask build` puts it. What it is compiled to is kept
    /// in the folder `cache`.
    pub fn load(cache: &Path) -> anyhow::Result<Self> {
        Ok(Self(load("kustomize", World::Renderer, cache)?))
    }

    /// Renders a case. An error of this function is one that says nothing about the case, such as a limit that was met.
    pub fn render(&self, case: &Case) -> anyhow::Result<Rendering> {
        let tree = Directory::open(&case.root).with_context(|| format!("opening {}", case.root.display()))?;
        let view = Arc::new(View::new(Arc::new(tree), MAX_FILE_BYTES));
        match self.0.render(view, &json!({"path": case.path}), &Call::default()) {
            Ok(objects) => {
                Ok(Rendering::Objects(objects.iter().map(serde_json::to_string).collect::<Result<_, _>>()?))
            }
            Err(CallError::Reported(errors)) => Ok(Rendering::Error(messages(errors))),
            Err(error) => Err(error.into()),
        }
    }
}

/// The plugin that puts variables into objects.
#[derive(Debug)]
pub struct Substitute(plumb_plugin::Plugin);

impl Substitute {
    /// Loads the plugin as [`Plugin::load`] does.
    pub fn load(cache: &Path) -> anyhow::Result<Self> {
        Ok(Self(load("substitute", World::Transformer, cache)?))
    }

    /// Puts the variables of a case into objects, as the host does.
    pub fn substitute(&self, case: &Substitution, given: &[String]) -> anyhow::Result<Rendering> {
        let given = given.iter().map(|text| Ok(Object::new(serde_json::from_str(text)?)?));
        let given: Vec<Object> = given.collect::<anyhow::Result<_>>()?;
        let spec: PostBuild = serde_json::from_value(json!({"substitute": case.variables}))?;
        let parameters = Variables::merge([], &spec.substitute).parameters();
        match self.0.transform(&given, &parameters, &Call::default()) {
            Ok(objects) => {
                Ok(Rendering::Objects(objects.iter().map(serde_json::to_string).collect::<Result<_, _>>()?))
            }
            Err(CallError::Reported(errors)) => Ok(Rendering::Error(messages(errors))),
            Err(error) => Err(error.into()),
        }
    }
}

pub(crate) fn messages(errors: Vec<PluginError>) -> String {
    errors.into_iter().map(|error| error.message).collect::<Vec<_>>().join("\n")
}

pub(crate) fn load(name: &str, world: World, cache: &Path) -> anyhow::Result<plumb_plugin::Plugin> {
    let file = plugins_folder().join(format!("{name}.wasm"));
    ensure!(
        file.exists(),
        "there is no {}: build it with `cargo xtask build`, or set PLUMB_PLUGIN_DIR to the folder that holds it",
        file.display()
    );
    let host = Host::new(HostConfig { cache_dir: Some(cache.to_owned()), ..HostConfig::default() })?;
    host.load_file(name, &file, world).with_context(|| format!("loading {}", file.display()))
}

fn plugins_folder() -> PathBuf {
    env::var_os("PLUMB_PLUGIN_DIR").map_or_else(|| folder().join("../../target/plugins"), PathBuf::from)
}
