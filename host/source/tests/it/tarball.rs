//! Archives as honest and other people make them.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{EntryType, Header};

/// An archive under construction, block by block: nothing is checked.
#[derive(Default)]
pub(crate) struct Tarball(Vec<u8>);

impl Tarball {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn file(self, path: &str, bytes: &[u8]) -> Self {
        self.entry(EntryType::Regular, path, "", bytes)
    }

    pub(crate) fn directory(self, path: &str) -> Self {
        self.entry(EntryType::Directory, path, "", b"")
    }

    pub(crate) fn link(self, path: &str, target: &str) -> Self {
        self.entry(EntryType::Symlink, path, target, b"")
    }

    pub(crate) fn entry(self, kind: EntryType, path: &str, target: &str, bytes: &[u8]) -> Self {
        self.raw(&header(kind, path.as_bytes(), target, bytes.len() as u64), bytes)
    }

    /// An extension of the entry that follows.
    pub(crate) fn pax(self, key: &str, value: &str) -> Self {
        // The length counts itself.
        let rest = format!(" {key}={value}\n").len();
        let length =
            (1..=9).map(|digits| rest + digits).find(|length| length.to_string().len() + rest == *length);
        let record = format!("{} {key}={value}\n", length.unwrap());
        self.entry(EntryType::XHeader, "PaxHeaders/x", "", record.as_bytes())
    }

    pub(crate) fn raw(mut self, header: &Header, bytes: &[u8]) -> Self {
        self.0.extend(header.as_bytes());
        self.0.extend(bytes);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    /// The archive with the mark of its end.
    pub(crate) fn tar(self) -> Vec<u8> {
        let mut tar = self.0;
        tar.extend([0; 1024]);
        tar
    }

    pub(crate) fn tar_gz(self) -> Vec<u8> {
        gzip(&self.tar())
    }

    pub(crate) fn without_end(self) -> Vec<u8> {
        self.0
    }
}

pub(crate) fn header(kind: EntryType, path: &[u8], target: &str, size: u64) -> Header {
    let mut header = Header::new_ustar();
    let old = header.as_old_mut();
    old.name[..path.len()].copy_from_slice(path);
    old.linkname[..target.len()].copy_from_slice(target.as_bytes());
    header.set_entry_type(kind);
    header.set_size(size);
    // Set-user-id, for everybody.
    header.set_mode(0o6777);
    header.set_cksum();
    header
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
