//! The records of a release: Secrets, as Helm writes them, read and written as whoever acts.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, DeleteParams, ListParams, Patch, PostParams};
use kube::core::PartialObjectMeta;
use plumb_api::Reason;
use plumb_api::annotations::RECORD_WRITTEN_BY;
use plumb_helm::record::{self, Release, Write};
use serde_json::json;

use crate::Key;
use crate::applier::failure::{Failure, Retry};
use crate::clusters::Actor;
use crate::clusters::records::RecordLabels;
use crate::status::{bounded, patch_params, said};

/// The records of one release.
pub(super) struct Storage<'a> {
    actor: &'a Actor,
    /// The namespace of the records, and the name of the release.
    release: &'a Key,
    /// The HelmRelease that writes them.
    writer: Key,
}

impl<'a> Storage<'a> {
    pub(super) fn new(actor: &'a Actor, release: &'a Key, writer: Key) -> Self {
        Self { actor, release, writer }
    }

    /// What the labels tell of all records, the newest last. Where they are watched, nothing is asked.
    pub(super) async fn list(&self) -> Result<Vec<RecordLabels>, Failure> {
        if let Some(known) = self.actor.cluster.records.of(self.release) {
            return Ok(known);
        }
        let selector = record::selector(&self.release.name);
        let listed = bounded(self.api().list_metadata(&ListParams::default().labels(&selector))).await;
        let listed = listed.map_err(|error| self.failed("list", &error))?;
        let record = |item: &PartialObjectMeta<Secret>| Some(RecordLabels::of(&item.metadata)?.1);
        let mut records: Vec<_> = listed.items.iter().filter_map(record).collect();
        records.sort_by_key(|record| record.version);
        Ok(records)
    }

    /// A record; `None` when it is gone.
    pub(super) async fn get(&self, version: i64) -> Result<Option<Release>, Failure> {
        let name = record::secret_name(&self.release.name, version);
        let found = bounded(self.api().get_opt(&name)).await.map_err(|error| self.failed("read", &error))?;
        let read = found.as_ref().map(record::decode).transpose();
        read.map_err(|error| Failure::new(Reason::ReconciliationFailed, Retry::Interval, error.to_string()))
    }

    /// Writes a record that is new.
    pub(super) async fn create(&self, release: &Release) -> Result<(), Failure> {
        let secret = self.encode(release, Write::Create)?;
        let created = bounded(self.api().create(&PostParams::default(), &secret)).await;
        let created = created.map_err(|error| self.failed("write", &error))?;
        self.actor.cluster.records.observe(&created.metadata);
        Ok(())
    }

    /// Writes a record anew. One that is gone is not missed: somebody has uninstalled the release meanwhile, or its namespace goes.
    pub(super) async fn update(&self, release: &Release) -> Result<(), Failure> {
        let secret = self.encode(release, Write::Update)?;
        let name = record::secret_name(&self.release.name, release.version());
        let metadata = json!({"labels": secret.metadata.labels, "annotations": secret.metadata.annotations});
        let patch = json!({"metadata": metadata, "data": secret.data});
        match bounded(self.api().patch(&name, &patch_params(), &Patch::Merge(patch))).await {
            Ok(updated) => {
                self.actor.cluster.records.observe(&updated.metadata);
                Ok(())
            }
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
            Err(error) => Err(self.failed("write", &error)),
        }
    }

    /// Deletes a record, if it is there.
    pub(super) async fn delete(&self, version: i64) -> Result<(), Failure> {
        let name = record::secret_name(&self.release.name, version);
        match bounded(self.api().delete(&name, &DeleteParams::background())).await {
            Err(error) if !matches!(&error, kube::Error::Api(status) if status.is_not_found()) => {
                Err(self.failed("delete", &error))
            }
            Ok(_) | Err(_) => {
                self.actor.cluster.records.observe_deletion(self.release, version);
                Ok(())
            }
        }
    }

    /// What is pending says who is at work, so that what was interrupted is told from what somebody else does.
    fn encode(&self, release: &Release, write: Write) -> Result<Secret, Failure> {
        let mut secret = record::encode(release, write, Timestamp::now()).map_err(|error| {
            Failure::new(Reason::ReconciliationFailed, Retry::Interval, error.to_string())
        })?;
        secret.metadata.annotations =
            Some(BTreeMap::from([(RECORD_WRITTEN_BY.to_owned(), self.writer.to_string())]));
        Ok(secret)
    }

    fn api(&self) -> Api<Secret> {
        Api::namespaced(self.actor.client.clone(), &self.release.namespace)
    }

    fn failed(&self, what: &str, error: &kube::Error) -> Failure {
        let message = format!("could not {what} the records of release '{}': {}", self.release, said(error));
        let is_final =
            matches!(error, kube::Error::Api(status) if matches!(status.code, 403 | 404 | 409 | 413 | 422));
        let retry = if is_final { Retry::Interval } else { Retry::Backoff };
        Failure::new(Reason::ReconciliationFailed, retry, message)
    }
}
