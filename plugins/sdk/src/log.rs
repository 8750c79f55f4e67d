//! Messages for whoever operates the host. Use the macros [`trace!`](crate::trace), [`debug!`](crate::debug), [`info!`](crate::info) and
//! [`warn!`](crate::warn); never log the value of a secret.

use crate::host;

/// How important a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Of use only to somebody who works on the plugin.
    Trace,
    /// Of use when looking for a mistake.
    Debug,
    /// Worth knowing.
    Info,
    /// Something that should be changed but does not stop the work: users see it as a warning event.
    Warn,
}

/// Writes one message.
pub fn write(level: Level, message: &str) {
    host::log(level, message);
}
