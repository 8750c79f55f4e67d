use plumb_api::Reason;

use crate::sources::failure::Failure as SourceFailure;

/// Why there is no plugin, or none that is newer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// The reason of the conditions.
    pub(super) reason: Reason,
    /// The message of the conditions.
    pub(super) message: String,
    /// When to try again.
    pub(super) retry: Retry,
}

/// When to try again after a failure. What is watched, such as Secrets with keys and policies, is a reason at any time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retry {
    /// When the object changes.
    Never,
    /// Soon, and then less and less often.
    Backoff,
}

impl Failure {
    pub(super) fn new(reason: Reason, retry: Retry, message: impl Into<String>) -> Self {
        Self { reason, retry, message: message.into() }
    }

    /// One that only a change of the spec, or of what it refers to, can mend.
    pub(super) fn stalled(reason: Reason, message: impl Into<String>) -> Self {
        Self::new(reason, Retry::Never, message)
    }

    /// Whether what was found has no good signature, or nobody can tell.
    pub(super) fn is_about_the_signature(&self) -> bool {
        self.reason == Reason::VerificationError
    }
}

impl From<SourceFailure> for Failure {
    fn from(failure: SourceFailure) -> Self {
        let retry = if failure.stalled { Retry::Never } else { Retry::Backoff };
        Self::new(failure.reason, retry, failure.message)
    }
}
