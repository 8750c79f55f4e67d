//! What a command uses of this machine: plugins, caches, directories.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::Args;
use plumb_pipeline::{Builtins, Engine};
use plumb_plugin::{Host, HostConfig};
use plumb_tree::{Directory, Tree};

/// Where the built-in plugins are.
#[derive(Clone, Debug, Args)]
pub(crate) struct PluginDir {
    /// The directory of the built-in plugins. By default it is looked for beside the plumb binary.
    #[arg(long, env = "PLUMB_PLUGIN_DIR", hide_env_values = true)]
    plugin_dir: Option<PathBuf>,
}

impl PluginDir {
    pub(crate) fn find(&self) -> anyhow::Result<PathBuf> {
        let executable = std::env::current_exe().context("cannot tell where the plumb binary is")?;
        // The binary may have been called through a link, as package managers make them.
        let executable = executable.canonicalize().unwrap_or(executable);
        Ok(Builtins::find_directory(self.plugin_dir.as_deref(), &executable)?)
    }

    /// The built-in plugins. Compiled plugins are kept in the user's cache directory.
    pub(crate) fn load(&self) -> anyhow::Result<Builtins> {
        let config = HostConfig { cache_dir: Some(cache_dir()?.join("plugins")), ..HostConfig::default() };
        Ok(Builtins::new(Host::new(config)?, self.find()?))
    }
}

/// An engine for one command.
pub(crate) fn engine() -> Engine {
    Engine::default()
}

/// `$XDG_CACHE_HOME/plumbline`, or `~/.cache/plumbline`.
pub(crate) fn cache_dir() -> anyhow::Result<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_CACHE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".cache")))
        .map(|base| base.join("plumbline"))
        .context("cannot tell where to keep caches: set XDG_CACHE_HOME or HOME")
}

/// A directory as a source: the tree, and the path inside it that was asked for.
pub(crate) struct Source {
    pub(crate) tree: Arc<dyn Tree>,
    pub(crate) path: String,
}

impl Source {
    /// Opens `path` inside `root`; without one, inside the Git work tree that holds it, as a `GitRepository` would have it, or
    /// else by itself.
    pub(crate) fn open(path: &Path, root: Option<&Path>) -> anyhow::Result<Self> {
        let absolute = path.canonicalize().with_context(|| format!("cannot open {}", path.display()))?;
        let root = match root {
            Some(root) => root.canonicalize().with_context(|| format!("cannot open {}", root.display()))?,
            None => work_tree(&absolute).unwrap_or(&absolute).to_owned(),
        };
        let Ok(inside) = absolute.strip_prefix(&root) else {
            bail!("{} is not inside the root {}", absolute.display(), root.display());
        };
        let path = inside.to_str().with_context(|| format!("{} is not UTF-8", inside.display()))?.to_owned();
        let tree = Directory::open(&root).with_context(|| format!("cannot open {}", root.display()))?;
        Ok(Self { tree: Arc::new(tree), path })
    }
}

/// The nearest directory above that Git knows as a work tree.
pub(crate) fn work_tree(path: &Path) -> Option<&Path> {
    path.ancestors().find(|directory| directory.join(".git").exists())
}
