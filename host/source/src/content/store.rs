use std::collections::{HashMap, HashSet};
use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use plumb_tree::ContentId;
use tempfile::{NamedTempFile, TempPath};

use crate::content::listing::Listing;
use crate::content::tree::StoredTree;
use crate::content::{Builder, ContentError, FileId, Incoming, Limits, OpenError, Received, Stored};

/// Of a listing; what 100 000 entries with long names need.
const MAX_LISTING_BYTES: u64 = 512 * 1024 * 1024;

/// Trees below a directory. What was stored survives a restart.
///
/// All methods block on the disk: call them where blocking is allowed.
///
/// Layout: `DIR/files/AB/…` has the files by their SHA-256, `DIR/trees/…` the listings by theirs, `DIR/notes/…` what is [remembered](Self::remember) of trees, and
/// `DIR/incoming/` what is being written; that is emptied when the store is opened. A listing gets its name after all of its files have theirs, so a crash leaves nothing that
/// looks complete. Nothing waits for the disk to have written: a file that a power cut has damaged no longer has its SHA-256, which is noticed when it is read, and it is then
/// fetched anew.
pub struct ContentStore {
    limits: Limits,
    shared: Arc<Shared>,
}

/// What was [remembered](ContentStore::remember).
#[derive(Clone, Debug)]
pub struct Remembered {
    /// The tree.
    pub stored: Stored,
    /// What was said of it.
    pub note: String,
}

impl ContentStore {
    /// Opens the store in a directory, which is made if need be. Two processes cannot use one at the same time.
    pub fn open(dir: &Path, limits: Limits) -> Result<Self, OpenError> {
        let failed = |error| OpenError::Io(dir.to_owned(), error);
        fs::create_dir_all(dir).map_err(failed)?;
        let lock = File::create(dir.join("lock")).map_err(failed)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => OpenError::InUse(dir.to_owned()),
            TryLockError::Error(error) => failed(error),
        })?;
        let shared = Shared { dir: dir.to_owned(), in_use: Mutex::default(), _lock: lock };
        shared.prepare().map_err(failed)?;
        Ok(Self { limits, shared: Arc::new(shared) })
    }

    /// How much a tree may hold.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// The same store, whose trees may hold more or less.
    #[must_use]
    pub fn with_limits(&self, limits: Limits) -> Self {
        Self { limits, shared: Arc::clone(&self.shared) }
    }

    /// A file of the store, to be read piece by piece. Nobody looks whether its bytes are those that were stored.
    pub(crate) fn open_file(&self, id: &ContentId) -> Result<File, ContentError> {
        let hex = id.as_str().strip_prefix("sha256:");
        let id = hex
            .and_then(FileId::parse)
            .ok_or_else(|| ContentError::store("it is not a file of the store"))?;
        File::open(self.shared.file_path(id)).map_err(ContentError::store)
    }

    /// Starts a tree.
    pub fn builder(&self) -> Builder {
        Builder::new(Arc::clone(&self.shared), self.limits)
    }

    /// Starts a file that may have up to `limit` bytes, which will be part of a tree, or is an archive to be unpacked.
    pub fn incoming(&self, limit: u64) -> Result<Incoming, ContentError> {
        self.shared.incoming(limit)
    }

    /// Stores a tree of this one file.
    pub fn store_file(&self, name: &str, reader: impl io::Read) -> Result<Stored, ContentError> {
        let mut builder = self.builder();
        builder.file(name, reader)?;
        builder.finish()
    }

    /// A tree by its digest; `None` when it is not here, or not whole any more.
    pub fn get(&self, digest: &str) -> Option<Stored> {
        self.shared.get(tree_id(digest)?)
    }

    /// Remembers a tree by a name of the caller's, with a note for the caller. It is forgotten when the tree goes.
    pub fn remember(&self, name: &str, digest: &str, note: &str) -> Result<(), ContentError> {
        let text = format!("{digest}\n{note}");
        let _naming = self.shared.in_use.lock();
        self.shared.write("notes", FileId::of_bytes(name.as_bytes()), text.as_bytes())
    }

    /// What is remembered by a name; `None` when nothing is, or the tree is not whole any more.
    pub fn recall(&self, name: &str) -> Option<Remembered> {
        let path = self.shared.path("notes", FileId::of_bytes(name.as_bytes()));
        let text = String::from_utf8(read_bounded(&path, MAX_LISTING_BYTES).ok()?).ok()?;
        let (digest, note) = text.split_once('\n')?;
        Some(Remembered { stored: self.get(digest)?, note: note.to_owned() })
    }

    /// Deletes all trees but these, and the files that no tree uses. Trees that are still used stay readable. Others may store trees meanwhile.
    pub fn retain(&self, digests: &[String]) -> io::Result<()> {
        self.shared.retain(digests.iter().filter_map(|digest| tree_id(digest)).collect())
    }
}

