//! The newest record of a release and its objects, as they are remembered: so nothing is read while nothing changes.

use plumb_api::{DriftMode, Object, Reason, ReleaseStatus};
use plumb_helm::decide::Writer;
use plumb_helm::record::Release;
use plumb_helm::{manifest, snapshot};
use serde_json::Value;

use super::drift::{self, Found};
use super::step::{marked, ownership};
use super::{Look, Turn};
use crate::Key;
use crate::applier::failure::{Failure, Retry};
use crate::applier::render::{self, Desired};
use crate::clusters::records::RecordLabels;

/// The newest record of a release.
pub(super) struct Deployed {
    key: Key,
    labels: RecordLabels,
    /// Without the files of the chart.
    pub(super) release: Release,
    /// The objects as JSON text: taken apart, they would take some ten times as much memory.
    objects: Vec<u8>,
}

impl Deployed {
    /// What a record, as it was just written or read, has to be remembered by.
    pub(super) fn new(
        key: &Key,
        labels: RecordLabels,
        release: &Release,
        objects: &[Object],
    ) -> Option<Self> {
        let objects = serde_json::to_vec(objects).ok()?;
        Some(Self { key: key.clone(), labels, release: release.without_files(), objects })
    }

    /// Who has written the record last.
    pub(super) fn writer(&self, own: &Key) -> Writer {
        let is_own = self.labels.written_by.as_ref().is_some_and(|writer| *writer == own.to_string());
        if is_own { Writer::Ourselves } else { Writer::SomebodyElse }
    }

    fn objects(&self) -> Vec<Object> {
        let values: Vec<Value> = serde_json::from_slice(&self.objects).unwrap_or_default();
        values.into_iter().filter_map(|value| Object::new(value).ok()).collect()
    }
}

impl Turn<'_> {
    /// The newest record, and where the newest has failed the one to go back to.
    pub(super) async fn records(&mut self, look: &Look) -> Result<Vec<Release>, Failure> {
        let storage = look.storage(&look.key);
        let Some(newest) = storage.list().await?.pop() else {
            self.memory.own.deployed = None;
            return Ok(Vec::new());
        };
        let known = self.memory.own.deployed.as_ref();
        if known.is_none_or(|known| known.key != look.key || known.labels != newest) {
            let Some(release) = storage.get(newest.version).await? else {
                let message = format!(
                    "the record of revision {} of release '{}' has just gone",
                    newest.version, look.key
                );
                return Err(Failure::new(Reason::ReconciliationFailed, Retry::Backoff, message));
            };
            let objects = manifest::objects(release.manifest()).map_err(|error| {
                Failure::new(Reason::ReconciliationFailed, Retry::Interval, error.to_string())
            })?;
            self.memory.own.deployed = Deployed::new(&look.key, newest, &release, &objects);
        }
        let mut records: Vec<Release> =
            self.memory.own.deployed.iter().map(|deployed| deployed.release.clone()).collect();
        let has_failed = records.iter().any(|record| record.status() == ReleaseStatus::Failed)
            || self.status.latest().is_some_and(plumb_api::ReleaseSnapshot::has_failed_test);
        if has_failed {
            let mut versions: Vec<i64> = [true, false]
                .into_iter()
                .filter_map(|ignore| snapshot::previous(&self.status.history, ignore))
                .map(|previous| previous.version)
                .collect();
            versions.dedup();
            for version in versions {
                records.extend(storage.get(version).await?);
            }
        }
        Ok(records)
    }

    /// What others have changed in the objects of the release that is deployed.
    pub(super) async fn drift(&mut self, look: &Look) -> Result<Found, Failure> {
        let Some(deployed) = &self.memory.own.deployed else { return Ok(Found::default()) };
        let is_ours = deployed.release.status() == ReleaseStatus::Deployed
            && self.status.latest().is_some_and(|latest| snapshot::targets(latest, &deployed.release));
        if !is_ours {
            return Ok(Found::default());
        }
        let desired = self.deployed_objects(look).await?;
        let ids = desired.objects.iter().map(|object| object.id()).collect();
        let revision = self.revision.clone().unwrap_or_default();
        self.context.wants(&self.id, &revision, look.actor.cluster.id.clone(), ids);
        drift::find(self, &look.actor, &desired, mode(look)).await
    }

    /// The objects of the release that is deployed, as they are to be.
    pub(super) async fn deployed_objects(&self, look: &Look) -> Result<Desired, Failure> {
        let Some(deployed) = &self.memory.own.deployed else { return Ok(Desired::nothing()) };
        let mut objects = marked(&deployed.objects(), &ownership(self, &deployed.release));
        drift::left_alone(&mut objects);
        render::prepare(self, &look.actor, objects, "").await
    }
}

pub(super) fn mode(look: &Look) -> DriftMode {
    look.release.spec.drift_mode()
}
