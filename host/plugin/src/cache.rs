//! Compiled components on disk.
//!
//! An entry is one file, `plumb-COMPONENT-COMPILER.SEAL.cwasm`: the SHA-256 of the component, a hash of all that decides what the
//! compiler makes of it, and the seal. See the crate's documentation for what the seal is good for.

use std::fs::{self, DirBuilder, File, Metadata, Permissions};
use std::hash::{Hash, Hasher};
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;
use wasmtime::Engine;

use crate::compiled::{Compiled, Form};
use crate::precompiled;

/// Changes when the meaning of the files does.
const FORMAT: &str = "plumbline compiled components 1";

const PREFIX: &str = "plumb-";
const ENTRY: &str = ".cwasm";
const UNFINISHED: &str = ".tmp";
const KEY: &str = "plumb-key";

/// What a crash left behind is removed when it is as old as this.
const ABANDONED: Duration = Duration::from_secs(3600);

/// How much the cache keeps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) entries: usize,
    pub(crate) bytes: u64,
}

/// A directory of compiled components.
#[derive(Debug)]
pub(crate) struct CompileCache {
    directory: PathBuf,
    /// The user that we are.
    owner: u32,
    key: [u8; 32],
    bounds: Bounds,
}

/// Why a directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("{path} belongs to user {owner}, and we are user {us}; remove it, or choose another directory")]
    Foreign { path: PathBuf, owner: u32, us: u32 },
    #[error(
        "{path} can be written to by others (mode {mode:03o}); chmod go-w it if nobody has, or remove it"
    )]
    Writable { path: PathBuf, mode: u32 },
    #[error("{path} is not the {expected} that it should be; remove it")]
    Kind { path: PathBuf, expected: &'static str },
}

/// An open file of the cache that has been found to be what we wrote. Only this module makes one.
pub(crate) struct Sealed(File);

impl Sealed {
    /// A path that leads to this very file, whatever has meanwhile been put in its place in the directory.
    pub(crate) fn path(&self) -> PathBuf {
        PathBuf::from(format!("/dev/fd/{}", self.0.as_raw_fd()))
    }
}

impl CompileCache {
    /// Uses a directory, which is made when it does not exist, for us alone.
    pub(crate) fn open(directory: &Path, bounds: Bounds) -> Result<Self, Unusable> {
        let io = |source| Unusable::Io { path: directory.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(io)?;
        let directory = fs::canonicalize(directory).map_err(io)?;
        // A file that we make belongs to us.
        let probe = unfinished(&directory).map_err(io)?;
        let owner = probe.as_file().metadata().map_err(io)?.uid();
        let metadata = fs::symlink_metadata(&directory).map_err(io)?;
        check(&directory, &metadata, owner)?;
        if !metadata.is_dir() {
            return Err(Unusable::Kind { path: directory, expected: "directory" });
        }
        let key = key(&directory, owner)?;
        Ok(Self { directory, owner, key, bounds })
    }

    /// Where it is, as an absolute path.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The compiled form of a component, if an earlier run has left it here. Whatever is wrong with it is logged, and it is
    /// as if it were not there.
    pub(crate) fn get(&self, engine: &Engine, form: Form, component: &[u8; 32]) -> Option<Compiled> {
        let name = entry_name(engine, component);
        let found = self.find(&name).ok()?;
        found.into_iter().find_map(|path| {
            let loaded = self.verify(&name, &path).and_then(|sealed| {
                precompiled::map(engine, form, &sealed).map_err(|error| format!("{error:#}"))
            });
            match loaded {
                Ok(component) => {
                    touch(&path);
                    Some(component)
                }
                Err(reason) => {
                    tracing::warn!(path = %path.display(), reason, "a compiled plugin is not used, and compiled anew");
                    // If it cannot be removed, it is refused again next time.
                    let _ = fs::remove_file(&path);
                    None
                }
            }
        })
    }

    /// Keeps what `Form::precompile` returned, and gives it back as it will be next time: mapped from the file, so that only the
    /// code that runs is in memory.
    pub(crate) fn put(
        &self,
        engine: &Engine,
        form: Form,
        component: &[u8; 32],
        compiled: &[u8],
    ) -> Result<Compiled, String> {
        let name = entry_name(engine, component);
        let path = self
            .directory
            .join(format!("{name}.{}{ENTRY}", self.seal(&name, Sha256::digest(compiled).into())));
        let written = || -> io::Result<File> {
            let mut file = unfinished(&self.directory)?;
            file.write_all(compiled)?;
            let file = file.persist(&path)?;
            self.evict(&path)?;
            Ok(file)
        };
        let sealed = Sealed(written().map_err(|error| error.to_string())?);
        precompiled::map(engine, form, &sealed).map_err(|error| format!("{error:#}"))
    }

    /// The files that may be the entry. More than one when two hosts wrote it at the same time.
    fn find(&self, name: &str) -> io::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            if entry.file_name().to_str().and_then(seal_and_name).is_some_and(|(_, of)| of == name) {
                found.push(entry.path());
            }
        }
        Ok(found)
    }

    fn verify(&self, name: &str, path: &Path) -> Result<Sealed, String> {
        // To open a pipe would block, and a link leads elsewhere.
        if !fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file()) {
            return Err("it is not a file".to_owned());
        }
        let mut file = File::open(path).map_err(|error| error.to_string())?;
        let metadata = file.metadata().map_err(|error| error.to_string())?;
        check(path, &metadata, self.owner).map_err(|error| error.to_string())?;
        let seal = self.seal(name, digest(&mut file).map_err(|error| error.to_string())?);
        match path.file_name().and_then(|name| name.to_str()).and_then(seal_and_name) {
            Some((expected, of)) if of == name && expected == seal => Ok(Sealed(file)),
            _ => Err("its seal is broken: the file was damaged, or written by somebody else".to_owned()),
        }
    }

    /// All parts have a fixed length, so nobody can extend one without the key.
    fn seal(&self, name: &str, content: [u8; 32]) -> String {
        let seal =
            Sha256::new().chain_update(self.key).chain_update(Sha256::digest(name)).chain_update(content);
        hex::encode(seal.finalize())
    }

    /// Removes the entries that were not used for the longest time, but never `newest`.
    fn evict(&self, newest: &Path) -> io::Result<()> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else { continue };
            // Another host may be evicting too.
            let Ok(metadata) = entry.metadata() else { continue };
            let used = metadata.modified()?;
            if name.ends_with(ENTRY) && entry.path() != newest {
                entries.push((used, metadata.len(), entry.path()));
            } else if name.ends_with(UNFINISHED) && used.elapsed().is_ok_and(|age| age > ABANDONED) {
                let _ = fs::remove_file(entry.path());
            }
        }
        entries.sort_by_key(|(used, _, _)| std::cmp::Reverse(*used));
        let (mut count, mut bytes) = (1, fs::metadata(newest)?.len());
        for (_, length, path) in entries {
            (count, bytes) = (count + 1, bytes.saturating_add(length));
            if count > self.bounds.entries || bytes > self.bounds.bytes {
                let _ = fs::remove_file(path);
            }
        }
        Ok(())
    }
}

