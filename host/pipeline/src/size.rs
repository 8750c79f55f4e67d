//! How large objects are as JSON, and their digest.

use std::io;

use plumb_api::Object;
use sha2::{Digest as _, Sha256};

/// Hashes and counts objects.
#[derive(Default)]
pub(crate) struct Hash {
    hash: Sha256,
    bytes: usize,
}

impl Hash {
    pub(crate) fn object(&mut self, object: &Object) {
        // Writing into a hash does not fail, and objects are JSON already.
        let _ = serde_json::to_writer(&mut *self, object);
        self.hash.update(b"\n");
    }

    /// The digest as `sha256:…`, and the number of bytes.
    pub(crate) fn finish(self) -> (String, usize) {
        (format!("sha256:{:x}", self.hash.finalize()), self.bytes)
    }
}

impl io::Write for Hash {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hash.update(bytes);
        self.bytes += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How many bytes objects take as JSON.
pub(crate) fn bytes_of(objects: &[Object]) -> usize {
    let mut count = Count(0);
    for object in objects {
        // As above.
        let _ = serde_json::to_writer(&mut count, object);
    }
    count.0
}

struct Count(usize);

impl io::Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
