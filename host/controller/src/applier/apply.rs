//! From what is desired to what is done: plans, writes the inventory, carries the plan out, and says what has changed.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant as Clock};

use futures::future::join_all;
use plumb_api::annotations::{PRUNE_CONFIRMED, PRUNE_LIMIT};
use plumb_api::{ApplierKind, GroupVersionKind, Inventory, KustomizationStatus, ObjectId, Reason};
use plumb_apply::{
    Action, Applied, AppliedAction, Apply, ApplyReason, Change, Context as PlanContext, Deletion,
    FailureKind, Inputs, Keep, Kind, Live, LiveView, Outcome, Owner, Plan, Policy, Propagation, PruneLimit,
    Terminating, diff_fields, field_manager, plan, plan_deletion,
};
use tokio::time::Instant;

use super::ApplierId;
use super::expressions::Expressions;
use super::failure::{Failure, Retry};
use super::render::Desired;
use super::run::Run;
use super::state::ApplierStatus;
use crate::clusters::Actor;
use crate::events::Severity;
use crate::status::said;

/// How long the watches of new kinds have to list what is there.
const LISTING: Duration = Duration::from_secs(20);
/// The longest that applying may take, whatever `spec.timeout` says: health is waited for elsewhere.
const LONGEST_APPLY: Duration = Duration::from_secs(600);
/// How long deletions wait for others that render the same source.
const PRUNE_HELD: Duration = Duration::from_secs(3);
/// While something is being deleted it is looked at this often, besides when a watch tells of it.
const TERMINATING: Duration = Duration::from_secs(10);
/// How many changes are remembered until the Kustomization is ready: more than an event can tell.
const CHANGES: usize = 1000;
/// How many changes of fields a message about drift tells.
const FIELDS: usize = 3;

/// Brings the cluster to what is desired.
pub(super) async fn apply(
    run: &mut Run<'_, impl ApplierStatus>,
    actor: &Actor,
    desired: &Desired,
    policy: &Policy,
) -> Result<(), Failure> {
    let context = run.context;
    let inventory = run.status.pruned();
    let view = watch(run, actor, desired, &inventory).await;
    let is_claimed =
        |owner: &Owner, id: &ObjectId| context.is_listed_by(&ApplierId::from(owner), &actor.cluster.id, id);
    let mut plan = plan(Inputs {
        desired: desired.objects.clone(),
        live: &view,
        inventory: &inventory,
        applied: &run.memory.applied,
        is_claimed: &is_claimed,
        deferred: desired.deferred.clone(),
        heir: &|id| context.wanted_by_other(&run.id, &actor.cluster.id, id).map(|heir| heir.owner()),
        policy,
    })
    .map_err(|error| Failure::new(Reason::ReconciliationFailed, Retry::Interval, error.to_string()))?;
    let pruned = hold_prune(run, &mut plan);
    hand_over(run, &plan);
    let drifted = postpone_fights(run, &mut plan);
    if plan.is_unchanged() && inventory == plan.inventory_after {
        pruned?;
        return expect_all(run, actor, &plan, &[]);
    }
    // Putting an object back that is listed already needs no announcement, and does not make the Kustomization less ready.
    let is_new = run.written.is_behind(run.revision.as_deref(), run.object.meta().generation);
    // A single request is over before anybody could read that it has begun.
    if inventory != plan.inventory_before || (is_new && !plan.is_one_request()) {
        announce(run, &plan).await?;
    }
    let deadline = Instant::now() + run.spec.timeout().min(LONGEST_APPLY);
    let plan_context =
        PlanContext { policy, applied: &run.memory.applied, is_claimed: &is_claimed, deadline };
    let outcome = actor.executor.execute(&plan, &plan_context).await;
    remember(&mut run.memory.applied, desired, &outcome);
    tell_of_drift(run, &drifted, &outcome).await;
    for warning in &outcome.warnings {
        let note = format!("{}: {}", warning.id.human(), warning.text);
        run.publish(Severity::Warning, "APIWarning", &note).await;
    }
    conclude(&mut run.status, inventory, &plan, &outcome)?;
    pruned?;
    let gone: Vec<Terminating> = outcome.being_deleted.iter().map(|(_, object)| object.clone()).collect();
    run.terminating.extend(outcome.pruned.terminating.iter().cloned());
    run.memory.changes.extend(changes(&outcome));
    run.memory.changes.truncate(CHANGES);
    expect_all(run, actor, &plan, &gone)
}

