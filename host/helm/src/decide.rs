//! What to do next with a release: a pure function of the spec, the status, the records in storage, and what was observed.
//!
//! It is the state machine of Flux's helm-controller. First the [`State`] of the release is found out, then the [`Step`] that follows from it:
//!
//! | state | means | step |
//! |---|---|---|
//! | `Retargeted` | name, namespace or chart changed, so that the old release has to go | uninstall it |
//! | `Absent` | there is no release, or it was uninstalled | install |
//! | `Busy` | somebody else is at work on the release (Flux would unlock it) | leave it to him until that has ended, or for `spec.timeout` |
//! | `Locked` | an action was interrupted | unlock: mark the record as failed |
//! | `Interrupted` | an uninstall was interrupted (Flux would be stuck) | uninstall |
//! | `Unmanaged` | somebody else has changed the release | upgrade |
//! | `OutOfSync` | chart, values, post-renderers or metadata changed | upgrade |
//! | `Failed` | the last action, or a test, failed | roll back, uninstall or upgrade, as the strategy says |
//! | `Untested` | tests are to be run | test |
//! | `Drifted` | objects were changed by others | put them back, where that is wanted |
//! | `InSync` | all is well | nothing, or upgrade when forced |
//!
//! One reconciliation is a [`Turn`]: it takes steps until there is nothing to do, or until a kind of action would be done twice, which is left
//! to the next turn. With every failure that left a record a counter goes up, and with every strategy it has a bound or an interval, so that
//! every turn ends, and no state has no way out.

use std::time::Duration;

use jiff::Timestamp;
use plumb_api::{
    DriftMode, HelmReleaseSpec, HelmReleaseStatus, Reason, ReleaseAttempt, ReleaseSnapshot,
    RemediationStrategy,
};

use crate::record::Release;
use crate::snapshot;
use crate::strategy::Strategy;
use crate::values::Values;
use state::state;

mod state;

pub use state::{Retarget, State, common_metadata_digest, post_renderers_digest};

/// What there is and what there should be.
#[derive(Clone, Copy)]
pub struct Situation<'a> {
    /// The spec.
    pub spec: &'a HelmReleaseSpec,
    /// The generation of the spec.
    pub generation: i64,
    /// The status, as the last step has left it.
    pub status: &'a HelmReleaseStatus,
    /// Where the release belongs.
    pub target: Target<'a>,
    /// What is to be released.
    pub desired: &'a Desired,
    /// The records in the storage namespace: at least the newest, and the one of [`snapshot::previous`].
    pub records: &'a [Release],
    /// Who has written the newest record last.
    pub writer: Writer,
    /// What others have changed.
    pub drift: Drift,
    /// Whether an upgrade was asked for whatever there is, by the annotation `reconcile.fluxcd.io/forceAt`.
    pub forced: bool,
    /// Whether a failure is retried where the spec names no strategy (Flux's feature gate `DefaultToRetryOnFailure`).
    pub retry_by_default: bool,
    /// The time.
    pub now: Timestamp,
}

/// Who has written a record last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// Whoever decides. He does so between his actions, so none of his is under way.
    Ourselves,
    /// Somebody else, who may be at work: the `helm` command, or another controller.
    SomebodyElse,
}

/// Where a release belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// The namespace of its records.
    pub storage_namespace: &'a str,
    /// The namespace that it is installed to.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
}

/// What is to be released.
#[derive(Clone)]
pub struct Desired {
    /// The name of the chart.
    pub chart_name: String,
    /// The version of the chart; of an OCIRepository with the digest: `1.2.3+0123456789ab`.
    pub chart_version: String,
    /// The values.
    pub values: Values,
}

/// What others have changed in the objects of a release, as far as it is to be put back or told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drift {
    /// How many objects are gone. They are created again in any mode.
    pub missing: usize,
    /// How many objects have other fields, without those that are ignored.
    pub changed: usize,
}

/// Something to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Install the chart, as revision 1 or, over an uninstalled release that was kept, the next one.
    Install,
    /// Upgrade to the chart and the values that are desired.
    Upgrade,
    /// Run the tests of the newest release.
    Test,
    /// Go back to an earlier revision, by a new one.
    RollBack {
        /// The revision to go back to.
        to: i64,
    },
    /// Uninstall the newest release, or that of the status.
    Uninstall(Uninstall),
    /// Mark the newest record, which is pending though nobody is at work, as failed.
    Unlock,
    /// Put back what others have changed.
    CorrectDrift,
}

