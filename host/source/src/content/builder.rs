use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use plumb_tree::TreePath;
use tempfile::TempPath;

use crate::content::listing::{Item, Listing};
use crate::content::store::Shared;
use crate::content::{ContentError, FileId, Limits, Received, Stored};
use crate::foreign::printable;

/// As on Linux (`PATH_MAX`).
const MAX_PATH_BYTES: usize = 4096;
/// How much of a foreign path an error repeats.
const SHOWN_BYTES: usize = 200;

/// A tree that is being put together. Nothing of it can be found in the store before [`finish`](Self::finish).
#[derive(Debug)]
pub struct Builder {
    shared: Arc<Shared>,
    limits: Limits,
    listing: Listing,
    /// The size of all that was put in, also of what was replaced.
    bytes: u64,
    files: HashMap<FileId, TempPath>,
}

impl Builder {
    pub(crate) fn new(shared: Arc<Shared>, limits: Limits) -> Self {
        Self { shared, limits, listing: Listing::default(), bytes: 0, files: HashMap::new() }
    }

    pub(crate) fn limits(&self) -> Limits {
        self.limits
    }

    /// Whether something may be at this path.
    pub(crate) fn check_path(&self, path: &str) -> Result<(), ContentError> {
        self.path(path).map(drop)
    }

    /// Puts a file at a path, read to its end.
    pub fn file(&mut self, path: &str, mut reader: impl io::Read) -> Result<(), ContentError> {
        let path = self.path(path)?;
        let mut incoming = self.shared.incoming(self.limits.file_bytes)?;
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => incoming.write(&buffer[..read])?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(ContentError::Unreadable(printable(&error.to_string()))),
            }
        }
        self.put(&path, incoming.finish()?)
    }

    /// Puts a file that has been received at a path.
    pub fn received(&mut self, path: &str, file: Received) -> Result<(), ContentError> {
        let path = self.path(path)?;
        self.put(&path, file)
    }

    /// Puts a file at a path that is in the store already. Says `false`, and does nothing, when it is not, or not whole any more.
    pub fn reuse(&mut self, path: &str, id: FileId, size: u64) -> Result<bool, ContentError> {
        let path = self.path(path)?;
        match self.shared.share(id, size) {
            Some(file) => self.put(&path, file).map(|()| true),
            None => Ok(false),
        }
    }

    /// Puts a link at a path. Where it leads is nobody's concern before it is followed.
    pub fn link(&mut self, path: &str, target: &str) -> Result<(), ContentError> {
        let path = self.path(path)?;
        if target.len() > MAX_PATH_BYTES {
            return Err(invalid(path.as_str(), "is a link with too long a target"));
        }
        self.insert(&path, Item::Link(target.to_owned()))
    }

    /// Makes a directory. Those that a file is in need not be made.
    pub fn directory(&mut self, path: &str) -> Result<(), ContentError> {
        let path = self.path(path)?;
        self.insert(&path, Item::Directory)
    }

    /// Stores the tree.
    pub fn finish(self) -> Result<Stored, ContentError> {
        let Self { shared, listing, files, .. } = self;
        shared.commit(listing, files)
    }

    fn put(&mut self, path: &TreePath, file: Received) -> Result<(), ContentError> {
        let Received { path: temporary, id, size } = file;
        if size > self.limits.file_bytes {
            return Err(ContentError::TooMuch { what: "bytes in a file", limit: self.limits.file_bytes });
        }
        self.bytes = self.bytes.saturating_add(size);
        if self.bytes > self.limits.tree_bytes {
            return Err(ContentError::TooMuch { what: "bytes in all", limit: self.limits.tree_bytes });
        }
        self.insert(path, Item::File { id, size })?;
        self.files.insert(id, temporary);
        Ok(())
    }

    fn insert(&mut self, path: &TreePath, item: Item) -> Result<(), ContentError> {
        self.listing.insert(path, item)?;
        let Limits { entries, names_per_directory, .. } = self.limits;
        if self.listing.entries() > entries {
            return Err(ContentError::too_much("files and directories", entries));
        }
        // Each directory on the way may have got a name.
        let mut at = path.parent();
        while let Some(directory) = at {
            if self.listing.names(&directory).is_some_and(|names| names.len() > names_per_directory) {
                return Err(ContentError::too_much("names in a directory", names_per_directory));
            }
            at = directory.parent();
        }
        Ok(())
    }

    /// A path as an archive or a bucket has it. What only looks like a path of the tree is refused rather than mended.
    fn path(&self, path: &str) -> Result<TreePath, ContentError> {
        if path.len() > MAX_PATH_BYTES {
            return Err(invalid(path, "is too long"));
        }
        if path.starts_with('/') {
            return Err(invalid(path, "is absolute"));
        }
        if path.contains(['\\', '\0']) {
            return Err(invalid(path, "has a backslash or a NUL byte"));
        }
        if path.split('/').any(|part| part == "..") {
            return Err(invalid(path, "has a part `..`"));
        }
        let path = TreePath::new(path).map_err(|_| invalid(path, "leads out of the root"))?;
        // The file itself is not a directory that is gone through.
        if path.parts().count() > self.limits.depth + 1 {
            return Err(ContentError::too_much("directories in a path", self.limits.depth));
        }
        Ok(path)
    }
}

pub(crate) fn invalid(path: &str, reason: &'static str) -> ContentError {
    let end = path.floor_char_boundary(SHOWN_BYTES);
    let rest = if end < path.len() { "…" } else { "" };
    ContentError::InvalidPath { path: format!("{}{rest}", &path[..end]), reason }
}
