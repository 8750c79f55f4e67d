use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use plumb_api::Sensitive;

use crate::record::{Full, Observation, Recorder};
use crate::{EntryKind, InvalidPath, Record, Tree, TreeError, TreePath};

/// As Linux does (`PATH_MAX`); what a guest asks for is taken apart outside its own memory.
const MAX_PATH_BYTES: usize = 4096;
/// As Linux does, so that a repository that works on a laptop works here.
const MAX_LINKS: usize = 40;

/// A tree as a renderer sees it: links are followed inside the root only, files are bounded in size, and everything that
/// is looked at is remembered.
#[derive(Debug)]
pub struct View {
    tree: Arc<dyn Tree>,
    max_file_bytes: u64,
    deadline: Option<Instant>,
    recorder: Arc<Recorder>,
    replaced: Replaced,
}

/// Files with other bytes than the tree has.
#[derive(Default)]
struct Replaced(BTreeMap<TreePath, Sensitive<Vec<u8>>>);

/// The paths alone.
impl fmt::Debug for Replaced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// What a path stands for, links followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NodeKind {
    /// A file.
    File,
    /// A directory.
    Directory,
    /// A link that leads nowhere or out of the root, a submodule, or a device: it can neither be listed nor read.
    Opaque,
}

/// What is at a path, links followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// A file or a directory.
    pub kind: NodeKind,
    /// The size of a file in bytes; 0 for a directory.
    pub size: u64,
    /// Where the path leads once every link is followed.
    pub resolved: TreePath,
}

/// A name in a directory, links followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewEntry {
    /// The last part of the path.
    pub name: String,
    /// What it stands for.
    pub kind: NodeKind,
}

impl View {
    /// A view of `tree` that hands out files of up to `max_file_bytes`.
    pub fn new(tree: Arc<dyn Tree>, max_file_bytes: u64) -> Self {
        Self { tree, max_file_bytes, deadline: None, recorder: Arc::default(), replaced: Replaced::default() }
    }

    /// The same view, which answers nothing after `deadline`: a directory full of links can keep one answer busy for long.
    #[must_use]
    pub fn until(self, deadline: Instant) -> Self {
        Self { deadline: Some(deadline), ..self }
    }

    /// A view of the same tree in which some files have other bytes. Both have one record, and it holds what the tree has: whoever sees the other bytes
    /// has made them from those.
    #[must_use]
    pub fn replacing(&self, files: impl IntoIterator<Item = (TreePath, Sensitive<Vec<u8>>)>) -> Self {
        Self {
            tree: self.tree.clone(),
            max_file_bytes: self.max_file_bytes,
            deadline: self.deadline,
            recorder: self.recorder.clone(),
            replaced: Replaced(files.into_iter().collect()),
        }
    }

    /// The names in a directory, in the order of their bytes.
    pub fn list(&self, path: &str) -> Result<Vec<ViewEntry>, TreeError> {
        let (resolved, kind) = self.resolve(path)?;
        if kind != EntryKind::Directory {
            return Err(TreeError::NotADirectory(path.to_owned()));
        }
        let entries = self.tree.list(&resolved)?;
        let kind_of = |entry: &crate::Entry| match entry.kind {
            EntryKind::File => NodeKind::File,
            EntryKind::Directory => NodeKind::Directory,
            EntryKind::Opaque => NodeKind::Opaque,
            EntryKind::Link => match self.resolve(resolved.child(&entry.name).as_str()) {
                Ok((_, EntryKind::File)) => NodeKind::File,
                Ok((_, EntryKind::Directory)) => NodeKind::Directory,
                _ => NodeKind::Opaque,
            },
        };
        let found: Vec<ViewEntry> = entries
            .iter()
            .map(|entry| ViewEntry { name: entry.name.clone(), kind: kind_of(entry) })
            .collect();
        // At last, so that it fails when what the links lead to could not be remembered.
        self.remember(&resolved, Observation::names(&entries))?;
        Ok(found)
    }

