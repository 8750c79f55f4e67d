//! Carries a plan out: first everything is tried without effect, then applied stage by stage, then pruned. A commit with a
//! mistake in it leaves the cluster as it was, and every mistake is reported, not the first.

mod apply;
mod depends;
mod outcome;
mod prune;
mod ready;
mod rehearse;
mod single;

use std::collections::HashMap;
use std::sync::Arc;

use futures::stream::{self, StreamExt};
use plumb_api::{GroupVersionKind, Object, ObjectId};
use tokio::time::Instant;

pub use outcome::{AppliedAction, AppliedObject, Outcome, Pruned, Warning};

use crate::api_server::{ApiServer, Place, Propagation};
use crate::discovery::{Kind, KindError, Kinds};
use crate::live::LiveCache;
use crate::order::{Stage, Stages};
use crate::plan::{Action, Applied, Change, Conflict, Owner, Plan, PlannedStage, Policy};
use crate::refusal::{Failure, FailureKind};
use depends::Dependencies;
use rehearse::Rehearsed;

/// How many objects are worked on at once at most. How many requests are under way is for the throttle to say.
const AT_ONCE: usize = 64;

/// Carries out plans on one cluster, as one user.
#[derive(Clone)]
pub struct Executor {
    api: ApiServer,
    kinds: Arc<Kinds>,
    live: LiveCache,
}

/// What the planner was told, for objects that have to be looked at before it can decide (see [`Change::Look`]).
pub struct Context<'a> {
    /// As in [`Inputs`](crate::Inputs).
    pub policy: &'a Policy,
    /// As in [`Inputs`](crate::Inputs).
    pub applied: &'a HashMap<ObjectId, Applied>,
    /// As in [`Inputs`](crate::Inputs).
    pub is_claimed: &'a (dyn Fn(&Owner, &ObjectId) -> bool + Sync),
    /// When to give up. What has been applied by then stays.
    pub deadline: Instant,
}

impl Executor {
    /// An executor that sends its requests through `api`; what it learns goes into `kinds` and `live`, which may belong to a more
    /// powerful user.
    pub fn new(api: ApiServer, kinds: Arc<Kinds>, live: LiveCache) -> Self {
        Self { api, kinds, live }
    }

    /// Carries out a plan. The inventory has to be stored before (`plan.inventory_before`). Dropping the future stops the
    /// work; what has been applied stays (of requests under way it is not known), and the next plan goes on from there.
    ///
    /// No object is changed when the dry run of one fails. Objects in a namespace, or of a kind, that the plan itself brings can be
    /// tried only when that is there; if one of these is refused, nothing of its stage and of those after it is applied. A plan that
    /// changes one known object is not tried first: that one request does all or nothing. Nothing is pruned unless all was applied, and
    /// nothing is on its way out that is desired.
    pub async fn execute(&self, plan: &Plan, context: &Context<'_>) -> Outcome {
        let mut outcome = Outcome { conflicts: plan.conflicts.clone(), ..Outcome::default() };
        let depends = Dependencies::of(plan, &context.policy.stages);
        let mut decided = self.rehearse_plan(plan, &depends, context).await;
        outcome.failed = take_failures(&mut decided, context.policy);
        for stage in &plan.stages {
            if !outcome.failed.is_empty() {
                break;
            }
            Box::pin(self.execute_stage(stage, &depends, &mut decided, context, &mut outcome)).await;
        }
        if !outcome.failed.is_empty() {
            outcome.conflicts.extend(conflicts(decided));
            return outcome;
        }
        let pruned = if outcome.being_deleted.is_empty() {
            self.prune(&plan.prune, &context.policy.owner, Propagation::Background, context.deadline).await
        } else {
            let postponed = plan.prune.iter().map(|deletion| deletion.id.clone()).collect();
            Pruned { postponed, ..Pruned::default() }
        };
        Outcome { pruned, ..outcome }
    }

    /// Tries all that can be tried before anything is changed.
    async fn rehearse_plan(&self, plan: &Plan, depends: &Dependencies, context: &Context<'_>) -> Decided {
        let changing: Vec<&Action> = plan.actions().filter(|action| action.is_change()).collect();
        if let [Action { change: Change::Apply(_), .. }] = changing.as_slice() {
            return HashMap::new();
        }
        let now = changing.into_iter().filter(|action| !depends.has_to_wait(action));
        self.rehearse_all(now, depends, context).await
    }