/// Takes a file name apart.
fn seal_and_name(file_name: &str) -> Option<(&str, &str)> {
    let (name, seal) = file_name.strip_suffix(ENTRY)?.split_once('.')?;
    Some((seal, name))
}

/// Names the component and everything that decides what the compiler makes of it: wasmtime's version, the engine's settings, the target and the
/// features of this CPU.
fn entry_name(engine: &Engine, component: &[u8; 32]) -> String {
    let mut compiler = StableHasher(Sha256::new().chain_update(FORMAT));
    engine.precompile_compatibility_hash().hash(&mut compiler);
    format!("{PREFIX}{}-{}", hex::encode(component), hex::encode(&compiler.0.finalize()[..16]))
}

/// SHA-256 for `Hash`, whose usual hashers may differ from one build to the next.
struct StableHasher(Sha256);

impl Hasher for StableHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let digest: [u8; 32] = self.0.clone().finalize().into();
        digest.iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    }
}

/// The random key of the directory, made when there is none.
fn key(directory: &Path, owner: u32) -> Result<[u8; 32], Unusable> {
    let path = directory.join(KEY);
    let io = |source| Unusable::Io { path: path.clone(), source };
    if fs::symlink_metadata(&path).is_err() {
        let mut file = unfinished(directory).map_err(io)?;
        file.write_all(&rand::random::<[u8; 32]>()).map_err(io)?;
        match file.persist_noclobber(&path) {
            // Another host was faster; its key is ours.
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(io(error.error)),
            Ok(_) => {}
        }
    }
    let metadata = fs::symlink_metadata(&path).map_err(io)?;
    check(&path, &metadata, owner)?;
    let wrong = || Unusable::Kind { path: path.clone(), expected: "key of 32 bytes that only we can read" };
    if !metadata.is_file() || metadata.mode() & 0o077 != 0 || metadata.len() != 32 {
        return Err(wrong());
    }
    fs::read(&path).map_err(io)?.try_into().map_err(|_| wrong())
}

/// Whether a file or directory is ours, and nobody else may write to it.
fn check(path: &Path, metadata: &Metadata, us: u32) -> Result<(), Unusable> {
    if metadata.uid() != us {
        return Err(Unusable::Foreign { path: path.to_owned(), owner: metadata.uid(), us });
    }
    if metadata.mode() & 0o022 != 0 && !metadata.is_symlink() {
        return Err(Unusable::Writable { path: path.to_owned(), mode: metadata.mode() & 0o777 });
    }
    Ok(())
}

/// A file that only we can read, and that is removed unless it is given a name.
fn unfinished(directory: &Path) -> io::Result<NamedTempFile> {
    tempfile::Builder::new()
        .prefix(PREFIX)
        .suffix(UNFINISHED)
        .permissions(Permissions::from_mode(0o600))
        .tempfile_in(directory)
}

/// Marks an entry as used. When that fails it is evicted sooner, nothing else.
fn touch(path: &Path) {
    if let Ok(file) = File::open(path) {
        let _ = file.set_modified(SystemTime::now());
    }
}

fn digest(file: &mut File) -> io::Result<[u8; 32]> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hash.finalize().into()),
            read => hash.update(&buffer[..read]),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn what_belongs_to_somebody_else_is_not_used() {
        let file = NamedTempFile::new().unwrap();
        let metadata = file.as_file().metadata().unwrap();
        assert!(check(file.path(), &metadata, metadata.uid()).is_ok());
        let error = check(file.path(), &metadata, metadata.uid() + 1).unwrap_err();
        assert!(matches!(error, Unusable::Foreign { .. }), "{error}");
    }

    #[test]
    fn the_file_that_was_checked_is_the_one_that_is_used() {
        let directory = tempfile::tempdir().unwrap();
        let cache = CompileCache::open(directory.path(), Bounds { entries: 1, bytes: 1 << 20 }).unwrap();
        let seal = cache.seal("plumb-name", Sha256::digest(b"ours").into());
        let path = cache.directory.join(format!("plumb-name.{seal}{ENTRY}"));
        fs::write(&path, b"ours").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        let sealed = cache.verify("plumb-name", &path).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, b"theirs").unwrap();
        assert_eq!(fs::read(sealed.path()).unwrap(), b"ours");
    }
}
