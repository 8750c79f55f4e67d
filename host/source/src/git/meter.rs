use std::cell::{Cell, RefCell};
use std::io::{self, Read};
use std::rc::Rc;

use crate::git::error::GitError;

/// Counts what a server sends and stops at a limit; and keeps the first failure of a transport as it was, because what gix makes of it says less.
#[derive(Clone)]
pub(crate) struct Meter(Rc<Inner>);

struct Inner {
    url: String,
    phase: Cell<Phase>,
    failure: RefCell<Option<GitError>>,
}

#[derive(Clone, Copy)]
struct Phase {
    what: &'static str,
    limit: u64,
    received: u64,
}

impl Meter {
    pub(crate) fn new(url: String) -> Self {
        let phase = Cell::new(Phase { what: "references", limit: 0, received: 0 });
        Self(Rc::new(Inner { url, phase, failure: RefCell::new(None) }))
    }

    /// From now on up to `limit` bytes of `what` are taken.
    pub(crate) fn expect(&self, what: &'static str, limit: u64) {
        self.0.phase.set(Phase { what, limit, received: 0 });
    }

    /// Notes that bytes came in.
    pub(crate) fn take(&self, bytes: usize) -> io::Result<()> {
        let mut phase = self.0.phase.get();
        phase.received = phase.received.saturating_add(bytes as u64);
        self.0.phase.set(phase);
        if phase.received <= phase.limit {
            return Ok(());
        }
        Err(self.fail(GitError::TooLarge { url: self.0.url.clone(), what: phase.what, limit: phase.limit }))
    }

    /// Notes why the transport failed, and makes an error for gix to hand up.
    pub(crate) fn fail(&self, error: GitError) -> io::Error {
        let text = error.to_string();
        self.0.failure.borrow_mut().get_or_insert(error);
        io::Error::other(text)
    }

    /// Why the transport failed, if it did.
    pub(crate) fn failure(&self) -> Option<GitError> {
        self.0.failure.borrow().clone()
    }
}

/// A reader whose bytes are counted.
pub(crate) struct Metered<R> {
    pub(crate) reader: R,
    pub(crate) meter: Meter,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.meter.take(read)?;
        Ok(read)
    }
}
