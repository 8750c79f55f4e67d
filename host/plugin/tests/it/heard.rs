//! What the host logs while something runs on this thread.

use std::cell::RefCell;
use std::io;
use std::sync::{Arc, Mutex, Once};

thread_local! {
    static LISTENING: RefCell<Option<Heard>> = const { RefCell::new(None) };
}

#[derive(Clone, Default)]
pub(crate) struct Heard(Arc<Mutex<Vec<u8>>>);

/// Ends the listening of its thread when it is dropped.
pub(crate) struct Listening;

impl Drop for Listening {
    fn drop(&mut self) {
        LISTENING.set(None);
    }
}

impl Heard {
    /// Listens on this thread until the guard is dropped. One subscriber serves all threads, because tracing remembers
    /// for the whole process which events nobody wants.
    pub(crate) fn listen(&self) -> Listening {
        static SUBSCRIBED: Once = Once::new();
        SUBSCRIBED.call_once(|| {
            tracing_subscriber::fmt()
                .with_writer(|| ToThisThread)
                .with_ansi(false)
                .without_time()
                .with_max_level(tracing::Level::TRACE)
                .init();
        });
        LISTENING.set(Some(self.clone()));
        Listening
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// How many times the host compiled a plugin.
    pub(crate) fn compilations(&self) -> usize {
        self.text().matches("compiling a plugin").count()
    }
}

struct ToThisThread;

impl io::Write for ToThisThread {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LISTENING.with_borrow(|heard| {
            if let Some(heard) = heard {
                heard.0.lock().unwrap().extend_from_slice(bytes);
            }
        });
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
