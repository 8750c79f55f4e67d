//! The planner: what is desired, what the cluster holds and what was applied before go in; what has to be done comes out.
//! It is pure: no clock, no network, the same plan for the same input.

mod decide;
mod diff;
mod prune;
mod sent;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use plumb_api::annotations::{OWNER_NAME, OWNER_NAMESPACE};
use plumb_api::{Inventory, InventoryEntry, Object, ObjectId, SsaPolicy};

use crate::managed_fields::Digest;
use crate::order::{Stage, compare_for_apply, stage_of};

pub use decide::plan_object;
pub use diff::{FieldChange, diff_fields};
pub use prune::{Deletion, Keep, Kept, may_prune, plan_deletion};
pub use sent::as_sent;

/// What is known of an object in the cluster.
#[derive(Clone, Debug)]
pub enum Live {
    /// The object as last seen.
    Present(Arc<Object>),
    /// It is certain that there is no such object.
    Absent,
    /// Its type is not watched, or it may be there without our labels.
    Unknown,
}

/// Where the planner looks up what the cluster holds; in practice the cache of the watches.
pub trait LiveState {
    /// What is known of an object.
    fn live(&self, id: &ObjectId) -> Live;
}

/// An object that the map does not name is unknown.
impl LiveState for HashMap<ObjectId, Live> {
    fn live(&self, id: &ObjectId) -> Live {
        self.get(id).cloned().unwrap_or(Live::Unknown)
    }
}

/// The Kustomization that objects belong to, as their ownership labels name it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// `NAMESPACE/NAME`.
impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl Owner {
    /// Whom the ownership labels of an object name; `None` when it does not have both.
    pub fn of(object: &Object) -> Option<Self> {
        let label = |key| object.label(key).filter(|value| !value.is_empty()).map(str::to_owned);
        Some(Self { namespace: label(OWNER_NAMESPACE)?, name: label(OWNER_NAME)? })
    }
}

/// What was true after an object had last been applied. As long as both digests stay the same, applying again changes nothing,
/// even where the server writes a field in another form than Git does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied {
    /// [`desired_digest`](crate::desired_digest) of what was applied.
    pub desired: Digest,
    /// [`projection_digest`](crate::projection_digest) of what the API server answered.
    pub projection: Digest,
}

/// How to plan.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Whose objects these are.
    pub owner: Owner,
    /// The field manager of server-side apply.
    pub manager: String,
    /// Delete objects that are no longer desired (`spec.prune`).
    pub prune: bool,
    /// Delete and create anew what cannot be changed in place (`spec.force`).
    pub force: bool,
}

/// All that the planner looks at.
pub struct Inputs<'a> {
    /// The rendered objects, with their ownership labels and namespaces already set.
    pub desired: Vec<Arc<Object>>,
    /// What the cluster holds.
    pub live: &'a dyn LiveState,
    /// What the previous plan left in `status.inventory`.
    pub inventory: &'a Inventory,
    /// What is remembered of earlier applies; objects that are not in it are planned from their managed fields alone.
    pub applied: &'a HashMap<ObjectId, Applied>,
    /// Whether another Kustomization that an object's labels name still lists it in its inventory.
    pub is_claimed: &'a dyn Fn(&Owner, &ObjectId) -> bool,
    /// How to plan.
    pub policy: &'a Policy,
}

/// What to do, in order.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What is applied, stage by stage; a stage without objects is left out. Every desired object is in exactly one action or
    /// in one conflict.
    pub stages: Vec<PlannedStage>,
    /// What is deleted when everything was applied, in this order.
    pub prune: Vec<Deletion>,
    /// What leaves the inventory without being deleted, and why.
    pub kept: Vec<Kept>,
    /// Desired objects that belong to another Kustomization. They are not applied; the rest of the plan is.
    pub conflicts: Vec<Conflict>,
    /// Goes into `status.inventory` before anything is applied: all that there is or may be once the plan has begun.
    pub inventory_before: Inventory,
    /// Goes into `status.inventory` when everything was applied as planned and every deletion has succeeded; see
    /// [`Outcome::inventory_after`](crate::Outcome::inventory_after).
    pub inventory_after: Inventory,
}

/// One stage of a [`Plan`].
#[derive(Clone, Debug)]
pub struct PlannedStage {
    /// Which one.
    pub stage: Stage,
    /// Its actions, in the order in which they are begun.
    pub actions: Vec<Action>,
}

/// What to do about one desired object.
#[derive(Clone, Debug)]
pub struct Action {
    /// The object.
    pub id: ObjectId,
    /// What is to be sent to the API server: the rendered object, see [`as_sent`].
    pub desired: Arc<Object>,
    /// What the cluster holds.
    pub live: Live,
    /// What to do.
    pub change: Change,
}

/// What to do about one desired object.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// It is not known whether there is such an object, whose it is, and what its annotations forbid: get it, and ask [`plan_object`].
    Look,
    /// There is no such object: apply it.
    Create,
    /// It is not as it should be: apply it.
    Apply(Apply),
    /// It is as it should be: nothing to do, no request.
    Unchanged,
    /// An annotation, of what is desired or of what is live, says that it is to be left alone.
    LeftAlone(SsaPolicy),
}

/// Details of [`Change::Apply`].
#[derive(Clone, Debug, PartialEq)]
pub struct Apply {
    /// Why.
    pub reason: ApplyReason,
    /// When the API server refuses because a field is immutable, delete the object, wait until it is gone, and create it anew.
    pub replace_if_immutable: bool,
    /// JSON Patch (RFC 6902) to send before applying; see [`take_over`](crate::take_over). Empty when there is nothing to take over,
    /// or `ssa: Merge` forbids it.
    pub take_over: Vec<serde_json::Value>,
}

