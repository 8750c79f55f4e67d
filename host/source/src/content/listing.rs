use std::collections::BTreeMap;

use plumb_tree::TreePath;
use serde::{Deserialize, Serialize};

use crate::content::{ContentError, FileId};

/// The first line of a listing on the disk. Another form gets another number, and old ones are then fetched anew.
const HEADER: &str = "plumbline tree 1";

/// What a name in a directory stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    File { id: FileId, size: u64 },
    Link(String),
    Directory,
}

/// All names of a tree. Every directory of a path is there.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Listing {
    /// The names in each directory but the root, by the path of the directory.
    directories: BTreeMap<String, BTreeMap<String, Item>>,
    root: BTreeMap<String, Item>,
    entries: usize,
}

/// A line on the disk. Directories are written only when nothing is in them.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Line {
    File { path: String, sha256: FileId, size: u64 },
    Link { path: String, target: String },
    Directory { path: String },
}

impl Listing {
    /// The names in a directory; `None` when there is no such directory.
    pub(crate) fn names(&self, directory: &TreePath) -> Option<&BTreeMap<String, Item>> {
        if directory.is_root() { Some(&self.root) } else { self.directories.get(directory.as_str()) }
    }

    /// What is at a path; the root is a directory.
    pub(crate) fn find(&self, path: &TreePath) -> Option<&Item> {
        match path.parent() {
            None => Some(&Item::Directory),
            Some(parent) => self.names(&parent)?.get(last(path)),
        }
    }

    /// How many files, links and directories there are.
    pub(crate) fn entries(&self) -> usize {
        self.entries
    }

    /// The size of all files in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.files().fold(0, |sum, (_, size)| sum.saturating_add(size))
    }

    /// The files, those with the same bytes several times.
    pub(crate) fn files(&self) -> impl Iterator<Item = (FileId, u64)> {
        self.directories.values().chain([&self.root]).flat_map(BTreeMap::values).filter_map(|item| match item
        {
            Item::File { id, size } => Some((*id, *size)),
            Item::Link(_) | Item::Directory => None,
        })
    }

    /// Puts an item at a path, and the directories that it needs. Of two files at one path the later one stays, as with `tar`.
    pub(crate) fn insert(&mut self, path: &TreePath, item: Item) -> Result<(), ContentError> {
        let Some(parent) = path.parent() else {
            return if item == Item::Directory { Ok(()) } else { Err(conflict(path)) };
        };
        if item == Item::Directory {
            return self.insert_directory(path);
        }
        if self.find(path) == Some(&Item::Directory) {
            return Err(conflict(path));
        }
        self.insert_directory(&parent)?;
        if self.names_mut(&parent).insert(last(path).to_owned(), item).is_none() {
            self.entries += 1;
        }
        Ok(())
    }

    fn insert_directory(&mut self, path: &TreePath) -> Result<(), ContentError> {
        if path.is_root() || self.directories.contains_key(path.as_str()) {
            return Ok(());
        }
        let mut at = TreePath::root();
        for part in path.parts() {
            let next = at.join(part).map_err(|_| conflict(path))?;
            match self.names_mut(&at).get(part) {
                Some(Item::Directory) => {}
                Some(_) => return Err(conflict(&next)),
                None => {
                    self.names_mut(&at).insert(part.to_owned(), Item::Directory);
                    self.directories.insert(next.to_string(), BTreeMap::new());
                    self.entries += 1;
                }
            }
            at = next;
        }
        Ok(())
    }

    fn names_mut(&mut self, directory: &TreePath) -> &mut BTreeMap<String, Item> {
        if directory.is_root() {
            &mut self.root
        } else {
            self.directories.entry(directory.as_str().to_owned()).or_default()
        }
    }

    /// The form on the disk: equal listings have equal bytes.
    pub(crate) fn to_text(&self) -> Result<String, serde_json::Error> {
        let mut lines = vec![HEADER.to_owned()];
        let directories = self.directories.iter().map(|(path, names)| (path.as_str(), names));
        for (directory, names) in std::iter::once(("", &self.root)).chain(directories) {
            if names.is_empty() && !directory.is_empty() {
                lines.push(serde_json::to_string(&Line::Directory { path: directory.to_owned() })?);
            }
            for (name, item) in names {
                let path = if directory.is_empty() { name.clone() } else { format!("{directory}/{name}") };
                let line = match item {
                    Item::File { id, size } => Line::File { path, sha256: *id, size: *size },
                    Item::Link(target) => Line::Link { path, target: target.clone() },
                    Item::Directory => continue,
                };
                lines.push(serde_json::to_string(&line)?);
            }
        }
        lines.push(String::new());
        Ok(lines.join("\n"))
    }

    /// Reads [`to_text`](Self::to_text) back; `None` when the text is something else.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut lines = text.strip_suffix('\n')?.split('\n');
        if lines.next() != Some(HEADER) {
            return None;
        }
        let mut listing = Self::default();
        for line in lines {
            let (path, item) = match serde_json::from_str(line).ok()? {
                Line::File { path, sha256, size } => (path, Item::File { id: sha256, size }),
                Line::Link { path, target } => (path, Item::Link(target)),
                Line::Directory { path } => (path, Item::Directory),
            };
            listing.insert(&TreePath::new(&path).ok()?, item).ok()?;
        }
        Some(listing)
    }
}

