//! Kinds that are not workloads.

use plumb_api::Object;
use serde_json::Value;

use super::conditions::{ConditionState, condition, condition_in};
use super::{Health, count, text};

pub(super) fn persistent_volume_claim(object: &Object) -> Health {
    match text(object, "/status/phase") {
        "Bound" => Health::current("the claim is bound"),
        "" => Health::in_progress("the claim has not been observed yet"),
        phase => Health::in_progress(format!("the claim is not bound, but {phase}")),
    }
}

pub(super) fn persistent_volume(object: &Object) -> Health {
    match (text(object, "/status/phase"), text(object, "/status/message")) {
        ("Failed", "") => Health::failed("the volume could not be reclaimed"),
        ("Failed", message) => Health::failed(message),
        ("", _) => Health::current("the volume exists"),
        (phase, _) => Health::current(format!("the volume is {phase}")),
    }
}

/// As in kstatus, an address of the load balancer is not waited for: where there is none to give one, it never comes.
pub(super) fn service(object: &Object) -> Health {
    if text(object, "/spec/type") != "LoadBalancer" {
        return Health::current("the Service is ready");
    }
    if text(object, "/spec/clusterIP").is_empty() {
        return Health::in_progress("the Service has no cluster IP yet");
    }
    Health::current(if has_address(object) {
        "the Service has a load balancer"
    } else {
        "the Service is ready; no load balancer has given it an address"
    })
}

/// As in kstatus, an address is not waited for: many ingress controllers never write one.
pub(super) fn ingress(object: &Object) -> Health {
    Health::current(if has_address(object) {
        "the Ingress has an address"
    } else {
        "the Ingress exists; no controller has given it an address"
    })
}

fn has_address(object: &Object) -> bool {
    object
        .pointer("/status/loadBalancer/ingress")
        .and_then(Value::as_array)
        .is_some_and(|list| !list.is_empty())
}

pub(super) fn namespace(object: &Object) -> Health {
    match text(object, "/status/phase") {
        "Terminating" => Health::new(super::HealthStatus::Terminating, "it is being deleted"),
        _ => Health::current("the namespace is active"),
    }
}

/// Its controller has seen it, as the observed generation has been compared before.
pub(super) fn pod_disruption_budget(object: &Object) -> Health {
    let allowed = count(object, "/status/disruptionsAllowed", 0);
    Health::current(format!("disruptions allowed: {allowed}"))
}

/// As in kstatus, it is current when it exists; that it cannot scale is said, but holds nothing up.
pub(super) fn horizontal_pod_autoscaler(object: &Object) -> Health {
    let trouble = ["AbleToScale", "ScalingActive"]
        .into_iter()
        .find_map(|kind| condition_in(object, kind, ConditionState::False));
    match trouble {
        Some(condition) => Health::current(format!("it does not scale: {}", condition.explain())),
        None => Health::current("the autoscaler exists"),
    }
}

/// While nothing answers for it, discovery of its group fails, and with it whatever lists all types.
pub(super) fn api_service(object: &Object) -> Health {
    match condition(object, "Available") {
        Some(available) if available.state == ConditionState::True => Health::current("the API is available"),
        Some(available) => Health::in_progress(format!("the API is not available: {}", available.explain())),
        None => Health::in_progress("the APIService has not been observed yet"),
    }
}

pub(super) fn custom_resource_definition(object: &Object) -> Health {
    if let Some(refused) = condition_in(object, "NamesAccepted", ConditionState::False) {
        return Health::failed(format!("its names are not accepted: {}", refused.explain()));
    }
    match condition(object, "Established") {
        Some(established) if established.state == ConditionState::True => {
            Health::current("the definition is established")
        }
        Some(established)
            if established.state == ConditionState::False && established.reason != "Installing" =>
        {
            Health::failed(established.explain())
        }
        _ => Health::in_progress("the definition is being installed"),
    }
}
