//! What the statuses of all kinds of appliers have in common.

use kube::Client;
use kube::api::Api;
use plumb_api::{
    Condition, HelmRelease, HelmReleaseStatus, Inventory, InventoryEntry, Kustomization, KustomizationStatus,
    Pipeline,
};
use serde::Serialize;

use super::{Applier, helm};
use crate::Key;
use crate::status::{self, Written};

/// The status of an applier.
pub(crate) trait ApplierStatus: Clone + Default + Serialize + Send + Sync + 'static {
    /// What is remembered of this kind of applier only.
    type Memory: Default + Send;

    /// The newest status that is known of an object; an empty one when its kind has another status.
    fn newest(object: &Applier, written: Option<&Written<Self>>) -> Self;

    /// Patches the status of an object from what it was to what it is; `None` when they are equal.
    fn write(
        object: &Applier,
        client: &Client,
        before: &Self,
        after: &Self,
    ) -> impl Future<Output = kube::Result<Option<Written<Self>>>> + Send;

    fn conditions_mut(&mut self) -> &mut Vec<Condition>;

    fn inventory(&self) -> Option<&Inventory>;

    /// What of the inventory is deleted when it is no longer desired.
    fn pruned(&self) -> Inventory {
        self.inventory().cloned().unwrap_or_default()
    }

    /// Takes in what of the inventory is deleted when it is no longer desired.
    fn set_inventory(&mut self, inventory: Inventory);

    fn observe(&mut self, generation: Option<i64>);

    /// Whether this revision and generation are not what was applied last, as far as the status tells.
    fn is_behind(&self, revision: Option<&str>, generation: Option<i64>) -> bool;

    /// Notes the revision of the source that is tried, where that is in the status.
    fn attempted(&mut self, revision: &str);
}

impl ApplierStatus for KustomizationStatus {
    type Memory = ();

    fn newest(object: &Applier, written: Option<&Written<Self>>) -> Self {
        match object {
            Applier::Kustomization(object) => {
                Written::newest(written, object.as_ref(), object.status.as_ref())
            }
            Applier::Pipeline(object) => Written::newest(written, object.as_ref(), object.status.as_ref()),
            Applier::HelmRelease(_) => Self::default(),
        }
    }

    async fn write(
        object: &Applier,
        client: &Client,
        before: &Self,
        after: &Self,
    ) -> kube::Result<Option<Written<Self>>> {
        let Key { namespace, name } = object.id().key;
        let client = client.clone();
        match object {
            Applier::Kustomization(_) => {
                let api: Api<Kustomization> = Api::namespaced(client, &namespace);
                status::write(&api, &name, before, after).await
            }
            Applier::Pipeline(_) => {
                let api: Api<Pipeline> = Api::namespaced(client, &namespace);
                status::write(&api, &name, before, after).await
            }
            Applier::HelmRelease(_) => Ok(None),
        }
    }

    fn conditions_mut(&mut self) -> &mut Vec<Condition> {
        &mut self.conditions
    }

    fn inventory(&self) -> Option<&Inventory> {
        self.inventory.as_ref()
    }

    fn set_inventory(&mut self, inventory: Inventory) {
        self.inventory = Some(inventory);
    }

    fn observe(&mut self, generation: Option<i64>) {
        self.observed_generation = generation;
    }

    fn is_behind(&self, revision: Option<&str>, generation: Option<i64>) -> bool {
        self.last_applied_revision.as_deref() != revision || self.observed_generation != generation
    }

    fn attempted(&mut self, revision: &str) {
        self.last_attempted_revision = Some(revision.to_owned());
    }
}

impl ApplierStatus for HelmReleaseStatus {
    type Memory = helm::Remembered;

    fn newest(object: &Applier, written: Option<&Written<Self>>) -> Self {
        match object {
            Applier::HelmRelease(object) => Written::newest(written, object.as_ref(), object.status.as_ref()),
            Applier::Kustomization(_) | Applier::Pipeline(_) => Self::default(),
        }
    }

    async fn write(
        object: &Applier,
        client: &Client,
        before: &Self,
        after: &Self,
    ) -> kube::Result<Option<Written<Self>>> {
        let Key { namespace, name } = object.id().key;
        match object {
            Applier::HelmRelease(_) => {
                let api: Api<HelmRelease> = Api::namespaced(client.clone(), &namespace);
                status::write(&api, &name, before, after).await
            }
            Applier::Kustomization(_) | Applier::Pipeline(_) => Ok(None),
        }
    }

    fn conditions_mut(&mut self) -> &mut Vec<Condition> {
        &mut self.conditions
    }

    fn inventory(&self) -> Option<&Inventory> {
        self.inventory.as_ref()
    }

    fn pruned(&self) -> Inventory {
        HelmReleaseStatus::pruned(self)
    }

    fn set_inventory(&mut self, mut inventory: Inventory) {
        let before = self.inventory.take().unwrap_or_default();
        let stays = |entry: &InventoryEntry| entry.is_definition() && !inventory.entries.contains(entry);
        let stay: Vec<_> = before.entries.into_iter().filter(stays).collect();
        inventory.entries.extend(stay);
        self.inventory = Some(inventory);
    }

    fn observe(&mut self, generation: Option<i64>) {
        self.observed_generation = generation;
    }

    /// An action has said so before it begins.
    fn is_behind(&self, _: Option<&str>, _: Option<i64>) -> bool {
        false
    }

    /// The version of the chart is noted there, when an action begins.
    fn attempted(&mut self, _: &str) {}
}