    /// What is at a path.
    pub fn stat(&self, path: &str) -> Result<Node, TreeError> {
        let (resolved, kind) = self.resolve(path)?;
        Ok(match kind {
            EntryKind::Directory => Node { kind: NodeKind::Directory, size: 0, resolved },
            EntryKind::File => {
                // The size follows from the bytes, so the bytes are what was looked at.
                self.remember(&resolved, Observation::Bytes(self.tree.id(&resolved)?))?;
                let size = match self.replaced.0.get(&resolved) {
                    Some(bytes) => bytes.expose().len() as u64,
                    None => self.tree.size(&resolved)?,
                };
                Node { kind: NodeKind::File, size, resolved }
            }
            EntryKind::Link | EntryKind::Opaque => Node { kind: NodeKind::Opaque, size: 0, resolved },
        })
    }

    /// All the bytes of a file.
    pub fn read(&self, path: &str) -> Result<Vec<u8>, TreeError> {
        let (resolved, kind) = self.resolve(path)?;
        match kind {
            EntryKind::File => {
                self.remember(&resolved, Observation::Bytes(self.tree.id(&resolved)?))?;
                match self.replaced.0.get(&resolved) {
                    Some(bytes) => Ok(bytes.expose().clone()),
                    None => self.tree.read(&resolved, self.max_file_bytes),
                }
            }
            EntryKind::Directory => Err(TreeError::IsADirectory(path.to_owned())),
            EntryKind::Link | EntryKind::Opaque => Err(TreeError::NotFound(path.to_owned())),
        }
    }

    /// What has been looked at so far.
    pub fn record(&self) -> Record {
        self.recorder.record()
    }

    fn remember(&self, path: &TreePath, seen: Observation) -> Result<(), TreeError> {
        self.recorder.add(path, seen).map_err(|Full| TreeError::Failed {
            path: path.to_string(),
            reason: "more files and directories were looked at than one call may".to_owned(),
        })
    }

    fn check_time(&self, path: &str) -> Result<(), TreeError> {
        match self.deadline {
            Some(deadline) if Instant::now() >= deadline => Err(TreeError::Failed {
                path: path.to_owned(),
                reason: "looking it up takes longer than the whole call may".to_owned(),
            }),
            _ => Ok(()),
        }
    }

    /// Follows every link on the way to `path`. Nothing outside the root is ever asked about.
    fn resolve(&self, path: &str) -> Result<(TreePath, EntryKind), TreeError> {
        if path.len() > MAX_PATH_BYTES {
            return Err(TreeError::NotFound(format!("{}…", &path[..path.floor_char_boundary(100)])));
        }
        if path.contains('\0') {
            return Err(TreeError::NotFound(path.to_owned()));
        }
        let denied = || TreeError::Denied(path.to_owned());
        // The parts that are still to be walked, the next one last.
        let mut ahead: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
        let (mut at, mut kind, mut links) = (TreePath::root(), EntryKind::Directory, 0);
        while let Some(part) = ahead.pop() {
            self.check_time(path)?;
            match part.as_str() {
                "" | "." => continue,
                _ if kind != EntryKind::Directory => return Err(TreeError::NotFound(path.to_owned())),
                ".." => {
                    at = at.parent().ok_or_else(denied)?;
                    continue;
                }
                _ => {}
            }
            let next = at.child(&part);
            let found = self.tree.kind(&next)?;
            self.remember(&next, Observation::Kind(found))?;
            match found {
                None => return Err(TreeError::NotFound(path.to_owned())),
                Some(EntryKind::Link) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(denied());
                    }
                    self.remember(&next, Observation::Bytes(self.tree.id(&next)?))?;
                    let target = self.tree.read_link(&next)?;
                    if target.starts_with('/') || target.contains('\0') {
                        return Err(denied());
                    }
                    ahead.extend(target.split('/').rev().map(str::to_owned));
                }
                Some(other) => (at, kind) = (next, other),
            }
        }
        Ok((at, kind))
    }
}

impl From<InvalidPath> for TreeError {
    fn from(error: InvalidPath) -> Self {
        match error {
            InvalidPath::LeavesRoot(path) => Self::Denied(path),
            InvalidPath::Nul(path) => Self::NotFound(path),
        }
    }
}
