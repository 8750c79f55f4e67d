use plumb_api::Reason;
use plumb_source::helm::{ChartError, RepositoryError};
use plumb_source::oci::OciError;

use crate::sources::failure::{Failure, Stage};

/// Why an index was not fetched.
impl From<RepositoryError> for Failure {
    fn from(error: RepositoryError) -> Self {
        let stalled = error.needs_a_change();
        Self { stage: Stage::Fetch, reason: error.reason(), message: error.to_string(), stalled }
    }
}

/// Why a chart was not downloaded.
pub(super) fn not_pulled(error: RepositoryError) -> Failure {
    let (stage, reason) = match error.reason() {
        Reason::AuthenticationFailed => (Stage::Fetch, Reason::AuthenticationFailed),
        Reason::ChartVerificationError => (Stage::Verify, Reason::ChartVerificationError),
        _ => (Stage::Fetch, Reason::ChartPullError),
    };
    Failure::new(stage, reason, error.to_string())
}

impl From<ChartError> for Failure {
    fn from(error: ChartError) -> Self {
        let (reason, stalled) = (error.reason(), error.needs_a_change());
        let stage = if reason == Reason::InvalidChartReference { Stage::Fetch } else { Stage::Build };
        Self { stage, reason, message: error.to_string(), stalled }
    }
}

/// Why a chart of a registry was not pulled, in the words that Flux has for charts.
pub(super) fn not_pulled_from_registry(error: OciError) -> Failure {
    let reason = match &error {
        _ if error.is_about_the_signature() => Reason::ChartVerificationError,
        OciError::NoVersion { .. } | OciError::NotFound { .. } | OciError::InvalidReference { .. } => {
            Reason::InvalidChartReference
        }
        OciError::Unauthorized { .. } => Reason::AuthenticationFailed,
        _ => Reason::ChartPullError,
    };
    let failure = match error.reason() {
        // The address and the Secret are told of as for any artifact.
        Reason::URLInvalid | Reason::AuthenticationFailed => return error.into(),
        _ => Failure::from(error),
    };
    // Nobody says when a registry has another version: it is asked again.
    Failure { reason, stalled: false, ..failure }
}
