use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::{Grants, Used};

/// How much one call may use. Going over any of these ends the call with [`crate::CallError::Limit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long the call may take, the time inside the host's functions included. Also how long it waits for its turn
    /// at the most, which is counted by itself.
    pub wall_time: Duration,
    /// How many bytes all linear memories together may have.
    pub memory_bytes: usize,
    /// How many elements all tables together may have.
    pub table_elements: usize,
    /// How many bytes may be handed to the host at once: as the result, as a log message or as a path. A list counts 24
    /// bytes or more for each element in it, as much as the host needs to hold it.
    pub output_bytes: usize,
    /// How many times the host's functions may be called.
    pub host_calls: u64,
    /// How many bytes the answers of capabilities together may have: values, objects, responses.
    pub answer_bytes: usize,
    /// How many bytes all log messages together may have; an empty message counts as one.
    pub log_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            wall_time: Duration::from_secs(120),
            memory_bytes: 1 << 30,
            table_elements: 1_000_000,
            output_bytes: 64 << 20,
            host_calls: 250_000,
            answer_bytes: 256 << 20,
            log_bytes: 256 << 10,
        }
    }
}

/// What goes with a call besides its input. The default has the default limits, grants nothing, and is never cancelled.
#[derive(Clone, Debug, Default)]
pub struct Call {
    /// How much the call may use.
    pub limits: Limits,
    /// Ends the call when it is set.
    pub cancelled: Cancelled,
    /// Where the plugin's warnings are collected.
    pub warnings: Warnings,
    /// What the plugin may ask for.
    pub grants: Grants,
    /// Where it is told what of them, and of the limits, was used.
    pub used: Used,
}

/// A flag that ends a call, whether it waits or runs, within some 10 ms. Clones share it; once set it stays set.
#[derive(Clone, Debug, Default)]
pub struct Cancelled(Arc<AtomicBool>);

impl Cancelled {
    /// A flag that is not set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends all calls that have this flag.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether the flag is set.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// The messages that a plugin logged with level `warn`, which users see as warning events: the first hundred of a call,
/// control characters escaped. Clones share the same list.
#[derive(Clone, Debug, Default)]
pub struct Warnings(Arc<Mutex<Vec<String>>>);

impl Warnings {
    const MOST: usize = 100;

    /// Takes what has been collected so far.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock())
    }

    pub(crate) fn add(&self, message: &str) {
        let mut messages = self.0.lock();
        if messages.len() < Self::MOST {
            messages.push(message.to_owned());
        }
    }
}
