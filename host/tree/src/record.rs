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

    fn text_bytes(&self) -> usize {
        match self {
            Self::Kind(_) => 0,
            Self::Bytes(id) | Self::Names(id) => id.as_str().len(),
        }
    }

    fn holds(&self, path: &TreePath, tree: &dyn Tree) -> bool {
        match self {
            Self::Kind(kind) => tree.kind(path).as_ref() == Ok(kind),
            Self::Bytes(id) => tree.id(path).as_ref() == Ok(id),
            Self::Names(_) => tree.list(path).is_ok_and(|entries| *self == Self::names(&entries)),
        }
    }
}

/// How many answers a record may hold. A render that looks at a file of a repository asks some three questions about it.
const MOST: usize = 500_000;

/// Everything that was looked at in a tree. Two trees for which the same record holds look alike to whoever made it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record(BTreeSet<(TreePath, Observation)>);

/// So much was looked at that it is not remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Record {
    /// Whether `tree` would answer every question of this record alike.
    pub fn holds_for(&self, tree: &dyn Tree) -> bool {
        self.0.iter().all(|(path, seen)| seen.holds(path, tree))
    }

    /// How many answers it holds.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// About how many bytes of memory it takes.
    pub fn bytes(&self) -> usize {
        /// An answer without its texts, and its share of the set's nodes.
        const ANSWER: usize = 96;
        self.0.iter().map(|(path, seen)| ANSWER + path.as_str().len() + seen.text_bytes()).sum()
    }

    /// Whether nothing was looked at.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[derive(Debug)]
pub(crate) struct Recorder {
    record: Mutex<Record>,
    most: usize,
}

impl Default for Recorder {
    fn default() -> Self {
        Self { record: Mutex::default(), most: MOST }
    }
}

impl Recorder {
    /// Remembers an answer, unless there are too many already: whoever cannot remember it must not give it.
    pub(crate) fn add(&self, path: &TreePath, seen: Observation) -> Result<(), Full> {
        let mut record = self.lock();
        if record.0.len() >= self.most {
            return Err(Full);
        }
        record.0.insert((path.clone(), seen));
        Ok(())
    }

    pub(crate) fn record(&self) -> Record {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Record> {
        // A set that a panic interrupted is still a set.
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Attack 13 (Rendering): a render that looks at ever more names.
    #[test]
    fn only_so_much_is_remembered() {
        let recorder = Recorder { most: 3, ..Recorder::default() };
        let add = |name: &str| recorder.add(&TreePath::root().child(name), Observation::Kind(None));
        assert_eq!(
            ["a", "a", "b", "c", "d", "a"].map(add),
            [Ok(()), Ok(()), Ok(()), Ok(()), Err(Full), Err(Full)]
        );
        assert_eq!(recorder.record().len(), 3);
    }
}
