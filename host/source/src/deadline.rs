use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often a wait looks whether it should end.
pub(crate) const TICK: Duration = Duration::from_millis(20);

/// Ends a fetch from another thread.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// One that nobody has used yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends everything that was given this one, within a fraction of a second.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether [`cancel`](Self::cancel) was called.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Why a wait ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stopped {
    TimedOut,
    Cancelled,
}

/// When a fetch has to be over.
#[derive(Clone, Debug)]
pub(crate) struct Deadline {
    until: Option<Instant>,
    cancel: Cancel,
}

impl Deadline {
    /// A time beyond what the clock can tell never comes.
    pub(crate) fn new(timeout: Duration, cancel: &Cancel) -> Self {
        Self { until: Instant::now().checked_add(timeout), cancel: cancel.clone() }
    }

    pub(crate) fn check(&self) -> Result<(), Stopped> {
        if self.cancel.is_cancelled() {
            Err(Stopped::Cancelled)
        } else if self.until.is_some_and(|until| Instant::now() >= until) {
            Err(Stopped::TimedOut)
        } else {
            Ok(())
        }
    }
}

/// A thread that watches a deadline for code that cannot: at the deadline it raises a flag and calls `on_stop`.
pub(crate) struct Watchdog {
    flag: Arc<AtomicBool>,
    done: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    pub(crate) fn start(
        deadline: Deadline,
        on_stop: impl FnOnce() + Send + 'static,
    ) -> std::io::Result<Self> {
        let (done, is_done) = channel();
        let flag = Arc::new(AtomicBool::new(false));
        let raised = Arc::clone(&flag);
        let watch = move || {
            while is_done.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                if deadline.check().is_err() {
                    raised.store(true, Ordering::Relaxed);
                    on_stop();
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("fetch-watchdog".to_owned()).spawn(watch)?;
        Ok(Self { flag, done: Some(done), thread: Some(thread) })
    }

    /// Raised at the deadline.
    pub(crate) fn flag(&self) -> &AtomicBool {
        &self.flag
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        // The thread sees that the channel is gone.
        self.done.take();
        if let Some(thread) = self.thread.take() {
            // It panics only when `on_stop` does, and there is nobody to tell.
            let _ = thread.join();
        }
    }
}
