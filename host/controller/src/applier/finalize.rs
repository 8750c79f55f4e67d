//! The end of an applier: what it does before it may go. Of a Kustomization or Pipeline, what `spec.deletionPolicy` says becomes of its objects.

use std::time::Duration;

use jiff::Timestamp;
use plumb_api::{KustomizationStatus, OnDeletion, Reason};
use plumb_apply::{Deletion, Propagation};

use super::actor::{self, NoActor};
use super::apply;
use super::failure::{Failure, Retry};
use super::run::{Run, inputs_of};
use super::state::ApplierStatus;
use crate::clusters::Actor;
use crate::events::Severity;
use crate::finalizers::{CATCH_UP, Finalizers};
use crate::queue::Action;
use crate::status::said;

/// While something is being deleted it is looked at this often, besides when a watch tells of it.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Makes sure that the Kustomization cannot go before its objects. An action means that this has to be tried again first.
pub(super) async fn add_finalizer(run: &Run<'_, impl ApplierStatus>) -> Option<Action> {
    match run.object.add_finalizer(&run.context.client).await {
        Ok(Finalizers::Set) => None,
        Ok(Finalizers::Outdated) => Some(Action::requeue(CATCH_UP)),
        Err(error) => {
            tracing::debug!(error = said(&error), object = %run.id, "could not add the finalizer; trying again");
            Some(Action::requeue(run.context.backoff(1, LOOK_AGAIN)))
        }
    }
}

/// Deletes the objects, or leaves them, and lets the Kustomization go.
pub(super) async fn finalize(run: &mut Run<'_, KustomizationStatus>) -> Action {
    if !run.object.has_finalizer() {
        return Action::await_change();
    }
    // A suspended Kustomization touches nothing, as in Flux: its objects stay.
    let ending = if run.spec.suspend { OnDeletion::Orphan } else { run.spec.on_deletion() };
    let deleted = match ending {
        OnDeletion::Orphan => Ok(()),
        OnDeletion::Delete | OnDeletion::DeleteAndWait => end(run, ending).await,
    };
    let_go(run, deleted).await
}

/// Lets an applier go whose end has come, or says what keeps it.
pub(super) async fn let_go(run: &mut Run<'_, impl ApplierStatus>, ended: Result<(), Failure>) -> Action {
    let released = match ended {
        Ok(()) => release(run).await,
        Err(failure) => Err(failure),
    };
    match released {
        Ok(Finalizers::Set) => Action::await_change(),
        Ok(Finalizers::Outdated) => Action::requeue(CATCH_UP),
        Err(failure) => {
            run.report().fail(&mut run.status, &failure);
            if let Err(error) = run.write_status().await {
                tracing::debug!(error = said(&error), object = %run.id, "could not write the status");
            }
            // How an uninstall has failed was told with the action.
            if !failure.is_progress() && failure.reason != Reason::UninstallFailed {
                run.publish(Severity::Warning, failure.reason.as_str(), &failure.message).await;
            }
            run.wait_after(&failure).map_or_else(Action::await_change, Action::requeue)
        }
    }
}

/// Deletes the objects, if there still is somebody who can.
async fn end(run: &mut Run<'_, KustomizationStatus>, ending: OnDeletion) -> Result<(), Failure> {
    if run.status.inventory.as_ref().is_none_or(|inventory| inventory.entries.is_empty()) {
        return Ok(());
    }
    run.context.inputs.follow(&run.id, &inputs_of(&run.spec, &run.id.key.namespace, &run.context.config));
    let actor = match actor::last_actor(run).await {
        Ok(actor) => actor,
        Err(NoActor::Gone(why)) => {
            let note = format!("the objects are left in the cluster, because nobody can delete them: {why}");
            run.publish(Severity::Warning, Reason::PruneFailed.as_str(), &note).await;
            return Ok(());
        }
        Err(failed) => return Err(failed.into()),
    };
    let deletions = delete(run, &actor).await?;
    match ending {
        OnDeletion::DeleteAndWait => wait_until_gone(run, &actor, &deletions).await,
        OnDeletion::Delete | OnDeletion::Orphan => Ok(()),
    }
}

async fn delete(run: &Run<'_, KustomizationStatus>, actor: &Actor) -> Result<Vec<Deletion>, Failure> {
    let inventory = run.status.inventory.clone().unwrap_or_default();
    let deletions = apply::deletions(run, actor, &inventory).await;
    let failures = apply::delete(run, actor, &deletions, Propagation::Background).await;
    if failures.is_empty() {
        return Ok(deletions);
    }
    Err(Failure::new(Reason::PruneFailed, Retry::Backoff, failures.join("\n")))
}

/// Until nothing is left, or `spec.timeout` has passed since the Kustomization was deleted.
async fn wait_until_gone(
    run: &Run<'_, KustomizationStatus>,
    actor: &Actor,
    deletions: &[Deletion],
) -> Result<(), Failure> {
    let remaining = apply::remaining(actor, deletions).await;
    if remaining.is_empty() {
        return Ok(());
    }
    let deleted_at = run.object.meta().deletion_timestamp.as_ref().map_or_else(Timestamp::now, |time| time.0);
    let waited = Timestamp::now().duration_since(deleted_at).unsigned_abs();
    let timeout = run.spec.timeout();
    if waited < timeout {
        let left = timeout.saturating_sub(waited).max(Duration::from_millis(100));
        let message = format!("waiting until these are gone: {}", remaining.join("; "));
        return Err(Failure::new(Reason::Progressing, Retry::Health(LOOK_AGAIN.min(left)), message));
    }
    let note = format!("not gone after {timeout:?}, no longer waited for: {}", remaining.join("; "));
    run.publish(Severity::Warning, Reason::PruneFailed.as_str(), &note).await;
    Ok(())
}

async fn release(run: &Run<'_, impl ApplierStatus>) -> Result<Finalizers, Failure> {
    run.object.remove_finalizer(&run.context.client).await.map_err(|error| {
        let message = format!("could not remove the finalizer: {}", said(&error));
        Failure::new(Reason::ReconciliationFailed, Retry::Backoff, message)
    })
}
