use std::collections::HashSet;

use gix::ObjectId;
use gix::objs::tree::EntryKind;
use gix::objs::{CommitRef, Kind, TreeRefIter};
use gix::odb::Header as _;

use crate::git::generation::{Generation, ObjectError};

/// Larger ones are not made by people.
pub(crate) const MAX_TREE_BYTES: u64 = 64 * 1024 * 1024;
/// Of a commit, message included.
pub(crate) const MAX_COMMIT_BYTES: u64 = 1024 * 1024;

/// What is not as it should be in a commit.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Incomplete {
    #[error("{id} is a {found}, not a {expected}")]
    WrongKind { id: ObjectId, found: Kind, expected: Kind },
    #[error("{id} cannot be read: {error}")]
    Object { id: ObjectId, error: ObjectError },
    #[error("{id} cannot be understood: {reason}")]
    Malformed { id: ObjectId, reason: String },
}

/// Looks at every tree of a commit, and whether every file is there. The bytes of files are checked when they are read.
pub(crate) fn check(generation: &Generation, commit: ObjectId) -> Result<(), Incomplete> {
    let mut ahead = vec![tree_of(generation, commit)?];
    let mut seen: HashSet<ObjectId> = ahead.iter().copied().collect();
    let handle = generation.handle();
    while let Some(tree) = ahead.pop() {
        for (kind, id) in entries(generation, tree)? {
            let is_new = kind != EntryKind::Commit && seen.insert(id);
            match kind {
                EntryKind::Tree if is_new => ahead.push(id),
                // Asks the index of the pack only; `header` is for when something is wrong.
                _ if is_new
                    && !matches!(handle.try_header(&id), Ok(Some(header)) if header.kind() == Kind::Blob) =>
                {
                    let (found, _) =
                        generation.header(id).map_err(|error| Incomplete::Object { id, error })?;
                    return Err(Incomplete::WrongKind { id, found, expected: Kind::Blob });
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// Whether `commit` is `tip` or was before it. All commits of the history have to be here.
pub(crate) fn has_in_history(
    generation: &Generation,
    tip: ObjectId,
    commit: ObjectId,
) -> Result<bool, Incomplete> {
    let (mut ahead, mut seen) = (vec![tip], HashSet::from([tip]));
    while let Some(id) = ahead.pop() {
        if id == commit {
            return Ok(true);
        }
        let bytes = object(generation, id, Kind::Commit, MAX_COMMIT_BYTES)?;
        let parsed = CommitRef::from_bytes(&bytes, gix::hash::Kind::Sha1)
            .map_err(|error| Incomplete::Malformed { id, reason: error.to_string() })?;
        ahead.extend(parsed.parents().filter(|parent| seen.insert(*parent)));
    }
    Ok(false)
}

/// The id of the root tree of a commit.
pub(crate) fn tree_of(generation: &Generation, id: ObjectId) -> Result<ObjectId, Incomplete> {
    let bytes = object(generation, id, Kind::Commit, MAX_COMMIT_BYTES)?;
    let commit = CommitRef::from_bytes(&bytes, gix::hash::Kind::Sha1)
        .map_err(|error| Incomplete::Malformed { id, reason: error.to_string() })?;
    Ok(commit.tree())
}

/// The bytes of an object of the kind that was expected.
pub(crate) fn object(
    generation: &Generation,
    id: ObjectId,
    expected: Kind,
    limit: u64,
) -> Result<Vec<u8>, Incomplete> {
    let object = generation.object(id, limit).map_err(|error| Incomplete::Object { id, error })?;
    if object.kind == expected {
        Ok(object.bytes)
    } else {
        Err(Incomplete::WrongKind { id, found: object.kind, expected })
    }
}

fn entries(generation: &Generation, id: ObjectId) -> Result<Vec<(EntryKind, ObjectId)>, Incomplete> {
    // Git never stores the empty tree where it is not asked for, but every Git knows it.
    if id == ObjectId::empty_tree(gix::hash::Kind::Sha1) {
        return Ok(Vec::new());
    }
    let bytes = object(generation, id, Kind::Tree, MAX_TREE_BYTES)?;
    TreeRefIter::from_bytes(&bytes, gix::hash::Kind::Sha1)
        .map(|entry| entry.map(|entry| (entry.mode.kind(), entry.oid.to_owned())))
        .collect::<Result<_, _>>()
        .map_err(|error| Incomplete::Malformed { id, reason: error.to_string() })
}
