use std::collections::BTreeMap;
use std::sync::Arc;

use plumb_api::Revision;
use plumb_tree::{ContentId, Entry, EntryKind, Tree, TreeError, TreePath};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::bucket::BucketError;
use crate::content::FileId;
use crate::ignore::{self, Convention};

/// The objects of a bucket by their keys.
pub(crate) type Index = BTreeMap<String, Object>;

/// What a listing says of an object, and what is known of its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Object {
    pub(crate) etag: String,
    /// When it was changed, in milliseconds since 1970.
    pub(crate) modified: i64,
    pub(crate) size: u64,
    pub(crate) content: Content,
}

/// What is known of the bytes of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Content {
    Unknown,
    File(FileId),
    /// The listing has it, but it cannot be had: somebody deleted it, or it stands for a directory.
    Gone,
}

/// What is remembered of a bucket with its tree.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Note {
    pub(crate) revision: Revision,
    pub(crate) objects: Index,
}

/// The revision of a bucket as Flux computes it: the SHA-256 of `KEY ETAG` lines in the order of the keys.
#[expect(
    clippy::expect_used,
    reason = "`Revision::new` refuses only what is not hexadecimal, and `hex::encode` makes nothing else"
)]
pub(crate) fn revision(index: &Index) -> Revision {
    let mut hash = Sha256::new();
    for (key, object) in index.iter().filter(|(_, object)| object.content != Content::Gone) {
        hash.update(format!("{key} {}\n", object.etag));
    }
    Revision::new(None, "sha256", &hex::encode(hash.finalize())).expect("a hash in hexadecimal reads back")
}

/// Takes what was known of each object into a new listing, where the object is still the same.
pub(crate) fn take_over(index: &mut Index, before: &Index) {
    for (key, object) in index {
        let Some(known) = before.get(key).filter(|known| known.etag == object.etag && !known.etag.is_empty())
        else {
            continue;
        };
        // Two empty objects have the same tag, also where one is only the mark of a directory.
        if known.content != Content::Gone || known.modified == object.modified {
            object.content = known.content;
        }
    }
}

/// Marks what stands for a directory, as the consoles of clouds make them: something empty that others are in.
pub(crate) fn mark_directories(index: &mut Index) {
    let below = |key: &str| {
        let prefix = format!("{key}/");
        index.range(prefix.clone()..).next().is_some_and(|(other, _)| other.starts_with(&prefix))
    };
    let directories: Vec<String> = index
        .iter()
        .filter(|(key, object)| object.size == 0 && below(key))
        .map(|(key, _)| key.clone())
        .collect();
    for key in directories {
        if let Some(object) = index.get_mut(&key) {
            object.content = Content::Gone;
        }
    }
}

/// Removes what `.sourceignore` and `spec.ignore` leave out.
pub(crate) fn leave_out(
    index: &mut Index,
    sourceignore: Option<Vec<u8>>,
    spec: Option<&str>,
) -> Result<(), BucketError> {
    let keys = Keys { keys: index.keys().cloned().collect(), sourceignore };
    let selected = ignore::select(Arc::new(keys), Convention::Bucket, spec)?;
    let mut failed = None;
    index.retain(|key, _| {
        // A key that is no path is refused later, unless it is left out by its directory.
        let Ok(path) = TreePath::new(key) else { return true };
        match selected.kind(&path) {
            Ok(kind) => kind.is_some(),
            Err(error) => {
                failed = Some(error);
                true
            }
        }
    });
    match failed {
        Some(error) => Err(crate::content::ContentError::Unreadable(error.to_string()).into()),
        None => Ok(()),
    }
}

/// The keys as a tree in which all files are empty but `.sourceignore`: enough to ask which are left out.
#[derive(Debug)]
struct Keys {
    keys: std::collections::BTreeSet<String>,
    sourceignore: Option<Vec<u8>>,
}

/// The object with the rules.
pub(crate) const SOURCEIGNORE: &str = ".sourceignore";

impl Keys {
    fn rules(&self, path: &TreePath) -> Result<&[u8], TreeError> {
        let rules = self.sourceignore.as_deref().filter(|_| path.as_str() == SOURCEIGNORE);
        rules.ok_or_else(|| TreeError::NotFound(path.to_string()))
    }

    fn has_below(&self, path: &TreePath) -> bool {
        let prefix = format!("{}/", path.as_str());
        self.keys.range(prefix.clone()..).next().is_some_and(|key| key.starts_with(&prefix))
    }
}

