//! What the spec says is to be done about failures, for the action that was last attempted.

use std::time::Duration;

use plumb_api::{
    ActionStrategy, HelmReleaseSpec, HelmReleaseStatus, Reason, ReleaseAttempt, RemediationStrategy,
};

use crate::decide::Step;

/// How long to wait before a failed action is tried again where the strategy comes from a default.
const DEFAULT_RETRY_INTERVAL: Duration = Duration::from_secs(300);

/// What is to be done about failures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Strategy {
    /// Nothing was attempted yet.
    None,
    /// Try again after an interval, for ever.
    Retry { interval: Duration },
    /// Go back, and try again a number of times.
    Remediate(Remediation),
}

/// How to go back, and how often to try again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remediation {
    pub(crate) attempt: ReleaseAttempt,
    /// Negative is without end.
    pub(crate) retries: i64,
    pub(crate) failures: i64,
    pub(crate) ignore_tests: bool,
    pub(crate) remediate_last: bool,
    pub(crate) how: RemediationStrategy,
}

impl Remediation {
    pub(crate) fn of(spec: &HelmReleaseSpec, status: &HelmReleaseStatus, attempt: ReleaseAttempt) -> Self {
        let ignores_by_default = spec.test.as_ref().is_some_and(|test| test.ignore_failures);
        match attempt {
            ReleaseAttempt::Install => {
                let given =
                    spec.install.as_ref().and_then(|install| install.remediation.clone()).unwrap_or_default();
                Self {
                    attempt,
                    retries: given.retries,
                    failures: status.install_failures,
                    ignore_tests: given.ignore_test_failures.unwrap_or(ignores_by_default),
                    remediate_last: given.remediate_last_failure.unwrap_or(false),
                    how: RemediationStrategy::Uninstall,
                }
            }
            ReleaseAttempt::Upgrade => {
                let given =
                    spec.upgrade.as_ref().and_then(|upgrade| upgrade.remediation.clone()).unwrap_or_default();
                Self {
                    attempt,
                    retries: given.retries,
                    failures: status.upgrade_failures,
                    ignore_tests: given.ignore_test_failures.unwrap_or(ignores_by_default),
                    remediate_last: given.remediate_last_failure.unwrap_or(given.retries > 0),
                    how: given.strategy.unwrap_or_default(),
                }
            }
        }
    }

    pub(crate) fn is_exhausted(&self) -> bool {
        self.retries >= 0 && self.failures > self.retries
    }

    /// An upgrade that is gone back from by uninstalling is installed again, which has retries of its own.
    fn is_uninstall_after_upgrade(&self) -> bool {
        self.attempt == ReleaseAttempt::Upgrade && self.how == RemediationStrategy::Uninstall
    }
}

impl Strategy {
    /// The strategy for the action that was last attempted.
    pub(crate) fn of(spec: &HelmReleaseSpec, status: &HelmReleaseStatus, retry_by_default: bool) -> Self {
        let Some(attempt) = status.last_attempted_release_action else { return Self::None };
        match retry_interval(spec, attempt, retry_by_default) {
            Some(interval) => Self::Retry { interval },
            None => Self::Remediate(Remediation::of(spec, status, attempt)),
        }
    }

    /// Whether there is no retry left for an action. With `RetryOnFailure` there always is one; Flux would count failures all the same, and stop.
    pub(crate) fn exhausted(
        spec: &HelmReleaseSpec,
        status: &HelmReleaseStatus,
        attempt: ReleaseAttempt,
        retry_by_default: bool,
    ) -> bool {
        retry_interval(spec, attempt, retry_by_default).is_none()
            && Remediation::of(spec, status, attempt).is_exhausted()
    }

    pub(crate) fn remediation(&self) -> Option<&Remediation> {
        match self {
            Self::Remediate(remediation) => Some(remediation),
            Self::None | Self::Retry { .. } => None,
        }
    }

    pub(crate) fn ignores_tests(&self, spec: &HelmReleaseSpec) -> bool {
        let by_default = || spec.test.as_ref().is_some_and(|test| test.ignore_failures);
        self.remediation().map_or_else(by_default, |remediation| remediation.ignore_tests)
    }

    pub(crate) fn retry_step(&self) -> Option<Step> {
        match self {
            Self::Retry { interval } => Some(Step::RetryAfter(*interval)),
            Self::None | Self::Remediate(_) => None,
        }
    }

    /// What follows where an action would be done a second time in a turn.
    pub(crate) fn left_for_later(&self) -> Step {
        match self {
            Self::Retry { interval } => Step::RetryAfter(*interval),
            Self::Remediate(remediation) if remediation.is_exhausted() => Step::Done,
            Self::None | Self::Remediate(_) => Step::Again,
        }
    }

    /// What follows once it was gone back.
    pub(crate) fn after_remediation(&self) -> Step {
        match self {
            Self::Retry { interval } => Step::RetryAfter(*interval),
            Self::Remediate(remediation)
                if remediation.is_exhausted() && !remediation.is_uninstall_after_upgrade() =>
            {
                self.exceeded()
            }
            Self::None | Self::Remediate(_) => Step::Again,
        }
    }

    /// There is no retry left.
    pub(crate) fn exceeded(&self) -> Step {
        let message = match self.remediation() {
            Some(remediation) => {
                let what = match remediation.attempt {
                    ReleaseAttempt::Install => "install",
                    ReleaseAttempt::Upgrade => "upgrade",
                };
                format!("Failed to {what} after {} attempt(s)", remediation.failures)
            }
            None => "Failed to release: no attempt is left".to_owned(),
        };
        Step::Stalled { reason: Reason::RetriesExceeded, message }
    }
}

/// How long to wait before an action is tried again; `None` where it is gone back from instead.
fn retry_interval(
    spec: &HelmReleaseSpec,
    attempt: ReleaseAttempt,
    retry_by_default: bool,
) -> Option<Duration> {
    let given = match attempt {
        ReleaseAttempt::Install => spec.install.as_ref().and_then(|install| install.strategy.as_ref()),
        ReleaseAttempt::Upgrade => spec.upgrade.as_ref().and_then(|upgrade| upgrade.strategy.as_ref()),
    };
    match given {
        Some(strategy) => ActionStrategy::retry_interval(strategy),
        None => retry_by_default.then_some(DEFAULT_RETRY_INTERVAL),
    }
}
