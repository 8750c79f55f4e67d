use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::Duration;
use crate::artifact::time_schema;

/// The last reconciliations of an object, the newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct History(Vec<Snapshot>);

/// Reconciliations that rendered the same objects and ended alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// The digest of the rendered objects, as `ALGORITHM:HEX`.
    pub digest: String,
    /// When these objects were first reconciled.
    #[schemars(schema_with = "time_schema")]
    pub first_reconciled: Time,
    /// When these objects were last reconciled.
    #[schemars(schema_with = "time_schema")]
    pub last_reconciled: Time,
    /// How long the last reconciliation took, for example `1.25s`.
    #[schemars(schema_with = "measured_duration_schema")]
    pub last_reconciled_duration: Duration,
    /// How the last reconciliation ended, as the reason of the Ready condition: `ReconciliationSucceeded`.
    pub last_reconciled_status: String,
    /// How many reconciliations of these objects ended so.
    pub total_reconciliations: i64,
    /// More about the reconciliation, for example the `revision` it was made from.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

/// One reconciliation, as [`History::record`] takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reconciliation {
    /// The digest of the rendered objects.
    pub digest: String,
    /// When it ended.
    pub at: Timestamp,
    /// How long it took.
    pub duration: std::time::Duration,
    /// How it ended: the reason of the Ready condition.
    pub status: String,
    /// More about it.
    pub metadata: BTreeMap<String, String>,
}

impl History {
    /// How many snapshots are kept.
    pub(crate) const MAX_SIZE: usize = 5;

    /// Adds a reconciliation: to the snapshot with the same digest and status, or as a new one. The oldest snapshot makes room.
    pub fn record(&mut self, reconciliation: Reconciliation) {
        let Reconciliation { digest, at, duration, status, metadata } = reconciliation;
        let same =
            |snapshot: &Snapshot| snapshot.digest == digest && snapshot.last_reconciled_status == status;
        let before = self.0.iter().position(same).map(|index| self.0.remove(index));
        let (first_reconciled, total) = match before {
            Some(snapshot) => (snapshot.first_reconciled, snapshot.total_reconciliations.saturating_add(1)),
            None => (Time(at), 1),
        };
        self.0.insert(
            0,
            Snapshot {
                digest,
                first_reconciled,
                last_reconciled: Time(at),
                last_reconciled_duration: duration.into(),
                last_reconciled_status: status,
                total_reconciliations: total,
                metadata,
            },
        );
        self.0.truncate(Self::MAX_SIZE);
    }

    /// The newest snapshot.
    pub fn latest(&self) -> Option<&Snapshot> {
        self.0.first()
    }

    /// The snapshots, the newest first.
    pub fn snapshots(&self) -> &[Snapshot] {
        &self.0
    }

    /// Whether nothing was recorded yet.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A duration that was measured may have a unit below a millisecond, which the pattern of a spec's durations refuses.
pub(crate) fn measured_duration_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string" })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use super::*;

    fn reconciliation(digest: &str, status: &str, second: i64) -> Reconciliation {
        Reconciliation {
            digest: digest.to_owned(),
            at: Timestamp::from_second(second).unwrap(),
            duration: std::time::Duration::from_millis(1500),
            status: status.to_owned(),
            metadata: BTreeMap::from([("revision".to_owned(), format!("main@sha1:{second}"))]),
        }
    }

    fn summary(history: &History) -> Vec<(String, String, i64, i64, i64)> {
        let second = |time: &Time| time.0.as_second();
        let row = |s: &Snapshot| {
            (
                s.digest.clone(),
                s.last_reconciled_status.clone(),
                s.total_reconciliations,
                second(&s.first_reconciled),
                second(&s.last_reconciled),
            )
        };
        history.snapshots().iter().map(row).collect()
    }

    #[test]
    fn the_same_result_counts_up_and_moves_to_the_front() {
        let mut history = History::default();
        for (digest, status, second) in [("a", "Ok", 1), ("b", "Ok", 2), ("a", "Failed", 3), ("a", "Ok", 4)] {
            history.record(reconciliation(digest, status, second));
        }
        let expected = [("a", "Ok", 2, 1, 4), ("a", "Failed", 1, 3, 3), ("b", "Ok", 1, 2, 2)].map(
            |(digest, status, total, first, last)| (digest.to_owned(), status.to_owned(), total, first, last),
        );
        assert_eq!(summary(&history), expected);
        assert_eq!(
            history.latest().unwrap().metadata["revision"],
            "main@sha1:4",
            "the newest metadata is kept"
        );
    }

    #[test]
    fn only_the_newest_five_are_kept() {
        let mut history = History::default();
        for second in 0..7 {
            history.record(reconciliation(&second.to_string(), "Ok", second));
        }
        let digests: Vec<&str> =
            history.snapshots().iter().map(|snapshot| snapshot.digest.as_str()).collect();
        assert_eq!(digests, ["6", "5", "4", "3", "2"]);
    }

    #[test]
    fn is_read_as_flux_writes_it() {
        let text = r#"[{"digest":"sha256:ab","firstReconciled":"2026-01-01T00:00:00Z","lastReconciled":"2026-01-02T00:00:00Z",
            "lastReconciledDuration":"812.5µs","lastReconciledStatus":"ReconciliationSucceeded","totalReconciliations":3}]"#;
        let history: History = serde_json::from_str(text).unwrap();
        let written = serde_json::to_value(&history).unwrap();
        assert_eq!(written, serde_json::from_str::<serde_json::Value>(text).unwrap());
    }
}
