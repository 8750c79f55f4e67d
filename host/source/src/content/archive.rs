use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

use flate2::read::MultiGzDecoder;
use tar::{Archive, EntryType, Header, PaxExtensions};

use crate::content::builder::invalid;
use crate::content::{Builder, ContentError, ContentStore, Limits, Stored};
use crate::foreign::printable;

/// Of a name that does not fit into a header, and of the extensions of one entry.
const MAX_EXTENSION_BYTES: u64 = 1024 * 1024;
/// What an archive may have besides the bytes of its files, for each of them: a header, its extensions, and what rounds them up.
const OVERHEAD_BYTES: u64 = 4096;
/// An archive that is unpacked to less than this is never suspicious.
const FREE_BYTES: u64 = 16 * 1024 * 1024;

/// A kind of archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `tar`, as POSIX and GNU have it.
    Tar,
    /// The same, compressed by gzip.
    TarGz,
}

impl ContentStore {
    /// Stores the tree in an archive, which is read as a stream.
    ///
    /// As in Flux, a path that is absolute, goes up, or has a backslash refuses the whole archive, so does a device or a pipe, and of two files at one path the later one counts; owners
    /// and permissions, set-user-id too, mean nothing. Unlike Flux, links are kept as links, and a hard link or a sparse file is refused rather than stored as something else.
    pub fn unpack(&self, reader: impl Read, format: Format) -> Result<Stored, ContentError> {
        let mut builder = self.builder();
        unpack(reader, format, &mut builder)?;
        builder.finish()
    }
}

/// Puts all that an archive has into a tree.
fn unpack(reader: impl Read, format: Format, builder: &mut Builder) -> Result<(), ContentError> {
    let meter = Rc::new(Meter::new(builder.limits()));
    let compressed = Compressed { reader, meter: Rc::clone(&meter) };
    match format {
        Format::Tar => unpack_tar(Unpacked { reader: compressed, meter: Rc::clone(&meter) }, &meter, builder),
        Format::TarGz => {
            let decoder = MultiGzDecoder::new(compressed);
            unpack_tar(Unpacked { reader: decoder, meter: Rc::clone(&meter) }, &meter, builder)
        }
    }
    .map_err(|error| match (meter.exceeded.take(), error) {
        // The meter knows what an error of the reader only hints at.
        (Some(known), _) => known,
        // The reader itself is fine, so it is what was read.
        (None, ContentError::Unreadable(reason)) => ContentError::Malformed(printable(&reason)),
        (None, error) => error,
    })
}

fn unpack_tar(reader: impl Read, meter: &Meter, builder: &mut Builder) -> Result<(), ContentError> {
    let mut archive = Archive::new(reader);
    let mut extended = Extended::default();
    // Raw: names and extensions of any length would be read into memory otherwise.
    for entry in archive.entries().map_err(|error| malformed(&error))?.raw(true) {
        let mut entry = entry.map_err(|error| malformed(&error))?;
        let (kind, size) = (entry.header().entry_type(), entry.size());
        if extended.take(kind, size, &mut entry)? {
            continue;
        }
        let Extended { path, link, size: real_size } = std::mem::take(&mut extended);
        let path = text(path.unwrap_or_else(|| entry.header().path_bytes().into_owned()))?;
        if real_size.is_some_and(|real_size| real_size != size) {
            return Err(ContentError::Unsupported { path, what: "a file with two sizes" });
        }
        match kind {
            // As old programs write a directory.
            EntryType::Regular | EntryType::Continuous if path.ends_with('/') => builder.directory(&path)?,
            EntryType::Regular | EntryType::Continuous => {
                let mut bytes = Counted { reader: &mut entry, count: 0 };
                builder.file(&path, &mut bytes)?;
                if bytes.count != size {
                    return Err(ContentError::Truncated("a file has fewer bytes than its header says"));
                }
            }
            EntryType::Directory => builder.directory(&path)?,
            EntryType::Symlink => {
                builder.link(&path, &text(link.unwrap_or_else(|| link_of(entry.header())))?)?
            }
            other => return Err(ContentError::Unsupported { path, what: name_of(other) }),
        }
    }
    if meter.ended.get() {
        return Err(ContentError::Truncated("the mark of its end is missing"));
    }
    // What follows the mark is padding; at its end is the checksum of gzip.
    io::copy(&mut archive.into_inner(), &mut io::sink()).map(drop).map_err(|error| malformed(&error))
}

/// What the entries in front of an entry say of it.
#[derive(Default)]
struct Extended {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
}

