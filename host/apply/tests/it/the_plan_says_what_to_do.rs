use std::collections::HashMap;
use std::sync::Arc;

use plumb_api::{Inventory, InventoryEntry, Object, ObjectId, SsaPolicy};
use plumb_apply::{
    Applied, Apply, ApplyReason, Change, Conflict, Inputs, Keep, Live, Outcome, Owner, Plan, PlanError,
    Policy, Stages, as_sent, desired_digest, plan, plan_deletion, projection_digest,
};
use rstest::rstest;
use serde_json::{Value, json};

use crate::api_server::applied;
use crate::{MANAGER, object};

const OWNER: &str = "kustomize.toolkit.fluxcd.io";

fn owner(name: &str) -> Owner {
    Owner::kustomization("flux-system", name)
}

fn policy() -> Policy {
    Policy { prune: true, ..Policy::new(owner("apps")) }
}

/// A ConfigMap of a Kustomization.
fn config_map(holder: &str, annotation: Option<(&str, &str)>, value: &str) -> Object {
    let annotations: Value =
        annotation.into_iter().map(|(key, value)| (format!("{OWNER}/{key}"), json!(value))).collect();
    object(
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": "default",
        "labels": {format!("{OWNER}/name"): holder, format!("{OWNER}/namespace"): "flux-system"},
        "annotations": annotations}, "data": {"a": value}}),
    )
}

fn live(object: &Object) -> Live {
    Live::Present(applied(None, object).into())
}

fn plan_one(desired: &Object, live: Live, memory: Option<Applied>, policy: &Policy) -> Plan {
    let state = HashMap::from([(desired.id(), live)]);
    let applied = memory.into_iter().map(|memory| (desired.id(), memory)).collect();
    plan(Inputs {
        desired: vec![Arc::new(desired.clone())],
        live: &state,
        inventory: &Inventory::default(),
        applied: &applied,
        is_claimed: &|owner: &Owner, _: &ObjectId| owner.name == "other",
        deferred: Vec::new(),
        heir: &|_| None,
        policy,
    })
    .unwrap()
}

fn change(desired: &Object, live: Live) -> Change {
    plan_one(desired, live, None, &policy()).actions().next().unwrap().change.clone()
}

fn changed() -> Change {
    Change::Apply(Apply { reason: ApplyReason::Changed, replace_if_immutable: false, take_over: vec![] })
}

#[rstest]
#[case::nothing_there(None, Live::Absent, Change::Create)]
#[case::not_known(None, Live::Unknown, Change::Look)]
#[case::the_same(None, live(&config_map("apps", None, "1")), Change::Unchanged)]
#[case::another_value(None, live(&config_map("apps", None, "2")), changed())]
#[case::of_one_who_let_go(None, live(&config_map("gone", None, "1")), changed())]
#[case::ignored(Some(("ssa", "Ignore")), Live::Absent, Change::LeftAlone(SsaPolicy::Ignore))]
#[case::ignored_the_old_way(Some(("reconcile", "disabled")), Live::Unknown, Change::LeftAlone(SsaPolicy::Ignore))]
#[case::ignored_of_others(Some(("ssa", "Ignore")), live(&config_map("other", None, "2")), Change::LeftAlone(SsaPolicy::Ignore))]
#[case::ignored_by_the_live_one(None, live(&config_map("apps", Some(("ssa", "Ignore")), "2")), Change::LeftAlone(SsaPolicy::Ignore))]
#[case::if_not_present(Some(("ssa", "IfNotPresent")), Live::Absent, Change::Create)]
#[case::if_not_present_but_is(Some(("ssa", "IfNotPresent")), live(&config_map("apps", None, "2")), Change::LeftAlone(SsaPolicy::IfNotPresent))]
#[case::if_not_present_and_who_knows(Some(("ssa", "IfNotPresent")), Live::Unknown, Change::Look)]
#[case::merged(Some(("ssa", "Merge")), Live::Absent, Change::Create)]
fn changes(#[case] annotation: Option<(&str, &str)>, #[case] live: Live, #[case] expected: Change) {
    assert_eq!(change(&config_map("apps", annotation, "1"), live), expected);
}

