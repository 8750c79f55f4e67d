//! What a status says, in the words of Flux's helm-controller: conditions, counters and history before and after an action.

use std::time::Duration;

use jiff::Timestamp;
use plumb_api::{
    Condition, ConditionStatus, ConditionType, DriftMode, HelmReleaseSpec, HelmReleaseStatus, Reason,
    ReleaseSnapshot, conditions, set_condition,
};

use crate::decide::{
    Action, Decision, Desired, State, Step, Target, common_metadata_digest, post_renderers_digest,
};

mod asked;
mod ended;
mod words;

pub use asked::{Asked, asked};
pub use ended::Ended;
use words::words;

/// The status of a HelmRelease, to be written to.
pub struct Report<'a> {
    /// The spec that it is about.
    pub spec: &'a HelmReleaseSpec,
    /// The generation of the spec.
    pub generation: i64,
    /// The status.
    pub status: &'a mut HelmReleaseStatus,
    /// The time.
    pub now: Timestamp,
    /// Whether a failure is retried where the spec names no strategy.
    pub retry_by_default: bool,
}

/// What to tell in an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Whether it is a warning.
    pub warning: bool,
    /// The reason.
    pub reason: Reason,
    /// The message.
    pub message: String,
}

impl Report<'_> {
    /// Notes what is about to be released, and forgets the failures of what was before. It comes before the first decision of a turn.
    pub fn attempting(
        &mut self,
        desired: &Desired,
        target: Target<'_>,
        oci_digest: Option<&str>,
        reset: bool,
    ) {
        let status = &mut *self.status;
        let differs = status.last_attempted_generation != self.generation
            || status.last_attempted_revision.as_deref() != Some(&desired.chart_version)
            || status
                .last_attempted_config_digest
                .as_deref()
                .is_some_and(|digest| !desired.values.have_digest(digest));
        if differs || reset {
            status.clear_failures();
        }
        // Where the release is that has to go first is noted until it is gone.
        if status.storage_namespace.is_none() || status.history.is_empty() {
            status.storage_namespace = Some(target.storage_namespace.to_owned());
        }
        status.last_attempted_generation = self.generation;
        status.last_attempted_revision = Some(desired.chart_version.clone());
        status.last_attempted_revision_digest = oci_digest.map(ToOwned::to_owned);
        status.last_attempted_config_digest = Some(desired.values.digest());
        status.last_attempted_values_checksum = None;
        status.last_release_revision = 0;
    }

    /// Notes what was decided. `drifted` is what others have changed, one object a line.
    pub fn decided(&mut self, decision: &Decision, drifted: &str) -> Option<Told> {
        decision.keep.apply(&mut self.status.history);
        let told = match decision.state {
            State::InSync if decision.step == Step::Done => {
                self.released_again();
                self.in_sync_again();
                None
            }
            State::Untested => {
                self.released_again();
                None
            }
            State::Drifted => {
                let release =
                    self.status.latest().map(ReleaseSnapshot::full_release_name).unwrap_or_default();
                let message = format!(
                    "Cluster state of release {release} has drifted from the desired state:\n{drifted}"
                );
                self.set(ConditionType::Drifted, ConditionStatus::True, Reason::DriftDetected, &message);
                Some(Told { warning: true, reason: Reason::DriftDetected, message })
            }
            _ => None,
        };
        match &decision.step {
            Step::Done => {
                conditions::remove(&mut self.status.conditions, ConditionType::Reconciling);
                self.summarize();
            }
            Step::Run(action) => self.starting(*action),
            Step::RetryAfter(interval) => self.retrying(*interval),
            Step::Again => self.again(),
            Step::Await { until } => self.leaving_alone(&decision.why, *until),
            Step::Stalled { reason, message } => self.stalled(*reason, message),
        }
        told
    }

    /// Notes what follows an action without another decision (`Turn::did`).
    pub fn followed(&mut self, step: &Step) {
        match step {
            Step::RetryAfter(interval) => self.retrying(*interval),
            Step::Again => self.again(),
            Step::Stalled { reason, message } => self.stalled(*reason, message),
            Step::Done | Step::Run(_) | Step::Await { .. } => {}
        }
    }

    fn starting(&mut self, action: Action) {
        let timeout = plumb_api::Duration::from(action.timeout(self.spec));
        let message = format!("Running '{}' action with timeout of {timeout}", action.name());
        self.reconciling(Reason::Progressing, &message);
        // What an earlier action has failed with is more important than that another is under way.
        if action.is_release() {
            self.set(ConditionType::Ready, ConditionStatus::Unknown, Reason::Progressing, &message);
        }
    }

    /// What becomes of the release is for somebody else to say.
    fn leaving_alone(&mut self, why: &str, until: Timestamp) {
        let until = until.strftime("%Y-%m-%dT%H:%M:%SZ");
        let message = format!("{why}; it is left alone until that has ended, or until {until}");
        self.reconciling(Reason::Progressing, &message);
        self.set(ConditionType::Ready, ConditionStatus::Unknown, Reason::Progressing, &message);
    }

    fn reconciling(&mut self, reason: Reason, message: &str) {
        conditions::remove(&mut self.status.conditions, ConditionType::Stalled);
        self.set(ConditionType::Reconciling, ConditionStatus::True, reason, message);
    }

    fn retrying(&mut self, interval: Duration) {
        let message = format!("retrying after {}", plumb_api::Duration::from(interval));
        self.reconciling(Reason::ProgressingWithRetry, &message);
    }

    fn again(&mut self) {
        let ready = conditions::find(&self.status.conditions, ConditionType::Ready);
        let message = ready.map(|ready| ready.message.clone()).unwrap_or_default();
        self.reconciling(Reason::ProgressingWithRetry, &message);
    }

    fn stalled(&mut self, reason: Reason, message: &str) {
        conditions::remove(&mut self.status.conditions, ConditionType::Reconciling);
        self.set(ConditionType::Stalled, ConditionStatus::True, reason, message);
    }

    /// What was gone back to is what is desired now: it counts as released.
    fn released_again(&mut self) {
        if !conditions::is_true(&self.status.conditions, ConditionType::Remediated) {
            return;
        }
        conditions::remove(&mut self.status.conditions, ConditionType::Remediated);
        let (release, chart) = words(self.status.latest());
        let message = format!("Helm upgrade succeeded for release {release} with chart {chart}");
        self.set(ConditionType::Released, ConditionStatus::True, Reason::UpgradeSucceeded, &message);
    }

    /// What failed before is as desired now, for example since somebody has undone a change.
    fn in_sync_again(&mut self) {
        let released = conditions::find(&self.status.conditions, ConditionType::Released);
        let was = released.map(|released| released.reason.clone()).unwrap_or_default();
        let (release, chart) = words(self.status.latest());
        let now = [
            (Reason::InstallFailed, Reason::InstallSucceeded, "install"),
            (Reason::UpgradeFailed, Reason::UpgradeSucceeded, "upgrade"),
        ];
        if let Some((_, reason, what)) = now.into_iter().find(|(failed, ..)| failed.as_str() == was) {
            let message = format!("Helm {what} succeeded for release {release} with chart {chart}");
            self.set(ConditionType::Released, ConditionStatus::True, reason, &message);
        }
        if self.spec.drift_mode() == DriftMode::Disabled {
            conditions::remove(&mut self.status.conditions, ConditionType::Drifted);
        } else {
            let message = "No drift detected against the cluster state";
            self.set(ConditionType::Drifted, ConditionStatus::False, Reason::NoDriftDetected, message);
        }
    }

    /// Makes the condition Ready of the others: of those of the newest generation it is Remediated, then TestSuccess, then Released.
    fn summarize(&mut self) {
        let test = self.spec.test.clone().unwrap_or_default();
        if !test.enable {
            conditions::remove(&mut self.status.conditions, ConditionType::TestSuccess);
        }
        let mut types = vec![ConditionType::Remediated, ConditionType::Released];
        if test.enable && !test.ignore_failures {
            types.insert(1, ConditionType::TestSuccess);
        }
        let found =
            types.into_iter().filter_map(|type_| conditions::find(&self.status.conditions, type_).cloned());
        // Of several that are as new, the first counts.
        let newest =
            found.reduce(
                |first, next| {
                    if next.observed_generation > first.observed_generation { next } else { first }
                },
            );
        if let Some(condition) = newest {
            self.ready_as(&condition);
        }
        self.status.observed_post_renderers_digest = post_renderers_digest(&self.spec.post_renderers);
        self.status.observed_common_metadata_digest =
            common_metadata_digest(self.spec.common_metadata.as_ref());
    }

    /// Any release that was gone back from is not ready.
    fn ready_as(&mut self, condition: &Condition) {
        let is_remediated = condition.type_ == ConditionType::Remediated.as_str();
        let status = match condition.status.as_str() {
            "True" if !is_remediated => ConditionStatus::True,
            "Unknown" if !is_remediated => ConditionStatus::Unknown,
            _ => ConditionStatus::False,
        };
        if status == ConditionStatus::True {
            conditions::remove(&mut self.status.conditions, ConditionType::Stalled);
        }
        let reason = Reason::ALL.iter().find(|reason| reason.as_str() == condition.reason);
        let reason = reason.copied().unwrap_or(Reason::Progressing);
        self.set(ConditionType::Ready, status, reason, &condition.message);
    }

    fn set(&mut self, type_: ConditionType, status: ConditionStatus, reason: Reason, message: &str) {
        set_condition(
            &mut self.status.conditions,
            type_,
            status,
            reason,
            message,
            Some(self.generation),
            self.now,
        );
    }
}

#[cfg(test)]
#[path = "report/tests.rs"]
mod tests;
