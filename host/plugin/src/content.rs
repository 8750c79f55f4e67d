//! The bytes of a plugin, which are in memory or still in their file.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::LoadError;
use crate::compiled::Form;
use crate::component::form;

/// How many bytes tell what something is.
const PREAMBLE: u64 = 8;

/// A plugin to be compiled, unless it was compiled before: its digest is known, and its size is within the limit.
pub(crate) struct Content<'a> {
    digest: [u8; 32],
    form: Form,
    bytes: Bytes<'a>,
}

pub(crate) enum Bytes<'a> {
    Memory(Cow<'a, [u8]>),
    /// The file is at its start.
    File(File, PathBuf),
}

impl<'a> Content<'a> {
    pub(crate) fn of_bytes(name: &str, bytes: &'a [u8], limit: u64) -> Result<Self, LoadError> {
        if bytes.len() as u64 > limit {
            return Err(LoadError::TooLarge { name: name.to_owned(), limit });
        }
        let (digest, form) = (Sha256::digest(bytes).into(), form(name, bytes)?);
        Ok(Self { digest, form, bytes: Bytes::Memory(Cow::Borrowed(bytes)) })
    }

    /// Reads the file for its digest, without keeping it.
    pub(crate) fn of_file(name: &str, path: &Path, limit: u64) -> Result<Content<'static>, LoadError> {
        let unreadable = |source| unreadable(name, path, source);
        let mut file = File::open(path).map_err(unreadable)?;
        let mut preamble = Vec::new();
        (&file).take(PREAMBLE).read_to_end(&mut preamble).map_err(unreadable)?;
        let form = form(name, &preamble)?;
        let mut hash = Sha256::new().chain_update(&preamble);
        // One more than the limit, so that what is over it is noticed.
        let rest = limit.saturating_add(1).saturating_sub(PREAMBLE);
        let read = io::copy(&mut (&file).take(rest), &mut hash).map_err(unreadable)?;
        if read == rest {
            return Err(LoadError::TooLarge { name: name.to_owned(), limit });
        }
        file.rewind().map_err(unreadable)?;
        Ok(Content { digest: hash.finalize().into(), form, bytes: Bytes::File(file, path.to_owned()) })
    }

    /// SHA-256.
    pub(crate) fn digest(&self) -> [u8; 32] {
        self.digest
    }

    pub(crate) fn form(&self) -> Form {
        self.form
    }

    /// For another thread.
    pub(crate) fn into_owned(self) -> Bytes<'static> {
        match self.bytes {
            Bytes::Memory(bytes) => Bytes::Memory(Cow::Owned(bytes.into_owned())),
            Bytes::File(file, path) => Bytes::File(file, path),
        }
    }

    /// All of them. Fails when the file is no longer what it was.
    pub(crate) fn into_bytes(self, name: &str) -> Result<Vec<u8>, LoadError> {
        let (mut file, path) = match self.bytes {
            Bytes::Memory(bytes) => return Ok(bytes.into_owned()),
            Bytes::File(file, path) => (file, path),
        };
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(|source| unreadable(name, &path, source))?;
        match Sha256::digest(&bytes)[..] == self.digest {
            true => Ok(bytes),
            false => Err(unreadable(name, &path, io::Error::other("it changed while it was read"))),
        }
    }
}

fn unreadable(name: &str, path: &Path, source: io::Error) -> LoadError {
    LoadError::Read { name: name.to_owned(), path: path.to_owned(), source }
}
