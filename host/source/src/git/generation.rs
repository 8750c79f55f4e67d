use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gix::ObjectId;
use gix::objs::{Find as _, Kind};
use gix::odb::Header as _;
use gix::odb::store::init::{Options, Slots};
use parking_lot::Mutex;

use crate::git::completeness;

/// After so many packs, objects are looked for in too many places, and much of what they hold is old.
const MOST_PACKS: usize = 50;
/// A small repository may grow by this much before it is fetched anew.
const SLACK_BYTES: u64 = 64 * 1024 * 1024;
/// Objects that are larger are not taken apart, whatever they are: a pack of a megabyte can hold a file of a gigabyte. 256 MiB.
pub(crate) const MAX_OBJECT_BYTES: usize = 256 * 1024 * 1024;
/// The commits in the store, one a line, oldest first.
const COMMITS: &str = "commits";

/// One bare object database: a full fetch and the incremental ones that followed it.
///
/// Packs are only ever added. When they have become too many, the next fetch makes a new generation, and this one is deleted when the last tree
/// that reads it is dropped.
pub(crate) struct Generation {
    dir: PathBuf,
    store: Arc<gix::odb::Store>,
    commits: Mutex<Vec<Known>>,
    /// Whether the directory stays when nobody uses it.
    kept: AtomicBool,
    damaged: AtomicBool,
}

#[derive(Clone, Copy)]
struct Known {
    commit: ObjectId,
    /// Whether all its objects were seen since this process has opened the store.
    checked: bool,
}

/// An object, and its kind.
pub(crate) struct Object {
    pub(crate) kind: Kind,
    pub(crate) bytes: Vec<u8>,
}

/// Why an object cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ObjectError {
    #[error("it has {size} bytes")]
    TooLarge { size: u64 },
    #[error("the object {id} is missing or damaged{reason}; it is fetched again")]
    Damaged { id: ObjectId, reason: String },
}

impl Generation {
    /// An empty one, deleted when it is dropped unless it is [kept](Self::keep).
    pub(crate) fn create(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir.join("objects/pack"))?;
        // With these it is a repository to the `git` program, for those who want to look inside.
        fs::create_dir_all(dir.join("refs/heads"))?;
        fs::write(dir.join("HEAD"), "ref: refs/heads/nothing\n")?;
        Self::at(dir, Vec::new(), false)
    }

    /// One that an earlier process has kept.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        let text = fs::read_to_string(dir.join(COMMITS))?;
        let commits = text.lines().filter_map(|line| ObjectId::from_hex(line.as_bytes()).ok());
        Self::at(dir, commits.map(|commit| Known { commit, checked: false }).collect(), true)
    }

    fn at(dir: &Path, commits: Vec<Known>, kept: bool) -> io::Result<Self> {
        let options = Options {
            slots: Slots::Given(4 * MOST_PACKS as u16),
            use_multi_pack_index: false,
            alloc_limit_bytes: Some(MAX_OBJECT_BYTES),
            current_dir: Some(dir.to_owned()),
            ..Options::default()
        };
        let store = gix::odb::Store::at_opts(
            dir.join("objects"),
            gix::hash::Kind::Sha1,
            &mut std::iter::empty(),
            options,
        )?;
        Ok(Self {
            dir: dir.to_owned(),
            store: Arc::new(store),
            commits: Mutex::new(commits),
            kept: AtomicBool::new(kept),
            damaged: AtomicBool::new(false),
        })
    }

    pub(crate) fn keep(&self) {
        self.kept.store(true, Ordering::Relaxed);
    }

    /// Deletes the directory when the last tree that reads it is dropped.
    pub(crate) fn retire(&self) {
        self.kept.store(false, Ordering::Relaxed);
    }

    pub(crate) fn pack_dir(&self) -> PathBuf {
        self.dir.join("objects/pack")
    }

    /// Where Git notes the commits whose parents were not fetched.
    pub(crate) fn shallow_file(&self) -> PathBuf {
        self.dir.join("shallow")
    }

    pub(crate) fn handle(&self) -> gix::odb::store::Handle<Arc<gix::odb::Store>> {
        self.store.to_handle_arc()
    }

    /// The newest commits that are here, at most `most`.
    pub(crate) fn newest(&self, most: usize) -> Vec<ObjectId> {
        self.commits.lock().iter().rev().take(most).map(|known| known.commit).collect()
    }

    /// Whether a commit is here with all its objects. The first time in the life of this process, that is looked at.
    pub(crate) fn has(&self, commit: ObjectId) -> bool {
        if self.is_damaged() {
            return false;
        }
        let Some(known) = self.commits.lock().iter().find(|known| known.commit == commit).copied() else {
            return false;
        };
        if known.checked {
            return true;
        }
        if let Err(error) = completeness::check(self, commit) {
            self.mark_damaged();
            tracing::warn!(store = %self.dir.display(), %commit, %error, "the store is damaged; the next fetch starts from nothing");
            return false;
        }
        for known in self.commits.lock().iter_mut().filter(|known| known.commit == commit) {
            known.checked = true;
        }
        true
    }

    /// Notes that a commit is here with all its objects.
    pub(crate) fn add(&self, commit: ObjectId) -> io::Result<()> {
        let mut commits = self.commits.lock();
        commits.retain(|known| known.commit != commit);
        commits.push(Known { commit, checked: true });
        let (file, new) = (self.dir.join(COMMITS), self.dir.join("commits.new"));
        let mut writer = OpenOptions::new().write(true).create(true).truncate(true).open(&new)?;
        for known in commits.iter() {
            writeln!(writer, "{}", known.commit)?;
        }
        writer.sync_all()?;
        fs::rename(new, file)
    }

    /// Whether it is better to start anew than to add to it.
    pub(crate) fn is_full(&self) -> io::Result<bool> {
        let (mut packs, mut bytes, mut largest) = (0, 0u64, 0u64);
        for entry in fs::read_dir(self.pack_dir())? {
            let entry = entry?;
            if entry.path().extension().is_some_and(|extension| extension == "pack") {
                let size = entry.metadata()?.len();
                (packs, bytes, largest) = (packs + 1, bytes.saturating_add(size), largest.max(size));
            }
        }
        Ok(packs >= MOST_PACKS || bytes > largest.saturating_mul(3).saturating_add(SLACK_BYTES))
    }

    pub(crate) fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Relaxed)
    }

    /// Notes that something which was here is not any more, so that the next fetch starts from nothing.
    ///
    /// What a server has just left out of what it sent is no such thing: others go on using what is here.
    pub(crate) fn mark_damaged(&self) {
        self.damaged.store(true, Ordering::Relaxed);
    }

    /// Whether an object is here, whatever it is.
    pub(crate) fn contains(&self, id: ObjectId) -> bool {
        matches!(self.handle().try_header(&id), Ok(Some(_)))
    }

    /// The kind and the size in bytes of an object, without its bytes.
    pub(crate) fn header(&self, id: ObjectId) -> Result<(Kind, u64), ObjectError> {
        match self.handle().try_header(&id) {
            Ok(Some(header)) => Ok((header.kind(), header.size())),
            Ok(None) => Err(unusable(id, &"missing")),
            Err(error) => Err(unusable(id, &error)),
        }
    }

    /// An object of at most `limit` bytes. Its bytes are what its id says.
    pub(crate) fn object(&self, id: ObjectId, limit: u64) -> Result<Object, ObjectError> {
        let (_, size) = self.header(id)?;
        if size > limit {
            return Err(ObjectError::TooLarge { size });
        }
        let mut bytes = Vec::new();
        let handle = self.handle();
        let kind = match handle.try_find(&id, &mut bytes) {
            Ok(Some(data)) => {
                data.verify_checksum(&id).map(|_| data.kind).map_err(|error| unusable(id, &error))?
            }
            Ok(None) => return Err(unusable(id, &"missing")),
            Err(error) => return Err(unusable(id, &error)),
        };
        Ok(Object { kind, bytes })
    }
}

