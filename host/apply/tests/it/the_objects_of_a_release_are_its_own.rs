use std::collections::HashMap;
use std::sync::Arc;

use plumb_api::annotations::RESOURCE_POLICY;
use plumb_api::{ApplierKind, Inventory, InventoryEntry, Object, ObjectId, OwnerLabels};
use plumb_apply::{
    Change, Fields, Inputs, Keep, Live, Owner, Plan, Policy, Stages, may_prune, plan, plan_deletion,
};
use rstest::rstest;
use serde_json::{Value, json};

use crate::object;

fn release() -> Owner {
    Owner { kind: ApplierKind::HelmRelease, namespace: "shop".to_owned(), name: "web".to_owned() }
}

fn labels(owners: &[Owner]) -> Value {
    let both = |owner: &Owner| {
        let labels = owner.kind.labels();
        [
            (labels.name().to_owned(), json!(owner.name)),
            (labels.namespace().to_owned(), json!(owner.namespace)),
        ]
    };
    owners.iter().flat_map(both).collect()
}

fn config_map(owners: &[Owner], annotations: Value, value: &str) -> Object {
    object(json!({
        "apiVersion": "v1", "kind": "ConfigMap", "data": {"a": value},
        "metadata": {"name": "settings", "namespace": "shop", "labels": labels(owners), "annotations": annotations},
    }))
}

fn planned(desired: &Object, live: Live, policy: &Policy) -> Plan {
    let state = HashMap::from([(desired.id(), live)]);
    plan(Inputs {
        desired: vec![Arc::new(desired.clone())],
        live: &state,
        inventory: &Inventory::default(),
        applied: &HashMap::new(),
        is_claimed: &|_: &Owner, _: &ObjectId| true,
        deferred: Vec::new(),
        heir: &|_| None,
        policy,
    })
    .unwrap()
}

fn live(object: Object) -> Live {
    Live::Present(Arc::new(object))
}

#[test]
fn they_are_applied_in_the_name_of_helm() {
    assert_eq!(Policy::new(release()).manager, "helm-controller");
    assert_eq!(Policy::new(Owner::kustomization("a", "b")).manager, "kustomize-controller");
}

#[rstest]
#[case::gone(Live::Absent, Change::Create)]
#[case::not_known(Live::Unknown, Change::Look)]
#[case::changed(live(config_map(&[release()], json!({}), "other")), Change::Unchanged)]
fn fields_that_are_left_are_no_reason_to_apply(#[case] live: Live, #[case] expected: Change) {
    let policy = Policy { fields: Fields::Left, ..Policy::new(release()) };
    let plan = planned(&config_map(&[release()], json!({}), "1"), live, &policy);
    assert_eq!(plan.actions().next().map(|action| action.change.clone()), Some(expected));
}

// Attack 22 (multi-tenancy): a release and a Kustomization claim one object.
#[rstest]
#[case::of_a_kustomization(&[Owner::kustomization("flux-system", "apps")])]
#[case::of_both(&[Owner::kustomization("flux-system", "apps"), release()])]
fn what_a_kustomization_has_is_not_taken(#[case] owners: &[Owner]) {
    let plan = planned(
        &config_map(&[release()], json!({}), "1"),
        live(config_map(owners, json!({}), "2")),
        &Policy::new(release()),
    );
    let holders: Vec<String> = plan.conflicts.iter().map(|conflict| conflict.holder.to_string()).collect();
    assert_eq!(holders, ["Kustomization flux-system/apps"]);
}

#[rstest]
#[case::its_own(&[release()], json!({}), Ok(()))]
#[case::kept(&[release()], json!({RESOURCE_POLICY: " Keep "}), Err(Keep::Annotated))]
#[case::another_policy(&[release()], json!({RESOURCE_POLICY: "drop"}), Ok(()))]
#[case::nobodys(&[], json!({}), Err(Keep::NotLabelled))]
#[case::anothers(&[Owner::kustomization("a", "b")], json!({}), Err(Keep::BelongsTo(Owner::kustomization("a", "b"))))]
fn only_what_is_its_own_is_pruned(
    #[case] owners: &[Owner],
    #[case] annotations: Value,
    #[case] expected: Result<(), Keep>,
) {
    let live_object = config_map(owners, annotations, "1");
    assert_eq!(may_prune(&live_object, &release()), expected);
    let inventory = Inventory { entries: vec![InventoryEntry::of(&live_object)] };
    let state = HashMap::from([(live_object.id(), live(live_object))]);
    let (deletions, kept) = plan_deletion(&inventory, &state, &release(), &Stages::default());
    assert_eq!((deletions.len(), kept.len()), if expected.is_ok() { (1, 0) } else { (0, 1) });
}

#[test]
fn the_policy_of_helm_means_nothing_to_a_kustomization() {
    let owner = Owner::kustomization("flux-system", "apps");
    let kept = config_map(std::slice::from_ref(&owner), json!({RESOURCE_POLICY: "keep"}), "1");
    assert_eq!(may_prune(&kept, &owner), Ok(()));
}

#[test]
fn each_kind_of_owner_has_labels_of_its_own() {
    let both = config_map(&[release(), Owner::kustomization("flux-system", "apps")], json!({}), "1");
    let owners = OwnerLabels::ALL.map(|labels| labels.owner(&both).map(|owner| owner.to_string()));
    assert_eq!(
        owners.map(Option::unwrap_or_default),
        ["Kustomization flux-system/apps", "HelmRelease shop/web"]
    );
}