/// Fails while something of the plan has to wait for somebody else.
fn expect_all(
    run: &mut Run<'_, impl ApplierStatus>,
    actor: &Actor,
    plan: &Plan,
    being_deleted: &[Terminating],
) -> Result<(), Failure> {
    run.terminating.extend(plan.terminating.iter().cloned());
    if !being_deleted.is_empty() {
        let message =
            format!("waiting until these are gone: {}", lines(being_deleted.iter().map(ToString::to_string)));
        return Err(Failure::new(Reason::Progressing, Retry::Health(TERMINATING), message));
    }
    if !plan.deferred.is_empty() {
        actor.cluster.await_kinds(&run.id, plan.deferred.iter().map(|deferred| &deferred.gvk));
        let message = lines(plan.deferred.iter().map(ToString::to_string));
        return Err(Failure::new(Reason::ReconciliationFailed, Retry::Dependency, message));
    }
    match &plan.withheld {
        Some(withheld) => {
            let message = withheld.to_string();
            Err(Failure::new(Reason::PruneFailed, Retry::Confirmation, message))
        }
        None => Ok(()),
    }
}

/// Watches everything that is, or was, applied.
pub(super) async fn watch(
    run: &Run<'_, impl ApplierStatus>,
    actor: &Actor,
    desired: &Desired,
    inventory: &Inventory,
) -> LiveView {
    let gvks = desired
        .types
        .iter()
        .cloned()
        .chain(inventory.entries.iter().filter_map(|entry| Some(entry.parse()?.1)));
    let mut kinds: Vec<Kind> = Vec::new();
    for gvk in gvks {
        if let Some(kind) = actor.cluster.kinds.known(&gvk).filter(|kind| !kinds.contains(kind)) {
            kinds.push(kind);
        }
    }
    for not_watched in actor.cluster.live.ensure(&kinds, run.id.kind.labels(), Instant::now() + LISTING).await
    {
        tracing::debug!(object = %run.id, kind = not_watched.gvk.kind, why = %not_watched.why, "not watched");
    }
    actor.cluster.live.view(&kinds)
}

/// How the objects of a Kustomization or Pipeline are applied.
pub(super) fn policy(
    run: &Run<'_, KustomizationStatus>,
    expressions: &Expressions,
) -> Result<Policy, Failure> {
    let annotation = |name| run.object.annotation(name);
    let prune_limit = match annotation(PRUNE_LIMIT).map(|text| text.parse()) {
        None => PruneLimit::default(),
        Some(Ok(limit)) => limit,
        Some(Err(error)) => {
            let message = format!("the annotation {PRUNE_LIMIT}: {error}");
            return Err(Failure::new(Reason::ReconciliationFailed, Retry::Interval, message));
        }
    };
    Ok(Policy {
        prune: run.spec.apply.prune,
        force: run.spec.apply.force,
        ignore: expressions.ignore.clone(),
        stages: run.context.config.stages.clone(),
        override_managers: run.context.config.override_managers.clone(),
        prune_limit,
        prune_confirmed: annotation(PRUNE_CONFIRMED).cloned(),
        ..Policy::new(run.id.owner())
    })
}

/// Lets the others that render the same source do so first, for a moment: an object that has moved to one of them is then let go
/// rather than deleted. An error means that the plan is to be carried out without its deletions.
fn hold_prune(run: &mut Run<'_, impl ApplierStatus>, plan: &mut Plan) -> Result<(), Failure> {
    let revision = run.revision.as_deref().unwrap_or_default();
    // What is withheld may be what others are about to take over, too.
    let is_settled = plan.prune.is_empty() && plan.withheld.is_none()
        || run.id.kind == ApplierKind::HelmRelease
        || run.context.all_others_rendered(&run.id, &run.source(), revision);
    if is_settled || run.memory.prune_held.get_or_insert_with(Clock::now).elapsed() >= PRUNE_HELD {
        run.memory.prune_held = None;
        return Ok(());
    }
    let kept: Vec<ObjectId> = plan.prune.drain(..).map(|deletion| deletion.id).collect();
    plan.inventory_after = plan.inventory_after_failing(&kept);
    let message = "applied; what is no longer in the source is deleted once the other Kustomizations have rendered this revision";
    Err(Failure::new(Reason::Progressing, Retry::Health(Duration::from_millis(100)), message))
}

