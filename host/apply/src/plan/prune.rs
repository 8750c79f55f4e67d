use plumb_api::annotations::{prune_disabled, resource_policy_keep};
use plumb_api::{ApplierKind, GroupVersionKind, Inventory, InventoryEntry, Object, ObjectId};

use super::{Inputs, Live, LiveState, Owner};
use crate::order::Stages;
use crate::terminating::Terminating;

/// One object to delete, in the background (its dependants follow).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deletion {
    /// The object.
    pub id: ObjectId,
    /// The version in which it was applied.
    pub gvk: GroupVersionKind,
    /// `metadata.uid` of what was seen, the precondition of the request, so that an object made meanwhile by somebody
    /// else is not deleted. `None` when the object was not seen: get it, and ask [`may_prune`] first.
    pub uid: Option<String>,
}

/// An entry of the inventory that is no longer desired, and leaves it without being deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The entry.
    pub entry: InventoryEntry,
    /// Why it is not deleted.
    pub reason: Keep,
}

/// Why an object of the inventory that is no longer desired is not deleted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Keep {
    /// `spec.prune` is off.
    #[error("pruning is off")]
    PruneOff,
    /// The object has the annotation `kustomize.toolkit.fluxcd.io/prune: disabled`, or of a release `helm.sh/resource-policy: keep`, or one that says
    /// it is to be left alone.
    #[error("an annotation of the object says so")]
    Annotated,
    /// The ownership labels name somebody else.
    #[error("it belongs to {0}")]
    BelongsTo(Owner),
    /// It has no ownership labels: somebody has taken it out of our hands.
    #[error("it has no ownership labels")]
    NotLabelled,
    /// Somebody else desires it and waits until it is let go.
    #[error("{0} takes it over")]
    HandedOver(Owner),
    /// It is gone already.
    #[error("it does not exist")]
    Gone,
    /// The entry does not name an object. Nobody can tell what it was.
    #[error("the entry of the inventory is not of the form NAMESPACE_NAME_GROUP_KIND")]
    NotAnId,
}

/// Whether an object that its owner no longer wants may be deleted.
pub fn may_prune(live: &Object, owner: &Owner) -> Result<(), Keep> {
    if !Owner::all_of(live).any(|named| named == *owner) {
        return Err(Owner::of(live).map_or(Keep::NotLabelled, Keep::BelongsTo));
    }
    let is_kept = owner.kind == ApplierKind::HelmRelease && resource_policy_keep(live);
    if is_kept || prune_disabled(live) { Err(Keep::Annotated) } else { Ok(()) }
}

/// The end of a Kustomization: every object of its inventory that may be deleted, in the order in which to do so, and those
/// that stay. Whether anything is to be deleted at all (`spec.deletionPolicy`) is for the caller to say.
pub fn plan_deletion(
    inventory: &Inventory,
    live: &dyn LiveState,
    owner: &Owner,
    stages: &Stages,
) -> (Vec<Deletion>, Vec<Kept>) {
    let (mut deletions, mut kept) = (Vec::new(), Vec::new());
    for entry in &inventory.entries {
        match deletion(entry, live, owner) {
            Ok(deletion) => deletions.push(deletion),
            Err(reason) => kept.push(Kept { entry: entry.clone(), reason }),
        }
    }
    in_order(&mut deletions, stages);
    (deletions, kept)
}

/// Last applied, first deleted; each once, whatever somebody has written into the inventory.
fn in_order(deletions: &mut Vec<Deletion>, stages: &Stages) {
    deletions.sort_by(|left, right| stages.compare(&right.id, &left.id));
    deletions.dedup_by(|left, right| left.id == right.id);
}

/// What becomes of the entries that are no longer desired.
#[derive(Default)]
pub(super) struct Stale {
    pub(super) deletions: Vec<Deletion>,
    pub(super) kept: Vec<Kept>,
    pub(super) terminating: Vec<Terminating>,
}

/// Which of the entries that are no longer desired are deleted.
pub(super) fn sort_out(entries: &[InventoryEntry], inputs: &Inputs<'_>) -> Stale {
    let (policy, mut stale) = (inputs.policy, Stale::default());
    for entry in entries {
        let found =
            if policy.prune { deletion(entry, inputs.live, &policy.owner) } else { Err(Keep::PruneOff) };
        let handed_over = |deletion: Deletion| match (inputs.heir)(&deletion.id) {
            Some(heir) => Err(Keep::HandedOver(heir)),
            None => Ok(deletion),
        };
        match found.and_then(handed_over) {
            Err(reason) => stale.kept.push(Kept { entry: entry.clone(), reason }),
            Ok(deletion) => match is_going(&deletion, inputs.live) {
                Some(object) => stale.terminating.push(object),
                None => stale.deletions.push(deletion),
            },
        }
    }
    in_order(&mut stale.deletions, &policy.stages);
    stale
}

fn is_going(deletion: &Deletion, live: &dyn LiveState) -> Option<Terminating> {
    match live.live(&deletion.id) {
        Live::Present(live) => Terminating::of(&live),
        Live::Absent | Live::Unknown => None,
    }
}

fn deletion(entry: &InventoryEntry, live: &dyn LiveState, owner: &Owner) -> Result<Deletion, Keep> {
    let (id, gvk) = entry.parse().ok_or(Keep::NotAnId)?;
    let uid = match live.live(&id) {
        Live::Absent => return Err(Keep::Gone),
        Live::Unknown => None,
        Live::Present(live) => {
            may_prune(&live, owner)?;
            live.pointer("/metadata/uid").and_then(serde_json::Value::as_str).map(str::to_owned)
        }
    };
    Ok(Deletion { id, gvk, uid })
}
