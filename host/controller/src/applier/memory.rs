//! What is remembered of an applier between two reconciliations.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use plumb_api::{HelmReleaseStatus, KustomizationStatus, ObjectId};
use plumb_apply::{Applied, Kind};

use super::expressions::{Compared, Expressions};
use super::health::PodsSeen;
use super::repairs::Repairs;
use super::state::ApplierStatus;
use super::{Applier, ApplierId};
use crate::clusters::{Actor, List};
use crate::inputs::InputId;
use crate::status::Written;

/// What is remembered of all appliers.
#[derive(Default)]
pub(crate) struct Memories {
    /// Of Kustomizations and Pipelines.
    pub(super) kept: Kept<KustomizationStatus>,
    pub(super) releases: Kept<HelmReleaseStatus>,
}

impl Memories {
    /// Forgets an applier that is gone.
    pub(crate) fn forget(&self, id: &ApplierId) {
        self.kept.forget(id);
        self.releases.forget(id);
    }
}

/// What is remembered of the appliers whose status is an `S`.
pub(super) struct Kept<S: ApplierStatus>(Mutex<HashMap<ApplierId, Memory<S>>>);

impl<S: ApplierStatus> Default for Kept<S> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<S: ApplierStatus> Kept<S> {
    /// What is remembered of an applier; nothing after a panic. Whoever takes it puts it back.
    pub(super) fn take(&self, id: &ApplierId) -> Memory<S> {
        self.0.lock().remove(id).unwrap_or_default()
    }

    pub(super) fn put(&self, id: ApplierId, memory: Memory<S>) {
        self.0.lock().insert(id, memory);
    }

    fn forget(&self, id: &ApplierId) {
        if let Some(memory) = self.0.lock().remove(id) {
            memory.let_go(id);
        }
    }
}

/// What is remembered of an applier, whose status is an `S`, between two reconciliations. All of it can be lost: it saves requests.
pub(super) struct Memory<S: ApplierStatus> {
    /// The object's identity: one of the same name may take its place.
    pub(super) uid: Option<String>,
    /// The status as we wrote it last: the watch may lag behind.
    pub(super) status: Option<Written<S>>,
    /// How often in a row something failed that may pass by itself.
    pub(super) failures: u32,
    /// What was true after each object was applied.
    pub(super) applied: HashMap<ObjectId, Applied>,
    pub(super) repairs: Repairs,
    /// What was changed since the Kustomization was last ready, to be told when it is.
    pub(super) changes: Vec<String>,
    /// What was attempted last, and since when.
    pub(super) attempt: Option<(Attempt, Instant)>,
    /// Since when deleting what is no longer desired waits for others to render the same revision.
    pub(super) prune_held: Option<Instant>,
    /// An attempt that failed, which is not made again before this time.
    pub(super) held: Option<(Attempt, Instant)>,
    /// What the pods of unhealthy workloads said, and when.
    pub(super) pods: PodsSeen,
    /// The expressions of the spec, for the generation that they were read from.
    pub(super) expressions: Option<(Option<i64>, Arc<Expressions>)>,
    pub(super) compared: Compared,
    /// What is likely to hurt and was told.
    pub(super) linted: HashSet<String>,
    /// The objects of other kinds that `spec.dependsOn` names, and those that `spec.healthChecks` names and that are not applied here.
    pub(super) followed: Followed,
    /// Who acted last. Kept, so that the watches of a cluster last for as long as somebody uses it.
    pub(super) actor: Option<Arc<Actor>>,
    /// What is remembered of this kind of applier only.
    pub(super) own: S::Memory,
}

/// Objects that are named and not owned, each with its kind.
#[derive(Default)]
pub(super) struct Followed {
    pub(super) dependencies: Vec<(ObjectId, Kind)>,
    pub(super) health_checks: Vec<(ObjectId, Kind)>,
    /// What plugins have read.
    pub(super) reads: Reads,
}

/// What plugins have read of the cluster.
#[derive(Default)]
pub(super) struct Reads {
    /// By name.
    pub(super) objects: Vec<(ObjectId, Kind)>,
    pub(super) lists: Vec<(List, Kind)>,
}

impl Followed {
    /// Follows these and no others.
    pub(super) fn follow(&self, actor: &Actor, own: &ApplierId) {
        let all: Vec<_> =
            self.dependencies.iter().chain(&self.health_checks).chain(&self.reads.objects).cloned().collect();
        for id in actor.references.follow(&own.owner(), &all) {
            tracing::warn!(object = %own, not_followed = %id.human(), "too many objects are named by health checks and dependencies");
        }
        for list in actor.lists.follow(own, &self.reads.lists) {
            tracing::warn!(object = %own, not_followed = %list, "too many lists are read by plugins");
        }
    }
}

impl<S: ApplierStatus> Default for Memory<S> {
    fn default() -> Self {
        Self {
            uid: None,
            status: None,
            failures: 0,
            applied: HashMap::new(),
            repairs: Repairs::default(),
            changes: Vec::new(),
            attempt: None,
            prune_held: None,
            held: None,
            pods: PodsSeen::default(),
            expressions: None,
            compared: Compared::default(),
            linted: HashSet::new(),
            followed: Followed::default(),
            actor: None,
            own: S::Memory::default(),
        }
    }
}

impl<S: ApplierStatus> Memory<S> {
    /// What is remembered of just this object.
    pub(super) fn of(self, object: &Applier) -> Self {
        if self.uid == object.meta().uid {
            return self;
        }
        self.let_go(&object.id());
        Self { uid: object.meta().uid.clone(), ..Self::default() }
    }

    /// What was true of another cluster, or for another user, is forgotten.
    pub(super) fn act_as(&mut self, actor: &Arc<Actor>, id: &ApplierId) {
        if self.actor.as_ref().is_some_and(|before| Arc::ptr_eq(before, actor)) {
            return;
        }
        self.let_go(id);
        self.applied.clear();
        self.repairs = Repairs::default();
        self.pods = PodsSeen::default();
        self.compared = Compared::default();
        self.followed = Followed::default();
        self.own = S::Memory::default();
        self.actor = Some(actor.clone());
    }

    /// Follows nothing any longer.
    pub(super) fn let_go(&self, id: &ApplierId) {
        if let Some(actor) = &self.actor {
            actor.references.follow(&id.owner(), &[]);
            actor.lists.follow(id, &[]);
        }
    }
}

impl Attempt {
    /// Whether both are made from the same, whatever was asked for.
    pub(super) fn is_of_the_same(&self, other: &Self) -> bool {
        (self.generation, &self.revision, &self.digest, &self.inputs)
            == (other.generation, &other.revision, &other.digest, &other.inputs)
    }
}

/// What makes a reconciliation another one, rather than another look at the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Attempt {
    pub(super) generation: Option<i64>,
    pub(super) revision: String,
    /// Identifies the tree: of one commit a source may show more or less.
    pub(super) digest: String,
    /// The annotations that ask for something.
    pub(super) asked: [Option<String>; 3],
    /// The versions of the ConfigMaps and Secrets that it is made from.
    pub(super) inputs: Vec<(InputId, String)>,
}