/// Remembers who waits for objects that are let go.
fn hand_over(run: &mut Run<'_, impl ApplierStatus>, plan: &Plan) {
    for kept in &plan.kept {
        if let Keep::HandedOver(heir) = &kept.reason {
            tracing::info!(object = %run.id, handed_over = kept.entry.id, to = %heir, "handed over");
            run.heirs.push(ApplierId::from(heir));
        }
    }
}

/// An object that was put back again and again has to wait for the next time. Returns the others that have drifted.
fn postpone_fights(run: &mut Run<'_, impl ApplierStatus>, plan: &mut Plan) -> Vec<Drift> {
    let now = Clock::now();
    let mut drifted = Vec::new();
    for action in plan.stages.iter_mut().flat_map(|stage| &mut stage.actions) {
        if !is_drifted(action) && !is_missing(run, action) {
            continue;
        }
        if let Some(wait) = run.memory.repairs.wait(&action.id, now) {
            action.change = Change::Unchanged;
            run.postponed = Some(run.postponed.map_or(wait, |before| before.min(wait)));
            run.fought_over.push(action.id.clone());
        } else {
            drifted.push(Drift {
                id: action.id.clone(),
                what: what_drifted(action, field_manager(run.id.kind)),
            });
        }
    }
    drifted
}

/// An object that somebody else has changed or deleted.
struct Drift {
    id: ObjectId,
    what: String,
}

fn is_drifted(action: &Action) -> bool {
    matches!(action.change, Change::Apply(Apply { reason: ApplyReason::Drifted, .. }))
}

/// Whether we have applied the object as it is desired, and it is there no longer.
fn is_missing(run: &Run<'_, impl ApplierStatus>, action: &Action) -> bool {
    matches!(action.change, Change::Look | Change::Create)
        && run
            .memory
            .applied
            .get(&action.id)
            .is_some_and(|applied| applied.desired == plumb_apply::desired_digest(&action.desired))
}

fn what_drifted(action: &Action, manager: &str) -> String {
    let Live::Present(live) = &action.live else { return "it was deleted".to_owned() };
    let changes = diff_fields(live, &action.sent, manager);
    let show =
        |value: &Option<serde_json::Value>| value.as_ref().map_or("nothing".to_owned(), ToString::to_string);
    let fields: Vec<String> = changes
        .iter()
        .take(FIELDS)
        .map(|change| {
            format!("{} was {} instead of {}", change.pointer, show(&change.from), show(&change.to))
        })
        .collect();
    match changes.len().saturating_sub(FIELDS) {
        0 => fields.join(", "),
        more => format!("{}, and {more} more fields", fields.join(", ")),
    }
}

/// Writes the inventory before anything is applied, so that a crash between two requests leaks no object.
async fn announce(run: &mut Run<'_, impl ApplierStatus>, plan: &Plan) -> Result<(), Failure> {
    let report = run.report();
    run.status.set_inventory(plan.inventory_before.clone());
    report.begin(&mut run.status, "Reconciliation in progress");
    run.write_status().await.map_err(|error| {
        let message = format!(
            "nothing was applied, because the inventory could not be written first: {}",
            said(&error)
        );
        Failure::new(Reason::ReconciliationFailed, Retry::Backoff, message)
    })
}

/// Remembers what is true of the objects that are desired, and of no others: an object that was renamed is not followed under its old name.
fn remember(memory: &mut HashMap<ObjectId, Applied>, desired: &Desired, outcome: &Outcome) {
    for object in &outcome.applied {
        match object.applied {
            Some(applied) => memory.insert(object.id.clone(), applied),
            None => memory.remove(&object.id),
        };
    }
    for id in &outcome.pruned.deleted {
        memory.remove(id);
    }
    let desired: HashSet<ObjectId> = desired.objects.iter().map(|object| object.id()).collect();
    memory.retain(|id, _| desired.contains(id));
}

async fn tell_of_drift(run: &mut Run<'_, impl ApplierStatus>, drifted: &[Drift], outcome: &Outcome) {
    let was_repaired = |drift: &&Drift| {
        outcome
            .applied
            .iter()
            .any(|object| object.id == drift.id && object.action != AppliedAction::Unchanged)
    };
    let repaired: Vec<&Drift> = drifted.iter().filter(was_repaired).collect();
    run.context.metrics.repaired(repaired.len());
    for drift in repaired {
        let is_fight = run.memory.repairs.made(&drift.id, Clock::now());
        let slower = if is_fight {
            "; something keeps changing it, so it is put back less and less often"
        } else {
            ""
        };
        let note = format!("{} was put back: {}{slower}", drift.id.human(), drift.what);
        tracing::info!(object = %run.id, "{note}");
        let severity = if is_fight { Severity::Warning } else { Severity::Normal };
        run.publish(severity, "DriftCorrected", &note).await;
    }
}