/// Why an object is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApplyReason {
    /// What is desired is not what the cluster holds.
    Changed,
    /// What is desired is what we applied last; somebody has changed the object since.
    Drifted,
}

/// Two Kustomizations want one object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} is managed by Kustomization {holder} and cannot also be managed by {claimant}: remove it from one of them",
    .id.human()
)]
pub struct Conflict {
    /// The object.
    pub id: ObjectId,
    /// The one that has it: the object's labels name it, and it lists the object in its inventory.
    pub holder: Owner,
    /// The one that is being planned.
    pub claimant: Owner,
}

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Nothing was rendered, but there are objects in the inventory. Deleting them all is never what a broken render should do.
    #[error(
        "nothing was rendered, but the inventory lists {entries} objects: refusing to delete them all; \
         to remove them, delete the Kustomization"
    )]
    EmptyRender {
        /// How many objects the inventory lists.
        entries: usize,
    },
    /// Two rendered objects are one and the same object of the cluster.
    #[error("{} is rendered twice: as object {first} and as object {second}; remove one of them", .id.human())]
    Duplicate {
        /// The object.
        id: ObjectId,
        /// Which of the rendered objects the first one is, counted from 1, and its API version.
        first: String,
        /// The second one.
        second: String,
    },
}

/// Plans.
pub fn plan(inputs: Inputs<'_>) -> Result<Plan, PlanError> {
    let listed = inputs.inventory.entries.len();
    if inputs.desired.is_empty() && listed > 0 {
        return Err(PlanError::EmptyRender { entries: listed });
    }
    refuse_duplicates(&inputs.desired)?;

    let mut actions = Vec::new();
    let mut conflicts = Vec::new();
    let mut wanted = Inventory::default();
    for desired in &inputs.desired {
        let id = desired.id();
        let (live, applied) = (inputs.live.live(&id), inputs.applied.get(&id));
        match plan_object(desired, live, applied, inputs.is_claimed, inputs.policy) {
            Ok(action) => {
                wanted.entries.push(InventoryEntry::of(desired));
                actions.push(action);
            }
            Err(conflict) => conflicts.push(conflict),
        }
    }

    let desired_ids: BTreeSet<String> = inputs.desired.iter().map(|object| object.id().to_string()).collect();
    let mut stale = inputs.inventory.entries.clone();
    stale.retain(|entry| !desired_ids.contains(&entry.id));
    let (prune, kept) = prune::sort_out(&stale, inputs.live, inputs.policy);

    Ok(Plan {
        stages: in_stages(actions),
        prune,
        kept,
        conflicts,
        inventory_before: union(&wanted, &inputs.inventory.entries),
        inventory_after: wanted,
    })
}

impl Plan {
    /// The inventory after the plan was carried out, when some of [`Plan::prune`] could not be deleted: they stay in it, so that
    /// the next plan deletes them.
    pub fn inventory_after_failing(&self, not_deleted: &[ObjectId]) -> Inventory {
        let left: BTreeSet<String> = not_deleted.iter().map(ObjectId::to_string).collect();
        let mut entries = self.inventory_before.entries.clone();
        entries.retain(|entry| left.contains(&entry.id));
        union(&self.inventory_after, &entries)
    }

    /// Every action, in order.
    pub fn actions(&self) -> impl Iterator<Item = &Action> {
        self.stages.iter().flat_map(|stage| &stage.actions)
    }

    /// Whether there is nothing to do.
    pub fn is_unchanged(&self) -> bool {
        let idle = |action: &Action| matches!(action.change, Change::Unchanged | Change::LeftAlone(_));
        self.prune.is_empty() && self.conflicts.is_empty() && self.actions().all(idle)
    }
}

/// The entries of one inventory, then those that only the other has.
fn union(first: &Inventory, second: &[InventoryEntry]) -> Inventory {
    let mut seen: BTreeSet<&str> = first.entries.iter().map(|entry| entry.id.as_str()).collect();
    let rest = second.iter().filter(|entry| seen.insert(&entry.id));
    let entries = first.entries.iter().chain(rest).cloned().collect();
    Inventory { entries }
}

/// Sorts actions into stages, and inside a stage into the order of kinds.
fn in_stages(mut actions: Vec<Action>) -> Vec<PlannedStage> {
    actions.sort_by(|left, right| compare_for_apply(&left.id, &right.id));
    let mut stages: BTreeMap<Stage, Vec<Action>> = BTreeMap::new();
    for action in actions {
        stages.entry(stage_of(&action.id.group_kind)).or_default().push(action);
    }
    stages.into_iter().map(|(stage, actions)| PlannedStage { stage, actions }).collect()
}

/// Of two objects with one id, whichever were applied last would win.
fn refuse_duplicates(desired: &[Arc<Object>]) -> Result<(), PlanError> {
    let mut seen: HashMap<ObjectId, usize> = HashMap::new();
    for (index, object) in desired.iter().enumerate() {
        let id = object.id();
        let describe = |index: usize, object: &Object| {
            format!("{} ({} {})", index + 1, object.api_version(), object.kind())
        };
        if let Some(earlier) = seen.insert(id.clone(), index) {
            let first = desired.get(earlier).map(|object| describe(earlier, object)).unwrap_or_default();
            return Err(PlanError::Duplicate { id, first, second: describe(index, object) });
        }
    }
    Ok(())
}