/// Why a release is uninstalled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Uninstall {
    /// It failed.
    Remediation,
    /// It is to be another one. The one that goes is that of `status.history`, in `status.storageNamespace`.
    Retargeted,
    /// It was begun before.
    Interrupted,
    /// The HelmRelease is deleted.
    Deleted,
}

/// Actions of one kind are done once in a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Release,
    Remediate,
    Test,
    Unlock,
    CorrectDrift,
}

impl Action {
    /// The action in the words of Flux's messages: `install`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Install => "install",
            Self::Upgrade => "upgrade",
            Self::Test => "test",
            Self::RollBack { .. } => "rollback",
            Self::Uninstall(_) => "uninstall",
            Self::Unlock => "unlock",
            Self::CorrectDrift => "correct cluster drift",
        }
    }

    /// Whether the action makes a release that is meant to stay.
    pub const fn is_release(self) -> bool {
        matches!(self, Self::Install | Self::Upgrade)
    }

    /// Whether the action goes back after a failure.
    pub const fn is_remediation(self) -> bool {
        matches!(self, Self::RollBack { .. } | Self::Uninstall(Uninstall::Remediation))
    }

    const fn kind(self) -> Kind {
        match self {
            Self::Install | Self::Upgrade => Kind::Release,
            Self::Test => Kind::Test,
            Self::RollBack { .. } | Self::Uninstall(_) => Kind::Remediate,
            Self::Unlock => Kind::Unlock,
            Self::CorrectDrift => Kind::CorrectDrift,
        }
    }

    /// How long a single operation of the action may take.
    pub fn timeout(self, spec: &HelmReleaseSpec) -> Duration {
        let own = match self {
            Self::Install => spec.install.as_ref().and_then(|install| install.timeout.as_ref()),
            Self::Upgrade => spec.upgrade.as_ref().and_then(|upgrade| upgrade.timeout.as_ref()),
            Self::Test => spec.test.as_ref().and_then(|test| test.timeout.as_ref()),
            Self::RollBack { .. } => spec.rollback.as_ref().and_then(|rollback| rollback.timeout.as_ref()),
            Self::Uninstall(_) => spec.uninstall.as_ref().and_then(|uninstall| uninstall.timeout.as_ref()),
            Self::Unlock | Self::CorrectDrift => None,
        };
        own.map_or_else(|| spec.timeout(), plumb_api::Duration::to_std)
    }
}

/// What follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Do this, and decide again.
    Run(Action),
    /// There is nothing to do until something changes, or the interval is over.
    Done,
    /// Decide again after an interval: the strategy is to retry.
    RetryAfter(Duration),
    /// Decide again in another turn, with a growing delay.
    Again,
    /// Decide again when the newest record changes, or at this time: somebody else is at work.
    Await {
        /// When he has had time enough.
        until: Timestamp,
    },
    /// Nothing more is done until something changes.
    Stalled {
        /// The reason of the condition `Stalled`.
        reason: Reason,
        /// Its message.
        message: String,
    },
}

/// What a decision came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// How the release is doing.
    pub state: State,
    /// What tells so, for logs.
    pub why: String,
    /// What follows.
    pub step: Step,
    /// What is kept of `status.history`.
    pub keep: Keep,
}

/// What is kept of `status.history`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// All of it.
    All,
    /// Nothing: it cannot be relied on.
    Nothing,
    /// What is not older than the release that would be rolled back to.
    UpToPrevious {
        /// Whether one whose tests failed would be rolled back to.
        ignore_tests: bool,
    },
    /// The newest five.
    Newest,
}

impl Keep {
    /// Drops what is not kept.
    pub fn apply(self, history: &mut Vec<ReleaseSnapshot>) {
        match self {
            Self::All => {}
            Self::Nothing => history.clear(),
            Self::UpToPrevious { ignore_tests } => snapshot::truncate(history, ignore_tests),
            Self::Newest => snapshot::truncate_to_newest(history),
        }
    }
}

/// One reconciliation: what was done in it so far.
#[derive(Clone, Debug, Default)]
pub struct Turn {
    done: Vec<Kind>,
}

impl Turn {
    /// Decides what to do next.
    pub fn decide(&self, situation: &Situation<'_>) -> Decision {
        let (state, why) = state(situation);
        let strategy = Strategy::of(situation.spec, situation.status, situation.retry_by_default);
        let (step, keep) = step(situation, &strategy, state);
        let step = match step {
            Step::Run(action) if self.done.contains(&action.kind()) => strategy.left_for_later(),
            step => step,
        };
        Decision { state, why, step, keep }
    }