impl std::fmt::Debug for ContentStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ContentStore({})", self.shared.dir.display())
    }
}

/// What the store and its trees have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    dir: PathBuf,
    /// The trees that somebody holds. Locked while files and listings get their names or lose them.
    in_use: Mutex<HashMap<FileId, Weak<StoredTree>>>,
    /// Held open, and by that locked, for as long as the store is used.
    _lock: File,
}

/// Why a file cannot be read.
pub(crate) enum ReadError {
    /// It does not have the bytes that were stored. It is no longer in the store.
    Damaged,
    Io(io::Error),
}

impl Shared {
    fn prepare(&self) -> io::Result<()> {
        match fs::remove_dir_all(self.dir.join("incoming")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let directories = ["files", "incoming", "notes", "trees"];
        directories.iter().try_for_each(|directory| fs::create_dir_all(self.dir.join(directory)))
    }

    fn path(&self, directory: &str, id: FileId) -> PathBuf {
        self.dir.join(directory).join(id.to_string())
    }

    fn file_path(&self, id: FileId) -> PathBuf {
        let hex = id.to_string();
        let (first, rest) = hex.split_at(2);
        self.dir.join("files").join(first).join(rest)
    }

    pub(crate) fn incoming(&self, limit: u64) -> Result<Incoming, ContentError> {
        let file = NamedTempFile::new_in(self.dir.join("incoming")).map_err(ContentError::store)?;
        Ok(Incoming::new(file, limit))
    }

    /// A file of the store once more, unless it is not there or damaged. It is ours even if the store loses it.
    pub(crate) fn share(&self, id: FileId, size: u64) -> Option<Received> {
        self.read(id, size).ok()?;
        let link = |path: &Path| fs::hard_link(self.file_path(id), path);
        let path = tempfile::Builder::new().make_in(self.dir.join("incoming"), link).ok()?.into_temp_path();
        Some(Received { path, id, size })
    }

    /// Gives files and then their listing their names.
    pub(crate) fn commit(
        self: &Arc<Self>,
        listing: Listing,
        files: HashMap<FileId, TempPath>,
    ) -> Result<Stored, ContentError> {
        let text = listing.to_text().map_err(ContentError::store)?;
        let id = FileId::of_bytes(text.as_bytes());
        let mut in_use = self.in_use.lock();
        for (id, path) in files {
            // Also over a file that is there: if that one is damaged, it is whole again. A file that is shared keeps its other name, and loses it with `path`.
            let named = self.file_path(id);
            named.parent().map_or(Ok(()), fs::create_dir_all).map_err(ContentError::store)?;
            fs::rename(&path, named).map_err(ContentError::store)?;
        }
        self.write("trees", id, text.as_bytes())?;
        let tree = Arc::new(StoredTree { listing, shared: Arc::clone(self) });
        in_use.insert(id, Arc::downgrade(&tree));
        Ok(stored(id, tree))
    }

    fn get(self: &Arc<Self>, id: FileId) -> Option<Stored> {
        let tree = {
            let mut in_use = self.in_use.lock();
            match in_use.get(&id).and_then(Weak::upgrade) {
                Some(tree) => tree,
                None => {
                    let listing = self.read_listing(id)?;
                    let tree = Arc::new(StoredTree { listing, shared: Arc::clone(self) });
                    in_use.insert(id, Arc::downgrade(&tree));
                    tree
                }
            }
        };
        // From here on it is in use, and nothing takes its files away.
        let is_there = |(id, size)| fs::metadata(self.file_path(id)).is_ok_and(|file| file.len() == size);
        let is_whole = self.path("trees", id).exists() && tree.listing.files().all(is_there);
        is_whole.then(|| stored(id, tree))
    }

    fn read_listing(&self, id: FileId) -> Option<Listing> {
        let bytes = read_bounded(&self.path("trees", id), MAX_LISTING_BYTES).ok()?;
        if FileId::of_bytes(&bytes) != id {
            return None;
        }
        Listing::parse(std::str::from_utf8(&bytes).ok()?)
    }

    /// The bytes of a file, which are those that were stored.
    pub(crate) fn read(&self, id: FileId, size: u64) -> Result<Vec<u8>, ReadError> {
        match self.read_unless_damaged(id, size) {
            Err(ReadError::Damaged) => {
                // Somebody may have stored it anew since.
                let _naming = self.in_use.lock();
                let again = self.read_unless_damaged(id, size);
                if matches!(again, Err(ReadError::Damaged)) {
                    tracing::warn!(file = %id, "a file of the content store is damaged or gone; it will be fetched anew");
                    // What cannot be removed is still not taken for whole.
                    let _ = fs::remove_file(self.file_path(id));
                }
                again
            }
            other => other,
        }
    }

    fn read_unless_damaged(&self, id: FileId, size: u64) -> Result<Vec<u8>, ReadError> {
        match read_bounded(&self.file_path(id), size) {
            Ok(bytes) if FileId::of_bytes(&bytes) == id => Ok(bytes),
            Ok(_) => Err(ReadError::Damaged),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(ReadError::Damaged),
            Err(error) => Err(ReadError::Io(error)),
        }
    }

    /// Writes a file that is there as a whole or not at all. The caller holds the lock.
    fn write(&self, directory: &str, id: FileId, bytes: &[u8]) -> Result<(), ContentError> {
        let mut file = NamedTempFile::new_in(self.dir.join("incoming")).map_err(ContentError::store)?;
        file.write_all(bytes).map_err(ContentError::store)?;
        file.persist(self.path(directory, id)).map_err(|error| ContentError::store(error.error))?;
        Ok(())
    }

    fn retain(&self, mut kept: HashSet<FileId>) -> io::Result<()> {
        let mut in_use = self.in_use.lock();
        in_use.retain(|_, tree| tree.strong_count() > 0);
        kept.extend(in_use.keys());
        let mut files = HashSet::new();
        for (path, id) in named(&self.dir.join("trees"))? {
            // Those in memory may have lost their listing, but still need their files.
            if in_use.contains_key(&id) {
                continue;
            }
            match kept.contains(&id).then(|| self.read_listing(id)).flatten() {
                Some(listing) => files.extend(listing.files().map(|(id, _)| id)),
                None => fs::remove_file(path)?,
            }
        }
        for tree in in_use.values().filter_map(Weak::upgrade) {
            files.extend(tree.listing.files().map(|(id, _)| id));
        }
        for directory in fs::read_dir(self.dir.join("files"))? {
            let directory = directory?;
            let first = directory.file_name().to_string_lossy().into_owned();
            for entry in fs::read_dir(directory.path())? {
                let entry = entry?;
                let id = FileId::parse(&format!("{first}{}", entry.file_name().to_string_lossy()));
                if id.is_none_or(|id| !files.contains(&id)) {
                    fs::remove_file(entry.path())?;
                }
            }
        }
        self.retain_notes(&kept)
    }

    fn retain_notes(&self, kept: &HashSet<FileId>) -> io::Result<()> {
        for (path, _) in named(&self.dir.join("notes"))? {
            // `sha256:` and 64 digits.
            let mut digest = String::new();
            let read = File::open(&path).and_then(|file| file.take(71).read_to_string(&mut digest));
            if read.is_err() || tree_id(&digest).is_none_or(|id| !kept.contains(&id)) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }
}

/// The files of a directory whose names are hashes.
fn named(directory: &Path) -> io::Result<Vec<(PathBuf, FileId)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if let Some(id) = FileId::parse(&entry.file_name().to_string_lossy()) {
            found.push((entry.path(), id));
        }
    }
    Ok(found)
}

fn stored(id: FileId, tree: Arc<StoredTree>) -> Stored {
    Stored { digest: format!("sha256:{id}"), bytes: tree.listing.bytes(), tree }
}

fn tree_id(digest: &str) -> Option<FileId> {
    FileId::parse(digest.strip_prefix("sha256:")?)
}

/// At most one byte more than `limit`, which is enough to see that there are too many.
fn read_bounded(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}