#[rstest]
#[case::by_the_kustomization(true, None, None, true)]
#[case::by_an_annotation(false, Some(("force", "enabled")), None, true)]
#[case::by_the_live_one(false, None, Some(("force", "enabled")), true)]
#[case::by_nobody(false, None, Some(("force", "disabled")), false)]
fn replacing_is_allowed(
    #[case] force: bool,
    #[case] desired: Option<(&str, &str)>,
    #[case] existing: Option<(&str, &str)>,
    #[case] allowed: bool,
) {
    let policy = Policy { force, ..policy() };
    let plan =
        plan_one(&config_map("apps", desired, "1"), live(&config_map("apps", existing, "2")), None, &policy);
    let change = plan.actions().next().unwrap().change.clone();
    assert!(
        matches!(change, Change::Apply(Apply { replace_if_immutable, .. }) if replace_if_immutable == allowed)
    );
}

/// A live object in which `kubectl edit` has added a key.
fn edited(annotation: Option<(&str, &str)>) -> Live {
    let mut edited = applied(None, &config_map("apps", annotation, "1")).into_value();
    edited["data"]["b"] = json!("added");
    edited["metadata"]["managedFields"].as_array_mut().unwrap().push(json!({
        "manager": "kubectl-edit", "operation": "Update", "apiVersion": "v1", "fieldsV1": {"f:data": {"f:b": {}}}}));
    Live::Present(object(edited).into())
}

#[test]
fn what_kubectl_added_is_taken_over_to_be_removed() {
    let change = change(&config_map("apps", None, "1"), edited(None));
    let Change::Apply(Apply { take_over, .. }) = change else { panic!("{change:?}") };
    assert_eq!(take_over[0]["path"], "/metadata/managedFields");
}

#[test]
fn what_kubectl_added_stays_where_fields_are_merged() {
    let merge = Some(("ssa", "Merge"));
    assert_eq!(change(&config_map("apps", merge, "1"), edited(merge)), Change::Unchanged);
}

/// An object whose value the server writes in another form, as no rule knows.
fn rewritten(value: &str) -> Object {
    let mut live = applied(None, &config_map("apps", None, "1")).into_value();
    live["data"]["a"] = json!(value);
    object(live)
}

#[rstest]
#[case::as_it_was("1", "ONE", Change::Unchanged)]
#[case::desired_anew("2", "ONE", changed())]
#[case::drifted("1", "TWO", Change::Apply(Apply { reason: ApplyReason::Drifted, replace_if_immutable: false, take_over: vec![] }))]
fn what_was_applied_is_remembered(#[case] desired: &str, #[case] live: &str, #[case] expected: Change) {
    let before = config_map("apps", None, "1");
    let memory = Applied {
        desired: desired_digest(&before),
        projection: projection_digest(&rewritten("ONE"), MANAGER).unwrap(),
    };
    let desired = config_map("apps", None, desired);
    let plan = plan_one(&desired, Live::Present(rewritten(live).into()), Some(memory), &policy());
    assert_eq!(plan.actions().next().unwrap().change, expected);
}

#[test]
fn an_object_of_another_kustomization_is_a_conflict_that_names_both() {
    let plan =
        plan_one(&config_map("apps", None, "1"), live(&config_map("other", None, "1")), None, &policy());
    let id = config_map("apps", None, "1").id();
    assert_eq!(plan.conflicts, [Conflict { id, holder: owner("other"), claimant: owner("apps") }]);
    assert_eq!(
        plan.conflicts[0].to_string(),
        "ConfigMap/default/settings is managed by Kustomization flux-system/other and cannot also be managed by \
         Kustomization flux-system/apps: remove it from one of them"
    );
    assert!(plan.stages.is_empty() && plan.inventory_before.entries.is_empty());
}

#[test]
fn an_object_that_turns_out_to_be_anothers_is_not_in_the_inventory_afterwards() {
    let desired = config_map("apps", None, "1");
    let plan = plan_one(&desired, Live::Unknown, None, &policy());
    let kept = Outcome::default().inventory_after(&plan);
    assert_eq!(kept.entries, [InventoryEntry::of(&desired)]);
    let conflict = Conflict { id: desired.id(), holder: owner("other"), claimant: owner("apps") };
    let outcome = Outcome { conflicts: vec![conflict], ..Outcome::default() };
    assert_eq!(outcome.inventory_after(&plan).entries, []);
}

#[test]
fn an_object_that_is_rendered_twice_is_an_error_that_names_both() {
    let mut other = config_map("apps", None, "2").into_value();
    other["apiVersion"] = json!("v2");
    let result = plan(Inputs {
        desired: vec![config_map("apps", None, "1").into(), object(other).into()],
        live: &HashMap::new(),
        inventory: &Inventory::default(),
        applied: &HashMap::new(),
        is_claimed: &|_, _| false,
        deferred: Vec::new(),
        heir: &|_| None,
        policy: &policy(),
    });
    assert_eq!(
        result.unwrap_err().to_string(),
        "ConfigMap/default/settings is rendered twice: as object 1 (v1 ConfigMap) and as object 2 (v2 ConfigMap); \
         remove one of them"
    );
}

