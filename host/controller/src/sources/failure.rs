use plumb_api::{ConditionType, Reason};
use plumb_source::bucket::BucketError;
use plumb_source::git::{GitError, InvalidSelection};
use plumb_source::oci::OciError;

/// Why there is no new revision.
#[derive(Debug)]
pub(crate) struct Failure {
    /// How far it got.
    pub(crate) stage: Stage,
    /// The reason of the conditions.
    pub(crate) reason: Reason,
    /// The message of the conditions.
    pub(crate) message: String,
    /// Trying again cannot help: the spec has to change.
    pub(crate) stalled: bool,
}

/// What can fail, in the order in which it is done. Each has a condition that tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// The sources that are to be put in are looked up.
    Include,
    /// The source is asked for its newest revision, which is fetched.
    Fetch,
    /// The signature is verified.
    Verify,
    /// A chart is put together.
    Build,
    /// What was fetched becomes the artifact.
    Store,
}

impl Stage {
    pub(super) const ALL: [Self; 5] = [Self::Include, Self::Fetch, Self::Verify, Self::Build, Self::Store];

    /// The condition that tells of a failure.
    pub(super) fn condition(self) -> ConditionType {
        match self {
            Self::Include => ConditionType::IncludeUnavailable,
            Self::Fetch => ConditionType::FetchFailed,
            Self::Verify => ConditionType::SourceVerified,
            Self::Build => ConditionType::BuildFailed,
            Self::Store => ConditionType::StorageOperationFailed,
        }
    }
}

impl Failure {
    /// One that may pass by itself, or when something other than the spec is mended.
    pub(super) fn new(stage: Stage, reason: Reason, message: impl Into<String>) -> Self {
        Self { stage, reason, message: message.into(), stalled: false }
    }

    /// The controller is about to stop. Nobody is told.
    pub(super) fn called_off() -> Self {
        Self::new(Stage::Fetch, Reason::Failed, "the controller is stopping")
    }

    /// One that only a change of the spec can mend.
    pub(super) fn stalled(stage: Stage, reason: Reason, message: impl Into<String>) -> Self {
        Self { stage, reason, message: message.into(), stalled: true }
    }
}

impl From<BucketError> for Failure {
    fn from(error: BucketError) -> Self {
        // A Secret can be mended without touching the source: it is looked at again.
        let stalled = error.needs_a_change() && !matches!(error, BucketError::Secret(_));
        let stage = match error {
            BucketError::Content(_) | BucketError::Ignore(_) => Stage::Store,
            _ => Stage::Fetch,
        };
        Self { stage, reason: error.reason(), message: error.to_string(), stalled }
    }
}

impl From<OciError> for Failure {
    fn from(error: OciError) -> Self {
        let stage = if error.is_about_the_signature() { Stage::Verify } else { Stage::Fetch };
        // A Secret can be mended without touching the source: it is looked at again.
        let is_of_secret = match &error {
            OciError::InvalidVerification(invalid) => !invalid.is_of_the_object(),
            error => matches!(error, OciError::Login(_) | OciError::Provider { .. }),
        };
        let stalled = error.needs_a_change() && !is_of_secret;
        Self { stage, reason: error.reason(), message: error.to_string(), stalled }
    }
}

impl From<GitError> for Failure {
    fn from(error: GitError) -> Self {
        let (stage, reason) = match &error {
            GitError::Unverified { .. } => (Stage::Verify, error.reason()),
            GitError::Selection(InvalidSelection::Path { .. }) => (Stage::Store, Reason::IllegalPath),
            GitError::Selection(InvalidSelection::Include { .. }) => (Stage::Store, Reason::CopyFailure),
            GitError::Selection(InvalidSelection::Ignore(_)) => (Stage::Store, Reason::SourceIgnoreError),
            _ => (Stage::Fetch, error.reason()),
        };
        Self { stage, reason, message: error.to_string(), stalled: error.needs_a_change() }
    }
}
