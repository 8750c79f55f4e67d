//! Things that are expensive to build, kept by a digest of everything that they are made from.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};

/// How many versions of one thing are kept, so that going back to a branch costs nothing.
const KEPT_VERSIONS: usize = 4;

/// A digest under construction. Everything is fed in with its length, so that no two inputs look alike.
pub(crate) struct Key(Sha256);

impl Key {
    pub(crate) fn new() -> Self {
        Self(Sha256::new())
    }

    /// Feeds in a value that is not in a file, such as the version of a compiler.
    pub(crate) fn value(mut self, value: &str) -> Self {
        self.feed(value.as_bytes());
        self
    }

    /// Feeds in a file, or all files below a folder, without build output (`target`) and dot files.
    ///
    /// Fails when one cannot be read.
    pub(crate) fn path(mut self, root: &Path, path: &str) -> anyhow::Result<Self> {
        self.walk(&root.join(path), path).with_context(|| format!("cannot take a digest of {path}"))?;
        Ok(self)
    }

    /// The digest as short text: 128 bits are plenty for a cache of one's own.
    pub(crate) fn finish(self) -> String {
        let mut digest = hex::encode(self.0.finalize());
        digest.truncate(32);
        digest
    }

    fn walk(&mut self, path: &Path, name: &str) -> std::io::Result<()> {
        if !path.is_dir() {
            self.feed(name.as_bytes());
            self.feed(&fs::read(path)?);
            return Ok(());
        }
        let mut entries = fs::read_dir(path)?
            .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
            .collect::<Result<Vec<_>, _>>()?;
        entries.sort();
        for entry in entries.iter().filter(|entry| !entry.starts_with('.') && *entry != "target") {
            self.walk(&path.join(entry), &format!("{name}/{entry}"))?;
        }
        Ok(())
    }

    fn feed(&mut self, bytes: &[u8]) {
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }
}

/// Returns the file `NAME-KEY` of `folder`, and makes it first when it is not there. `make` writes to the
/// path that it is given; a failure or a kill in the middle leaves nothing that could be taken for the result.
///
/// Fails when `make` does, or when the folder cannot be written.
pub(crate) fn get_or_make(
    folder: &Path,
    name: &str,
    key: &str,
    make: impl FnOnce(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<PathBuf> {
    let finished = folder.join(format!("{name}-{key}"));
    if finished.exists() {
        // Marks it as in use, so that the oldest are the unused.
        let _ = fs::File::open(&finished).and_then(|file| file.set_modified(SystemTime::now()));
        return Ok(finished);
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let unfinished = folder.join(format!(".{name}-{key}.{}", std::process::id()));
    let made = make(&unfinished);
    if made.is_err() {
        let _ = fs::remove_file(&unfinished);
    }
    made?;
    fs::rename(&unfinished, &finished)
        .with_context(|| format!("building {name} did not write {}", unfinished.display()))?;
    remove_old_versions(folder, name)?;
    Ok(finished)
}

fn remove_old_versions(folder: &Path, name: &str) -> anyhow::Result<()> {
    let prefix = format!("{name}-");
    let mut versions = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            versions.push((entry.metadata()?.modified()?, entry.path()));
        }
    }
    versions.sort();
    versions.reverse();
    for (_, path) in versions.iter().skip(KEPT_VERSIONS) {
        fs::remove_file(path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(())
}

/// Copies a file over another. A copy, not a link: whoever writes to the target must not change the cache.
///
/// Fails when the target's folder cannot be written.
pub(crate) fn copy_over(source: &Path, target: &Path) -> anyhow::Result<()> {
    if let Some(folder) = target.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    // Beside the target and then over it: nobody sees a half-written file, and a running program stays whole.
    let mut beside = target.as_os_str().to_owned();
    beside.push(format!(".{}", std::process::id()));
    fs::copy(source, &beside)
        .and_then(|_| fs::rename(&beside, target))
        .with_context(|| format!("cannot copy {} to {}", source.display(), target.display()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("xtask-cache-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn key(root: &Path) -> String {
        Key::new().path(root, "src").unwrap().finish()
    }

    #[test]
    fn a_key_follows_names_and_contents_and_nothing_else() {
        let root = folder("key");
        fs::create_dir_all(root.join("src/target")).unwrap();
        fs::write(root.join("src/a"), "one").unwrap();
        let first = key(&root);

        fs::write(root.join("src/target/out"), "built").unwrap();
        fs::write(root.join("src/.swp"), "editor").unwrap();
        assert_eq!(key(&root), first, "build output and dot files do not count");

        fs::write(root.join("src/a"), "two").unwrap();
        let second = key(&root);
        assert_ne!(second, first, "contents count");

        fs::rename(root.join("src/a"), root.join("src/b")).unwrap();
        assert_ne!(key(&root), second, "names count");
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn neighbouring_values_do_not_run_together() {
        assert_ne!(Key::new().value("ab").value("c").finish(), Key::new().value("a").value("bc").finish());
    }

    #[test]
    fn a_thing_is_made_once_and_a_failure_leaves_nothing() {
        let folder = folder("make");
        get_or_make(&folder, "thing", "k", |_| anyhow::bail!("no")).unwrap_err();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);

        let made = get_or_make(&folder, "thing", "k", |out| Ok(fs::write(out, "made")?)).unwrap();
        let again = get_or_make(&folder, "thing", "k", |_| panic!("made twice")).unwrap();
        assert_eq!(made, again);
        assert_eq!(fs::read_to_string(made).unwrap(), "made");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn old_versions_go() {
        let folder = folder("old");
        for version in 0..10 {
            get_or_make(&folder, "thing", &version.to_string(), |out| Ok(fs::write(out, "x")?)).unwrap();
        }
        get_or_make(&folder, "other", "0", |out| Ok(fs::write(out, "x")?)).unwrap();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), KEPT_VERSIONS + 1);
        assert!(folder.join("thing-9").exists());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_copy_replaces_what_was_there() {
        let folder = folder("copy");
        let (source, target) = (folder.join("source"), folder.join("sub/target"));
        fs::write(&source, "new").unwrap();
        fs::create_dir_all(folder.join("sub")).unwrap();
        fs::write(&target, "old").unwrap();
        copy_over(&source, &target).unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "new");
        assert_eq!(fs::read_dir(folder.join("sub")).unwrap().count(), 1);
        fs::remove_dir_all(folder).unwrap();
    }
}
