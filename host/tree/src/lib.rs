//! A read-only tree of files that cannot be left.
//!
//! In goes a [`Tree`]: a commit of a bare Git repository, a directory of the local disk ([`Directory`]) or a few files
//! in memory ([`Memory`]); without what is left out ([`Selected`]), with another one in it ([`Mounted`]), or with one file changed ([`Replaced`]). Out comes a [`View`] of it, which follows links inside the root only, bounds what is read, and
//! remembers what was looked at: its [`Record`] says whether another tree would have answered every question alike, and
//! is what the render cache is keyed by.
#![forbid(unsafe_code)]

mod directory;
mod memory;
mod mounted;
mod path;
mod record;
mod replaced;
mod selected;
mod view;

use std::{fmt, io};

pub use directory::Directory;
pub use memory::Memory;
pub use mounted::Mounted;
pub use path::{InvalidPath, TreePath};
pub use record::Record;
pub use replaced::Replaced;
pub use selected::{Directories, Filter, Selected};
pub use view::{Node, NodeKind, View, ViewEntry};

/// Identifies the bytes of a file or of a link: two files of equal id have equal bytes. For example a Git object id,
/// `sha1:3b18e512dba79e4c8300dd08aeb37f8e728b8dad`, or `sha256:…`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContentId(String);

impl ContentId {
    /// An id made of the name of the hash and its value in hexadecimal.
    pub fn new(algorithm: &str, hex: impl fmt::Display) -> Self {
        Self(format!("{algorithm}:{hex}"))
    }

    /// The SHA-256 of the bytes themselves.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        use sha2::Digest as _;
        Self(format!("sha256:{:x}", sha2::Sha256::digest(bytes)))
    }

    /// The SHA-256 of all that a reader gives, which need not fit into memory.
    pub(crate) fn of_reader(mut reader: impl io::Read) -> io::Result<Self> {
        use sha2::Digest as _;
        let (mut hash, mut buffer) = (sha2::Sha256::new(), vec![0; 64 * 1024]);
        loop {
            match reader.read(&mut buffer)? {
                0 => return Ok(Self(format!("sha256:{:x}", hash.finalize()))),
                read => hash.update(&buffer[..read]),
            }
        }
    }

    /// `ALGORITHM:HEX`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a name in a directory stands for, links not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EntryKind {
    /// A regular file, executable or not.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A commit of another repository, whose files are not here; or a device, socket or pipe of the local disk.
    Opaque,
}

/// A name in a directory, links not followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The last part of the path: not empty, not `.` or `..`, without `/`.
    pub name: String,
    /// What it stands for.
    pub kind: EntryKind,
}

/// Why a tree could not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// There is nothing at this path.
    #[error("there is nothing at {0:?}")]
    NotFound(String),
    /// The names in something that is not a directory were asked for.
    #[error("{0:?} is not a directory")]
    NotADirectory(String),
    /// The bytes of something that is not a file were asked for.
    #[error("{0:?} is a directory, not a file")]
    IsADirectory(String),
    /// The path, or a link on its way, leads out of the root, or through more links than are followed.
    #[error("{0:?} leads out of the root of the source, or through too many links")]
    Denied(String),
    /// The file is larger than is handed out.
    #[error("{path:?} has {size} bytes, more than the limit of {limit}")]
    TooLarge {
        /// The path of the file.
        path: String,
        /// Its size in bytes.
        size: u64,
        /// How many bytes are handed out at the most.
        limit: u64,
    },
    /// The store of the tree is damaged or was taken away.
    #[error("{path:?} cannot be read: {reason}")]
    Failed {
        /// The path that was asked for.
        path: String,
        /// What the store says.
        reason: String,
    },
}

impl TreeError {
    /// The same error about another path: where the file is seen, not where its store has it.
    #[must_use]
    pub fn at(self, seen: &TreePath) -> Self {
        let seen = seen.to_string();
        match self {
            Self::NotFound(_) => Self::NotFound(seen),
            Self::NotADirectory(_) => Self::NotADirectory(seen),
            Self::IsADirectory(_) => Self::IsADirectory(seen),
            Self::Denied(_) => Self::Denied(seen),
            Self::TooLarge { size, limit, .. } => Self::TooLarge { path: seen, size, limit },
            Self::Failed { reason, .. } => Self::Failed { path: seen, reason },
        }
    }
}

/// A tree as its store has it: every path is taken as it is, links are not followed.
///
/// Implementations hold no lock while they wait, block on nothing but the local disk, and are called from threads that
/// may block.
pub trait Tree: fmt::Debug + Send + Sync {
    /// What is at `path`; `None` when nothing is. The root is a directory. A path below a file or a link has nothing at it.
    fn kind(&self, path: &TreePath) -> Result<Option<EntryKind>, TreeError>;

    /// The names in a directory, in the order of their bytes. Names that are not UTF-8 are left out.
    fn list(&self, path: &TreePath) -> Result<Vec<Entry>, TreeError>;

    /// The size of a file in bytes.
    fn size(&self, path: &TreePath) -> Result<u64, TreeError>;

    /// The id of the bytes of a file, or of the target of a link.
    fn id(&self, path: &TreePath) -> Result<ContentId, TreeError>;

    /// The bytes of a file, [`TreeError::TooLarge`] when there are more than `limit`.
    fn read(&self, path: &TreePath, limit: u64) -> Result<Vec<u8>, TreeError>;

    /// Where a link leads, as it is written in the link.
    fn read_link(&self, path: &TreePath) -> Result<String, TreeError>;
}
