//! What a reconciliation writes into the status. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use plumb_api::{
    ConditionStatus, ConditionType, KustomizationStatus, Reason, Reconciliation, conditions, set_condition,
};

use super::failure::{Failure, Retry};
use super::state::ApplierStatus;

/// A reconciliation as the status tells of it.
pub(super) struct Report {
    pub(super) generation: Option<i64>,
    pub(super) now: Timestamp,
    /// The revision that was reconciled, where one is known.
    pub(super) revision: Option<String>,
    /// The revision that the artifact was made from, where its maker says so.
    pub(super) origin: Option<String>,
}

/// A condition that tells what the objects are like, whoever asked.
pub(super) struct Healthy {
    pub(super) status: ConditionStatus,
    pub(super) reason: Reason,
    pub(super) message: String,
}

impl Report {
    /// Something is about to be changed.
    pub(super) fn begin(&self, status: &mut impl ApplierStatus, message: &str) {
        self.attempted(status);
        conditions::remove(status.conditions_mut(), ConditionType::Stalled);
        self.set(status, ConditionType::Reconciling, ConditionStatus::True, Reason::Progressing, message);
        self.set(status, ConditionType::Ready, ConditionStatus::Unknown, Reason::Progressing, message);
    }

    /// The cluster is what the source says.
    pub(super) fn succeed(&self, status: &mut KustomizationStatus, message: &str) {
        self.attempted(status);
        status.observed_generation = self.generation;
        status.last_applied_revision = self.revision.clone();
        status.last_applied_origin_revision = self.origin.clone();
        for gone in [ConditionType::Stalled, ConditionType::Reconciling] {
            conditions::remove(&mut status.conditions, gone);
        }
        self.set(
            status,
            ConditionType::Ready,
            ConditionStatus::True,
            Reason::ReconciliationSucceeded,
            message,
        );
    }

    /// The cluster is not, or not yet, what the source says.
    pub(super) fn fail(&self, status: &mut impl ApplierStatus, failure: &Failure) {
        self.attempted(status);
        let Failure { reason, message, retry } = failure;
        if failure.is_progress() {
            return self.begin(status, message);
        }
        if *retry == Retry::Never {
            status.observe(self.generation);
            conditions::remove(status.conditions_mut(), ConditionType::Reconciling);
            self.set(status, ConditionType::Stalled, ConditionStatus::True, *reason, message);
        } else {
            conditions::remove(status.conditions_mut(), ConditionType::Stalled);
            let why = Reason::ProgressingWithRetry;
            self.set(status, ConditionType::Reconciling, ConditionStatus::True, why, message);
        }
        self.set(status, ConditionType::Ready, ConditionStatus::False, *reason, message);
    }

    /// How the objects are.
    pub(super) fn health(&self, status: &mut KustomizationStatus, healthy: &Healthy) {
        self.set(status, ConditionType::Healthy, healthy.status, healthy.reason, &healthy.message);
    }

    /// The objects were not looked at, because of a failure: that they were healthy once is no news of today.
    pub(super) fn health_unknown(&self, status: &mut KustomizationStatus, failure: &Failure) {
        if failure.is_progress() || !conditions::is_true(&status.conditions, ConditionType::Healthy) {
            return;
        }
        let message = format!("not looked at since: {}", failure.reason);
        self.set(status, ConditionType::Healthy, ConditionStatus::Unknown, failure.reason, &message);
    }

    /// Adds the reconciliation to the history.
    pub(super) fn record(
        &self,
        status: &mut KustomizationStatus,
        digest: &str,
        reason: Reason,
        took: Duration,
    ) {
        let revision = self.revision.clone().map(|revision| ("revision".to_owned(), revision));
        status.history.record(Reconciliation {
            digest: digest.to_owned(),
            at: self.now,
            duration: took,
            status: reason.as_str().to_owned(),
            metadata: BTreeMap::from_iter(revision),
        });
    }

    fn attempted(&self, status: &mut impl ApplierStatus) {
        if let Some(revision) = &self.revision {
            status.attempted(revision);
        }
    }

    pub(super) fn set(
        &self,
        status: &mut impl ApplierStatus,
        type_: ConditionType,
        holds: ConditionStatus,
        reason: Reason,
        message: &str,
    ) {
        set_condition(status.conditions_mut(), type_, holds, reason, message, self.generation, self.now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let revision = Some("main@sha1:aa".to_owned());
        Report {
            generation: Some(1),
            now: Timestamp::UNIX_EPOCH,
            revision,
            origin: Some("sha1:bb".to_owned()),
        }
    }

    fn healthy(status: &KustomizationStatus) -> Option<(&str, &str)> {
        let found = conditions::find(&status.conditions, ConditionType::Healthy)?;
        Some((found.status.as_str(), found.message.as_str()))
    }

    #[test]
    fn a_failure_before_the_objects_were_looked_at_leaves_nobody_healthy() {
        let mut status = KustomizationStatus::default();
        let broken = Failure::new(Reason::BuildFailed, Retry::Interval, "no such file");
        report().health_unknown(&mut status, &broken);
        assert_eq!(healthy(&status), None, "nothing was known before");

        let well =
            Healthy { status: ConditionStatus::True, reason: Reason::Succeeded, message: String::new() };
        report().health(&mut status, &well);
        let waiting = Failure::new(Reason::Progressing, Retry::Health(Duration::ZERO), "waiting");
        report().health_unknown(&mut status, &waiting);
        assert_eq!(healthy(&status), Some(("True", "")));
        report().health_unknown(&mut status, &broken);
        assert_eq!(healthy(&status), Some(("Unknown", "not looked at since: BuildFailed")));
    }

    #[test]
    fn where_an_artifact_comes_from_is_told_once_it_is_applied() {
        let mut status = KustomizationStatus::default();
        report().begin(&mut status, "Reconciliation in progress");
        assert_eq!(status.last_applied_origin_revision, None);
        report().succeed(&mut status, "Applied revision: main@sha1:aa");
        assert_eq!(status.last_applied_origin_revision.as_deref(), Some("sha1:bb"));
    }
}
