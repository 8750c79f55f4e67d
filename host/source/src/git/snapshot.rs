use std::sync::Arc;

use gix::ObjectId;
use gix::objs::{CommitRef, Kind};
use plumb_api::Revision;
use plumb_tree::Tree;

use crate::git::completeness::{self, Incomplete, MAX_COMMIT_BYTES};
use crate::git::generation::Generation;
use crate::git::tree::GitTree;
use crate::git::verify::Verified;

/// A commit and its files, read from the disk as they are asked for. What it needs stays on the disk for as long as it lives.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// What was fetched, in Flux's form.
    pub revision: Revision,
    /// The files that the selection shows.
    pub tree: Arc<dyn Tree>,
    /// The id of the root tree of the commit: two commits with the same files have the same one.
    pub tree_id: String,
    /// Tells apart all that the tree could show: the files of the commit, the selection, and what was included. `ALGORITHM:HEX`.
    pub digest: String,
    /// Who made the commit, when and why.
    pub commit: Commit,
    /// What was signed, and by whom, as this fetch has verified it. Empty when that was not asked for, and for what was fetched before.
    pub verified: Vec<Verified>,
}

/// What a commit says of itself. Anybody can write anything there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Its id, 40 hexadecimal digits.
    pub id: String,
    /// Who wrote the change: `NAME <EMAIL>`.
    pub author: String,
    /// When it was committed, in seconds since 1970.
    pub time: i64,
    /// The message.
    pub message: String,
}

impl Snapshot {
    pub(crate) fn new(revision: Revision, stored: Stored, tree: Arc<dyn Tree>, digest: String) -> Self {
        let Stored { tree: _, tree_id, commit } = stored;
        Self { revision, tree, tree_id, digest, commit, verified: Vec::new() }
    }
}

/// A commit as it is in the store.
pub(crate) struct Stored {
    pub(crate) tree: Arc<GitTree>,
    pub(crate) tree_id: String,
    pub(crate) commit: Commit,
}

impl Stored {
    pub(crate) fn open(generation: Arc<Generation>, id: ObjectId) -> Result<Self, Incomplete> {
        let bytes = completeness::object(&generation, id, Kind::Commit, MAX_COMMIT_BYTES)?;
        let malformed = |error: gix::Error| Incomplete::Malformed { id, reason: error.to_string() };
        let parsed = CommitRef::from_bytes(&bytes, gix::hash::Kind::Sha1).map_err(malformed)?;
        let author = parsed.author().map_err(malformed)?;
        let commit = Commit {
            id: id.to_string(),
            author: format!("{} <{}>", author.name, author.email),
            time: parsed.time().map_err(malformed)?.seconds,
            message: parsed.message.to_string(),
        };
        let root = parsed.tree();
        Ok(Self { tree: Arc::new(GitTree::new(generation, root)), tree_id: root.to_string(), commit })
    }
}
