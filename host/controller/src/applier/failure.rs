//! Why an applier is not ready, and when to try again.

use std::time::Duration;

use plumb_api::Reason;
use plumb_pipeline::{Mistake, PlanError, Unavailable, Why};

/// Why a reconciliation did not get to its end.
#[derive(Debug)]
pub(super) struct Failure {
    /// The reason of the Ready condition.
    pub(super) reason: Reason,
    /// The message of the Ready condition: every mistake, not the first.
    pub(super) message: String,
    /// When to try again.
    pub(super) retry: Retry,
}

/// When to try again after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retry {
    /// Not before the object changes: the spec asks for what cannot be had.
    Never,
    /// When a dependency becomes ready, and for safety after `--requeue-dependency`.
    Dependency,
    /// When the source has an artifact; it wakes us.
    Source,
    /// After `spec.retryInterval`, or when the spec or the source changes.
    Interval,
    /// When somebody confirms it, and after `spec.retryInterval`. Everything else goes on meanwhile.
    Confirmation,
    /// Soon, and then less and less often: the API server may be back in a moment.
    Backoff,
    /// When an object changes, or after this long.
    Health(Duration),
}

impl Failure {
    pub(super) fn new(reason: Reason, retry: Retry, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), retry }
    }

    /// Whether this is how things go rather than a mistake.
    pub(super) fn is_progress(&self) -> bool {
        matches!(self.retry, Retry::Health(_)) && self.reason == Reason::Progressing
    }
}

/// Why steps cannot run.
impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Self {
        let is_unavailable = |mistake: &Mistake| matches!(mistake.why, Why::Unavailable(_));
        // Whoever changes a Plugin or a policy has it looked at again; all else is for the author of the spec.
        let is_refused = |mistake: &Mistake| {
            matches!(mistake.why, Why::Unavailable(Unavailable::Refused(_)) | Why::NotHandedOver { .. })
        };
        let (reason, retry) = if error.is_waiting() {
            (Reason::PluginNotReady, Retry::Dependency)
        } else if error.is_of_an_expression() {
            (Reason::InvalidCELExpression, Retry::Interval)
        } else if error.mistakes().iter().all(is_refused) {
            let is_plugin = error.mistakes().iter().any(is_unavailable);
            (if is_plugin { Reason::PluginNotReady } else { Reason::BuildFailed }, Retry::Never)
        } else {
            (Reason::BuildFailed, Retry::Interval)
        };
        Self::new(reason, retry, error.to_string())
    }
}