    /// Notes that an action was done, and says what follows at once; `None` is to decide again. `recorded` is whether it has changed a record;
    /// an action that failed and has not is tried again, since there is nothing to go back from.
    pub fn did(
        &mut self,
        action: Action,
        situation: &Situation<'_>,
        failed: bool,
        recorded: bool,
    ) -> Option<Step> {
        let strategy = Strategy::of(situation.spec, situation.status, situation.retry_by_default);
        if failed && !recorded && action != Action::CorrectDrift {
            return Some(strategy.retry_step().unwrap_or(Step::Again));
        }
        self.done.push(action.kind());
        if action == Action::Uninstall(Uninstall::Retargeted) {
            return Some(Step::Again);
        }
        action.is_remediation().then(|| strategy.after_remediation())
    }
}

/// What follows from a state, and what is kept of the history.
fn step(situation: &Situation<'_>, strategy: &Strategy, state: State) -> (Step, Keep) {
    let upgrade = Step::Run(Action::Upgrade);
    match state {
        State::Retargeted(_) => (Step::Run(Action::Uninstall(Uninstall::Retargeted)), Keep::All),
        State::Busy { until } => (Step::Await { until }, Keep::All),
        State::Locked => (Step::Run(Action::Unlock), Keep::All),
        State::Interrupted => (Step::Run(Action::Uninstall(Uninstall::Interrupted)), Keep::All),
        State::Unmanaged => (upgrade, Keep::Nothing),
        State::Absent => {
            let exhausted = is_exhausted(situation, ReleaseAttempt::Install);
            let install = Step::Run(Action::Install);
            (if exhausted && !situation.forced { strategy.exceeded() } else { install }, Keep::All)
        }
        State::OutOfSync => {
            let exhausted = is_exhausted(situation, ReleaseAttempt::Upgrade);
            (if exhausted && !situation.forced { strategy.exceeded() } else { upgrade }, Keep::All)
        }
        State::Untested => (Step::Run(Action::Test), Keep::All),
        State::Drifted => {
            let put_back = situation.spec.drift_mode() == DriftMode::Enabled || situation.drift.missing > 0;
            (if put_back { Step::Run(Action::CorrectDrift) } else { Step::Done }, Keep::All)
        }
        State::InSync => {
            let ignore_tests = strategy.ignores_tests(situation.spec);
            let keep = match strategy {
                Strategy::Retry { .. } => Keep::Newest,
                _ => Keep::UpToPrevious { ignore_tests },
            };
            (if situation.forced { upgrade } else { Step::Done }, keep)
        }
        State::Failed => failed(situation, strategy),
    }
}

fn is_exhausted(situation: &Situation<'_>, attempt: ReleaseAttempt) -> bool {
    Strategy::exhausted(situation.spec, situation.status, attempt, situation.retry_by_default)
}

/// What follows from a failure.
fn failed(situation: &Situation<'_>, strategy: &Strategy) -> (Step, Keep) {
    let upgrade = Step::Run(Action::Upgrade);
    let remediation = match strategy {
        Strategy::Retry { .. } => return (upgrade, Keep::Newest),
        Strategy::None => return (upgrade, Keep::All),
        Strategy::Remediate(remediation) => remediation,
    };
    // Without a failure that counts, what it failed on has changed.
    if remediation.failures <= 0 || situation.forced {
        return (upgrade, Keep::All);
    }
    if remediation.is_exhausted() && !remediation.remediate_last {
        return (strategy.exceeded(), Keep::All);
    }
    let ignore_tests = remediation.ignore_tests;
    let keep = Keep::UpToPrevious { ignore_tests };
    if remediation.how == RemediationStrategy::Uninstall {
        return (Step::Run(Action::Uninstall(Uninstall::Remediation)), keep);
    }
    let Some(previous) = snapshot::previous(&situation.status.history, ignore_tests) else {
        let message = "Failed to perform remediation: missing target release for rollback: cannot remediate failed release";
        return (Step::Stalled { reason: Reason::MissingRollbackTarget, message: message.to_owned() }, keep);
    };
    let record = situation.records.iter().find(|record| snapshot::targets(previous, record));
    // What is gone, or was changed, is nothing to go back to; only the upgrade is left to try.
    if record.is_some_and(|record| snapshot::is_of(previous, record)) {
        (Step::Run(Action::RollBack { to: previous.version }), keep)
    } else {
        (upgrade, keep)
    }
}

/// What to do when the HelmRelease is deleted: uninstall what the status tells of, if anything.
pub fn on_deletion(status: &HelmReleaseStatus) -> Step {
    let installed = status.storage_namespace.is_some() && !status.history.is_empty();
    if installed { Step::Run(Action::Uninstall(Uninstall::Deleted)) } else { Step::Done }
}

#[cfg(test)]
#[path = "decide/tests.rs"]
mod tests;
