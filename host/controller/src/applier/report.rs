//! What a reconciliation writes into the status. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use plumb_api::{
    ConditionStatus, ConditionType, KustomizationStatus, Reason, Reconciliation, conditions, set_condition,
};

use super::failure::{Failure, Retry};

/// A reconciliation as the status tells of it.
pub(super) struct Report {
    pub(super) generation: Option<i64>,
    pub(super) now: Timestamp,
    /// The revision that was reconciled, where one is known.
    pub(super) revision: Option<String>,
}

/// A condition that tells what the objects are like, whoever asked.
pub(super) struct Healthy {
    pub(super) status: ConditionStatus,
    pub(super) reason: Reason,
    pub(super) message: String,
}

impl Report {
    /// Something is about to be changed.
    pub(super) fn begin(&self, status: &mut KustomizationStatus, message: &str) {
        self.attempted(status);
        conditions::remove(&mut status.conditions, ConditionType::Stalled);
        self.set(status, ConditionType::Reconciling, ConditionStatus::True, Reason::Progressing, message);
        self.set(status, ConditionType::Ready, ConditionStatus::Unknown, Reason::Progressing, message);
    }

    /// The cluster is what the source says.
    pub(super) fn succeed(&self, status: &mut KustomizationStatus, message: &str) {
        self.attempted(status);
        status.observed_generation = self.generation;
        status.last_applied_revision = self.revision.clone();
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
    pub(super) fn fail(&self, status: &mut KustomizationStatus, failure: &Failure) {
        self.attempted(status);
        let Failure { reason, message, retry } = failure;
        if failure.is_progress() {
            return self.begin(status, message);
        }
        if *retry == Retry::Never {
            status.observed_generation = self.generation;
            conditions::remove(&mut status.conditions, ConditionType::Reconciling);
            self.set(status, ConditionType::Stalled, ConditionStatus::True, *reason, message);
        } else {
            conditions::remove(&mut status.conditions, ConditionType::Stalled);
            let why = Reason::ProgressingWithRetry;
            self.set(status, ConditionType::Reconciling, ConditionStatus::True, why, message);
        }
        self.set(status, ConditionType::Ready, ConditionStatus::False, *reason, message);
    }

    /// How the objects are.
    pub(super) fn health(&self, status: &mut KustomizationStatus, healthy: &Healthy) {
        self.set(status, ConditionType::Healthy, healthy.status, healthy.reason, &healthy.message);
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

    fn attempted(&self, status: &mut KustomizationStatus) {
        if self.revision.is_some() {
            status.last_attempted_revision = self.revision.clone();
        }
    }

    fn set(
        &self,
        status: &mut KustomizationStatus,
        type_: ConditionType,
        holds: ConditionStatus,
        reason: Reason,
        message: &str,
    ) {
        set_condition(&mut status.conditions, type_, holds, reason, message, self.generation, self.now);
    }
}
