use std::sync::Arc;

use crate::{ContentId, Entry, EntryKind, Tree, TreeError, TreePath};

/// A tree that shows a directory of another one in the place of one of its own.
///
/// What is mounted hides what was there. The place need not be there: the directories that lead to it appear, and hide a file or a link that
/// is in their way. Links are not followed on the way to the place. Content ids are those of the tree that a file is in.
#[derive(Debug)]
pub struct Mounted {
    base: Arc<dyn Tree>,
    place: TreePath,
    tree: Arc<dyn Tree>,
    directory: TreePath,
}

/// Whom to ask about a path.
enum Whom {
    /// The tree that is mounted, about this path of its own.
    Mounted(TreePath),
    /// Nobody: it is a directory that leads to the place, and this is the next name on the way.
    OnTheWay(String),
    Base,
}

impl Mounted {
    /// `base`, with `directory` of `tree` at `place`.
    ///
    /// # Errors
    ///
    /// When there is no such directory in `tree`.
    pub fn new(
        base: Arc<dyn Tree>,
        place: TreePath,
        tree: Arc<dyn Tree>,
        directory: TreePath,
    ) -> Result<Self, TreeError> {
        match tree.kind(&directory)? {
            Some(EntryKind::Directory) => Ok(Self { base, place, tree, directory }),
            Some(_) => Err(TreeError::NotADirectory(directory.to_string())),
            None => Err(TreeError::NotFound(directory.to_string())),
        }
    }

    fn whom(&self, path: &TreePath) -> Whom {
        if let Some(rest) = path.below(&self.place) {
            return Whom::Mounted(self.directory.child(rest));
        }
        match self.place.below(path).and_then(|rest| rest.split('/').next()) {
            Some(next) => Whom::OnTheWay(next.to_owned()),
            None => Whom::Base,
        }
    }

    /// Asks who has the file or link at a path.
    fn ask<T>(
        &self,
        path: &TreePath,
        question: impl FnOnce(&dyn Tree, &TreePath) -> Result<T, TreeError>,
    ) -> Result<T, TreeError> {
        match self.whom(path) {
            Whom::Mounted(inner) => question(self.tree.as_ref(), &inner).map_err(|error| error.at(path)),
            Whom::OnTheWay(_) => Err(TreeError::IsADirectory(path.to_string())),
            Whom::Base => question(self.base.as_ref(), path),
        }
    }
}

impl Tree for Mounted {
    fn kind(&self, path: &TreePath) -> Result<Option<EntryKind>, TreeError> {
        match self.whom(path) {
            Whom::Mounted(inner) => self.tree.kind(&inner).map_err(|error| error.at(path)),
            Whom::OnTheWay(_) => Ok(Some(EntryKind::Directory)),
            Whom::Base => self.base.kind(path),
        }
    }

    fn list(&self, path: &TreePath) -> Result<Vec<Entry>, TreeError> {
        match self.whom(path) {
            Whom::Mounted(inner) => self.tree.list(&inner).map_err(|error| error.at(path)),
            Whom::Base => self.base.list(path),
            Whom::OnTheWay(next) => {
                let mut entries = match self.base.kind(path)? {
                    Some(EntryKind::Directory) => self.base.list(path)?,
                    _ => Vec::new(),
                };
                entries.retain(|entry| entry.name != next);
                let at = entries.partition_point(|entry| entry.name < next);
                entries.insert(at, Entry { name: next, kind: EntryKind::Directory });
                Ok(entries)
            }
        }
    }

    fn size(&self, path: &TreePath) -> Result<u64, TreeError> {
        self.ask(path, |tree, path| tree.size(path))
    }

    fn id(&self, path: &TreePath) -> Result<ContentId, TreeError> {
        self.ask(path, |tree, path| tree.id(path))
    }

    fn read(&self, path: &TreePath, limit: u64) -> Result<Vec<u8>, TreeError> {
        self.ask(path, |tree, path| tree.read(path, limit))
    }

    fn read_link(&self, path: &TreePath) -> Result<String, TreeError> {
        self.ask(path, |tree, path| tree.read_link(path))
    }
}
