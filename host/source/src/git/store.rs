use std::collections::HashMap;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use gix::ObjectId;
use parking_lot::Mutex;
use plumb_api::{GitReference, Revision};
use sha2::{Digest as _, Sha256};

use crate::deadline::{Cancel, TICK};
use crate::git::completeness;
use crate::git::credentials::Credentials;
use crate::git::error::GitError;
use crate::git::generation::Generation;
use crate::git::remote::{Patience, Remote};
use crate::git::snapshot::Snapshot;
use crate::git::target;
use crate::git::url::GitUrl;

/// How much a server may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The size of the objects of one fetch, compressed, in bytes. By default 1 GiB.
    pub pack_bytes: u64,
    /// The size of the list of references in bytes. By default 32 MiB, which is some 400 000 references.
    pub reference_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { pack_bytes: 1024 * 1024 * 1024, reference_bytes: 32 * 1024 * 1024 }
    }
}

/// What to fetch.
#[derive(Clone)]
pub struct Fetch {
    /// The repository.
    pub url: GitUrl,
    /// Which commit of it.
    pub reference: GitReference,
    /// How to sign in.
    pub credentials: Credentials,
    /// How long all of it may take.
    pub timeout: Duration,
    /// The revision that the caller already has, if any.
    pub known: Option<Revision>,
}

/// What a fetch found.
#[derive(Clone, Debug)]
pub enum Fetched {
    /// The server still has the revision that the caller has, and it is still in the store.
    Unchanged(Revision),
    /// Another revision, or one that the store had lost.
    New(Snapshot),
}

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

/// Bare object databases below a directory, one a repository. What was fetched survives a restart, and the next fetch brings only what is new.
///
/// All methods block on the disk, and [`fetch`](Self::fetch) on the network: call them where blocking is allowed.
///
/// Layout: `DIR/KEY/N/`, where `KEY` is the SHA-256 of the URL and `N` counts up. Each `N` is a full fetch and the incremental ones that followed it; `DIR/KEY/url` says
/// whose it is. A new `N` is started when the packs of the last one have become many or large, or when one is damaged; the old one is deleted when the last [`Snapshot`]
/// of it is dropped. So the store has at most a few times the size of what is used.
///
/// Objects of a URL are shared by everybody who fetches it. Every fetch signs in with its own credentials before it gets anything.
pub struct GitStore {
    dir: PathBuf,
    limits: Limits,
    repositories: Mutex<HashMap<String, Arc<Repository>>>,
    /// Held open, and by that locked, for as long as the store is used.
    _lock: File,
}

struct Repository {
    dir: PathBuf,
    /// Held by who fetches.
    fetching: Mutex<()>,
    current: Mutex<Option<Arc<Generation>>>,
}

impl GitStore {
    /// Opens the store in a directory, which is made if need be. Two processes cannot use one at the same time.
    pub fn open(dir: &Path, limits: Limits) -> Result<Self, OpenError> {
        let failed = |error| OpenError::Io(dir.to_owned(), error);
        fs::create_dir_all(dir).map_err(failed)?;
        let lock = File::create(dir.join("lock")).map_err(failed)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => OpenError::InUse(dir.to_owned()),
            TryLockError::Error(error) => failed(error),
        })?;
        Ok(Self { dir: dir.to_owned(), limits, repositories: Mutex::default(), _lock: lock })
    }

    /// Asks the server what a reference leads to, and fetches it unless it is here.
    ///
    /// Fetches of the same repository wait for each other. What was fetched before stays usable whatever happens.
    pub fn fetch(&self, fetch: &Fetch, cancel: &Cancel) -> Result<Fetched, GitError> {
        let patience = Patience::new(fetch.timeout, cancel);
        let repository = self.repository(&fetch.url).map_err(|error| store_error(&fetch.url, &error))?;
        let _turn = repository.wait_for_turn(&fetch.url, &patience)?;
        let mut remote = self.connect(fetch, &patience)?;
        let refs = remote.refs(&target::prefix(&fetch.reference))?;
        let target = target::choose(&fetch.reference, &refs, &fetch.url)?;
        let revision = target.revision();
        let generation = match repository.current().filter(|generation| generation.has(target.commit)) {
            Some(_) if fetch.known.as_ref() == Some(&revision) => return Ok(Fetched::Unchanged(revision)),
            Some(generation) => generation,
            None => self.receive(fetch, &patience, &repository, remote, target.commit)?,
        };
        Snapshot::of(generation, revision, target.commit)
            .map(Fetched::New)
            .map_err(|error| store_error(&fetch.url, &error))
    }

    /// A revision that was fetched before, from the disk; `None` when it is not there, or damaged.
    pub fn snapshot(&self, url: &GitUrl, revision: &Revision) -> Option<Snapshot> {
        let commit = ObjectId::from_hex(revision.hex().as_bytes()).ok()?;
        let generation = self.repository(url).ok()?.current().filter(|generation| generation.has(commit))?;
        Snapshot::of(generation, revision.clone(), commit).ok()
    }

    /// Deletes the objects of all repositories but these. Snapshots that are still used stay readable.
    pub fn retain(&self, urls: &[GitUrl]) -> io::Result<()> {
        let keys: Vec<String> = urls.iter().map(key).collect();
        let mut repositories = self.repositories.lock();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if keys.contains(&name) || !entry.file_type()?.is_dir() {
                continue;
            }
            // Somebody who fetches holds another one; the next call gets it.
            let in_use = match repositories.get(&name) {
                Some(repository) => Arc::strong_count(repository) > 1 || !repository.retire()?,
                None => false,
            };
            if !in_use {
                repositories.remove(&name);
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }

    fn connect(&self, fetch: &Fetch, patience: &Patience) -> Result<Remote, GitError> {
        Remote::connect(&fetch.url, &fetch.credentials, patience, self.limits)
    }

    fn receive(
        &self,
        fetch: &Fetch,
        patience: &Patience,
        repository: &Repository,
        mut remote: Remote,
        commit: ObjectId,
    ) -> Result<Arc<Generation>, GitError> {
        let broken = |error: io::Error| store_error(&fetch.url, &error);
        if let Some(generation) = repository.current().filter(|generation| !generation.is_damaged())
            && !generation.is_full().map_err(broken)?
        {
            match complete(&mut remote, commit, &generation, &fetch.url) {
                Ok(()) => return Ok(generation),
                // What is here and what came do not fit together: start from nothing.
                Err(error @ (GitError::Server { .. } | GitError::Store { .. })) => {
                    tracing::warn!(%error, "an incremental fetch failed; fetching everything");
                    remote = self.connect(fetch, patience)?;
                }
                Err(error) => return Err(error),
            }
        }
        let generation = Arc::new(repository.create().map_err(broken)?);
        complete(&mut remote, commit, &generation, &fetch.url)?;
        repository.replace(&generation);
        Ok(generation)
    }

    fn repository(&self, url: &GitUrl) -> io::Result<Arc<Repository>> {
        let key = key(url);
        let mut repositories = self.repositories.lock();
        if let Some(repository) = repositories.get(&key) {
            return Ok(Arc::clone(repository));
        }
        let repository = Arc::new(Repository::open(&self.dir.join(&key), url)?);
        repositories.insert(key, Arc::clone(&repository));
        Ok(repository)
    }
}

