use std::collections::BTreeMap;
use std::sync::Arc;

use gix::ObjectId;
use gix::objs::tree::EntryKind as GitKind;
use gix::objs::{Kind, TreeRefIter};
use lru::LruCache;
use parking_lot::Mutex;
use plumb_tree::{ContentId, Entry, EntryKind, Tree, TreeError, TreePath};

use crate::git::completeness::MAX_TREE_BYTES;
use crate::git::generation::{Generation, ObjectError};

/// What the decoded directories of one tree may take, about, in bytes. That is some 100 000 names.
const CACHE_BYTES: usize = 16 * 1024 * 1024;
/// What an entry of a map takes besides its name, about: nodes of the map are half full, and each name is an allocation.
const ENTRY_BYTES: usize = 128;
/// Larger files are not taken into memory. They may be there, but they cannot be read: 64 MiB.
const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;
/// As on Linux (`PATH_MAX`).
const MAX_LINK_BYTES: u64 = 4096;

/// The tree of a commit, read from the object database.
///
/// Names that no disk could hold, or that a program could be fooled with, are not handed out: `.`, `..`, `.git`, names with a `/` or
/// a NUL byte, names that are not UTF-8, and a name that a directory has twice.
pub(crate) struct GitTree {
    generation: Arc<Generation>,
    root: ObjectId,
    directories: Mutex<Directories>,
}

/// The directories that were decoded last, up to [`CACHE_BYTES`].
struct Directories {
    by_id: LruCache<ObjectId, Arc<Directory>>,
    bytes: usize,
}

type Directory = BTreeMap<String, Item>;

#[derive(Clone, Copy, Debug)]
struct Item {
    kind: EntryKind,
    id: ObjectId,
}

impl GitTree {
    pub(crate) fn new(generation: Arc<Generation>, root: ObjectId) -> Self {
        let directories = Directories { by_id: LruCache::unbounded(), bytes: 0 };
        Self { generation, root, directories: Mutex::new(directories) }
    }

    /// The id of the commit that a submodule is at; `None` when there is no submodule.
    pub(crate) fn commit_at(&self, path: &TreePath) -> Result<Option<ObjectId>, TreeError> {
        Ok(self.find(path)?.filter(|item| item.kind == EntryKind::Opaque).map(|item| item.id))
    }

    fn find(&self, path: &TreePath) -> Result<Option<Item>, TreeError> {
        let mut at = Item { kind: EntryKind::Directory, id: self.root };
        for part in path.parts() {
            if at.kind != EntryKind::Directory {
                return Ok(None);
            }
            match self.directory(at.id, path)?.get(part) {
                Some(item) => at = *item,
                None => return Ok(None),
            }
        }
        Ok(Some(at))
    }

    fn directory(&self, id: ObjectId, path: &TreePath) -> Result<Arc<Directory>, TreeError> {
        if let Some(directory) = self.directories.lock().by_id.get(&id) {
            return Ok(Arc::clone(directory));
        }
        // Two threads may decode the same directory; neither waits for the other's disk.
        let directory = Arc::new(self.decode(id, path)?);
        self.directories.lock().put(id, &directory);
        Ok(directory)
    }

    fn decode(&self, id: ObjectId, path: &TreePath) -> Result<Directory, TreeError> {
        if id == ObjectId::empty_tree(gix::hash::Kind::Sha1) {
            return Ok(Directory::new());
        }
        let bytes = self.object(id, Kind::Tree, path, MAX_TREE_BYTES)?;
        let entries = TreeRefIter::from_bytes(&bytes, gix::hash::Kind::Sha1)
            .map(|entry| {
                entry.map(|entry| (entry.filename.to_vec(), entry.mode.kind(), entry.oid.to_owned()))
            })
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| failed(path, &error))?;
        Ok(presentable(entries))
    }

    fn object(&self, id: ObjectId, kind: Kind, path: &TreePath, limit: u64) -> Result<Vec<u8>, TreeError> {
        match self.generation.object(id, limit) {
            Ok(object) if object.kind == kind => Ok(object.bytes),
            Ok(object) => Err(failed(path, &format!("its object is a {}, not a {kind}", object.kind))),
            Err(ObjectError::TooLarge { size }) => {
                Err(TreeError::TooLarge { path: path.to_string(), size, limit })
            }
            Err(error) => Err(self.damaged(path, &error)),
        }
    }

    /// What was here once cannot be read any more: the next fetch is to start from nothing.
    fn damaged(&self, path: &TreePath, error: &ObjectError) -> TreeError {
        self.generation.mark_damaged();
        failed(path, error)
    }

    /// The item at a path, which is of this kind.
    fn expect(&self, path: &TreePath, kind: EntryKind) -> Result<ObjectId, TreeError> {
        match self.find(path)? {
            Some(item) if item.kind == kind => Ok(item.id),
            Some(Item { kind: EntryKind::Directory, .. }) => Err(TreeError::IsADirectory(path.to_string())),
            Some(_) if kind == EntryKind::Directory => Err(TreeError::NotADirectory(path.to_string())),
            _ => Err(TreeError::NotFound(path.to_string())),
        }
    }
}

impl Directories {
    /// Remembers a directory, and forgets those that were not asked for longest.
    fn put(&mut self, id: ObjectId, directory: &Arc<Directory>) {
        let bytes = weight(directory);
        if bytes > CACHE_BYTES {
            return;
        }
        if let Some(before) = self.by_id.put(id, Arc::clone(directory)) {
            self.bytes -= weight(&before);
        }
        self.bytes += bytes;
        while self.bytes > CACHE_BYTES
            && let Some((_, oldest)) = self.by_id.pop_lru()
        {
            self.bytes -= weight(&oldest);
        }
    }
}

