use plumb_api::Object;
use serde_json::Value;

use super::conditions::{ConditionState, condition_in};
use super::{Health, count, text};

/// As in Flux, and not as in kstatus, a Job that runs is in progress: what waits for it wants it to be done.
pub(super) fn job(object: &Object) -> Health {
    let completions = count(object, "/spec/completions", count(object, "/spec/parallelism", 1));
    let succeeded = count(object, "/status/succeeded", 0);
    let failed = count(object, "/status/failed", 0);
    let is = |kind| condition_in(object, kind, ConditionState::True);
    if is_suspended(object) {
        return Health::current("the Job is suspended");
    }
    if is("Complete").is_some() {
        return Health::current(format!("Succeeded: {succeeded}/{completions}"));
    }
    if let Some(condition) = is("Failed") {
        return Health::failed(format!(
            "the Job has failed: {} (failed pods: {failed})",
            condition.explain()
        ));
    }
    if text(object, "/status/startTime").is_empty() {
        return Health::in_progress("the Job has not started");
    }
    let active = count(object, "/status/active", 0);
    Health::in_progress(format!("Succeeded: {succeeded}/{completions}, active: {active}, failed: {failed}"))
}

/// It has done its part when it exists; how its Jobs fare is theirs to tell.
pub(super) fn cron_job(object: &Object) -> Health {
    Health::current(if is_suspended(object) {
        "the CronJob is suspended"
    } else {
        "the CronJob is scheduled"
    })
}

fn is_suspended(object: &Object) -> bool {
    object.pointer("/spec/suspend").and_then(Value::as_bool).unwrap_or(false)
}
