//! Reconciles what applies other objects: `Kustomization`, `Pipeline` and `HelmRelease`.
//!
//! What they have in common is a [`Run`](run::Run): who acts, on which cluster, what has to be ready first, which source and which inputs it
//! is made from, and how the status is told. A Kustomization and a Pipeline are [kept](course): rendered, applied, pruned and looked at, in
//! one course from the start at every wake. What has not changed costs next to nothing: the render comes from a cache, the planner compares with
//! what the watches have seen, and a status that says the same is not written again.

mod actor;
mod apply;
mod course;
pub(crate) mod dependencies;
mod expressions;
mod failure;
mod finalize;
mod health;
mod helm;
mod id;
mod judging;
mod lint;
mod memory;
mod object;
mod providing;
mod queues;
mod render;
mod repairs;
mod report;
mod run;
mod state;
mod values;

use std::sync::Arc;
use std::time::Duration;

use plumb_api::Reason;

use crate::context::Context;
use crate::queue::Action;
use crate::status::said;
pub(crate) use id::ApplierId;
pub(crate) use memory::Memories;
use memory::Memory;
pub(crate) use object::Applier;
pub(crate) use queues::run;

use failure::{Failure, Retry};
use run::Run;
use state::ApplierStatus;

/// How long the API server has to say which kinds it serves.
const DISCOVERY: Duration = Duration::from_secs(15);

/// Keeps a Kustomization or a Pipeline.
async fn reconcile(object: Applier, context: &Arc<Context>) -> Action {
    let id = object.id();
    let mut memory = context.applier_memories.kept.take(&id).of(&object);
    let action = Run::new(context, object, &mut memory).reconcile().await;
    context.applier_memories.kept.put(id.clone(), memory);
    // It may be gone by now, and then nothing is to be remembered.
    if context.applier(&id).is_none() {
        context.forget_applier(&id);
    }
    action
}

async fn report_panic<S: ApplierStatus>(object: Applier, context: &Arc<Context>, message: &str) {
    let mut memory = Memory::<S>::default();
    let mut run = Run::new(context, object, &mut memory);
    let failure =
        Failure::new(Reason::ReconciliationFailed, Retry::Interval, format!("internal error: {message}"));
    run.report().fail(&mut run.status, &failure);
    if let Err(error) = run.write_status().await {
        tracing::debug!(error = said(&error), object = %run.id, "could not write the status");
    }
}
