//! What a status says, in the words of Flux's helm-controller: conditions, counters and history before and after an action.

use std::time::Duration;

use jiff::Timestamp;
use plumb_api::{
    Condition, ConditionStatus, ConditionType, DriftMode, HelmReleaseSpec, HelmReleaseStatus, Reason,
    ReleaseAction, ReleaseAttempt, ReleaseSnapshot, conditions, set_condition,
};

use crate::decide::{
    Action, Decision, Desired, State, Step, Target, Uninstall, common_metadata_digest, post_renderers_digest,
};
use crate::record::Release;
use crate::snapshot;
use crate::strategy::Strategy;

mod asked;
mod words;

pub use asked::{Asked, asked};
use words::{record_in_words, tests_in_words, words};

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

/// How an action ended.
pub struct Ended<'a> {
    /// The action.
    pub action: Action,
    /// What went wrong, in a sentence.
    pub problem: Option<&'a str>,
    /// The records that it has written, as they are now.
    pub written: &'a [Release],
    /// How long it took.
    pub took: Duration,
    /// What was to be released.
    pub desired: &'a Desired,
    /// Where the release belongs.
    pub target: Target<'a>,
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
            Step::Done | Step::Run(_) => {}
        }
    }

    /// Notes how an action ended: its records in the history, its failure in the counters, and both in the conditions.
    pub fn ended(&mut self, ended: &Ended<'_>) -> Option<Told> {
        let before = self.status.latest().cloned();
        self.record(ended);
        let told = match (ended.action, ended.problem) {
            (Action::CorrectDrift, problem) => self.corrected(problem),
            (action, None) => self.succeeded(ended, action, before.as_ref()),
            (action, Some(problem)) => Some(self.failed(ended, action, problem, before.as_ref())),
        };
        if ended.action == Action::Uninstall(Uninstall::Retargeted) && ended.problem.is_none() {
            self.status.history.clear();
            self.status.clear_failures();
            self.status.storage_namespace = None;
        }
        self.summarize();
        told
    }

    /// Puts the records that were written into the history.
    fn record(&mut self, ended: &Ended<'_>) {
        let oci_digest = self.status.last_attempted_revision_digest.clone();
        let action = match ended.action {
            Action::Install => {
                self.status.last_attempted_release_action = Some(ReleaseAttempt::Install);
                // What was before an install is nothing to go back to.
                self.status.history.clear();
                Some(ReleaseAction::Install)
            }
            Action::Upgrade => {
                self.status.last_attempted_release_action = Some(ReleaseAttempt::Upgrade);
                Some(ReleaseAction::Upgrade)
            }
            Action::RollBack { .. } => Some(ReleaseAction::Rollback),
            Action::Uninstall(Uninstall::Remediation) => Some(ReleaseAction::UninstallRemediation),
            Action::Uninstall(_) => Some(ReleaseAction::Uninstall),
            Action::Test | Action::Unlock | Action::CorrectDrift => None,
        };
        if ended.action.is_release() {
            conditions::remove(&mut self.status.conditions, ConditionType::TestSuccess);
            conditions::remove(&mut self.status.conditions, ConditionType::Remediated);
            self.status.last_attempted_release_action_duration = Some(ended.took.into());
        }
        let newest = ended.written.iter().map(Release::version).max();
        for release in ended.written {
            let is_known = self.status.history.iter().any(|snapshot| snapshot::targets(snapshot, release));
            // An older release that is superseded is told of only where the status tells of it already.
            if is_known || (Some(release.version()) == newest && ended.action != Action::Unlock) {
                let made_it =
                    action.filter(|_| Some(release.version()) == newest || !ended.action.is_release());
                snapshot::observe(&mut self.status.history, release, made_it, oci_digest.as_deref());
            }
        }
        if ended.action == Action::Test
            && let Some(tested) = ended.written.iter().max_by_key(|release| release.version())
            && let Some(latest) =
                self.status.history.iter_mut().find(|snapshot| snapshot::targets(snapshot, tested))
        {
            latest.test_hooks = Some(snapshot::tests(tested, &self.spec.test.clone().unwrap_or_default()));
        }
    }

    fn succeeded(
        &mut self,
        ended: &Ended<'_>,
        action: Action,
        before: Option<&ReleaseSnapshot>,
    ) -> Option<Told> {
        let now = self.status.latest().cloned();
        let (release, chart) = words(now.as_ref());
        let (type_, status, reason, message) = match action {
            Action::Install => (
                ConditionType::Released,
                ConditionStatus::True,
                Reason::InstallSucceeded,
                format!("Helm install succeeded for release {release} with chart {chart}"),
            ),
            Action::Upgrade => (
                ConditionType::Released,
                ConditionStatus::True,
                Reason::UpgradeSucceeded,
                format!("Helm upgrade succeeded for release {release} with chart {chart}"),
            ),
            Action::Test => (
                ConditionType::TestSuccess,
                ConditionStatus::True,
                Reason::TestSucceeded,
                format!(
                    "Helm test succeeded for release {release} with chart {chart}: {}",
                    tests_in_words(now.as_ref())
                ),
            ),
            Action::RollBack { to } => {
                let (release, chart) = words(self.snapshot(to).as_ref());
                let message =
                    format!("Helm rollback to previous release {release} with chart {chart} succeeded");
                (ConditionType::Remediated, ConditionStatus::True, Reason::RollbackSucceeded, message)
            }
            Action::Uninstall(Uninstall::Remediation) => (
                ConditionType::Remediated,
                ConditionStatus::True,
                Reason::UninstallSucceeded,
                format!("Helm uninstall remediation for release {release} with chart {chart} succeeded"),
            ),
            Action::Uninstall(_) => {
                self.status.inventory = None;
                let (release, chart) = words(before.or(now.as_ref()));
                let message = format!("Helm uninstall succeeded for release {release} with chart {chart}");
                (ConditionType::Released, ConditionStatus::False, Reason::UninstallSucceeded, message)
            }
            Action::Unlock => {
                let (release, chart) = record_in_words(ended.written.last());
                let message =
                    format!("Unlocked Helm release {release} with chart {chart} in a pending state");
                (ConditionType::Released, ConditionStatus::False, Reason::PendingRelease, message)
            }
            Action::CorrectDrift => return None,
        };
        self.set(type_, status, reason, &message);
        if action.is_release() {
            self.released(now.as_ref());
        }
        Some(Told { warning: false, reason, message })
    }

    /// A release was made: its tests are next, and with a retry strategy its failures are over.
    fn released(&mut self, latest: Option<&ReleaseSnapshot>) {
        let is_tested = self.spec.test.as_ref().is_some_and(|test| test.enable);
        if is_tested && latest.is_some_and(|latest| !latest.has_been_tested()) {
            let (release, chart) = words(latest);
            let message = format!("Helm release {release} with chart {chart} is awaiting tests");
            self.set(ConditionType::TestSuccess, ConditionStatus::Unknown, Reason::AwaitingTests, &message);
        }
        if matches!(self.strategy(), Strategy::Retry { .. }) {
            self.status.clear_failures();
        }
    }

    fn failed(
        &mut self,
        ended: &Ended<'_>,
        action: Action,
        problem: &str,
        before: Option<&ReleaseSnapshot>,
    ) -> Told {
        let problem = problem.trim();
        let (release, chart) = words(self.status.latest());
        let desired = ended.desired;
        let wanted = format!(
            "{}/{} with chart {}@{}",
            ended.target.namespace, ended.target.name, desired.chart_name, desired.chart_version
        );
        let (type_, reason, message) = match action {
            Action::Install => (
                ConditionType::Released,
                Reason::InstallFailed,
                format!("Helm install failed for release {wanted}: {problem}"),
            ),
            Action::Upgrade => (
                ConditionType::Released,
                Reason::UpgradeFailed,
                format!("Helm upgrade failed for release {wanted}: {problem}"),
            ),
            Action::Test => (
                ConditionType::TestSuccess,
                Reason::TestFailed,
                format!("Helm test failed for release {release} with chart {chart}: {problem}"),
            ),
            Action::RollBack { to } => {
                let (release, chart) = words(self.snapshot(to).as_ref());
                let message = format!(
                    "Helm rollback to previous release {release} with chart {chart} failed: {problem}"
                );
                (ConditionType::Remediated, Reason::RollbackFailed, message)
            }
            Action::Uninstall(Uninstall::Remediation) => (
                ConditionType::Remediated,
                Reason::UninstallFailed,
                format!(
                    "Helm uninstall remediation for release {release} with chart {chart} failed: {problem}"
                ),
            ),
            Action::Uninstall(_) => {
                let (release, chart) = words(before.or(self.status.latest()));
                let message =
                    format!("Helm uninstall failed for release {release} with chart {chart}: {problem}");
                (ConditionType::Released, Reason::UninstallFailed, message)
            }
            Action::Unlock | Action::CorrectDrift => {
                let message =
                    format!("Unlock of Helm release {release} with chart {chart} failed: {problem}");
                (ConditionType::Released, Reason::PendingRelease, message)
            }
        };
        self.status.failures += 1;
        self.count_failure(ended);
        self.set(type_, ConditionStatus::False, reason, &message);
        Told { warning: true, reason, message }
    }

    /// A failure that has left nothing behind is tried again as it is, and not counted against the retries.
    fn count_failure(&mut self, ended: &Ended<'_>) {
        let attempt = match ended.action {
            Action::Install => Some(ReleaseAttempt::Install),
            Action::Upgrade => Some(ReleaseAttempt::Upgrade),
            Action::Test => match self.strategy() {
                Strategy::Remediate(remediation) if !remediation.ignore_tests => Some(remediation.attempt),
                _ => None,
            },
            _ => None,
        };
        if ended.written.is_empty() {
            return;
        }
        match attempt {
            Some(ReleaseAttempt::Install) => self.status.install_failures += 1,
            Some(ReleaseAttempt::Upgrade) => self.status.upgrade_failures += 1,
            None => {}
        }
    }

    fn corrected(&mut self, problem: Option<&str>) -> Option<Told> {
        let release = self.status.latest().map(ReleaseSnapshot::full_release_name).unwrap_or_default();
        Some(match problem {
            None => Told {
                warning: false,
                reason: Reason::DriftCorrected,
                message: format!("Cluster state of release {release} has been corrected"),
            },
            Some(problem) => Told {
                warning: true,
                reason: Reason::DriftCorrectionFailed,
                message: format!("Failed to correct cluster state of release {release}:\n{problem}"),
            },
        })
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

    fn strategy(&self) -> Strategy {
        Strategy::of(self.spec, self.status, self.retry_by_default)
    }

    fn snapshot(&self, version: i64) -> Option<ReleaseSnapshot> {
        self.status.history.iter().find(|snapshot| snapshot.version == version).cloned()
    }
}

#[cfg(test)]
#[path = "report/tests.rs"]
mod tests;
