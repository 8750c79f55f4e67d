//! The components that were pulled, on the disk: each is a tree of one file in a content store, which knows it by its SHA-256 and gives no damaged bytes.
//!
//! What a Plugin has pulled last is noted under the UID of the object. Its status says so too, but others may be allowed to write statuses.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use plumb_source::content::{ContentStore, Limits, Stored};
use plumb_tree::View;
use serde::{Deserialize, Serialize};

/// The size of a component in bytes.
pub(super) const MAX_BYTES: u64 = 256 << 20;
/// The size of all components that are in use, in bytes.
pub(super) const MAX_TOTAL_BYTES: u64 = 4 << 30;

/// Where they lie.
pub(super) struct Components(Arc<ContentStore>);

/// What is known of a component that was pulled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    /// `spec.image` without its digest.
    pub(super) place: String,
    /// The digest of its manifest.
    pub(super) digest: String,
    /// What its signatures were verified with, in order.
    pub(super) fingerprints: Vec<String>,
}

impl Components {
    /// Opens the store in a directory, which is made if need be.
    pub(super) fn open(dir: &Path) -> anyhow::Result<Self> {
        let limits = Limits { entries: 1, file_bytes: MAX_BYTES, tree_bytes: MAX_BYTES, ..Limits::default() };
        let content = ContentStore::open(dir, limits)
            .with_context(|| format!("cannot keep plugins in {}", dir.display()))?;
        Ok(Self(Arc::new(content)))
    }

    /// Where to pull to.
    pub(super) fn content(&self) -> &Arc<ContentStore> {
        &self.0
    }

    /// Notes what a Plugin has pulled. What cannot be noted is pulled again after a restart. Blocks on the disk.
    pub(super) fn keep(&self, uid: &str, stored: &Stored, kept: &Kept) {
        let noted = serde_json::to_string(kept).map_err(|error| error.to_string()).and_then(|note| {
            self.0.remember(&name(uid), &stored.digest, &note).map_err(|error| error.to_string())
        });
        if let Err(error) = noted {
            tracing::warn!(error, "could not note which plugin was pulled");
        }
    }

    /// What a Plugin has pulled last; none when it is no longer whole. Blocks on the disk.
    pub(super) fn recall(&self, uid: &str) -> Option<(Stored, Kept)> {
        let remembered = self.0.recall(&name(uid))?;
        Some((remembered.stored, serde_json::from_str(&remembered.note).ok()?))
    }

    /// Deletes what none of these Plugins has pulled last. What is being used stays. Blocks on the disk.
    pub(super) fn sweep(&self, uids: &[String]) {
        let digests: Vec<String> =
            uids.iter().filter_map(|uid| Some(self.0.recall(&name(uid))?.stored.digest)).collect();
        if let Err(error) = self.0.retain(&digests) {
            tracing::warn!(%error, "could not delete plugins that are no longer used");
        }
    }
}

/// The bytes of a component; none when it is damaged, which is then forgotten, or is not one file. Blocks on the disk.
pub(super) fn bytes(stored: &Stored) -> Option<Vec<u8>> {
    let view = View::new(stored.tree.clone(), MAX_BYTES);
    let files = view.list("").ok()?;
    let [file] = files.as_slice() else { return None };
    view.read(&file.name).ok()
}

fn name(uid: &str) -> String {
    format!("plugin {uid}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn kept(digest: &str) -> Kept {
        Kept {
            place: "oci://r.example/a:1".to_owned(),
            digest: digest.to_owned(),
            fingerprints: vec!["f".to_owned()],
        }
    }

    fn files_below(dir: &Path) -> Vec<std::path::PathBuf> {
        let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
    }

    #[test]
    fn what_was_pulled_is_there_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let components = Components::open(dir.path()).unwrap();
        let stored = components.content().store_file("x.tgz", &b"\0asm"[..]).unwrap();
        components.keep("uid-1", &stored, &kept("sha256:a"));
        drop((stored, components));
        let components = Components::open(dir.path()).unwrap();
        let (stored, note) = components.recall("uid-1").unwrap();
        assert_eq!((bytes(&stored).unwrap(), note), (b"\0asm".to_vec(), kept("sha256:a")));
        assert!(components.recall("uid-2").is_none());
    }

    // Attack 27 (plugins): a component that somebody has changed on the disk.
    #[test]
    fn what_is_damaged_is_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let components = Components::open(dir.path()).unwrap();
        let stored = components.content().store_file("x.tgz", &b"\0asm"[..]).unwrap();
        components.keep("uid-1", &stored, &kept("sha256:a"));
        for file in files_below(&dir.path().join("files")) {
            std::fs::write(file, b"\0ASM").unwrap();
        }
        assert_eq!(bytes(&stored), None);
        assert!(components.recall("uid-1").is_none(), "it is pulled again");
    }

    #[test]
    fn what_nobody_uses_goes() {
        let dir = tempfile::tempdir().unwrap();
        let components = Components::open(dir.path()).unwrap();
        for (uid, content) in [("uid-1", "one"), ("uid-2", "two")] {
            let stored = components.content().store_file("x.tgz", content.as_bytes()).unwrap();
            components.keep(uid, &stored, &kept(uid));
        }
        let used = components.recall("uid-2").unwrap().0;
        components.sweep(&["uid-1".to_owned()]);
        assert!(components.recall("uid-1").is_some());
        assert!(bytes(&used).is_some(), "what is being used stays");
        drop(used);
        components.sweep(&["uid-1".to_owned()]);
        assert!(components.recall("uid-2").is_none());
        assert_eq!(files_below(&dir.path().join("files")).len(), 1);
    }
}
