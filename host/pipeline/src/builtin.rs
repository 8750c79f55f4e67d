use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use plumb_plugin::{Host, LoadError, Plugin, World};

/// The plugins that come with the host, as files `NAME.wasm` of one directory. Each is loaded when it is first needed, and kept.
#[derive(Clone)]
pub struct Builtins {
    host: Host,
    directory: PathBuf,
    loaded: Arc<Mutex<HashMap<String, Plugin>>>,
}

/// Why a built-in plugin could not be had.
#[derive(Debug, thiserror::Error)]
pub enum BuiltinError {
    /// None of the places where the plugins may be has them.
    #[error(
        "the built-in plugins were found in none of {}; name their directory with --plugin-dir or PLUMB_PLUGIN_DIR, \
         or build them with `cargo xtask build`",
        .0.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
    )]
    NoDirectory(Vec<PathBuf>),
    /// The plugin is there, or should be, and cannot be loaded.
    #[error("the built-in plugin {name} cannot be loaded from {}", .path.display())]
    Load {
        /// The name of the plugin.
        name: String,
        /// The file it was looked for in.
        path: PathBuf,
        /// What the plugin host says.
        source: LoadError,
    },
}

impl Builtins {
    /// Takes the plugins from `directory`.
    pub fn new(host: Host, directory: PathBuf) -> Self {
        Self { host, directory, loaded: Arc::default() }
    }

    /// Where the plugins are: `chosen` if the user chose a directory; otherwise `plugins` beside the executable or beside its
    /// directory, or `lib/plumbline/plugins` below the prefix that it is installed in.
    pub fn find_directory(chosen: Option<&Path>, executable: &Path) -> Result<PathBuf, BuiltinError> {
        let candidates = match (chosen, executable.parent()) {
            (Some(chosen), _) => vec![chosen.to_owned()],
            (None, Some(bin)) => {
                vec![bin.join("plugins"), bin.join("../plugins"), bin.join("../lib/plumbline/plugins")]
            }
            (None, None) => Vec::new(),
        };
        match candidates.iter().find(|directory| directory.is_dir()) {
            Some(directory) => Ok(directory.clone()),
            None => Err(BuiltinError::NoDirectory(candidates)),
        }
    }

    /// The built-in renderer `name`. Compiles it when this machine has not done so before, which takes some seconds.
    pub fn renderer(&self, name: &str) -> Result<Plugin, BuiltinError> {
        self.load(name, World::Renderer)
    }

    /// The built-in transformer `name`, as [`Self::renderer`].
    pub fn transformer(&self, name: &str) -> Result<Plugin, BuiltinError> {
        self.load(name, World::Transformer)
    }

    fn load(&self, name: &str, world: World) -> Result<Plugin, BuiltinError> {
        if let Some(plugin) = self.loaded.lock().get(name) {
            return Ok(plugin.clone());
        }
        let path = self.directory.join(format!("{name}.wasm"));
        // Not under the lock: whoever loads the same plugin meanwhile gets the same one from the host.
        let plugin = self.host.load_file(name, &path, world).map_err(|source| BuiltinError::Load {
            name: name.to_owned(),
            path,
            source,
        })?;
        self.loaded.lock().insert(name.to_owned(), plugin.clone());
        Ok(plugin)
    }
}
