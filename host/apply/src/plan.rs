//! The planner: what is desired, what the cluster holds and what was applied before go in; what has to be done comes out.
//! It is pure: no clock, no network, the same plan for the same input.

mod decide;
mod diff;
mod guard;
mod prune;
mod sent;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

pub use plumb_api::Owner;
use plumb_api::{GroupKind, Inventory, InventoryEntry, Object, ObjectId, SsaPolicy};

use crate::discovery::Deferred;
use crate::field_manager;
use crate::ignore::IgnoreRules;
use crate::managed_fields::{Digest, OverrideManagers, projection_digest};
use crate::order::{Stage, Stages};
use crate::terminating::Terminating;

pub use decide::plan_object;
pub use diff::{FieldChange, diff_fields};
pub use guard::{InvalidPruneLimit, PruneLimit, Withheld};
pub use prune::{Deletion, Keep, Kept, may_prune, plan_deletion};
pub use sent::as_sent;

use prune::Stale;

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

/// What was true after an object had last been applied. As long as both digests stay the same, applying again changes nothing,
/// even where the server writes a field in another form than Git does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied {
    /// [`desired_digest`](crate::desired_digest) of what was applied.
    pub desired: Digest,
    /// [`projection_digest`](crate::projection_digest) of what the API server answered, without what others may change.
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
    /// The fields that others may change (`spec.ignore`).
    pub ignore: IgnoreRules,
    /// Which kinds are applied before which.
    pub stages: Stages,
    /// Whose fields become ours (`--override-manager`). The [`LiveCache`](crate::LiveCache) has to be made for the same.
    pub override_managers: OverrideManagers,
    /// How much may be deleted at once.
    pub prune_limit: PruneLimit,
    /// What becomes of fields that are not as desired.
    pub fields: Fields,
    /// [`Withheld::confirmation`] of deletions that somebody has confirmed although they are more than the limit.
    pub prune_confirmed: Option<String>,
}

/// What becomes of the fields of an object that is there and is not as desired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fields {
    /// They are put back.
    #[default]
    Kept,
    /// They are left: only objects that are not there are created. HelmRelease, `spec.driftDetection.mode`.
    Left,
}

impl Policy {
    /// What Flux does by default: nothing is deleted, neither to prune nor to replace.
    pub fn new(owner: Owner) -> Self {
        Self {
            manager: field_manager(owner.kind).to_owned(),
            owner,
            prune: false,
            force: false,
            ignore: IgnoreRules::default(),
            stages: Stages::default(),
            override_managers: OverrideManagers::default(),
            prune_limit: PruneLimit::default(),
            prune_confirmed: None,
            fields: Fields::Kept,
        }
    }

    /// What is remembered of a live object: see [`Applied::projection`].
    pub(crate) fn projection(&self, live: &Object) -> Option<Digest> {
        match self.ignore.without(live, &self.manager) {
            Some(live) => projection_digest(&live, &self.manager),
            None => projection_digest(live, &self.manager),
        }
    }
}

/// All that the planner looks at.
pub struct Inputs<'a> {
    /// The rendered objects, with their ownership labels and namespaces already set.
    pub desired: Vec<Arc<Object>>,
    /// Rendered objects whose kind the cluster does not know, see [`Kinds::place_all`](crate::Kinds::place_all). While there are any,
    /// nothing is deleted: nobody can tell whether they are what the inventory lists.
    pub deferred: Vec<Deferred>,
    /// What the cluster holds.
    pub live: &'a dyn LiveState,
    /// What the previous plan left in `status.inventory`.
    pub inventory: &'a Inventory,
    /// What is remembered of earlier applies; objects that are not in it are planned from their managed fields alone.
    pub applied: &'a HashMap<ObjectId, Applied>,
    /// Whether another Kustomization that an object's labels name still lists it in its inventory.
    pub is_claimed: &'a dyn Fn(&Owner, &ObjectId) -> bool,
    /// Which other Kustomization waits to have an object that is no longer desired here; it is let go, not deleted.
    pub heir: &'a dyn Fn(&ObjectId) -> Option<Owner>,
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
    /// What would be deleted if it were not more than [`Policy::prune_limit`]. It stays in the inventory.
    pub withheld: Option<Withheld>,
    /// What is no longer desired, was deleted before, and is not gone yet. It stays in the inventory until it is.
    pub terminating: Vec<Terminating>,
    /// What waits for its kind. The rest of the plan does not.
    pub deferred: Vec<Deferred>,
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
    /// The rendered object, see [`as_sent`].
    pub desired: Arc<Object>,
    /// What is to be sent to the API server: what is desired, but for the fields that others may change.
    pub sent: Arc<Object>,
    /// What the cluster holds.
    pub live: Live,
    /// What to do.
    pub change: Change,
}

