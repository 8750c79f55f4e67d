use std::collections::{HashMap, HashSet};
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use gix::ObjectId;
use gix::objs::Kind;
use jiff::Timestamp;
use parking_lot::Mutex;
use plumb_api::{GitReference, Revision};
use plumb_tree::Tree;
use sha2::{Digest as _, Sha256};

use crate::deadline::Cancel;
use crate::git::completeness::{self, MAX_COMMIT_BYTES};
use crate::git::credentials::Credentials;
use crate::git::error::GitError;
use crate::git::generation::Generation;
use crate::git::remote::{History, Patience, Remote};
use crate::git::repository::{self, Repository};
use crate::git::selection::{Selection, Submodules};
use crate::git::snapshot::{Snapshot, Stored};
use crate::git::submodules::{self, FindTree, Recursion};
use crate::git::target::{self, Tag, Target};
use crate::git::tree::GitTree;
use crate::git::url::GitUrl;
use crate::git::verify::{self, Verified, Verify, VerifyError};

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
    /// What of it has to be signed, and by whom.
    pub verify: Option<Verify>,
    /// What of it is seen.
    pub selection: Selection,
    /// What the caller already has, if anything.
    pub known: Option<Known>,
}

/// A [`Snapshot`] that the caller already has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its revision.
    pub revision: Revision,
    /// Its digest: another selection of the same revision is not the same.
    pub digest: String,
}

/// What a fetch found.
#[derive(Clone, Debug)]
pub enum Fetched {
    /// The server still has the revision that the caller has, the selection is the same, and all of it is still in the store.
    Unchanged(Revision),
    /// Another revision or selection, or one that the store had lost.
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

    /// Asks the server what a reference leads to, and fetches it unless it is here; its submodules as well, where they are asked for.
    ///
    /// Fetches of the same repository wait for each other. What was fetched before stays usable whatever happens.
    pub fn fetch(&self, fetch: &Fetch, cancel: &Cancel) -> Result<Fetched, GitError> {
        let patience = Patience::new(fetch.timeout, cancel);
        let visit = Visit { url: &fetch.url, credentials: &fetch.credentials, patience: &patience };
        let known = fetch.known.as_ref().map(|known| &known.revision);
        let Here { generation, target, tag, was_received } =
            self.fetch_reference(&visit, &fetch.reference, known)?;
        // Also what the caller has already: a key may have been taken away since.
        let verified = match &fetch.verify {
            Some(verify) => self.verify(&visit, verify, &generation, target.commit, tag)?,
            None => Vec::new(),
        };
        let (revision, stored) = (target.revision(), open(&fetch.url, generation, target.commit)?);
        let known = Known { revision: revision.clone(), digest: fetch.selection.digest(&stored.tree_id) };
        let mut here = |url: &GitUrl, commit| self.find(url, commit);
        // What the caller has may be damaged where what is here had to be fetched again.
        if !was_received
            && fetch.known.as_ref() == Some(&known)
            && seen(&stored, &fetch.url, &fetch.selection, &mut here).is_ok()
        {
            return Ok(Fetched::Unchanged(revision));
        }
        let mut submodules = Vec::new();
        let mut find = |url: &GitUrl, commit| {
            submodules.push(url.clone());
            self.fetch_submodule(&visit, url, commit)
        };
        let tree = seen(&stored, &fetch.url, &fetch.selection, &mut find)?;
        if !submodules.is_empty() {
            let repository = self.repository(&fetch.url).map_err(|error| store_error(&fetch.url, &error))?;
            repository.note_submodules(&submodules);
        }
        let snapshot = Snapshot::new(revision, stored, tree, known.digest);
        Ok(Fetched::New(Snapshot { verified, ..snapshot }))
    }

    /// A revision that was fetched before, with what the selection shows of it, from the disk; `None` when it is not all there, or damaged.
    pub fn snapshot(&self, url: &GitUrl, revision: &Revision, selection: &Selection) -> Option<Snapshot> {
        let commit = ObjectId::from_hex(revision.hex().as_bytes()).ok()?;
        let generation = self.repository(url).ok()?.current().filter(|generation| generation.has(commit))?;
        let stored = open(url, generation, commit).ok()?;
        let tree = seen(&stored, url, selection, &mut |url, commit| self.find(url, commit)).ok()?;
        let digest = selection.digest(&stored.tree_id);
        Some(Snapshot::new(revision.clone(), stored, tree, digest))
    }

