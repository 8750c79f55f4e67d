use std::sync::Arc;

use crate::{ContentId, Entry, EntryKind, Tree, TreeError, TreePath};

/// A tree with other bytes in one of its files.
#[derive(Debug)]
pub struct Replaced {
    base: Arc<dyn Tree>,
    path: TreePath,
    bytes: Vec<u8>,
}

impl Replaced {
    /// `base`, with these bytes in the file at `path`. Links to it lead to them, too.
    ///
    /// # Errors
    ///
    /// When there is no file.
    pub fn new(base: Arc<dyn Tree>, path: TreePath, bytes: Vec<u8>) -> Result<Self, TreeError> {
        match base.kind(&path)? {
            Some(EntryKind::File) => Ok(Self { base, path, bytes }),
            Some(EntryKind::Directory) => Err(TreeError::IsADirectory(path.to_string())),
            Some(EntryKind::Link | EntryKind::Opaque) | None => Err(TreeError::NotFound(path.to_string())),
        }
    }
}

impl Tree for Replaced {
    fn kind(&self, path: &TreePath) -> Result<Option<EntryKind>, TreeError> {
        self.base.kind(path)
    }

    fn list(&self, path: &TreePath) -> Result<Vec<Entry>, TreeError> {
        self.base.list(path)
    }

    fn size(&self, path: &TreePath) -> Result<u64, TreeError> {
        if *path == self.path { Ok(self.bytes.len() as u64) } else { self.base.size(path) }
    }

    fn id(&self, path: &TreePath) -> Result<ContentId, TreeError> {
        if *path == self.path { Ok(ContentId::of_bytes(&self.bytes)) } else { self.base.id(path) }
    }

    fn read(&self, path: &TreePath, limit: u64) -> Result<Vec<u8>, TreeError> {
        if *path != self.path {
            return self.base.read(path, limit);
        }
        let size = self.bytes.len() as u64;
        if size > limit {
            return Err(TreeError::TooLarge { path: path.to_string(), size, limit });
        }
        Ok(self.bytes.clone())
    }

    fn read_link(&self, path: &TreePath) -> Result<String, TreeError> {
        self.base.read_link(path)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::Memory;

    fn path(text: &str) -> TreePath {
        TreePath::new(text).unwrap()
    }

    #[test]
    fn one_file_has_other_bytes_and_the_others_stay() {
        let memory = Memory::new().with_file(&path("a/b"), "old").with_file(&path("a/c"), "kept");
        let base: Arc<dyn Tree> = Arc::new(memory);
        let tree = Replaced::new(base.clone(), path("a/b"), b"newer".to_vec()).unwrap();
        assert_eq!(tree.read(&path("a/b"), 10).unwrap(), b"newer");
        assert_eq!(tree.size(&path("a/b")).unwrap(), 5);
        assert_eq!(tree.id(&path("a/b")).unwrap(), ContentId::of_bytes(b"newer"));
        assert!(matches!(tree.read(&path("a/b"), 4), Err(TreeError::TooLarge { size: 5, .. })));
        assert_eq!(tree.read(&path("a/c"), 10).unwrap(), b"kept");
        assert_eq!(tree.id(&path("a/c")).unwrap(), base.id(&path("a/c")).unwrap());
        assert_eq!(tree.list(&path("a")).unwrap(), base.list(&path("a")).unwrap());
        for missing in ["a", "a/d"] {
            assert!(Replaced::new(base.clone(), path(missing), Vec::new()).is_err());
        }
    }
}
