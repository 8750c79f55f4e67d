use plumb_api::Object;

use super::conditions::{ConditionState, condition, condition_in};
use super::{Health, count, text};

/// What has to reach what, and in which words it is said when it has not.
struct Step {
    what: &'static str,
    have: i64,
    want: i64,
}

/// The first step that is not done.
fn unfinished(steps: &[Step]) -> Option<Health> {
    let step = steps.iter().find(|step| step.have < step.want)?;
    Some(Health::in_progress(format!("{}: {}/{}", step.what, step.have, step.want)))
}

fn too_many(have: i64, want: i64) -> Option<Health> {
    (have > want).then(|| Health::in_progress(format!("Pending termination: {}", have - want)))
}

pub(super) fn deployment(object: &Object) -> Health {
    let progressing = condition(object, "Progressing");
    if let Some(progressing) = progressing.filter(|condition| condition.reason == "ProgressDeadlineExceeded")
    {
        return Health::failed(format!("Progress deadline exceeded: {}", progressing.explain()));
    }
    let replicas = count(object, "/spec/replicas", 1);
    let running = count(object, "/status/replicas", 0);
    let updated = count(object, "/status/updatedReplicas", 0);
    let started = unfinished(&[
        Step { what: "Replicas", have: running, want: replicas },
        Step { what: "Updated", have: updated, want: replicas },
    ]);
    let ready = || {
        unfinished(&[
            Step { what: "Available", have: count(object, "/status/availableReplicas", 0), want: updated },
            Step { what: "Ready", have: count(object, "/status/readyReplicas", 0), want: replicas },
        ])
    };
    started.or_else(|| too_many(running, replicas)).or_else(ready).unwrap_or_else(|| {
        let rolled_out = progressing.is_some_and(|condition| {
            condition.state == ConditionState::True && condition.reason == "NewReplicaSetAvailable"
        });
        if !rolled_out && has_progress_deadline(object) {
            Health::in_progress("the new ReplicaSet is not available")
        } else if condition_in(object, "Available", ConditionState::True).is_none() {
            Health::in_progress("the Deployment is not available")
        } else {
            Health::current(format!("Available: {replicas}/{replicas}"))
        }
    })
}

/// Without one, or with the largest number, which stands for none, the controller never says whether it progresses.
fn has_progress_deadline(object: &Object) -> bool {
    let none = i64::from(i32::MAX);
    count(object, "/spec/progressDeadlineSeconds", none) != none
}

pub(super) fn replica_set(object: &Object) -> Health {
    if let Some(failure) = condition_in(object, "ReplicaFailure", ConditionState::True) {
        return Health::in_progress(format!("pods cannot be made: {}", failure.explain()));
    }
    let replicas = count(object, "/spec/replicas", 1);
    let steps = [
        ("Labelled", "/status/fullyLabeledReplicas"),
        ("Available", "/status/availableReplicas"),
        ("Ready", "/status/readyReplicas"),
    ];
    let steps = steps.map(|(what, pointer)| Step { what, have: count(object, pointer, 0), want: replicas });
    unfinished(&steps)
        .or_else(|| too_many(count(object, "/status/replicas", 0), replicas))
        .unwrap_or_else(|| Health::current(format!("Available: {replicas}/{replicas}")))
}

pub(super) fn daemon_set(object: &Object) -> Health {
    // Its controller always sets all of these; until then it has not seen the object.
    for pointer in ["/metadata/generation", "/status/observedGeneration", "/status/desiredNumberScheduled"] {
        if object.pointer(pointer).is_none() {
            return Health::in_progress(format!(
                "{} is not set yet",
                pointer.trim_start_matches('/').replace('/', ".")
            ));
        }
    }
    let nodes = count(object, "/status/desiredNumberScheduled", 0);
    let steps = [
        ("Current", "/status/currentNumberScheduled"),
        ("Updated", "/status/updatedNumberScheduled"),
        ("Available", "/status/numberAvailable"),
        ("Ready", "/status/numberReady"),
    ];
    let steps = steps.map(|(what, pointer)| Step { what, have: count(object, pointer, 0), want: nodes });
    unfinished(&steps).unwrap_or_else(|| Health::current(format!("Available: {nodes}/{nodes}")))
}

/// A StatefulSet has no conditions, so a failed one looks like one in progress.
pub(super) fn stateful_set(object: &Object) -> Health {
    if text(object, "/spec/updateStrategy/type") == "OnDelete" {
        return Health::current("its pods are updated when somebody deletes them (OnDelete)");
    }
    let replicas = count(object, "/spec/replicas", 1);
    let running = count(object, "/status/replicas", 0);
    let started = unfinished(&[
        Step { what: "Replicas", have: running, want: replicas },
        Step { what: "Ready", have: count(object, "/status/readyReplicas", 0), want: replicas },
    ]);
    started
        .or_else(|| too_many(running, replicas))
        .or_else(|| rollout(object, replicas))
        .unwrap_or_else(|| Health::current(format!("Ready: {replicas}/{replicas}")))
}

/// How far the update of a StatefulSet is. With a partition, only the pods from there on are updated.
fn rollout(object: &Object, replicas: i64) -> Option<Health> {
    if object.pointer("/spec/updateStrategy/rollingUpdate/partition").is_some() {
        let partition = count(object, "/spec/updateStrategy/rollingUpdate/partition", 0);
        let updated = count(object, "/status/updatedReplicas", 0);
        return unfinished(&[Step { what: "Updated", have: updated, want: replicas - partition }]);
    }
    let current = count(object, "/status/currentReplicas", 0);
    unfinished(&[Step { what: "Current", have: current, want: replicas }]).or_else(|| {
        let is_rolling = text(object, "/status/currentRevision") != text(object, "/status/updateRevision");
        is_rolling.then(|| Health::in_progress("the updated revision is not yet the current one"))
    })
}