/// What the outcome means for the status: the inventory afterwards, and every failure. `listed` is the inventory from before the plan.
fn conclude(
    status: &mut impl ApplierStatus,
    listed: Inventory,
    plan: &Plan,
    outcome: &Outcome,
) -> Result<(), Failure> {
    if !outcome.failed.is_empty() {
        let unavailable = outcome.failed.iter().all(|failure| failure.kind == FailureKind::Unavailable);
        let is_known = outcome.failed.iter().all(|failure| failure.kind != FailureKind::Unavailable);
        if outcome.applied.is_empty() && is_known {
            // Nothing was changed. What never came to be must not have to be deleted later: who may not create it may not either.
            status.set_inventory(listed);
        }
        let retry = if unavailable { Retry::Backoff } else { Retry::Interval };
        let failures = outcome.failed.iter().map(ToString::to_string);
        let conflicts = outcome.conflicts.iter().map(ToString::to_string);
        return Err(Failure::new(Reason::ReconciliationFailed, retry, lines(failures.chain(conflicts))));
    }
    status.set_inventory(outcome.inventory_after(plan));
    if !outcome.pruned.failed.is_empty() {
        let message = lines(outcome.pruned.failed.iter().map(ToString::to_string));
        return Err(Failure::new(Reason::PruneFailed, Retry::Backoff, message));
    }
    if !outcome.conflicts.is_empty() {
        // Whoever holds the objects wakes us when it lets them go.
        let message = lines(outcome.conflicts.iter().map(ToString::to_string));
        return Err(Failure::new(Reason::ReconciliationFailed, Retry::Dependency, message));
    }
    Ok(())
}

fn lines(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join("\n")
}

fn changes(outcome: &Outcome) -> Vec<String> {
    let applied = outcome.applied.iter().filter(|object| object.action != AppliedAction::Unchanged);
    let applied = applied.map(|object| format!("{} {}", object.id.human(), verb(object.action)));
    applied.chain(outcome.pruned.deleted.iter().map(|id| format!("{} deleted", id.human()))).collect()
}

fn verb(action: AppliedAction) -> &'static str {
    match action {
        AppliedAction::Created => "created",
        AppliedAction::Configured => "configured",
        AppliedAction::Recreated => "recreated",
        AppliedAction::Unchanged => "unchanged",
    }
}

/// What a Kustomization that is being deleted has to delete.
pub(super) async fn deletions(
    run: &Run<'_, impl ApplierStatus>,
    actor: &Actor,
    inventory: &Inventory,
) -> Vec<Deletion> {
    let deadline = Instant::now() + LISTING;
    let types: HashSet<GroupVersionKind> =
        inventory.entries.iter().filter_map(|entry| Some(entry.parse()?.1)).collect();
    // After a restart nothing is known yet; what cannot be resolved is looked at when it is deleted.
    join_all(types.iter().map(|gvk| actor.cluster.kinds.resolve(gvk, deadline))).await;
    let nothing = Desired::nothing();
    let view = watch(run, actor, &nothing, inventory).await;
    let (deletions, kept) = plan_deletion(inventory, &view, &run.id.owner(), &run.context.config.stages);
    for kept in &kept {
        tracing::info!(object = %run.id, kept = kept.entry.id, reason = %kept.reason, "left in the cluster");
    }
    let is_ours =
        |deletion: &Deletion| run.context.wanted_by_other(&run.id, &actor.cluster.id, &deletion.id).is_none();
    deletions.into_iter().filter(is_ours).collect()
}

/// Deletes; returns why not, for each object that could not be deleted.
pub(super) async fn delete(
    run: &Run<'_, impl ApplierStatus>,
    actor: &Actor,
    deletions: &[Deletion],
    propagation: Propagation,
) -> Vec<String> {
    let deadline = Instant::now() + run.spec.timeout().min(LONGEST_APPLY);
    let pruned = actor.executor.prune(deletions, &run.id.owner(), propagation, deadline).await;
    pruned.failed.iter().map(ToString::to_string).collect()
}

/// What is not gone yet after a moment, each with what holds it.
pub(super) async fn remaining(actor: &Actor, deletions: &[Deletion]) -> Vec<String> {
    let moment = Instant::now() + Duration::from_secs(2);
    actor.executor.wait_gone(deletions, moment).await.iter().map(ToString::to_string).collect()
}
