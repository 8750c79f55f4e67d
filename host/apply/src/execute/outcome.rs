use std::collections::BTreeSet;

use plumb_api::{Inventory, ObjectId};

use crate::plan::{Applied, Conflict, Keep, Plan};
use crate::refusal::Failure;
use crate::terminating::Terminating;

/// What became of a plan.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// What was sent and accepted. What the plan had found unchanged is not in it.
    pub applied: Vec<AppliedObject>,
    /// Objects that an annotation says to leave alone.
    pub left_alone: Vec<ObjectId>,
    /// Objects that are not applied because they, or their namespaces, are being deleted: which, and what is being waited for. The watches
    /// tell when that is gone.
    pub being_deleted: Vec<(ObjectId, Terminating)>,
    /// Objects that turned out to belong to another Kustomization, and those that the plan knew of.
    pub conflicts: Vec<Conflict>,
    /// Every object that could not be applied, or did not get ready although the next stage needs it. When it is not empty and
    /// `applied` is, the cluster is as it was.
    pub failed: Vec<Failure>,
    /// What the API server wants the author to know, such as a deprecated API version.
    pub warnings: Vec<Warning>,
    /// What became of the objects that are no longer desired.
    pub pruned: Pruned,
}

impl Outcome {
    /// Goes into `status.inventory` when everything was applied: what the plan said, without the objects that turned out to be
    /// another Kustomization's (they are that one's to delete), and with those that could not be deleted or are not gone yet.
    pub fn inventory_after(&self, plan: &Plan) -> Inventory {
        let Pruned { failed, terminating, postponed, .. } = &self.pruned;
        let failed = failed.iter().map(|failure| &failure.id);
        let terminating = terminating.iter().map(|object| &object.id);
        let not_gone: Vec<ObjectId> = failed.chain(terminating).chain(postponed).cloned().collect();
        let anothers: BTreeSet<String> =
            self.conflicts.iter().map(|conflict| conflict.id.to_string()).collect();
        let mut inventory = plan.inventory_after_failing(&not_gone);
        inventory.entries.retain(|entry| !anothers.contains(&entry.id));
        inventory
    }
}

/// One object that was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppliedObject {
    /// The object.
    pub id: ObjectId,
    /// What it did.
    pub action: AppliedAction,
    /// `metadata.resourceVersion` of the answer.
    pub resource_version: String,
    /// To be remembered for the next plan. `None` when nothing in the answer is ours.
    pub applied: Option<Applied>,
}

/// What applying an object did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AppliedAction {
    /// There was no such object.
    Created,
    /// It was changed.
    Configured,
    /// It was deleted and created anew, because a field is immutable.
    Recreated,
    /// The API server found nothing to change.
    Unchanged,
}

/// A warning of the API server about an object that it accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The object.
    pub id: ObjectId,
    /// The words of the API server.
    pub text: String,
}

/// What became of objects that were to be deleted.
#[derive(Clone, Debug, Default)]
pub struct Pruned {
    /// Gone, or going.
    pub deleted: Vec<ObjectId>,
    /// Those of them that finalizers hold: they stay in the inventory until they are gone.
    pub terminating: Vec<Terminating>,
    /// Not deleted, and no longer ours to delete.
    pub kept: Vec<(ObjectId, Keep)>,
    /// To be tried again: they stay in the inventory.
    pub failed: Vec<Failure>,
    /// Not deleted yet, because something that is desired could not be applied: they stay in the inventory.
    pub postponed: Vec<ObjectId>,
}
