use std::fmt;
use std::time::Duration;

use plumb_tree::TreeError;
use wasmtime::{Trap, WasmBacktrace};

use crate::engine::STACK_BYTES;
use crate::meter::Stop;
use crate::printable::one_line;
use crate::{Limits, PluginError, World};

/// How many frames of the guest's stack are told.
const FRAMES: usize = 5;

/// How many characters of a name or reason that the guest chose are told.
const CHARACTERS: usize = 200;

/// Which limit of a call, see [`Limits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LimitKind {
    /// [`Limits::wall_time`], in milliseconds.
    WallTime,
    /// [`Limits::memory_bytes`].
    MemoryBytes,
    /// [`Limits::table_elements`].
    TableElements,
    /// [`Limits::output_bytes`].
    OutputBytes,
    /// [`Limits::host_calls`].
    HostCalls,
    /// [`Limits::answer_bytes`].
    AnswerBytes,
    /// [`Limits::log_bytes`].
    LogBytes,
}

impl LimitKind {
    fn amount(self, amount: u64) -> String {
        match self {
            Self::WallTime => format!("{amount} ms"),
            Self::MemoryBytes | Self::OutputBytes | Self::AnswerBytes | Self::LogBytes => {
                format!("{amount} bytes")
            }
            Self::TableElements => format!("{amount} elements"),
            Self::HostCalls => format!("{amount} calls"),
        }
    }
}

impl fmt::Display for LimitKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WallTime => "wall time",
            Self::MemoryBytes => "memory",
            Self::TableElements => "tables",
            Self::OutputBytes => "output",
            Self::HostCalls => "host calls",
            Self::AnswerBytes => "answers",
            Self::LogBytes => "log",
        })
    }
}

/// Why a call gave no result. The messages do not name the plugin: whoever made the call knows it.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The plugin says what is wrong with its input: one error or more, in the order in which it found them.
    #[error("{}", join(.0, "; "))]
    Reported(Vec<PluginError>),
    /// The call went over one of its limits.
    #[error("the plugin went over its limit of {which}: {} used, {} allowed", .which.amount(*.used), .which.amount(*.limit))]
    Limit {
        /// Which limit.
        which: LimitKind,
        /// How much is allowed, in the unit of the limit.
        limit: u64,
        /// How much was used, or asked for, when the call was ended. For [`LimitKind::OutputBytes`] it is one more than the
        /// limit: what is over it is not even looked at.
        used: u64,
    },
    /// The guest broke down: it panicked, nested its calls too deep, or broke the rules of the component model. Its instance is gone;
    /// the next call gets a new one.
    #[error("the plugin broke down: {reason}{}", at(.frames))]
    Trapped {
        /// What happened, without anything from the guest's memory.
        reason: String,
        /// The innermost functions of the guest, the innermost first.
        frames: Vec<String>,
    },
    /// [`crate::Cancelled`] was set.
    #[error("the call of the plugin was cancelled")]
    Cancelled,
    /// As many calls as [`crate::HostConfig::concurrent_calls`] allows were running, for as long as this one may take.
    #[error("the plugin was not run: {running} other calls were running for all of {waited:?}")]
    Busy {
        /// How many calls were running.
        running: usize,
        /// How long this one waited.
        waited: Duration,
    },
    /// The plugin returned something that its contract forbids.
    #[error("the plugin returned something that it may not: {what}: {reason}")]
    InvalidOutput {
        /// Which part of the output, for example `object 3`, counted from 0.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The tree could not be read. This says nothing about what is in it; trying again may help.
    #[error("the files could not be read: {0}")]
    Tree(TreeError),
    /// The parameters are JSON, but not a JSON object.
    #[error("the parameters of a plugin must be a JSON object")]
    InvalidParameters,
    /// The plugin was loaded for another world than the one that this call is for.
    #[error("the plugin was loaded as a {loaded} and cannot be called as a {called}")]
    WrongWorld {
        /// What it was loaded as.
        loaded: World,
        /// What it was called as.
        called: World,
    },
    /// The host could not make an instance, for example because it has no memory left. Trying again may help.
    #[error("the host could not start the plugin: {0}")]
    NotStarted(String),
}

fn join(errors: &[PluginError], separator: &str) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join(separator)
}

fn at(frames: &[String]) -> String {
    if frames.is_empty() { String::new() } else { format!(" (in {})", frames.join(", called by ")) }
}

impl From<Stop> for CallError {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Limit { which, limit, used } => Self::Limit { which, limit, used },
            Stop::Cancelled => Self::Cancelled,
        }
    }
}

/// Making an instance failed.
pub(crate) fn of_instantiation(error: &wasmtime::Error) -> CallError {
    match error.downcast_ref::<Trap>() {
        Some(_) => of_guest(error, &Limits::default()),
        None => CallError::NotStarted(bounded(&format!("{error:#}"))),
    }
}

/// The guest's function failed. For what wasmtime has no type its words must do; a test holds on to each of them.
pub(crate) fn of_guest(error: &wasmtime::Error, limits: &Limits) -> CallError {
    let words = error.root_cause().to_string();
    if words.contains("fuel allocated for hostcalls has been exhausted") {
        let limit = limits.output_bytes as u64;
        return CallError::Limit { which: LimitKind::OutputBytes, limit, used: limit.saturating_add(1) };
    }
    let reason = match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => {
            format!("its calls nest too deep; its stack of {} KiB is used up", STACK_BYTES >> 10)
        }
        Some(Trap::UnreachableCodeReached) => "it gave up, as a panic does (`unreachable` was executed)".to_owned(),
        Some(trap) => trap.to_string().trim_start_matches("wasm trap: ").to_owned(),
        None if words.contains("borrow handles still remain") => {
            "it returned without dropping the handle of the tree; a borrowed handle must be dropped before the call ends"
                .to_owned()
        }
        None => words,
    };
    CallError::Trapped { reason: bounded(&reason), frames: frames(error) }
}

fn frames(error: &wasmtime::Error) -> Vec<String> {
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else { return Vec::new() };
    backtrace
        .frames()
        .iter()
        .take(FRAMES)
        .map(|frame| match frame.func_name() {
            Some(name) => bounded(name),
            None => format!("function {}", frame.func_index()),
        })
        .collect()
}

pub(crate) fn bounded(text: &str) -> String {
    let mut bounded: String = text.chars().take(CHARACTERS).collect();
    if bounded.len() < text.len() {
        bounded.push('…');
    }
    one_line(&bounded)
}
