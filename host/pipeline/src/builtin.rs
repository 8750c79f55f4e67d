use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use plumb_api::is_object_name;
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
    /// There is no built-in plugin of this name.
    #[error("there is no built-in plugin {name:?}; there are {}", .known.join(", "))]
    Unknown {
        /// The name that was asked for.
        name: String,
        /// The names that there are.
        known: Vec<String>,
    },
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

/// Whether a plugin uses what it imports only where its input needs it, and says in its own words what the step lacks: most charts do without `lookup`,
/// randomness and the clock. To another plugin of this name the host says so when it asks.
pub(crate) fn asks_when_needed(name: &str) -> bool {
    name == "helm"
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

    /// The built-in plugin `name`, of whichever world, as [`Self::renderer`].
    ///
    /// # Errors
    ///
    /// When there is none of this name, or it cannot be loaded.
    pub fn plugin(&self, name: &str) -> Result<Plugin, BuiltinError> {
        // A name that is none must not become a path.
        if !is_object_name(name) || !self.path(name).is_file() {
            return Err(BuiltinError::Unknown { name: name.to_owned(), known: self.names() });
        }
        if let Some(plugin) = self.loaded.lock().get(name) {
            return Ok(plugin.clone());
        }
        let path = self.path(name);
        let plugin = self.host.open(name, &path).map_err(|source| BuiltinError::Load {
            name: name.to_owned(),
            path,
            source,
        })?;
        self.loaded.lock().insert(name.to_owned(), plugin.clone());
        Ok(plugin)
    }

    /// The names of all built-in plugins, in alphabetical order; none when their directory cannot be read.
    pub fn names(&self) -> Vec<String> {
        let entries = self.directory.read_dir().into_iter().flatten().flatten();
        let name = |path: PathBuf| Some(path.file_name()?.to_str()?.strip_suffix(".wasm")?.to_owned());
        let mut names: Vec<String> = entries.filter_map(|entry| name(entry.path())).collect();
        names.sort();
        names
    }

    /// What loads the plugins.
    pub fn host(&self) -> &Host {
        &self.host
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.wasm"))
    }

    fn load(&self, name: &str, world: World) -> Result<Plugin, BuiltinError> {
        if let Some(plugin) = self.loaded.lock().get(name) {
            return Ok(plugin.clone());
        }
        let path = self.path(name);
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
