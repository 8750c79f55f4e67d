//! What the planner and the health rules promise, one promise a module.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod an_object_leaves_the_inventory_only_when_it_is_gone;
mod an_object_waits_for_its_kind_and_the_others_do_not;
mod api_server;
mod fields_that_kubectl_wrote_become_ours;
mod health_follows_kstatus;
mod hostile_objects_and_inventories_harm_nobody;
mod http_server;
mod nothing_desired_is_ever_pruned;
mod objects_are_applied_in_the_order_of_flux;
mod objects_as_they_should_be_cost_no_request;
mod the_difference_is_told_without_secrets;
mod the_objects_of_a_release_are_its_own;
mod the_plan_says_what_to_do;
mod what_is_being_deleted_is_waited_for;
mod what_others_may_change_is_left_to_them;

use plumb_api::Object;
use serde_json::Value;

const MANAGER: &str = "kustomize-controller";

fn object(value: Value) -> Object {
    Object::new(value).unwrap()
}
