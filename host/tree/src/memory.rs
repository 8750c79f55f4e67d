use std::collections::BTreeMap;

use crate::{ContentId, Entry, EntryKind, Tree, TreeError, TreePath};

/// A tree of a few files in memory. Every directory of a path exists; a path that another path goes through is a directory.
#[derive(Clone, Debug, Default)]
pub struct Memory(BTreeMap<TreePath, Item>);

#[derive(Clone, Debug)]
enum Item {
    File(Vec<u8>),
    Link(String),
}

impl Memory {
    /// A tree with nothing in it.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same tree with one more file, or with other bytes in it.
    #[must_use]
    pub fn with_file(mut self, path: &TreePath, bytes: impl Into<Vec<u8>>) -> Self {
        self.0.insert(path.clone(), Item::File(bytes.into()));
        self
    }

    /// The same tree with one more symbolic link.
    #[must_use]
    pub fn with_link(mut self, path: &TreePath, target: &str) -> Self {
        self.0.insert(path.clone(), Item::Link(target.to_owned()));
        self
    }

    /// The file or link at a path; a directory is neither.
    fn item(&self, path: &TreePath) -> Option<&Item> {
        self.0.get(path).filter(|_| self.below(path).next().is_none())
    }

    fn no_item(&self, path: &TreePath) -> TreeError {
        if path.is_root() || self.below(path).next().is_some() {
            TreeError::IsADirectory(path.to_string())
        } else {
            TreeError::NotFound(path.to_string())
        }
    }

    fn below(&self, path: &TreePath) -> impl Iterator<Item = (&str, &Item)> {
        let prefix = if path.is_root() { String::new() } else { format!("{path}/") };
        self.0
            .iter()
            .filter_map(move |(at, item)| Some((at.as_str().strip_prefix(prefix.as_str())?, item)))
            .filter(|(rest, _)| !rest.is_empty())
    }
}

impl Tree for Memory {
    fn kind(&self, path: &TreePath) -> Result<Option<EntryKind>, TreeError> {
        if path.is_root() || self.below(path).next().is_some() {
            return Ok(Some(EntryKind::Directory));
        }
        Ok(self.item(path).map(|item| match item {
            Item::File(_) => EntryKind::File,
            Item::Link(_) => EntryKind::Link,
        }))
    }

    fn list(&self, path: &TreePath) -> Result<Vec<Entry>, TreeError> {
        match self.kind(path)? {
            Some(EntryKind::Directory) => {}
            Some(_) => return Err(TreeError::NotADirectory(path.to_string())),
            None => return Err(TreeError::NotFound(path.to_string())),
        }
        let mut entries = BTreeMap::new();
        for (rest, item) in self.below(path) {
            let (name, kind) = match (rest.split_once('/'), item) {
                (Some((name, _)), _) => (name, EntryKind::Directory),
                (None, Item::File(_)) => (rest, EntryKind::File),
                (None, Item::Link(_)) => (rest, EntryKind::Link),
            };
            // A path that is both an item and a way to another one is a directory, as `kind` has it.
            if kind == EntryKind::Directory || !entries.contains_key(name) {
                entries.insert(name.to_owned(), kind);
            }
        }
        Ok(entries.into_iter().map(|(name, kind)| Entry { name, kind }).collect())
    }

    fn size(&self, path: &TreePath) -> Result<u64, TreeError> {
        Ok(self.read(path, u64::MAX)?.len() as u64)
    }

    fn id(&self, path: &TreePath) -> Result<ContentId, TreeError> {
        match self.item(path) {
            Some(Item::File(bytes)) => Ok(ContentId::of_bytes(bytes)),
            Some(Item::Link(target)) => Ok(ContentId::of_bytes(target.as_bytes())),
            None => Err(self.no_item(path)),
        }
    }

    fn read(&self, path: &TreePath, limit: u64) -> Result<Vec<u8>, TreeError> {
        match self.item(path) {
            Some(Item::File(bytes)) if bytes.len() as u64 > limit => {
                Err(TreeError::TooLarge { path: path.to_string(), size: bytes.len() as u64, limit })
            }
            Some(Item::File(bytes)) => Ok(bytes.clone()),
            Some(Item::Link(_)) => Err(TreeError::NotFound(path.to_string())),
            None => Err(self.no_item(path)),
        }
    }

    fn read_link(&self, path: &TreePath) -> Result<String, TreeError> {
        match self.item(path) {
            Some(Item::Link(target)) => Ok(target.clone()),
            _ => Err(TreeError::NotFound(path.to_string())),
        }
    }
}