fn last(path: &TreePath) -> &str {
    path.as_str().rsplit('/').next().unwrap_or_default()
}

fn conflict(path: &TreePath) -> ContentError {
    ContentError::Conflict { path: path.to_string() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use proptest::prelude::*;

    use super::*;

    fn path(path: &str) -> TreePath {
        TreePath::new(path).unwrap()
    }

    fn file(bytes: &str) -> Item {
        Item::File { id: FileId::of_bytes(bytes.as_bytes()), size: bytes.len() as u64 }
    }

    #[test]
    fn it_is_written_in_one_form_only() {
        let mut listing = Listing::default();
        listing.insert(&path("b/empty"), Item::Directory).unwrap();
        listing.insert(&path("b/link"), Item::Link("../a\n".to_owned())).unwrap();
        listing.insert(&path("a"), file("x")).unwrap();
        listing.insert(&path("b"), Item::Directory).unwrap();
        let text = listing.to_text().unwrap();
        assert_eq!(
            text.lines().collect::<Vec<_>>(),
            [
                "plumbline tree 1",
                r#"{"file":{"path":"a","sha256":"2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881","size":1}}"#,
                r#"{"link":{"path":"b/link","target":"../a\n"}}"#,
                r#"{"directory":{"path":"b/empty"}}"#,
            ],
        );
        assert_eq!(listing.entries(), 4);
    }

    #[test]
    fn of_two_files_the_later_one_stays() {
        let mut listing = Listing::default();
        listing.insert(&path("a"), file("one")).unwrap();
        listing.insert(&path("a"), file("three")).unwrap();
        assert_eq!((listing.entries(), listing.bytes()), (1, 5));
    }

    #[test]
    fn nothing_is_a_directory_and_something_else() {
        let mut listing = Listing::default();
        listing.insert(&path("a"), file("")).unwrap();
        listing.insert(&path("d/e"), file("")).unwrap();
        listing.insert(&path("l"), Item::Link("d".to_owned())).unwrap();
        for (at, item) in
            [("a/b", file("")), ("a", Item::Directory), ("d", file("")), ("", file("")), ("l/e", file(""))]
        {
            listing.insert(&path(at), item).unwrap_err();
        }
    }

    proptest! {
        #[test]
        fn it_reads_back(paths in proptest::collection::vec("[ab\"\\\\ \n]{1,3}(/[ab.]{1,2}){0,3}", 0..20)) {
            let mut listing = Listing::default();
            for (at, text) in paths.iter().enumerate() {
                if let Ok(path) = TreePath::new(text) {
                    let item = match at % 3 { 0 => Item::Directory, 1 => Item::Link(text.clone()), _ => file(text) };
                    let _ = listing.insert(&path, item);
                }
            }
            let text = listing.to_text().unwrap();
            let read = Listing::parse(&text).unwrap();
            prop_assert_eq!(read.to_text().unwrap(), text);
            prop_assert_eq!(read, listing);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,40}") {
            let _ = Listing::parse(&text);
            let _ = Listing::parse(&format!("{HEADER}\n{text}\n"));
        }
    }
}