    /// Deletes the objects of all repositories but these and the submodules that were fetched with them. Snapshots that are still used stay readable.
    pub fn retain(&self, urls: &[GitUrl]) -> io::Result<()> {
        let mut keys = HashSet::new();
        for url in urls {
            let key = key(url);
            // Those of submodules are noted with the repository that all began with.
            keys.extend(repository::submodules(&self.dir.join(&key)).iter().map(self::key));
            keys.insert(key);
        }
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

    /// What a reference leads to, fetched.
    fn fetch_reference(
        &self,
        visit: &Visit<'_>,
        reference: &GitReference,
        known: Option<&Revision>,
    ) -> Result<Here, GitError> {
        let repository = self.repository(visit.url).map_err(|error| store_error(visit.url, &error))?;
        let _turn = repository.wait_for_turn(visit.url, visit.patience)?;
        let mut remote = self.connect(visit)?;
        let refs = remote.refs(&target::prefix(reference))?;
        let target = target::choose(reference, &refs, visit.url)?;
        let tag = target::tag(reference, &target, &refs);
        if known != Some(&target.revision())
            && let Some((branch, tip)) = target.has_to_be_on()
            && !repository.is_on_branch(branch, target.commit)
        {
            self.check_branch(visit, &repository, (branch, tip), target.commit)?;
            remote = self.connect(visit)?;
        }
        if let Some(generation) = repository.current().filter(|generation| generation.has(target.commit)) {
            return Ok(Here { generation, target, tag, was_received: false });
        }
        let generation = match target.is_advertised() {
            true => self.receive(visit, &repository, remote, target.commit)?,
            false => self.receive_commit(visit, &repository, remote, &target)?,
        };
        Ok(Here { generation, target, tag, was_received: true })
    }

    /// Who signed a commit and its tag, if they are signed as the caller asks for.
    fn verify(
        &self,
        visit: &Visit<'_>,
        verify: &Verify,
        generation: &Generation,
        commit: ObjectId,
        tag: Option<Tag>,
    ) -> Result<Vec<Verified>, GitError> {
        let unverified = |error| GitError::Unverified { url: visit.url.to_string(), error };
        let read = |id, kind| {
            completeness::object(generation, id, kind, MAX_COMMIT_BYTES)
                .map_err(|error| store_error(visit.url, &error))
        };
        let (now, mut verified) = (Timestamp::now(), Vec::new());
        if verify.mode.verifies_tag() {
            let Tag { name, object } = tag.ok_or(VerifyError::NotATag).map_err(unverified)?;
            let Some(id) = object else { return Err(unverified(VerifyError::Lightweight(name))) };
            self.receive_tag(visit, generation, id)?;
            let bytes = read(id, Kind::Tag)?;
            let outcome = verify::verify_tag(&bytes, &name, id, commit, &verify.keys, now);
            verified.push(outcome.map_err(unverified)?);
        }
        if verify.mode.verifies_head() {
            let bytes = read(commit, Kind::Commit)?;
            let outcome = verify::verify_commit(&bytes, commit, &verify.keys, now);
            verified.push(outcome.map_err(unverified)?);
        }
        Ok(verified)
    }

    /// The object of a tag, whose commit is here, unless it is here too.
    fn receive_tag(&self, visit: &Visit<'_>, generation: &Generation, tag: ObjectId) -> Result<(), GitError> {
        if generation.contains(tag) {
            return Ok(());
        }
        let repository = self.repository(visit.url).map_err(|error| store_error(visit.url, &error))?;
        let _turn = repository.wait_for_turn(visit.url, visit.patience)?;
        self.connect(visit)?.receive(tag, generation)
    }

    /// The commit of a submodule, fetched. Whoever fetches has to be let in there too, even if the commit is here already.
    fn fetch_submodule(
        &self,
        parent: &Visit<'_>,
        url: &GitUrl,
        commit: ObjectId,
    ) -> Result<Arc<GitTree>, GitError> {
        let credentials = submodules::credentials_for(url, parent.url, parent.credentials);
        let visit = Visit { url, credentials: &credentials, patience: parent.patience };
        let reference = GitReference::Commit { branch: None, sha: commit.to_string() };
        let Here { generation, .. } = self.fetch_reference(&visit, &reference, None)?;
        Ok(open(url, generation, commit)?.tree)
    }

    /// The commit of a submodule, if it is here.
    fn find(&self, url: &GitUrl, commit: ObjectId) -> Result<Arc<GitTree>, GitError> {
        let repository = self.repository(url).map_err(|error| store_error(url, &error))?;
        let generation = repository.current().filter(|generation| generation.has(commit));
        let generation = generation.ok_or_else(|| store_error(url, &"the commit is not here"))?;
        Ok(open(url, generation, commit)?.tree)
    }

    fn connect(&self, visit: &Visit<'_>) -> Result<Remote, GitError> {
        Remote::connect(visit.url, visit.credentials, visit.patience, self.limits)
    }

    fn receive(
        &self,
        visit: &Visit<'_>,
        repository: &Repository,
        mut remote: Remote,
        commit: ObjectId,
    ) -> Result<Arc<Generation>, GitError> {
        let broken = |error: io::Error| store_error(visit.url, &error);
        if let Some(generation) = repository.current().filter(|generation| !generation.is_damaged())
            && !generation.is_full().map_err(broken)?
        {
            let received = remote.receive(commit, &generation);
            match received.and_then(|()| complete(commit, &generation, visit.url)) {
                Ok(()) => return Ok(generation),
                // What is here and what came do not fit together: start from nothing.
                Err(error @ (GitError::Server { .. } | GitError::Store { .. })) => {
                    tracing::warn!(%error, "an incremental fetch failed; fetching everything");
                    remote = self.connect(visit)?;
                }
                Err(error) => return Err(error),
            }
        }
        let generation = Arc::new(repository.create().map_err(broken)?);
        remote.receive(commit, &generation)?;
        complete(commit, &generation, visit.url)?;
        repository.replace(&generation);
        Ok(generation)
    }

    /// A commit that no reference points to. A server that hands out only what references point to sends all their histories instead.
    fn receive_commit(
        &self,
        visit: &Visit<'_>,
        repository: &Repository,
        remote: Remote,
        target: &Target,
    ) -> Result<Arc<Generation>, GitError> {
        let refusal = match self.receive(visit, repository, remote, target.commit) {
            Err(refusal @ GitError::CommitNotFound { .. }) => refusal,
            received => return received,
        };
        let mut remote = self.connect(visit)?;
        let tips = match target.has_to_be_on() {
            Some((_, tip)) => vec![tip],
            None => target::branch_tips(&remote.refs("refs/heads/")?),
        };
        let generation = Arc::new(repository.create().map_err(|error| store_error(visit.url, &error))?);
        remote.receive_history(&tips, History::Everything, &generation)?;
        if !generation.contains(target.commit) {
            return Err(refusal);
        }
        complete(target.commit, &generation, visit.url)?;
        repository.replace(&generation);
        Ok(generation)
    }

    /// Makes sure that a commit is in the history of a branch, as Flux does when both are given: what anybody may push elsewhere, such as the head of a pull request, is not taken.
    fn check_branch(
        &self,
        visit: &Visit<'_>,
        repository: &Repository,
        (branch, tip): (&str, ObjectId),
        commit: ObjectId,
    ) -> Result<(), GitError> {
        let broken = |error: &dyn std::fmt::Display| store_error(visit.url, error);
        // Deleted when it is dropped.
        let history = repository.create().map_err(|error| broken(&error))?;
        self.connect(visit)?.receive_history(&[tip], History::Commits, &history)?;
        if !completeness::has_in_history(&history, tip, commit).map_err(|error| broken(&error))? {
            return Err(GitError::NotOnBranch {
                url: visit.url.to_string(),
                commit: commit.to_string(),
                branch: branch.to_owned(),
            });
        }
        repository.note_on_branch(branch, commit);
        Ok(())
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

/// Who asks which repository.
struct Visit<'a> {
    url: &'a GitUrl,
    credentials: &'a Credentials,
    patience: &'a Patience,
}

/// What a reference leads to, in the store.
struct Here {
    generation: Arc<Generation>,
    target: Target,
    /// The tag by which it was found.
    tag: Option<Tag>,
    /// Whether it was not there before.
    was_received: bool,
}

/// What the selection shows of a commit, its submodules found by `find`.
fn seen<'a>(
    stored: &Stored,
    url: &GitUrl,
    selection: &Selection,
    find: &'a mut FindTree<'a>,
) -> Result<Arc<dyn Tree>, GitError> {
    let tree = match selection.submodules {
        Submodules::Opaque => Arc::clone(&stored.tree) as Arc<dyn Tree>,
        Submodules::Recurse => {
            Recursion::new(selection.directories()?, find).mount(Arc::clone(&stored.tree), url)?
        }
    };
    Ok(selection.apply(tree)?)
}

fn open(url: &GitUrl, generation: Arc<Generation>, commit: ObjectId) -> Result<Stored, GitError> {
    Stored::open(Arc::clone(&generation), commit).map_err(|error| {
        // It was here with all its objects.
        generation.mark_damaged();
        store_error(url, &error)
    })
}

/// Makes sure that all of a commit that was received is there.
fn complete(commit: ObjectId, into: &Generation, url: &GitUrl) -> Result<(), GitError> {
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
