use std::sync::Arc;

use crate::{ContentId, Entry, EntryKind, Tree, TreeError, TreePath};

/// Which paths of a tree are shown.
///
/// It is asked for one path at a time and told the tree below, so that rules which stand in the tree are read when they are
/// needed: nobody walks a tree to filter it.
pub trait Filter: std::fmt::Debug + Send + Sync {
    /// Whether what is at `path`, which is of this kind in `tree`, is shown. Never called for the root, which always is.
    ///
    /// What is in a directory that is not shown must not be shown either. A directory may be shown although nothing in it is.
    fn shows(&self, tree: &dyn Tree, path: &TreePath, kind: EntryKind) -> Result<bool, TreeError>;
}

/// A tree without what a [`Filter`] leaves out. What is left out looks like what was never there.
///
/// Content ids are those of the tree below, so a [`Record`](crate::Record) of one selection holds for another in which the files that were read are shown
/// and unchanged.
#[derive(Debug)]
pub struct Selected<F> {
    tree: Arc<dyn Tree>,
    filter: F,
}

impl<F: Filter> Selected<F> {
    /// What `filter` shows of `tree`.
    pub fn new(tree: Arc<dyn Tree>, filter: F) -> Self {
        Self { tree, filter }
    }

    /// The tree below, as long as `path` is shown there.
    fn shown(&self, path: &TreePath) -> Result<&dyn Tree, TreeError> {
        match self.kind(path)? {
            Some(_) => Ok(self.tree.as_ref()),
            None => Err(TreeError::NotFound(path.to_string())),
        }
    }
}

impl<F: Filter> Tree for Selected<F> {
    fn kind(&self, path: &TreePath) -> Result<Option<EntryKind>, TreeError> {
        let Some(kind) = self.tree.kind(path)? else { return Ok(None) };
        let is_shown = path.is_root() || self.filter.shows(self.tree.as_ref(), path, kind)?;
        Ok(is_shown.then_some(kind))
    }

    fn list(&self, path: &TreePath) -> Result<Vec<Entry>, TreeError> {
        let mut shown = Vec::new();
        for entry in self.shown(path)?.list(path)? {
            if self.filter.shows(self.tree.as_ref(), &path.child(&entry.name), entry.kind)? {
                shown.push(entry);
            }
        }
        Ok(shown)
    }

    fn size(&self, path: &TreePath) -> Result<u64, TreeError> {
        self.shown(path)?.size(path)
    }

    fn id(&self, path: &TreePath) -> Result<ContentId, TreeError> {
        self.shown(path)?.id(path)
    }

    fn read(&self, path: &TreePath, limit: u64) -> Result<Vec<u8>, TreeError> {
        self.shown(path)?.read(path, limit)
    }

    fn read_link(&self, path: &TreePath) -> Result<String, TreeError> {
        self.shown(path)?.read_link(path)
    }
}

/// Shows some directories with all that is in them, and the directories on the way there. This is Flux's `spec.sparseCheckout`.
#[derive(Clone, Debug)]
pub struct Directories(Vec<TreePath>);

impl Directories {
    /// These directories. No directory at all shows nothing.
    pub fn new(directories: Vec<TreePath>) -> Self {
        Self(directories)
    }
}

impl Filter for Directories {
    fn shows(&self, _tree: &dyn Tree, path: &TreePath, kind: EntryKind) -> Result<bool, TreeError> {
        let leads_to = |shown: &TreePath| kind == EntryKind::Directory && shown.below(path).is_some();
        Ok(self.0.iter().any(|shown| path.below(shown).is_some() || leads_to(shown)))
    }
}
