//! The end of a HelmRelease: its release is uninstalled, if there still is somebody who can, and the HelmChart that was made for it is deleted.

use std::sync::Arc;
use std::time::Duration;

use plumb_api::{ConditionType, HelmRelease, Reason, conditions};
use plumb_helm::decide::{Action as Deed, Desired, Step as Next, Uninstall, on_deletion};
use plumb_helm::values::Values;
use plumb_pipeline::Spec;
use plumb_tree::Memory;

use super::begin::begin_uninstall;
use super::chart::Chart;
use super::step::{Ongoing, Step, Stop, Waits};
use super::{End, Look, Turn, chart_object, values};
use crate::applier::actor::{self, NoActor};
use crate::applier::expressions::Expressions;
use crate::applier::failure::{Failure, Retry};
use crate::applier::{finalize as finalizer, judging};
use crate::clusters::Actor;
use crate::events::Severity;
use crate::queue::Action;

/// While something is being deleted it is looked at this often, besides when a watch tells of it.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// What the API server says of a namespace that takes nothing new.
const TERMINATED: &str = "because it is being terminated";

/// Uninstalls the release, and lets the HelmRelease go. As in Flux, a suspended one touches nothing.
pub(super) async fn finalize(run: &mut Turn<'_>, release: &Arc<HelmRelease>) -> Action {
    if !run.object.has_finalizer() {
        return Action::await_change();
    }
    let ended = if run.spec.suspend { Ok(None) } else { end(run, release).await };
    let ended = ended.and_then(|waits| match waits {
        None => Ok(()),
        Some(waits) => {
            run.tell_of_wait(&waits.what);
            Err(Failure::new(Reason::Progressing, Retry::Health(waits.again.min(LOOK_AGAIN)), waits.what))
        }
    });
    finalizer::let_go(run, ended).await
}

/// Ends the release, and then its HelmChart. What is returned has to be waited for.
async fn end(run: &mut Turn<'_>, release: &Arc<HelmRelease>) -> Result<Option<Waits>, Failure> {
    if on_deletion(&run.status) != Next::Done || run.memory.own.ongoing.is_some() {
        let inputs = values::inputs(run, release);
        run.context.inputs.follow(&run.id, &inputs);
        match actor::last_actor(run).await {
            Ok(actor) => {
                if let Some(waits) = uninstall(run, release, actor).await? {
                    return Ok(Some(waits));
                }
            }
            Err(NoActor::Gone(why)) => {
                let note =
                    format!("the release is left in the cluster, because nobody can uninstall it: {why}");
                run.publish(Severity::Warning, Reason::UninstallFailed.as_str(), &note).await;
            }
            Err(failed) => return Err(failed.into()),
        }
    }
    chart_object::delete(run).await?;
    Ok(None)
}

async fn uninstall(
    run: &mut Turn<'_>,
    release: &Arc<HelmRelease>,
    actor: Arc<Actor>,
) -> Result<Option<Waits>, Failure> {
    let look = last_look(run, release, actor).await?;
    look.actor.cluster.records.follow(&run.id, Some(&look.key));
    let is_it = |ongoing: &Ongoing| ongoing.action == Deed::Uninstall(Uninstall::Deleted);
    let ongoing = match run.memory.own.ongoing.take().filter(|ongoing| is_it(ongoing)) {
        Some(ongoing) => ongoing,
        None => match begin_uninstall(Uninstall::Deleted, release, look.key.clone(), &look).await {
            Ok(Some(mut ongoing)) => {
                if run.memory.own.skips_hooks {
                    ongoing.steps.retain(|step| !matches!(step, Step::Hooks(_)));
                }
                Box::new(ongoing)
            }
            // Somebody else has uninstalled it.
            Ok(None) => return Ok(None),
            Err(Stop::Broken(problem)) => return Err(failed(problem)),
            Err(Stop::Trouble(failure)) => return Err(failure),
        },
    };
    match run.resume(ongoing, &look).await? {
        Some(End::Waits(waits)) => Ok(Some(waits)),
        Some(_) | None => match problem(run) {
            None => Ok(None),
            Some(problem) => {
                // In a namespace that goes, no hook can be run.
                run.memory.own.skips_hooks |= problem.contains(TERMINATED);
                Err(failed(problem))
            }
        },
    }
}

/// Why the uninstall has failed, if it has.
fn problem(run: &Turn<'_>) -> Option<String> {
    let released = conditions::find(&run.status.conditions, ConditionType::Released)?;
    let has_failed = released.reason == Reason::UninstallFailed.as_str();
    has_failed.then(|| released.message.clone())
}

fn failed(problem: String) -> Failure {
    Failure::new(Reason::UninstallFailed, Retry::Backoff, problem)
}

/// What the last action goes by: the status, as the chart and the values may be gone.
async fn last_look(
    run: &mut Turn<'_>,
    release: &Arc<HelmRelease>,
    actor: Arc<Actor>,
) -> Result<Look, Failure> {
    let latest = run.status.latest().cloned();
    let text =
        |of: fn(&plumb_api::ReleaseSnapshot) -> &String| latest.as_ref().map(of).cloned().unwrap_or_default();
    let (name, version) = (text(|latest| &latest.chart_name), text(|latest| &latest.chart_version));
    let chart = Chart {
        tree: Arc::new(Memory::new()),
        path: String::new(),
        name: name.clone(),
        version: version.clone(),
        digest: None,
    };
    let own = crate::Key {
        namespace: release.storage_namespace(),
        name: plumb_helm::name::of(release).unwrap_or_default(),
    };
    // Expressions that are wrong by now must keep nobody from going.
    let expressions = match run.expressions() {
        Ok(expressions) => expressions,
        Err(_) => {
            let mut plain = Spec { depends_on: Vec::new(), ..run.spec.clone() };
            plain.health.exprs.clear();
            plain.apply.ignore.clear();
            Arc::new(Expressions::read(&plain, run.id.kind)?)
        }
    };
    let checks = judging::checks(run, &actor, &expressions).await;
    Ok(Look {
        namespace: latest.map_or_else(|| release.release_namespace(), |latest| latest.namespace),
        attempt: run.attempt_at("", "", Vec::new()),
        release: release.clone(),
        actor,
        checks,
        chart: Arc::new(chart),
        desired: Desired { chart_name: name, chart_version: version, values: Values::default() },
        key: run.last_key(&own),
    })
}