#[test]
fn an_empty_render_is_refused_with_what_to_do() {
    let error = PlanError::EmptyRender { entries: 3 };
    assert_eq!(
        error.to_string(),
        "nothing was rendered, but the inventory lists 3 objects: refusing to delete them all; \
         to remove them, delete the Kustomization"
    );
}

#[rstest]
#[case::ours(Some(config_map("apps", None, "1")), None)]
#[case::of_others(Some(config_map("other", None, "1")), Some(Keep::BelongsTo(owner("other"))))]
#[case::annotated(Some(config_map("apps", Some(("prune", "disabled")), "1")), Some(Keep::Annotated))]
#[case::left_alone(Some(config_map("apps", Some(("reconcile", "disabled")), "1")), Some(Keep::Annotated))]
#[case::not_labelled(Some(config_map("", None, "1")), Some(Keep::NotLabelled))]
#[case::gone(None, Some(Keep::Gone))]
fn what_stays_when_a_kustomization_goes(#[case] existing: Option<Object>, #[case] keep: Option<Keep>) {
    let entry = InventoryEntry::of(&config_map("apps", None, "1"));
    let id: ObjectId = entry.id.parse().unwrap();
    let state = HashMap::from([(id, existing.as_ref().map_or(Live::Absent, live))]);
    let (deletions, kept) =
        plan_deletion(&Inventory { entries: vec![entry] }, &state, &owner("apps"), &Stages::default());
    assert_eq!(deletions.len(), usize::from(keep.is_none()));
    assert_eq!(kept.into_iter().map(|kept| kept.reason).next(), keep);
}

#[test]
fn an_entry_that_names_nothing_is_told() {
    let entry = InventoryEntry { id: "nonsense".to_owned(), version: "v1".to_owned() };
    let (deletions, kept) = plan_deletion(
        &Inventory { entries: vec![entry] },
        &HashMap::new(),
        &owner("apps"),
        &Stages::default(),
    );
    assert!(deletions.is_empty());
    assert_eq!(kept[0].reason, Keep::NotAnId);
}

#[test]
fn what_is_sent_has_data_protocols_and_no_status() {
    let sent = |value: Value| as_sent(&Arc::new(object(value))).fields().clone();
    let secret = sent(
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x", "creationTimestamp": null},
        "data": {"a": "b2xk", "b": "Yg=="}, "stringData": {"a": "new"}, "status": {}}),
    );
    assert_eq!(
        Value::Object(secret),
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}, "data": {"a": "bmV3", "b": "Yg=="}})
    );
    let pod_spec = json!({"containers": [{"name": "c", "ports": [{"containerPort": 1}, {"containerPort": 2, "protocol": "UDP"}]}],
        "hostNetwork": null});
    let deployment = sent(json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x"},
        "spec": {"template": {"spec": pod_spec}}}));
    let ports = json!([{"containerPort": 1, "protocol": "TCP"}, {"containerPort": 2, "protocol": "UDP"}]);
    assert_eq!(
        deployment["spec"]["template"]["spec"],
        json!({"containers": [{"name": "c", "ports": ports}]})
    );
    let custom = sent(
        json!({"apiVersion": "example.com/v1", "kind": "Box", "metadata": {"name": "x"}, "spec": {"a": null}}),
    );
    assert_eq!(custom["spec"], json!({"a": null}));
}

#[test]
fn what_needs_no_change_is_not_copied() {
    let rendered = Arc::new(config_map("apps", None, "1"));
    assert!(Arc::ptr_eq(&as_sent(&rendered), &rendered));
}

#[rstest]
#[case::in_place(live(&config_map("apps", None, "2")), false, true)]
#[case::nothing_to_do(live(&config_map("apps", None, "1")), false, false)]
#[case::created(Live::Absent, false, false)]
#[case::not_known(Live::Unknown, false, false)]
#[case::may_be_replaced(live(&config_map("apps", None, "2")), true, false)]
fn a_plan_is_one_request(#[case] live: Live, #[case] force: bool, #[case] expected: bool) {
    let policy = Policy { force, ..policy() };
    let plan = plan_one(&config_map("apps", None, "1"), live, None, &policy);
    assert_eq!(plan.is_one_request(), expected);
}