impl Action {
    /// Whether it may lead to a request.
    pub(crate) fn is_change(&self) -> bool {
        matches!(self.change, Change::Look | Change::Create | Change::Apply(_))
    }
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
    /// Somebody has deleted it, or its namespace, and that is not gone yet: what is applied now would go with it. When it has gone, the
    /// next plan creates the object.
    BeingDeleted(Terminating),
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
    "{} is managed by {holder} and cannot also be managed by {claimant}: remove it from one of them",
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
    if inputs.desired.is_empty() && inputs.deferred.is_empty() && listed > 0 {
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

    wait_for_namespaces(&mut actions);

    let desired_ids: BTreeSet<String> = inputs.desired.iter().map(|object| object.id().to_string()).collect();
    let mut stale = inputs.inventory.entries.clone();
    stale.retain(|entry| !desired_ids.contains(&entry.id));
    let inventory_before = union(&wanted, &inputs.inventory.entries);
    let stale = if inputs.deferred.is_empty() { prune::sort_out(&stale, &inputs) } else { Stale::default() };
    let (prune, withheld) = guard::guard(
        stale.deletions,
        listed,
        inputs.policy.prune_limit,
        inputs.policy.prune_confirmed.as_deref(),
    );
    let mut plan = Plan {
        stages: in_stages(actions, &inputs.policy.stages),
        prune,
        kept: stale.kept,
        withheld,
        terminating: stale.terminating,
        deferred: inputs.deferred,
        conflicts,
        inventory_before,
        inventory_after: wanted,
    };
    plan.inventory_after = if plan.deferred.is_empty() {
        let withheld =
            plan.withheld.iter().flat_map(|withheld| &withheld.deletions).map(|deletion| &deletion.id);
        let staying: Vec<_> =
            withheld.chain(plan.terminating.iter().map(|object| &object.id)).cloned().collect();
        plan.inventory_after_failing(&staying)
    } else {
        plan.inventory_before.clone()
    };
    Ok(plan)
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

    /// Whether the plan is one request that does all or nothing: one known object is changed in place, nothing has to wait for it, and
    /// nothing is deleted.
    pub fn is_one_request(&self) -> bool {
        let mut changes = self.stages.iter().flat_map(|stage| {
            stage
                .actions
                .iter()
                .filter(|action| action.is_change())
                .map(|action| (stage.stage, &action.change))
        });
        let in_place = |change: &Change| matches!(change, Change::Apply(apply) if !apply.replace_if_immutable && apply.take_over.is_empty());
        let one = matches!(
            (changes.next(), changes.next()),
            (Some((stage, change)), None) if in_place(change) && !stage.is_awaited()
        );
        one && self.prune.is_empty()
    }

    /// Whether everything is as it should be: there is nothing to do, to wait for, or to tell.
    pub fn is_unchanged(&self) -> bool {
        let idle = |action: &Action| matches!(action.change, Change::Unchanged | Change::LeftAlone(_));
        self.prune.is_empty()
            && self.conflicts.is_empty()
            && self.withheld.is_none()
            && self.terminating.is_empty()
            && self.deferred.is_empty()
            && self.actions().all(idle)
    }
}

/// The entries of one inventory, then those that only the other has.
fn union(first: &Inventory, second: &[InventoryEntry]) -> Inventory {
    let mut seen: BTreeSet<&str> = first.entries.iter().map(|entry| entry.id.as_str()).collect();
    let rest = second.iter().filter(|entry| seen.insert(&entry.id));
    let entries = first.entries.iter().chain(rest).cloned().collect();
    Inventory { entries }
}

/// The API server creates nothing in a namespace that is being deleted, and whatever is changed there goes.
fn wait_for_namespaces(actions: &mut [Action]) {
    let is_namespace = |id: &ObjectId| id.group_kind == GroupKind::new("", "Namespace");
    let going: HashMap<String, Terminating> = actions
        .iter()
        .filter(|action| is_namespace(&action.id))
        .filter_map(|action| match &action.change {
            Change::BeingDeleted(namespace) => Some((action.id.name.clone(), namespace.clone())),
            _ => None,
        })
        .collect();
    for action in actions {
        let would_act = matches!(action.change, Change::Look | Change::Create | Change::Apply(_));
        if let (true, Some(namespace)) = (would_act, going.get(&action.id.namespace)) {
            action.change = Change::BeingDeleted(namespace.clone());
        }
    }
}

/// Sorts actions into stages, and inside a stage into the order of kinds.
fn in_stages(mut actions: Vec<Action>, stages: &Stages) -> Vec<PlannedStage> {
    actions.sort_by(|left, right| stages.compare(&left.id, &right.id));
    let mut planned: BTreeMap<Stage, Vec<Action>> = BTreeMap::new();
    for action in actions {
        planned.entry(stages.of(&action.id.group_kind)).or_default().push(action);
    }
    planned.into_iter().map(|(stage, actions)| PlannedStage { stage, actions }).collect()
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