    async fn rehearse_all<'a>(
        &self,
        actions: impl Iterator<Item = &'a Action>,
        depends: &Dependencies,
        context: &Context<'_>,
    ) -> Decided {
        let one = |action: &'a Action| async move {
            (action.id.clone(), Box::pin(self.rehearse(action, depends, context)).await)
        };
        let actions: Vec<_> = actions.map(one).collect();
        stream::iter(actions).buffer_unordered(AT_ONCE).collect().await
    }

    async fn execute_stage(
        &self,
        stage: &PlannedStage,
        depends: &Dependencies,
        decided: &mut Decided,
        context: &Context<'_>,
        outcome: &mut Outcome,
    ) {
        let waited = stage
            .actions
            .iter()
            .filter(|action| depends.has_to_wait(action) && !decided.contains_key(&action.id));
        let mut late = self.rehearse_all(waited.filter(|action| action.is_change()), depends, context).await;
        outcome.failed = take_failures(&mut late, context.policy);
        decided.extend(late);
        if !outcome.failed.is_empty() {
            return;
        }

        let mut to_apply = Vec::new();
        for action in &stage.actions {
            match decided.remove(&action.id) {
                Some(Ok(Rehearsed::Go(action))) => to_apply.push(action),
                Some(Ok(Rehearsed::Conflict(conflict))) => outcome.conflicts.push(conflict),
                // Failures were taken out above.
                Some(Err(_)) => {}
                None => to_apply.push(action.clone()),
            }
        }
        let answers = self.apply_stage(to_apply, depends, context, outcome).await;
        if outcome.failed.is_empty() && stage.stage.is_awaited() {
            outcome.failed = self.wait_until_ready(answers, context.deadline).await;
        }
    }

    /// Applies what of a stage is to be applied; returns the objects that were changed, as the API server answered.
    async fn apply_stage(
        &self,
        actions: Vec<Action>,
        depends: &Dependencies,
        context: &Context<'_>,
        outcome: &mut Outcome,
    ) -> Vec<Object> {
        let (changing, idle): (Vec<_>, Vec<_>) = actions.into_iter().partition(Action::is_change);
        for action in idle {
            match action.change {
                Change::LeftAlone(_) => outcome.left_alone.push(action.id),
                Change::BeingDeleted(going) => outcome.being_deleted.push((action.id, going)),
                _ => {}
            }
        }
        let mut changed = Vec::new();
        for wave in waves(changing, &context.policy.stages) {
            let one = |action: Action| async move { Box::pin(self.apply(&action, depends, context)).await };
            let mut results = stream::iter(wave.into_iter().map(one)).buffer_unordered(AT_ONCE);
            while let Some(result) = results.next().await {
                match result {
                    Ok(done) => {
                        outcome.warnings.extend(done.warnings);
                        if done.applied.action != AppliedAction::Unchanged {
                            changed.push(done.object);
                        }
                        outcome.applied.push(done.applied);
                    }
                    Err(failure) => outcome.failed.push(failure),
                }
            }
            if !outcome.failed.is_empty() {
                break;
            }
        }
        changed
    }

    async fn kind_of(
        &self,
        id: &ObjectId,
        gvk: &GroupVersionKind,
        deadline: Instant,
    ) -> Result<Kind, Failure> {
        self.kinds.resolve(gvk, deadline).await.map_err(|error| {
            let kind = match error {
                KindError::Unknown(_) => FailureKind::NotFound,
                KindError::Discovery(_) => FailureKind::Unavailable,
            };
            Failure { id: id.clone(), message: error.to_string(), kind }
        })
    }
}

/// What the rehearsal found out, by object.
type Decided = HashMap<ObjectId, Result<Rehearsed, Failure>>;

fn take_failures(decided: &mut Decided, policy: &Policy) -> Vec<Failure> {
    let mut failures: Vec<_> = decided.values().filter_map(|result| result.as_ref().err().cloned()).collect();
    decided.retain(|_, result| result.is_ok());
    failures.sort_by(|left, right| policy.stages.compare(&left.id, &right.id));
    failures
}

/// What is another Kustomization's, of the stages that were not begun: it is told with the failures.
fn conflicts(decided: Decided) -> impl Iterator<Item = Conflict> {
    decided.into_values().filter_map(|rehearsed| match rehearsed {
        Ok(Rehearsed::Conflict(conflict)) => Some(conflict),
        Ok(Rehearsed::Go(_)) | Err(_) => None,
    })
}

/// Where an object is. The scope decides whether its namespace counts.
fn place_of<'a>(id: &'a ObjectId, kind: &'a Kind) -> Place<'a> {
    let namespace = match id.namespace.as_str() {
        _ if !kind.is_namespaced => None,
        "" => Some("default"),
        namespace => Some(namespace),
    };
    Place { resource: &kind.resource, namespace, name: &id.name }
}

/// What is applied at once within a stage: first what pods name and what limits them, then what runs, then the webhooks, which
/// would be asked about the rest. The actions are in the order of kinds already.
fn waves(actions: Vec<Action>, stages: &Stages) -> Vec<Vec<Action>> {
    let mut waves: Vec<Vec<Action>> = vec![Vec::new(), Vec::new(), Vec::new()];
    for action in actions {
        let wave = match action.id.group_kind.kind.as_str() {
            "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration" => 2,
            "ResourceQuota"
            | "LimitRange"
            | "ServiceAccount"
            | "Role"
            | "RoleBinding"
            | "ClusterRoleBinding"
            | "ConfigMap"
            | "Secret"
            | "PersistentVolumeClaim"
            | "Service" => 0,
            _ if stages.of(&action.id.group_kind) == Stage::Rest => 1,
            _ => 0,
        };
        if let Some(wave) = waves.get_mut(wave) {
            wave.push(action);
        }
    }
    waves.retain(|wave| !wave.is_empty());
    waves
}
