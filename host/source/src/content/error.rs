use std::io;
use std::path::PathBuf;

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process uses it.
    #[error("the store {0} is used by another process; give each its own directory")]
    InUse(PathBuf),
    /// The directory cannot be made or written.
    #[error("the store {0} cannot be opened: {1}")]
    Io(PathBuf, #[source] io::Error),
}

/// Why content was not stored. Nothing of it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    /// What was to be stored could not be read to its end.
    #[error("the content cannot be read: {0}")]
    Unreadable(String),
    /// It is not an archive of the kind that was expected, or it is damaged.
    #[error("the archive cannot be understood: {0}")]
    Malformed(String),
    /// It ends before it should.
    #[error("the archive is cut off: {0}")]
    Truncated(&'static str),
    /// A name that no tree can have.
    #[error("the content has the path {path:?}, which {reason}")]
    InvalidPath {
        /// The path, as far as it is printable.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A kind of entry that is not stored.
    #[error("the archive has {what} at {path:?}, which is not allowed")]
    Unsupported {
        /// The path.
        path: String,
        /// What it is, for example `a hard link`.
        what: &'static str,
    },
    /// One path is a directory and something else.
    #[error("the content has {path:?} as a directory and as something else")]
    Conflict {
        /// The path.
        path: String,
    },
    /// There is more than is stored.
    #[error("the content has more than {limit} {what}")]
    TooMuch {
        /// What there is too much of, for example `bytes in a file`.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// The disk of this host failed.
    #[error("the content store failed: {0}")]
    Store(String),
}

impl ContentError {
    pub(crate) fn store(error: impl std::fmt::Display) -> Self {
        Self::Store(error.to_string())
    }

    pub(crate) fn too_much(what: &'static str, limit: usize) -> Self {
        Self::TooMuch { what, limit: u64::try_from(limit).unwrap_or(u64::MAX) }
    }
}
