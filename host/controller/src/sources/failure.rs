use plumb_api::Reason;
use plumb_source::git::GitError;

/// Why there is no new revision.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The reason of the conditions.
    pub(super) reason: Reason,
    /// The message of the conditions.
    pub(super) message: String,
    /// Trying again cannot help: the spec has to change.
    pub(super) stalled: bool,
}

impl Failure {
    /// One that may pass by itself, or when something other than the spec is mended.
    pub(super) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), stalled: false }
    }

    /// One that only a change of the spec can mend.
    pub(super) fn stalled(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), stalled: true }
    }
}

impl From<GitError> for Failure {
    fn from(error: GitError) -> Self {
        Self { reason: error.reason(), message: error.to_string(), stalled: error.needs_a_change() }
    }
}