impl std::fmt::Debug for GitStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GitStore")
            .field("dir", &self.dir)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// Receives a commit, and makes sure that all of it is there.
fn complete(remote: &mut Remote, commit: ObjectId, into: &Generation, url: &GitUrl) -> Result<(), GitError> {
    remote.receive(commit, into)?;
    completeness::check(into, commit).map_err(|error| match error {
        completeness::Incomplete::WrongKind { id, .. } if id == commit => GitError::CommitNotFound {
            url: url.to_string(),
            commit: commit.to_string(),
            reason: error.to_string(),
        },
        _ => GitError::Server {
            url: url.to_string(),
            reason: format!("it sent a commit of which something is missing: {error}"),
        },
    })?;
    into.add(commit).map_err(|error| store_error(url, &error))
}

fn key(url: &GitUrl) -> String {
    format!("{:x}", Sha256::digest(url.to_string().as_bytes()))
}

fn store_error(url: &GitUrl, error: &dyn std::fmt::Display) -> GitError {
    GitError::Store { url: url.to_string(), reason: error.to_string() }
}

impl Repository {
    /// The newest generation that is complete; all others are left from a process that was killed.
    fn open(dir: &Path, url: &GitUrl) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        fs::write(dir.join("url"), format!("{url}\n"))?;
        let mut current: Option<Arc<Generation>> = None;
        for (_, path) in generations(dir)?.into_iter().rev() {
            match Generation::open(&path) {
                Ok(generation) if current.is_none() => current = Some(Arc::new(generation)),
                _ => fs::remove_dir_all(path)?,
            }
        }
        Ok(Self { dir: dir.to_owned(), fetching: Mutex::new(()), current: Mutex::new(current) })
    }

    fn current(&self) -> Option<Arc<Generation>> {
        self.current.lock().clone()
    }

    fn create(&self) -> io::Result<Generation> {
        let next = generations(&self.dir)?.last().map_or(0, |(number, _)| number + 1);
        Generation::create(&self.dir.join(next.to_string()))
    }

    fn replace(&self, generation: &Arc<Generation>) {
        generation.keep();
        if let Some(old) = self.current.lock().replace(Arc::clone(generation)) {
            old.retire();
        }
    }

    /// Gives up what is here. Whether nothing of it is left: snapshots that are still read keep theirs.
    fn retire(&self) -> io::Result<bool> {
        if let Some(generation) = self.current.lock().take() {
            generation.retire();
        }
        Ok(generations(&self.dir)?.is_empty())
    }

    fn wait_for_turn(
        &self,
        url: &GitUrl,
        patience: &Patience,
    ) -> Result<parking_lot::MutexGuard<'_, ()>, GitError> {
        loop {
            if let Some(turn) = self.fetching.try_lock_for(TICK) {
                return Ok(turn);
            }
            patience.check(url)?;
        }
    }
}

/// The generations of a repository by their numbers, oldest first.
fn generations(dir: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if let Some(number) = entry.file_name().to_str().and_then(|name| name.parse().ok()) {
            found.push((number, entry.path()));
        }
    }
    found.sort();
    Ok(found)
}
