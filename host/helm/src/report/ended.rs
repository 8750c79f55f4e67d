//! How an action ended.

use std::time::Duration;

use plumb_api::{
    ConditionStatus, ConditionType, Reason, ReleaseAction, ReleaseAttempt, ReleaseSnapshot, conditions,
};

use super::words::{record_in_words, tests_in_words, words};
use super::{Report, Told};
use crate::decide::{Action, Desired, Target, Uninstall};
use crate::record::Release;
use crate::snapshot;
use crate::strategy::Strategy;

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

impl Report<'_> {
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

    fn strategy(&self) -> Strategy {
        Strategy::of(self.spec, self.status, self.retry_by_default)
    }

    fn snapshot(&self, version: i64) -> Option<ReleaseSnapshot> {
        self.status.history.iter().find(|snapshot| snapshot.version == version).cloned()
    }
}
