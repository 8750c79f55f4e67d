use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use crate::{ContentId, Entry, EntryKind, Tree, TreePath};

/// One thing that was looked at, and what was seen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Observation {
    /// Whether something is at the path, and what.
    Kind(Option<EntryKind>),
    /// The bytes of the file, or the target of the link.
    Bytes(ContentId),
    /// The names in the directory, with their kinds; what is in the files does not matter.
    Names(ContentId),
}

impl Observation {
    pub(crate) fn names(entries: &[Entry]) -> Self {
        let mut text = String::new();
        for entry in entries {
            text.push_str(&format!("{:?} {}\0", entry.kind, entry.name));
        }
        Self::Names(ContentId::of_bytes(text.as_bytes()))
    }

    fn holds(&self, path: &TreePath, tree: &dyn Tree) -> bool {
        match self {
            Self::Kind(kind) => tree.kind(path).as_ref() == Ok(kind),
            Self::Bytes(id) => tree.id(path).as_ref() == Ok(id),
            Self::Names(_) => tree.list(path).is_ok_and(|entries| *self == Self::names(&entries)),
        }
    }
}

/// Everything that was looked at in a tree. Two trees for which the same record holds look alike to whoever made it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record(BTreeSet<(TreePath, Observation)>);

impl Record {
    /// Whether `tree` would answer every question of this record alike.
    pub fn holds_for(&self, tree: &dyn Tree) -> bool {
        self.0.iter().all(|(path, seen)| seen.holds(path, tree))
    }

    /// How many answers it holds.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing was looked at.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[derive(Debug, Default)]
pub(crate) struct Recorder(Mutex<Record>);

impl Recorder {
    pub(crate) fn add(&self, path: &TreePath, seen: Observation) {
        self.lock().0.insert((path.clone(), seen));
    }

    pub(crate) fn record(&self) -> Record {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Record> {
        // A set that a panic interrupted is still a set.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