fn unusable(id: ObjectId, reason: &dyn std::fmt::Display) -> ObjectError {
    ObjectError::Damaged { id, reason: format!(" ({reason})") }
}

impl Drop for Generation {
    fn drop(&mut self) {
        if !self.kept.load(Ordering::Relaxed)
            && let Err(error) = fs::remove_dir_all(&self.dir)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(store = %self.dir.display(), %error, "an old store could not be deleted");
        }
    }
}

impl std::fmt::Debug for Generation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Generation").field("dir", &self.dir).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use std::io::Write as _;

    use super::*;

    /// Writes a loose object, as `git hash-object -w` does.
    fn put(generation: &Generation, kind: Kind, bytes: &[u8]) -> ObjectId {
        let id = gix::objs::compute_hash(gix::hash::Kind::Sha1, kind, bytes).unwrap();
        let hex = id.to_string();
        let dir = generation.dir.join("objects").join(&hex[..2]);
        fs::create_dir_all(&dir).unwrap();
        let file = fs::File::create(dir.join(&hex[2..])).unwrap();
        let mut writer = flate2::write::ZlibEncoder::new(file, flate2::Compression::fast());
        write!(writer, "{kind} {}\0", bytes.len()).unwrap();
        writer.write_all(bytes).unwrap();
        writer.finish().unwrap();
        id
    }

    fn tree_of(blob: ObjectId) -> Vec<u8> {
        [b"100644 file\0".as_slice(), blob.as_slice()].concat()
    }

    fn commit_of(generation: &Generation, tree: ObjectId) -> ObjectId {
        let who = "Ada Lovelace <ada@example.com> 1700000000 +0000";
        let text = format!("tree {tree}\nauthor {who}\ncommitter {who}\n\nmessage\n");
        put(generation, Kind::Commit, text.as_bytes())
    }

    /// A server that leaves an object out of what it sends does no harm to what others have fetched.
    #[test]
    fn what_was_never_here_is_no_damage() {
        let dir = tempfile::tempdir().unwrap();
        let generation = Generation::create(&dir.path().join("0")).unwrap();
        let blob = put(&generation, Kind::Blob, b"bytes");
        let tree = put(&generation, Kind::Tree, &tree_of(blob));
        let whole = commit_of(&generation, tree);
        generation.add(whole).unwrap();
        let missing = ObjectId::from_hex(&[b'1'; 40]).unwrap();
        let tree = put(&generation, Kind::Tree, &tree_of(missing));
        let incomplete = commit_of(&generation, tree);
        let error = completeness::check(&generation, incomplete).unwrap_err();
        assert!(error.to_string().contains("11111"), "{error}");
        assert!(!generation.is_damaged() && generation.has(whole));
        assert!(!generation.has(incomplete), "it was not added");
    }

    #[test]
    fn what_was_here_and_is_gone_is_damage() {
        let dir = tempfile::tempdir().unwrap();
        let generation = Generation::create(&dir.path().join("0")).unwrap();
        let missing = ObjectId::from_hex(&[b'1'; 40]).unwrap();
        let tree = put(&generation, Kind::Tree, &tree_of(missing));
        let commit = commit_of(&generation, tree);
        generation.add(commit).unwrap();
        generation.keep();
        drop(generation);
        let generation = Generation::open(&dir.path().join("0")).unwrap();
        assert!(!generation.has(commit) && generation.is_damaged());
    }
}
