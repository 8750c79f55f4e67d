use jiff::{SignedDuration, Timestamp};
use plumb_api::Object;
use serde_json::Value;

use super::conditions::{ConditionState, condition_in};
use super::{Health, HealthStatus, text};

/// How long a pod may wait for a node before it counts as one that finds none.
const SCHEDULE_WINDOW: SignedDuration = SignedDuration::from_secs(15);

pub(super) fn pod(object: &Object, now: Timestamp) -> Health {
    match text(object, "/status/phase") {
        "Succeeded" => Health::current("the pod has completed"),
        // As kstatus has it: the pod has come to its end, which is what was asked for.
        "Failed" => Health::current("the pod has completed, but not successfully"),
        "Running" => running(object),
        "Pending" => pending(object, now),
        "" => Health::in_progress("the pod has not been observed yet"),
        phase => Health::new(HealthStatus::Unknown, format!("the pod is in the unknown phase {phase}")),
    }
}

fn running(object: &Object) -> Health {
    if condition_in(object, "Ready", ConditionState::True).is_some() {
        return Health::current("the pod is ready");
    }
    match waiting_containers(object).find(Waiting::is_crash_loop) {
        Some(waiting) => Health::failed(waiting.explain()),
        None => Health::in_progress("the pod is running but not ready"),
    }
}

fn pending(object: &Object, now: Timestamp) -> Health {
    let unscheduled = condition_in(object, "PodScheduled", ConditionState::False)
        .filter(|condition| condition.reason == "Unschedulable");
    if let Some(unscheduled) = unscheduled {
        let created: Option<Timestamp> = text(object, "/metadata/creationTimestamp").parse().ok();
        let is_new = created.is_some_and(|created| now.duration_since(created) < SCHEDULE_WINDOW);
        return if is_new {
            Health::in_progress("the pod has no node yet")
        } else {
            Health::failed(format!("no node takes the pod: {}", unscheduled.explain()))
        };
    }
    match waiting_containers(object).find(Waiting::is_worth_telling) {
        Some(waiting) => Health::in_progress(waiting.explain()),
        None => Health::in_progress("the pod is pending"),
    }
}

/// A container that does not run.
struct Waiting<'a> {
    container: &'a str,
    reason: &'a str,
    message: &'a str,
}

impl Waiting<'_> {
    fn is_crash_loop(&self) -> bool {
        self.reason == "CrashLoopBackOff"
    }

    /// Not one that merely has not been started yet.
    fn is_worth_telling(&self) -> bool {
        !matches!(self.reason, "" | "ContainerCreating" | "PodInitializing")
    }

    fn explain(&self) -> String {
        let Self { container, reason, message } = self;
        match *message {
            "" => format!("container {container} is in {reason}"),
            message => format!("container {container} is in {reason}: {message}"),
        }
    }
}

/// The containers of a pod that wait, init containers first.
fn waiting_containers(object: &Object) -> impl Iterator<Item = Waiting<'_>> {
    container_statuses(object).filter_map(|status| {
        let waiting = status.pointer("/state/waiting")?;
        let field = |field| waiting.get(field).and_then(Value::as_str).unwrap_or_default();
        Some(Waiting { container: name_of(status), reason: field("reason"), message: field("message") })
    })
}

/// Init containers first.
fn container_statuses(object: &Object) -> impl Iterator<Item = &Value> {
    let lists = ["/status/initContainerStatuses", "/status/containerStatuses"];
    lists.into_iter().filter_map(|list| object.pointer(list)?.as_array()).flatten()
}

fn name_of(container: &Value) -> &str {
    container.get("name").and_then(Value::as_str).unwrap_or_default()
}

/// How the first container has ended that did not end well: its exit code, and the reason where there is one (`OOMKilled`). What it has said is not
/// told: that may be secret.
pub fn ending(pod: &Object) -> Option<String> {
    container_statuses(pod).find_map(|status| {
        let terminated = status.pointer("/state/terminated")?;
        let code = terminated.get("exitCode").and_then(Value::as_i64).filter(|code| *code != 0)?;
        let ended = format!("container {} has ended with exit code {code}", name_of(status));
        match terminated.get("reason").and_then(Value::as_str) {
            // It says no more than the exit code.
            None | Some("" | "Error") => Some(ended),
            Some(reason) => Some(format!("{ended} ({reason})")),
        }
    })
}

/// Adds to the health of a workload that is not current what its pods say: a container that crashes or has failed, an image that cannot be
/// pulled, a pod that no node takes. The status stays: a pod that crashes now may run a minute later, when what it needs is there.
pub fn with_pods<'a>(workload: Health, pods: impl IntoIterator<Item = &'a Object>, now: Timestamp) -> Health {
    if workload.status == HealthStatus::Current {
        return workload;
    }
    let mut troubled: Vec<(&str, String)> =
        pods.into_iter().filter_map(|pod| Some((pod.name(), trouble(pod, now)?))).collect();
    troubled.sort();
    match troubled.as_slice() {
        [] => workload,
        [(name, why), rest @ ..] => {
            let others = match rest.len() {
                0 => String::new(),
                1 => " (and 1 more pod)".to_owned(),
                more => format!(" (and {more} more pods)"),
            };
            Health::new(workload.status, format!("{}; Pod {name}: {why}{others}", workload.message))
        }
    }
}

/// What keeps a pod from getting ready, where it is more than time.
fn trouble(object: &Object, now: Timestamp) -> Option<String> {
    if let Some(waiting) = waiting_containers(object).find(Waiting::is_worth_telling) {
        return Some(waiting.explain());
    }
    let health = pod(object, now);
    (health.status == HealthStatus::Failed).then_some(health.message).or_else(|| ending(object))
}