/// What a decoded directory takes, about, in bytes.
fn weight(directory: &Directory) -> usize {
    directory.keys().map(|name| name.len() + ENTRY_BYTES).sum::<usize>() + ENTRY_BYTES
}

fn failed(path: &TreePath, reason: &dyn std::fmt::Display) -> TreeError {
    TreeError::Failed { path: path.to_string(), reason: reason.to_string() }
}

/// The entries of a Git tree that are handed out.
fn presentable(entries: Vec<(Vec<u8>, GitKind, ObjectId)>) -> Directory {
    let (mut directory, mut twice) = (Directory::new(), Vec::new());
    for (name, kind, id) in entries {
        let Ok(name) = String::from_utf8(name) else { continue };
        if !is_presentable(&name) {
            continue;
        }
        let kind = match kind {
            GitKind::Tree => EntryKind::Directory,
            GitKind::Blob | GitKind::BlobExecutable => EntryKind::File,
            GitKind::Link => EntryKind::Link,
            GitKind::Commit => EntryKind::Opaque,
        };
        if directory.insert(name.clone(), Item { kind, id }).is_some() {
            twice.push(name);
        }
    }
    // Which of the two is meant nobody can say, and readers have been fooled that way.
    for name in twice {
        directory.remove(&name);
    }
    directory
}

fn is_presentable(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.eq_ignore_ascii_case(".git") && !name.contains(['/', '\0'])
}

impl Tree for GitTree {
    fn kind(&self, path: &TreePath) -> Result<Option<EntryKind>, TreeError> {
        Ok(self.find(path)?.map(|item| item.kind))
    }

    fn list(&self, path: &TreePath) -> Result<Vec<Entry>, TreeError> {
        let directory = self.directory(self.expect(path, EntryKind::Directory)?, path)?;
        Ok(directory.iter().map(|(name, item)| Entry { name: name.clone(), kind: item.kind }).collect())
    }

    fn size(&self, path: &TreePath) -> Result<u64, TreeError> {
        let id = self.expect(path, EntryKind::File)?;
        self.generation.header(id).map(|(_, size)| size).map_err(|error| self.damaged(path, &error))
    }

    fn id(&self, path: &TreePath) -> Result<ContentId, TreeError> {
        match self.find(path)? {
            Some(Item { kind: EntryKind::Link, id }) => Ok(ContentId::new("sha1", id)),
            _ => Ok(ContentId::new("sha1", self.expect(path, EntryKind::File)?)),
        }
    }

    fn read(&self, path: &TreePath, limit: u64) -> Result<Vec<u8>, TreeError> {
        self.object(self.expect(path, EntryKind::File)?, Kind::Blob, path, limit.min(MAX_FILE_BYTES))
    }

    fn read_link(&self, path: &TreePath) -> Result<String, TreeError> {
        let bytes = self.object(self.expect(path, EntryKind::Link)?, Kind::Blob, path, MAX_LINK_BYTES)?;
        // A mistake of the repository, not of the store: such a link leads nowhere that has a name here.
        String::from_utf8(bytes).map_err(|_| TreeError::Denied(path.to_string()))
    }
}

impl std::fmt::Debug for GitTree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "GitTree({})", self.root)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use rstest::rstest;

    use super::*;

    fn names(entries: &[&[u8]]) -> Vec<String> {
        let id = ObjectId::null(gix::hash::Kind::Sha1);
        presentable(entries.iter().map(|name| (name.to_vec(), GitKind::Blob, id)).collect())
            .into_keys()
            .collect()
    }

    fn directory(names: usize, length: usize) -> Arc<Directory> {
        let item = Item { kind: EntryKind::File, id: ObjectId::null(gix::hash::Kind::Sha1) };
        Arc::new((0..names).map(|name| (format!("{name:0>length$}"), item)).collect())
    }

    #[test]
    fn remembered_directories_are_bounded_in_bytes() {
        let mut cache = Directories { by_id: LruCache::unbounded(), bytes: 0 };
        let id = |number: u64| ObjectId::from_hex(format!("{number:040x}").as_bytes()).unwrap();
        for number in 0..200 {
            cache.put(id(number), &directory(1000, 100));
            cache.put(id(number), &directory(1000, 100));
        }
        assert!(cache.bytes <= CACHE_BYTES && cache.bytes > CACHE_BYTES / 2, "{}", cache.bytes);
        assert_eq!(cache.bytes, cache.by_id.iter().map(|(_, directory)| weight(directory)).sum::<usize>());
        assert!(cache.by_id.contains(&id(199)) && !cache.by_id.contains(&id(0)));
        // One that is larger than all of the cache leaves the others where they are.
        cache.put(id(200), &directory(100_000, 200));
        assert!(cache.by_id.contains(&id(199)) && !cache.by_id.contains(&id(200)));
    }

    #[rstest]
    #[case::plain(&[b"b" as &[u8], b"a"], &["a", "b"])]
    #[case::hidden(&[b".gitignore" as &[u8], b"..."], &["...", ".gitignore"])]
    #[case::dots(&[b"." as &[u8], b"..", b""], &[])]
    #[case::git(&[b".git" as &[u8], b".GIT", b".gIt"], &[])]
    #[case::slashes(&[b"a/b" as &[u8], b"/etc", b"a\0b"], &[])]
    #[case::not_text(&[b"\xff" as &[u8], b"ok"], &["ok"])]
    #[case::twice(&[b"a" as &[u8], b"b", b"a"], &["b"])]
    #[case::thrice(&[b"a" as &[u8], b"a", b"a"], &[])]
    fn evil_names_are_not_handed_out(#[case] entries: &[&[u8]], #[case] expected: &[&str]) {
        assert_eq!(names(entries), expected);
    }
}
