use std::time::Instant;

use wasmtime::ResourceLimiter;

use crate::call::{Cancelled, Limits};
use crate::engine::{CORE_INSTANCES, MEMORIES, TABLES};
use crate::{LimitKind, Usage};

/// What one call has used so far. Each `…` that goes over a limit returns an error that ends the call, and is remembered:
/// a guest cannot hide it.
#[derive(Debug)]
pub(crate) struct Meter {
    limits: Limits,
    cancelled: Cancelled,
    started: Instant,
    /// But for the time.
    used: Usage,
    stopped: Option<Stop>,
}

/// Why the host ended a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Stop {
    #[error("over the limit of {which}")]
    Limit { which: LimitKind, limit: u64, used: u64 },
    #[error("cancelled")]
    Cancelled,
}

impl Meter {
    pub(crate) fn new(limits: Limits, cancelled: Cancelled) -> Self {
        Self { limits, cancelled, started: Instant::now(), used: Usage::default(), stopped: None }
    }

    /// Why the host ended the call, if it did.
    pub(crate) fn stopped(&self) -> Option<Stop> {
        self.stopped
    }

    /// Called at every tick of the epoch, and whenever the guest calls the host.
    pub(crate) fn check_time(&mut self) -> wasmtime::Result<()> {
        if self.cancelled.is_cancelled() {
            return Err(self.stop(Stop::Cancelled));
        }
        let (used, limit) = (self.started.elapsed().as_millis(), self.limits.wall_time.as_millis());
        self.check(
            LimitKind::WallTime,
            u64::try_from(used).unwrap_or(u64::MAX),
            u64::try_from(limit).unwrap_or(u64::MAX),
        )
    }

    /// Counts one call of a host function.
    pub(crate) fn host_call(&mut self) -> wasmtime::Result<()> {
        self.check_time()?;
        self.used.host_calls += 1;
        self.check(LimitKind::HostCalls, self.used.host_calls, self.limits.host_calls)
    }

    /// Counts a log message.
    pub(crate) fn log(&mut self, message: &str) -> wasmtime::Result<()> {
        self.used.log_bytes = self.used.log_bytes.saturating_add(message.len().max(1));
        self.check(LimitKind::LogBytes, self.used.log_bytes as u64, self.limits.log_bytes as u64)
    }

    /// Counts what a capability answers, before it is handed over.
    pub(crate) fn answered(&mut self, bytes: usize) -> wasmtime::Result<()> {
        self.used.answer_bytes = self.used.answer_bytes.saturating_add(bytes);
        self.check(LimitKind::AnswerBytes, self.used.answer_bytes as u64, self.limits.answer_bytes as u64)
    }

    /// What the call has used when it ends with a result of this size, and tells the operator.
    pub(crate) fn ended(&self, plugin: &str, output_bytes: usize) -> Usage {
        let used = Usage { wall_time: self.started.elapsed(), output_bytes, ..self.used };
        tracing::debug!(plugin, ?used, "a call of the plugin has ended");
        used
    }

    fn check(&mut self, which: LimitKind, used: u64, limit: u64) -> wasmtime::Result<()> {
        if used > limit { Err(self.stop(Stop::Limit { which, limit, used })) } else { Ok(()) }
    }

    /// The first reason is the one that is told.
    fn stop(&mut self, stop: Stop) -> wasmtime::Error {
        wasmtime::Error::new(*self.stopped.get_or_insert(stop))
    }
}

/// Growth over a limit ends the call, because a guest that is merely told "no" reports something else. Growth within the limits
/// but over what the guest itself says is its most does not happen, and does not count.
impl ResourceLimiter for Meter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        most: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let used = self.used.memory_bytes.saturating_add(desired.saturating_sub(current));
        self.check(LimitKind::MemoryBytes, used as u64, self.limits.memory_bytes as u64)?;
        let possible = most.is_none_or(|most| desired <= most);
        if possible {
            self.used.memory_bytes = used;
        }
        Ok(possible)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        most: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let used = self.used.table_elements.saturating_add(desired.saturating_sub(current));
        self.check(LimitKind::TableElements, used as u64, self.limits.table_elements as u64)?;
        let possible = most.is_none_or(|most| desired <= most);
        if possible {
            self.used.table_elements = used;
        }
        Ok(possible)
    }

    fn instances(&self) -> usize {
        CORE_INSTANCES as usize
    }

    fn memories(&self) -> usize {
        MEMORIES as usize
    }

    fn tables(&self) -> usize {
        TABLES as usize
    }
}
