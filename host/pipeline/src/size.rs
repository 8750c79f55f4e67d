//! How large objects are as JSON.

use std::io;

use plumb_api::Object;

/// How many bytes objects take as JSON.
pub(crate) fn bytes_of(objects: &[Object]) -> usize {
    let mut count = Count(0);
    for object in objects {
        // Counting does not fail, and objects are JSON already.
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
