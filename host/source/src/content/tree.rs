use std::fmt;
use std::sync::Arc;

use plumb_tree::{ContentId, Entry, EntryKind, Tree, TreeError, TreePath};

use crate::content::FileId;
use crate::content::listing::{Item, Listing};
use crate::content::store::{ReadError, Shared};

/// A tree of the store: its names are in memory, its files on the disk.
pub(crate) struct StoredTree {
    pub(crate) listing: Listing,
    pub(crate) shared: Arc<Shared>,
}

impl StoredTree {
    fn file(&self, path: &TreePath) -> Result<(FileId, u64), TreeError> {
        match self.listing.find(path) {
            Some(Item::File { id, size }) => Ok((*id, *size)),
            Some(Item::Directory) => Err(TreeError::IsADirectory(path.to_string())),
            Some(Item::Link(_)) | None => Err(TreeError::NotFound(path.to_string())),
        }
    }
}

impl Tree for StoredTree {
    fn kind(&self, path: &TreePath) -> Result<Option<EntryKind>, TreeError> {
        Ok(self.listing.find(path).map(kind))
    }

    fn list(&self, path: &TreePath) -> Result<Vec<Entry>, TreeError> {
        match (self.listing.names(path), self.listing.find(path)) {
            (Some(names), _) => {
                Ok(names.iter().map(|(name, item)| Entry { name: name.clone(), kind: kind(item) }).collect())
            }
            (None, Some(_)) => Err(TreeError::NotADirectory(path.to_string())),
            (None, None) => Err(TreeError::NotFound(path.to_string())),
        }
    }

    fn size(&self, path: &TreePath) -> Result<u64, TreeError> {
        self.file(path).map(|(_, size)| size)
    }

    fn id(&self, path: &TreePath) -> Result<ContentId, TreeError> {
        match self.listing.find(path) {
            Some(Item::Link(target)) => Ok(ContentId::of_bytes(target.as_bytes())),
            _ => self.file(path).map(|(id, _)| id.content_id()),
        }
    }

    fn read(&self, path: &TreePath, limit: u64) -> Result<Vec<u8>, TreeError> {
        let (id, size) = self.file(path)?;
        if size > limit {
            return Err(TreeError::TooLarge { path: path.to_string(), size, limit });
        }
        self.shared.read(id, size).map_err(|error| {
            let reason = match error {
                ReadError::Damaged => {
                    "its bytes are not those that were stored; the next fetch brings them anew".to_owned()
                }
                ReadError::Io(error) => error.to_string(),
            };
            TreeError::Failed { path: path.to_string(), reason }
        })
    }

    fn read_link(&self, path: &TreePath) -> Result<String, TreeError> {
        match self.listing.find(path) {
            Some(Item::Link(target)) => Ok(target.clone()),
            _ => Err(TreeError::NotFound(path.to_string())),
        }
    }
}

fn kind(item: &Item) -> EntryKind {
    match item {
        Item::File { .. } => EntryKind::File,
        Item::Link(_) => EntryKind::Link,
        Item::Directory => EntryKind::Directory,
    }
}

impl fmt::Debug for StoredTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoredTree({} entries)", self.listing.entries())
    }
}
