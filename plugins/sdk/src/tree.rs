use std::fmt;

use crate::host;

/// The files that a renderer was handed: one revision of a Git repository, an unpacked artifact, or a directory of a laptop.
///
/// Paths are relative to the root; `/` separates their parts, and the empty path is the root. Links are followed by the host, inside the root only. What is
/// read decides for how long the result is kept, so read what you need, and no more.
#[derive(Debug)]
pub struct Tree<'a>(pub(crate) host::Dir<'a>);

/// What is at a path, links followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeKind {
    /// A file.
    File,
    /// A directory.
    Directory,
    /// A link that leads nowhere or outside the root, or a submodule that was not fetched.
    Opaque,
}

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The last part of the path.
    pub name: String,
    /// What it stands for.
    pub kind: NodeKind,
}

/// What is known of a path without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// What it is.
    pub kind: NodeKind,
    /// The size of a file in bytes; 0 for a directory.
    pub size: u64,
    /// Where the path leads once every link is followed.
    pub resolved: String,
}

/// A file that a decryptor has decrypted. It cannot be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct File {
    /// Where it is: the `resolved` of its [`Tree::stat`].
    pub path: String,
    /// All its bytes.
    pub content: Vec<u8>,
}

/// The path alone.
impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Why a path could not be listed, asked about or read. `?` makes an [`Error`](crate::Error) of it that names the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeError {
    /// The path.
    pub path: String,
    /// Why.
    pub reason: Unreadable,
}

/// Why something in a tree cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// There is nothing at this path.
    NotFound,
    /// A file cannot be listed.
    NotADirectory,
    /// A directory cannot be read.
    IsADirectory,
    /// The path leads out of the root.
    Denied,
    /// The file is larger than the host hands out; the limit in bytes.
    TooLarge(u64),
    /// [`Tree::read_text`] of a file that is not UTF-8.
    NotText,
    /// The tree could not be read.
    Failed(String),
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("it does not exist"),
            Self::NotADirectory => f.write_str("it is not a directory"),
            Self::IsADirectory => f.write_str("it is a directory"),
            Self::Denied => f.write_str("it is a link that leads out of the source"),
            Self::TooLarge(limit) => write!(f, "it is larger than the limit of {limit} bytes"),
            Self::NotText => f.write_str("it is not UTF-8"),
            Self::Failed(why) => write!(f, "the tree cannot be read: {why}"),
        }
    }
}

impl fmt::Display for TreeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} cannot be read: {}", self.path, self.reason)
    }
}

impl std::error::Error for TreeError {}

impl From<TreeError> for crate::Error {
    fn from(error: TreeError) -> Self {
        let message = error.to_string();
        let made = match error.reason {
            Unreadable::NotFound => Self::not_found(message),
            Unreadable::Denied => Self::denied(message),
            Unreadable::Failed(_) => Self::internal(message),
            _ => Self::invalid(message),
        };
        made.file((!error.path.is_empty()).then_some(error.path.as_str()))
    }
}

impl Tree<'_> {
    /// The names in a directory, in the order of their bytes.
    pub fn list(&self, path: &str) -> Result<Vec<Entry>, TreeError> {
        self.0.list(path).map_err(|reason| TreeError { path: path.to_owned(), reason })
    }

    /// What is at a path. A path with nothing at it is [`Unreadable::NotFound`].
    pub fn stat(&self, path: &str) -> Result<Node, TreeError> {
        self.0.stat(path).map_err(|reason| TreeError { path: path.to_owned(), reason })
    }

    /// All the bytes of a file.
    pub fn read(&self, path: &str) -> Result<Vec<u8>, TreeError> {
        self.0.read(path).map_err(|reason| TreeError { path: path.to_owned(), reason })
    }

    /// A file as text.
    pub fn read_text(&self, path: &str) -> Result<String, TreeError> {
        String::from_utf8(self.read(path)?)
            .map_err(|_| TreeError { path: path.to_owned(), reason: Unreadable::NotText })
    }

    /// The paths of all files in a directory and below it, in the order of the names. Links to directories are not followed here, so that no file is
    /// found twice.
    pub fn files(&self, directory: &str) -> Result<Vec<String>, TreeError> {
        let mut found = Vec::new();
        let mut left = vec![directory.trim_matches('/').to_owned()];
        while let Some(directory) = left.pop() {
            let mut below = Vec::new();
            for entry in self.list(&directory)? {
                let path =
                    if directory.is_empty() { entry.name } else { format!("{directory}/{}", entry.name) };
                match entry.kind {
                    NodeKind::File => found.push(path),
                    NodeKind::Directory if self.stat(&path)?.resolved == path => below.push(path),
                    NodeKind::Directory | NodeKind::Opaque => {}
                }
            }
            left.extend(below.into_iter().rev());
        }
        Ok(found)
    }
}
