//! What is not Git: files by the hash of their bytes, and one listing a tree.
//!
//! In go archives, single files, or objects of a bucket one by one. Out comes a [`Stored`] tree that survives restarts, whose files have ids that are known
//! without reading them, and which shares with every other tree what they have in common. Nothing is ever stored under a name that somebody else chose, so no
//! name can lead out of the store.

mod archive;
mod builder;
mod error;
mod file;
mod listing;
mod store;
mod tree;

use std::sync::Arc;

pub use archive::Format;
pub use builder::Builder;
pub use error::{ContentError, OpenError};
pub use file::{FileId, Incoming, Received};
use plumb_tree::Tree;
pub use store::{ContentStore, Remembered};

/// How much a tree may hold. Whoever exceeds one of them gets nothing stored, and an error that names the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The files, links and directories of a tree. By default 100 000.
    pub entries: usize,
    /// The size of a file in bytes. By default 64 MiB.
    pub file_bytes: u64,
    /// The size of all files of a tree in bytes. By default 1 GiB.
    pub tree_bytes: u64,
    /// The names in a directory. By default 20 000.
    pub names_per_directory: usize,
    /// How many directories a path may go through. By default 64.
    pub depth: usize,
    /// How many times larger than the archive its content may be. By default 200: YAML that repeats itself compresses to a fiftieth. The first
    /// 16 MiB are free.
    pub compression: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 100_000,
            file_bytes: 64 * 1024 * 1024,
            tree_bytes: 1024 * 1024 * 1024,
            names_per_directory: 20_000,
            depth: 64,
            compression: 200,
        }
    }
}

/// A tree of the store. What it needs stays on the disk for as long as it lives.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The digest of the listing, `sha256:…`: trees of equal digest have equal files.
    pub digest: String,
    /// The files.
    pub tree: Arc<dyn Tree>,
    /// The size of all files in bytes.
    pub bytes: u64,
}
