//! What others have changed in the objects of a release, and putting it back.

use std::sync::Arc;
use std::time::Duration;

use plumb_api::annotations::SSA;
use plumb_api::{DriftMode, Object};
use plumb_apply::{
    Action, Change, Fields, Inputs, Live, Policy, RELEASE_FIELD_MANAGER, diff_fields, plan, plan_object,
};
use plumb_helm::decide::Drift;
use plumb_helm::objects::is_left_alone;
use tokio::time::Instant;

use super::Turn;
use crate::applier::failure::Failure;
use crate::applier::render::Desired;
use crate::applier::{ApplierId, apply};
use crate::clusters::Actor;

/// How long a single request may take.
const REQUEST: Duration = Duration::from_secs(30);
/// How many objects, and how many of their fields, are told.
const NAMED: usize = 20;

/// What others have changed.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) drift: Drift,
    /// As Flux tells of it: one object a line.
    pub(super) told: String,
}

/// Leaves alone what asks for it.
pub(super) fn left_alone(objects: &mut [Object]) {
    for object in objects.iter_mut().filter(|object| is_left_alone(object)) {
        object.set_annotation(SSA, "Ignore");
    }
}

/// How drift is put back: what is gone always, changed fields where the spec says so.
pub(super) fn policy(run: &Turn<'_>, mode: DriftMode) -> Policy {
    let ignore = run.memory.expressions.as_ref().map(|(_, expressions)| expressions.ignore.clone());
    Policy {
        ignore: ignore.unwrap_or_default(),
        fields: if mode == DriftMode::Enabled { Fields::Kept } else { Fields::Left },
        ..super::policy(run)
    }
}

/// Finds out what others have changed. Where the watches know all objects, nothing is asked.
pub(super) async fn find(
    run: &mut Turn<'_>,
    actor: &Actor,
    desired: &Desired,
    mode: DriftMode,
) -> Result<Found, Failure> {
    let inventory = run.status.inventory.clone().unwrap_or_default();
    let view = apply::watch(run, actor, desired, &inventory).await;
    // Where fields are left alone, nothing has to be known of them.
    let mut policy = policy(run, mode);
    policy.fields = if mode == DriftMode::Disabled { Fields::Left } else { Fields::Kept };
    let context = run.context.clone();
    let is_claimed = |owner: &plumb_apply::Owner, id: &plumb_api::ObjectId| {
        context.is_listed_by(&ApplierId::from(owner), &actor.cluster.id, id)
    };
    let planned = plan(Inputs {
        desired: desired.objects.clone(),
        live: &view,
        inventory: &plumb_api::Inventory::default(),
        applied: &run.memory.applied,
        is_claimed: &is_claimed,
        deferred: desired.deferred.clone(),
        heir: &|_| None,
        policy: &policy,
    });
    // Two objects of one id, or an object of somebody else, are no drift.
    let Ok(planned) = planned else { return Ok(Found::default()) };
    let (mut found, mut lines) = (Drift::default(), Vec::new());
    for action in planned.actions() {
        let deadline = Instant::now() + REQUEST;
        let looked = match &action.change {
            Change::Look => {
                let live = actor.executor.get(&action.id, &action.desired.gvk(), deadline).await;
                let live = live.map_err(|failure| trouble(&failure))?;
                let live = live.map_or(Live::Absent, |live| Live::Present(Arc::new(live)));
                let applied = run.memory.applied.get(&action.id);
                match plan_object(&action.desired, live, applied, &is_claimed, &policy) {
                    Ok(action) => action,
                    Err(_) => continue,
                }
            }
            _ => action.clone(),
        };
        match &looked.change {
            Change::Create => {
                found.missing += 1;
                lines.push(format!("{} removed", looked.id.human()));
            }
            Change::Apply(_) => {
                let as_applied = actor.executor.is_as_applied(&looked, &policy, deadline).await;
                match as_applied.map_err(|failure| trouble(&failure))? {
                    Some(applied) => {
                        run.memory.applied.insert(looked.id.clone(), applied);
                    }
                    None => {
                        found.changed += 1;
                        lines.push(changed(&looked));
                    }
                }
            }
            _ => {}
        }
    }
    lines.truncate(NAMED);
    Ok(Found { drift: found, told: lines.join("\n") })
}

/// Which fields of an object are not as they should be. Values of Secrets are hidden.
fn changed(action: &Action) -> String {
    let Live::Present(live) = &action.live else { return String::new() };
    let fields = diff_fields(live, &action.sent, RELEASE_FIELD_MANAGER);
    let fields: Vec<&str> = fields.iter().take(NAMED).map(|field| field.pointer.as_str()).collect();
    format!("{} changed ({})", action.id.human(), fields.join(", "))
}

fn trouble(failure: &plumb_apply::Failure) -> Failure {
    use crate::applier::failure::Retry;
    Failure::new(plumb_api::Reason::ReconciliationFailed, Retry::Backoff, failure.to_string())
}