impl Extended {
    /// Reads an entry that only says something of the next one; says `false` for any other.
    fn take(&mut self, kind: EntryType, size: u64, entry: &mut impl Read) -> Result<bool, ContentError> {
        if !matches!(
            kind,
            EntryType::GNULongName | EntryType::GNULongLink | EntryType::XHeader | EntryType::XGlobalHeader
        ) {
            return Ok(false);
        }
        if size > MAX_EXTENSION_BYTES {
            return Err(ContentError::TooMuch {
                what: "bytes in a name or extension",
                limit: MAX_EXTENSION_BYTES,
            });
        }
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(|error| malformed(&error))?;
        match kind {
            EntryType::GNULongName => self.path = Some(until_nul(&bytes)),
            EntryType::GNULongLink => self.link = Some(until_nul(&bytes)),
            EntryType::XHeader => self.extend(&bytes)?,
            // Of all entries that follow; `git archive` writes the commit there. Flux ignores them too.
            _ => {}
        }
        Ok(true)
    }

    fn extend(&mut self, extensions: &[u8]) -> Result<(), ContentError> {
        for extension in PaxExtensions::new(extensions) {
            let extension = extension.map_err(|error| malformed(&error))?;
            let value = extension.value_bytes();
            match extension.key_bytes() {
                b"path" => self.path = Some(value.to_vec()),
                b"linkpath" => self.link = Some(value.to_vec()),
                b"size" => {
                    let size = std::str::from_utf8(value).ok().and_then(|size| size.parse().ok());
                    self.size = Some(size.ok_or_else(|| malformed(&"a size is not a number"))?);
                }
                key if key.starts_with(b"GNU.sparse.") => {
                    let path = String::from_utf8_lossy(self.path.as_deref().unwrap_or_default()).into_owned();
                    return Err(ContentError::Unsupported { path, what: "a sparse file" });
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn link_of(header: &Header) -> Vec<u8> {
    header.link_name_bytes().map(|name| name.into_owned()).unwrap_or_default()
}

fn until_nul(bytes: &[u8]) -> Vec<u8> {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default().to_vec()
}

fn text(bytes: Vec<u8>) -> Result<String, ContentError> {
    let text = String::from_utf8(bytes)
        .map_err(|error| invalid(&String::from_utf8_lossy(error.as_bytes()), "is not UTF-8"))?;
    if text.is_empty() { Err(invalid("", "is empty")) } else { Ok(text) }
}

fn name_of(kind: EntryType) -> &'static str {
    match kind {
        EntryType::Link => "a hard link",
        EntryType::Char | EntryType::Block => "a device",
        EntryType::Fifo => "a pipe",
        EntryType::GNUSparse => "a sparse file",
        _ => "an entry of an unknown kind",
    }
}

fn malformed(error: &dyn std::fmt::Display) -> ContentError {
    ContentError::Malformed(printable(&error.to_string()))
}

/// What goes into decompression and what comes out.
struct Meter {
    limits: Limits,
    compressed: Cell<u64>,
    unpacked: Cell<u64>,
    /// Whether somebody wanted to read beyond the end.
    ended: Cell<bool>,
    exceeded: Cell<Option<ContentError>>,
}

impl Meter {
    fn new(limits: Limits) -> Self {
        Self {
            limits,
            compressed: Cell::default(),
            unpacked: Cell::default(),
            ended: Cell::default(),
            exceeded: Cell::default(),
        }
    }

    fn check(&self) -> Result<(), ContentError> {
        let Limits { entries, tree_bytes, compression, .. } = self.limits;
        let overhead = (entries as u64).saturating_mul(OVERHEAD_BYTES);
        let most = tree_bytes.saturating_add(overhead);
        if self.unpacked.get() > most {
            return Err(ContentError::TooMuch { what: "bytes in all", limit: tree_bytes });
        }
        let plausible = self.compressed.get().saturating_mul(compression).saturating_add(FREE_BYTES);
        if self.unpacked.get() > plausible {
            return Err(ContentError::TooMuch { what: "times the size of its archive", limit: compression });
        }
        Ok(())
    }
}

struct Compressed<R> {
    reader: R,
    meter: Rc<Meter>,
}

impl<R: Read> Read for Compressed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer).inspect_err(|error| {
            if error.kind() != io::ErrorKind::Interrupted {
                self.meter.exceeded.set(Some(ContentError::Unreadable(error.to_string())));
            }
        })?;
        self.meter.compressed.set(self.meter.compressed.get().saturating_add(read as u64));
        Ok(read)
    }
}

struct Unpacked<R> {
    reader: R,
    meter: Rc<Meter>,
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.meter.ended.set(read == 0 && !buffer.is_empty());
        self.meter.unpacked.set(self.meter.unpacked.get().saturating_add(read as u64));
        self.meter.check().map_err(|error| {
            self.meter.exceeded.set(Some(error));
            io::Error::other("too much")
        })?;
        Ok(read)
    }
}

struct Counted<R> {
    reader: R,
    count: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.count += read as u64;
        Ok(read)
    }
}