impl Tree for Keys {
    fn kind(&self, path: &TreePath) -> Result<Option<EntryKind>, TreeError> {
        if path.is_root() || self.has_below(path) {
            return Ok(Some(EntryKind::Directory));
        }
        let is_file = self.keys.contains(path.as_str()) || self.rules(path).is_ok();
        Ok(is_file.then_some(EntryKind::File))
    }

    fn list(&self, path: &TreePath) -> Result<Vec<Entry>, TreeError> {
        // Nobody walks these: they are asked for one by one.
        Err(TreeError::NotADirectory(path.to_string()))
    }

    fn size(&self, path: &TreePath) -> Result<u64, TreeError> {
        self.rules(path).map(|rules| rules.len() as u64)
    }

    fn id(&self, path: &TreePath) -> Result<ContentId, TreeError> {
        self.rules(path).map(ContentId::of_bytes)
    }

    fn read(&self, path: &TreePath, limit: u64) -> Result<Vec<u8>, TreeError> {
        let (rules, size) = (self.rules(path)?, self.size(path)?);
        if size > limit {
            return Err(TreeError::TooLarge { path: path.to_string(), size, limit });
        }
        Ok(rules.to_vec())
    }

    fn read_link(&self, path: &TreePath) -> Result<String, TreeError> {
        Err(TreeError::NotFound(path.to_string()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use rstest::rstest;

    use super::*;

    fn object(etag: &str, size: u64) -> Object {
        Object { etag: etag.to_owned(), modified: 1, size, content: Content::Unknown }
    }

    fn index(keys: &[(&str, u64)]) -> Index {
        keys.iter().map(|(key, size)| ((*key).to_owned(), object("e", *size))).collect()
    }

    #[test]
    fn the_revision_is_that_of_flux() {
        // The digest of "bar baz\nfoo bar\n", as Flux's own index has it.
        let mut index = Index::new();
        assert_eq!(
            revision(&index).to_string(),
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        index.insert("foo".to_owned(), object("bar", 1));
        index.insert("bar".to_owned(), object("baz", 1));
        let expected = hex::encode(Sha256::digest("bar baz\nfoo bar\n"));
        assert_eq!(revision(&index).hex(), expected);
        index.insert("gone".to_owned(), Object { content: Content::Gone, ..object("x", 0) });
        assert_eq!(revision(&index).hex(), expected);
    }

    #[rstest]
    #[case::nothing(None, None, &["a.yaml", "docs/b.md", "docs/c.yaml"])]
    #[case::spec(None, Some("*.md"), &["a.yaml", "docs/c.yaml"])]
    #[case::object(Some("docs/"), None, &["a.yaml"])]
    #[case::spec_goes_before(Some("*.md"), Some("!*.md"), &["a.yaml", "docs/b.md", "docs/c.yaml"])]
    #[case::only_one(None, Some("/*\n!/a.yaml"), &["a.yaml"])]
    fn rules_leave_objects_out(
        #[case] file: Option<&str>,
        #[case] spec: Option<&str>,
        #[case] expected: &[&str],
    ) {
        let mut index = index(&[("a.yaml", 1), ("docs/b.md", 1), ("docs/c.yaml", 1)]);
        leave_out(&mut index, file.map(|text| text.as_bytes().to_vec()), spec).unwrap();
        assert_eq!(index.keys().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_stands_for_a_directory_is_not_fetched() {
        let mut index =
            index(&[("a", 0), ("a/b", 1), ("c", 0), ("d", 1), ("d/e", 1), ("f", 0), ("f.yaml", 1)]);
        mark_directories(&mut index);
        let gone: Vec<_> = index
            .iter()
            .filter(|(_, object)| object.content == Content::Gone)
            .map(|(key, _)| key.as_str())
            .collect();
        assert_eq!(gone, ["a"]);
    }

    #[test]
    fn what_has_changed_is_fetched_again() {
        let known = Content::File(FileId::of_bytes(b"1"));
        let before = |object: Object| Index::from([("k".to_owned(), object)]);
        let after = |old: Object, new: Object| {
            let mut index = before(new);
            take_over(&mut index, &before(old));
            index["k"].content
        };
        assert_eq!(after(Object { content: known, ..object("e", 1) }, object("e", 1)), known);
        assert_eq!(after(Object { content: known, ..object("e", 1) }, object("f", 1)), Content::Unknown);
        assert_eq!(after(Object { content: known, ..object("", 1) }, object("", 1)), Content::Unknown);
        let gone = Object { content: Content::Gone, ..object("e", 0) };
        assert_eq!(after(gone.clone(), object("e", 0)), Content::Gone);
        assert_eq!(after(gone, Object { modified: 2, ..object("e", 0) }), Content::Unknown);
    }
}
