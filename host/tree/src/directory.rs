use std::io::{self, Read as _};
use std::path::Path;

use cap_std::ambient_authority;
use cap_std::fs::{Dir, FileType};

use crate::{ContentId, Entry, EntryKind, Tree, TreeError, TreePath};

/// A directory of the local disk. It is opened once; nothing above or beside it can be reached, whatever is put in its
/// place meanwhile.
#[derive(Debug)]
pub struct Directory(Dir);

impl Directory {
    /// Opens the directory at `path`.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(Dir::open_ambient_dir(path, ambient_authority())?))
    }
}

fn on_disk(path: &TreePath) -> &str {
    if path.is_root() { "." } else { path.as_str() }
}

fn kind_of(file_type: FileType) -> EntryKind {
    if file_type.is_dir() {
        EntryKind::Directory
    } else if file_type.is_file() {
        EntryKind::File
    } else if file_type.is_symlink() {
        EntryKind::Link
    } else {
        EntryKind::Opaque
    }
}

fn tree_error(path: &TreePath, error: &io::Error) -> TreeError {
    match error.kind() {
        io::ErrorKind::NotFound => TreeError::NotFound(path.to_string()),
        io::ErrorKind::NotADirectory => TreeError::NotADirectory(path.to_string()),
        io::ErrorKind::IsADirectory => TreeError::IsADirectory(path.to_string()),
        _ => TreeError::Failed { path: path.to_string(), reason: error.to_string() },
    }
}

impl Directory {
    /// Links are followed by the operating system, inside the root, wherever they stand in a path but at its end. A tree
    /// has nothing below a link, so every directory on the way is looked at.
    fn has_link_on_the_way(&self, path: &TreePath) -> bool {
        std::iter::successors(path.parent(), TreePath::parent)
            .filter(|parent| !parent.is_root())
            .any(|parent| self.0.symlink_metadata(parent.as_str()).is_ok_and(|found| found.is_symlink()))
    }

    fn expect(&self, path: &TreePath, expected: EntryKind) -> Result<(), TreeError> {
        match self.kind(path)? {
            Some(kind) if kind == expected => Ok(()),
            Some(EntryKind::Directory) => Err(TreeError::IsADirectory(path.to_string())),
            Some(_) if expected == EntryKind::Directory => Err(TreeError::NotADirectory(path.to_string())),
            _ => Err(TreeError::NotFound(path.to_string())),
        }
    }
}

impl Tree for Directory {
    fn kind(&self, path: &TreePath) -> Result<Option<EntryKind>, TreeError> {
        if self.has_link_on_the_way(path) {
            return Ok(None);
        }
        match self.0.symlink_metadata(on_disk(path)) {
            Ok(metadata) => Ok(Some(kind_of(metadata.file_type()))),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Ok(None)
            }
            Err(error) => Err(tree_error(path, &error)),
        }
    }

    fn list(&self, path: &TreePath) -> Result<Vec<Entry>, TreeError> {
        let fail = |error: io::Error| tree_error(path, &error);
        self.expect(path, EntryKind::Directory)?;
        let mut entries = Vec::new();
        for entry in self.0.read_dir(on_disk(path)).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            if let Ok(name) = entry.file_name().into_string() {
                entries.push(Entry { name, kind: kind_of(entry.file_type().map_err(fail)?) });
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn size(&self, path: &TreePath) -> Result<u64, TreeError> {
        self.expect(path, EntryKind::File)?;
        Ok(self.0.symlink_metadata(on_disk(path)).map_err(|error| tree_error(path, &error))?.len())
    }

    fn id(&self, path: &TreePath) -> Result<ContentId, TreeError> {
        if self.kind(path)? == Some(EntryKind::Link) {
            return Ok(ContentId::of_bytes(self.read_link(path)?.as_bytes()));
        }
        self.expect(path, EntryKind::File)?;
        let file = self.0.open(on_disk(path));
        file.and_then(ContentId::of_reader).map_err(|error| tree_error(path, &error))
    }

    fn read(&self, path: &TreePath, limit: u64) -> Result<Vec<u8>, TreeError> {
        let fail = |error: io::Error| tree_error(path, &error);
        // A pipe or a device would block for ever, or never end.
        self.expect(path, EntryKind::File)?;
        let file = self.0.open(on_disk(path)).map_err(fail)?;
        let size = file.metadata().map_err(fail)?.len();
        let too_large = |size| TreeError::TooLarge { path: path.to_string(), size, limit };
        if size > limit {
            return Err(too_large(size));
        }
        let mut bytes = Vec::new();
        // One more than the limit: a file that grows meanwhile is noticed.
        file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(fail)?;
        if bytes.len() as u64 > limit {
            return Err(too_large(bytes.len() as u64));
        }
        Ok(bytes)
    }

    fn read_link(&self, path: &TreePath) -> Result<String, TreeError> {
        self.expect(path, EntryKind::Link)?;
        let target = self.0.read_link_contents(on_disk(path)).map_err(|error| tree_error(path, &error))?;
        target.into_os_string().into_string().map_err(|_| TreeError::Denied(path.to_string()))
    }
}
