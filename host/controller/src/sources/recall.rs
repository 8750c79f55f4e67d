//! Which revision each source had last, on the disk beside the objects, so that a restart does not have to wait for a server.
//!
//! The status of the object says so too, but others may be allowed to write statuses, and what is in the store was fetched with
//! somebody's credentials.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use plumb_api::Revision;

/// One small file a source, named by the UID of its object.
#[derive(Clone, Debug)]
pub(crate) struct Recall(PathBuf);

impl Recall {
    /// Keeps the files in `dir`, which is made if need be.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        Ok(Self(dir.to_owned()))
    }

    /// Remembers that the source has fetched `revision` from `url`. What cannot be written is fetched again.
    pub(crate) fn remember(&self, uid: &str, url: &str, revision: &Revision) {
        let Some(path) = self.path(uid) else { return };
        let unfinished = path.with_extension("new");
        let written = fs::write(&unfinished, format!("{url}\n{revision}\n"))
            .and_then(|()| fs::rename(&unfinished, &path));
        if let Err(error) = written {
            tracing::debug!(%error, path = %path.display(), "could not remember a revision");
        }
    }

    /// The revision that the source has fetched from `url`, if it was the last one.
    pub(crate) fn revision(&self, uid: &str, url: &str) -> Option<Revision> {
        let text = fs::read_to_string(self.path(uid)?).ok()?;
        let (from, revision) = text.trim_end().split_once('\n')?;
        (from == url).then(|| revision.parse().ok()).flatten()
    }

    /// Forgets a source.
    pub(crate) fn forget(&self, uid: &str) {
        if let Some(path) = self.path(uid) {
            // It may never have been there.
            let _ = fs::remove_file(path);
        }
    }

    /// A UID is hexadecimal digits and hyphens; anything else names no file.
    fn path(&self, uid: &str) -> Option<PathBuf> {
        let is_plain =
            !uid.is_empty() && uid.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        is_plain.then(|| self.0.join(uid))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_revision_is_recalled_for_the_same_url_only() {
        let dir = tempfile::tempdir().unwrap();
        let recall = Recall::open(dir.path()).unwrap();
        let revision = Revision::git(Some("main"), "05074534925bc8baf6d5d6fc2935e5abdeb27b76");
        recall.remember("5d3c-1", "https://example.com/a", &revision);
        assert_eq!(recall.revision("5d3c-1", "https://example.com/a"), Some(revision));
        assert_eq!(recall.revision("5d3c-1", "https://example.com/b"), None);
        assert_eq!(recall.revision("5d3c-2", "https://example.com/a"), None);
        recall.forget("5d3c-1");
        assert_eq!(recall.revision("5d3c-1", "https://example.com/a"), None);
    }

    #[test]
    fn a_uid_never_names_another_file() {
        let dir = tempfile::tempdir().unwrap();
        let recall = Recall::open(&dir.path().join("sub")).unwrap();
        recall.remember("../outside", "https://example.com/a", &Revision::git(None, "aa"));
        assert!(!dir.path().join("outside").exists());
    }
}
