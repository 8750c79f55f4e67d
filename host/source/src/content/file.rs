use std::fmt;
use std::io::Write as _;

use plumb_tree::ContentId;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tempfile::{NamedTempFile, TempPath};

use crate::content::ContentError;

/// The SHA-256 of the bytes of a file, by which it is stored.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FileId([u8; 32]);

impl FileId {
    /// The id of these bytes.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    pub(crate) fn parse(hex: &str) -> Option<Self> {
        // Only in lower case, so that a file has one name.
        let is_lower = hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let bytes = hex::decode(hex).ok().filter(|_| is_lower)?;
        Some(Self(bytes.try_into().ok()?))
    }

    pub(crate) fn content_id(&self) -> ContentId {
        ContentId::new("sha256", self)
    }
}

impl fmt::Display for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for FileId {
    type Error = &'static str;

    fn try_from(hex: String) -> Result<Self, Self::Error> {
        Self::parse(&hex).ok_or("not the SHA-256 of a file in hexadecimal")
    }
}

impl From<FileId> for String {
    fn from(id: FileId) -> Self {
        id.to_string()
    }
}

/// Bytes on their way into the store. They have no name before all of them are there; a crash leaves nothing that anybody would take for a file.
#[derive(Debug)]
pub struct Incoming {
    file: NamedTempFile,
    hash: Sha256,
    size: u64,
    limit: u64,
}

/// All bytes of a file, which is not yet part of a tree.
#[derive(Debug)]
pub struct Received {
    pub(crate) path: TempPath,
    pub(crate) id: FileId,
    pub(crate) size: u64,
}

impl Incoming {
    pub(crate) fn new(file: NamedTempFile, limit: u64) -> Self {
        Self { file, hash: Sha256::new(), size: 0, limit }
    }

    /// Takes more bytes; [`ContentError::TooMuch`] when there are more than a file may have.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), ContentError> {
        self.size = self.size.saturating_add(bytes.len() as u64);
        if self.size > self.limit {
            return Err(ContentError::TooMuch { what: "bytes in a file", limit: self.limit });
        }
        self.hash.update(bytes);
        self.file.write_all(bytes).map_err(ContentError::store)
    }

    /// All bytes are there.
    pub fn finish(self) -> Result<Received, ContentError> {
        let mut file = self.file;
        file.flush().map_err(ContentError::store)?;
        Ok(Received { path: file.into_temp_path(), id: FileId(self.hash.finalize().into()), size: self.size })
    }
}

impl Received {
    /// The SHA-256 of the bytes.
    pub fn id(&self) -> FileId {
        self.id
    }

    /// The size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Reads the bytes back.
    pub fn open(&self) -> Result<std::fs::File, ContentError> {
        std::fs::File::open(&self.path).map_err(ContentError::store)
    }
}
