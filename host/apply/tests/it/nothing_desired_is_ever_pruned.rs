//! Properties of the planner, for whatever is desired, in the cluster, and in the inventory.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use plumb_api::{GroupVersionKind, Inventory, InventoryEntry, Object, ObjectId};
use plumb_apply::{
    Change, Deferred, Inputs, Keep, LiveState, Owner, Plan, PlanError, Policy, PruneLimit, Stages, may_prune,
    plan,
};
use proptest::prelude::*;
use proptest::sample::{Index, subsequence};
use serde_json::{Value, json};

use crate::api_server::Cluster;
use crate::object;

const OWNER: &str = "kustomize.toolkit.fluxcd.io";

/// Who an object of the cluster belongs to, as its labels say.
#[derive(Clone, Copy, Debug)]
enum Holder {
    Us,
    OneWhoClaimsIt,
    OneWhoLetGo,
    Nobody,
}

#[derive(Clone, Debug)]
struct World {
    desired: Vec<Arc<Object>>,
    cluster: Cluster,
    inventory: Inventory,
    prune: bool,
}

fn policy(prune: bool) -> Policy {
    Policy { prune, prune_limit: PruneLimit::OFF, ..Policy::new(owner("us")) }
}

fn owner(name: &str) -> Owner {
    Owner::kustomization("flux-system", name)
}

fn is_claimed(owner: &Owner, _: &ObjectId) -> bool {
    owner.name == "claims"
}

/// All objects that there can be.
fn ids() -> Vec<(&'static str, &'static str, &'static str)> {
    let kinds = [
        ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
        ("v1", "Namespace"),
        ("storage.k8s.io/v1", "StorageClass"),
        ("v1", "Secret"),
        ("apps/v1", "Deployment"),
        ("example.com/v1", "Widget"),
        ("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration"),
    ];
    kinds.into_iter().flat_map(|(version, kind)| ["a", "b"].map(|name| (version, kind, name))).collect()
}

fn build(id: (&str, &str, &str), labels: Value, annotations: Value, spec: Value) -> Object {
    let (version, kind, name) = id;
    object(json!({"apiVersion": version, "kind": kind,
        "metadata": {"name": name, "labels": labels, "annotations": annotations}, "spec": spec}))
}

fn labels(held: Holder) -> Value {
    let name = match held {
        Holder::Us => "us",
        Holder::OneWhoClaimsIt => "claims",
        Holder::OneWhoLetGo => "let-go",
        Holder::Nobody => return json!({"app": "x"}),
    };
    json!({format!("{OWNER}/name"): name, format!("{OWNER}/namespace"): "flux-system"})
}

fn annotations() -> impl Strategy<Value = Value> {
    prop_oneof![
        6 => Just(json!({"a": "b"})),
        1 => Just(json!({format!("{OWNER}/ssa"): "Ignore"})),
        1 => Just(json!({format!("{OWNER}/ssa"): "IfNotPresent"})),
        1 => Just(json!({format!("{OWNER}/ssa"): "Merge"})),
        1 => Just(json!({format!("{OWNER}/prune"): "disabled"})),
    ]
}

/// Something to apply: scalars, maps, an atomic list, and a list of named items.
fn spec() -> impl Strategy<Value = Value> {
    let named = subsequence(vec!["x", "y", "z"], 0..=3).prop_flat_map(|names| (Just(names), 0..2)).prop_map(
        |(names, image)| {
            names.into_iter().map(|name| json!({"name": name, "image": image})).collect::<Value>()
        },
    );
    let list = proptest::collection::vec(0..3, 0..3);
    (0..3, proptest::option::of("[a-c]{0,2}"), list, named).prop_map(|(number, text, list, named)| {
        let mut spec = json!({"number": number, "nested": {"list": list, "named": named}});
        if let Some(text) = text {
            spec["text"] = json!(text);
        }
        spec
    })
}

fn held() -> impl Strategy<Value = Holder> {
    prop_oneof![
        4 => Just(Holder::Us),
        1 => Just(Holder::OneWhoClaimsIt),
        1 => Just(Holder::OneWhoLetGo),
        1 => Just(Holder::Nobody),
    ]
}

fn worlds() -> impl Strategy<Value = World> {
    let count = ids().len();
    let desired = subsequence(ids(), 1..=count)
        .prop_shuffle()
        .prop_flat_map(|ids| ids.into_iter().map(|id| (Just(id), annotations(), spec())).collect::<Vec<_>>());
    let live = subsequence(ids(), 0..=count).prop_flat_map(|ids| {
        ids.into_iter().map(|id| (Just(id), held(), annotations(), spec())).collect::<Vec<_>>()
    });
    let unseen = subsequence(ids(), 0..=3);
    let inventory = subsequence(ids(), 0..=count).prop_shuffle();
    (desired, live, unseen, inventory, any::<bool>()).prop_map(|(desired, live, unseen, inventory, prune)| {
        let mut cluster = Cluster::default();
        for (id, held, annotations, spec) in live {
            cluster.apply(&build(id, labels(held), annotations, spec));
        }
        let bare = |id| build(id, json!({}), json!({}), json!({}));
        cluster.unseen = unseen.into_iter().map(|id| bare(id).id()).collect();
        let wanted = |(id, annotations, spec)| Arc::new(build(id, labels(Holder::Us), annotations, spec));
        World {
            desired: desired.into_iter().map(wanted).collect(),
            cluster,
            inventory: Inventory {
                entries: inventory.into_iter().map(|id| InventoryEntry::of(&bare(id))).collect(),
            },
            prune,
        }
    })
}

fn plan_of(world: &World) -> Plan {
    try_plan(world).unwrap()
}

fn try_plan(world: &World) -> Result<Plan, PlanError> {
    plan_by(world, &policy(world.prune))
}

fn plan_by(world: &World, policy: &Policy) -> Result<Plan, PlanError> {
    plan(Inputs {
        desired: world.desired.clone(),
        live: &world.cluster,
        inventory: &world.inventory,
        applied: &HashMap::new(),
        is_claimed: &is_claimed,
        deferred: Vec::new(),
        heir: &|_| None,
        policy,
    })
}

fn listed(inventory: &Inventory) -> BTreeSet<String> {
    inventory.entries.iter().map(|entry| entry.id.clone()).collect()
}

proptest! {
    #[test]
    fn what_is_pruned_was_ours_and_is_not_desired(world in worlds()) {
        let plan = plan_of(&world);
        let desired: BTreeSet<_> = world.desired.iter().map(|object| object.id()).collect();
        prop_assert!(world.prune || plan.prune.is_empty());
        prop_assert!(plan.prune.is_sorted_by(|left, right| Stages::default().compare(&right.id, &left.id).is_lt()));
        for deletion in &plan.prune {
            prop_assert!(!desired.contains(&deletion.id));
            prop_assert!(listed(&world.inventory).contains(&deletion.id.to_string()));
            match world.cluster.live(&deletion.id) {
                plumb_apply::Live::Present(live) => {
                    prop_assert_eq!(may_prune(&live, &owner("us")), Ok(()));
                    prop_assert_eq!(deletion.uid.as_deref(), Some("uid"));
                }
                plumb_apply::Live::Unknown => prop_assert_eq!(&deletion.uid, &None),
                plumb_apply::Live::Absent => prop_assert!(false, "what is gone is not deleted"),
            }
        }
    }

    #[test]
    fn what_is_in_the_inventory_is_desired_pruned_or_kept(world in worlds()) {
        let plan = plan_of(&world);
        let desired = world.desired.iter().map(|object| object.id().to_string());
        let pruned = plan.prune.iter().map(|deletion| deletion.id.to_string());
        let kept = plan.kept.iter().map(|kept| kept.entry.id.clone());
        let accounted: BTreeSet<_> = desired.chain(pruned).chain(kept).collect();
        prop_assert!(listed(&world.inventory).is_subset(&accounted));
    }

    #[test]
    fn an_empty_render_prunes_nothing(mut world in worlds()) {
        world.desired.clear();
        match try_plan(&world) {
            Ok(plan) => prop_assert!(world.inventory.entries.is_empty() && plan.prune.is_empty()),
            Err(error) => prop_assert_eq!(error, PlanError::EmptyRender { entries: world.inventory.entries.len() }),
        }
    }

    // Attack 25 (multi-tenancy): what a broken commit would delete, and the limit withholds, is never forgotten.
    #[test]
    fn what_is_withheld_stays_in_the_inventory(world in worlds(), limit in 0..4_usize) {
        let limit: PruneLimit = limit.to_string().parse().unwrap();
        let all = plan_of(&world);
        let limited = plan_by(&world, &Policy { prune_limit: limit, ..policy(world.prune) }).unwrap();
        match &limited.withheld {
            None => prop_assert_eq!(&limited.prune, &all.prune),
            Some(withheld) => {
                prop_assert!(limited.prune.is_empty());
                prop_assert_eq!(&withheld.deletions, &all.prune);
                let after = listed(&limited.inventory_after);
                prop_assert!(withheld.deletions.iter().all(|deletion| after.contains(&deletion.id.to_string())));
                let confirmed = Some(withheld.confirmation());
                let confirmed = Policy { prune_limit: limit, prune_confirmed: confirmed, ..policy(world.prune) };
                prop_assert_eq!(plan_by(&world, &confirmed).unwrap().prune, all.prune);
            }
        }
        prop_assert!(listed(&all.inventory_after).is_subset(&listed(&limited.inventory_after)));
    }

    #[test]
    fn while_something_is_deferred_nothing_is_pruned_or_forgotten(world in worlds()) {
        let gvk = GroupVersionKind::new("example.com/v1", "Unknown");
        let id = ObjectId { namespace: String::new(), name: "a".to_owned(), group_kind: gvk.group_kind() };
        let plan = plan(Inputs {
            desired: world.desired.clone(),
            deferred: vec![Deferred { id, gvk }],
            live: &world.cluster,
            inventory: &world.inventory,
            applied: &HashMap::new(),
            is_claimed: &is_claimed,
            heir: &|_| None,
            policy: &policy(world.prune),
        }).unwrap();
        prop_assert!(plan.prune.is_empty() && plan.kept.is_empty() && !plan.is_unchanged());
        prop_assert!(listed(&world.inventory).is_subset(&listed(&plan.inventory_after)));
        prop_assert_eq!(plan.actions().count(), plan_of(&world).actions().count());
    }

    #[test]
    fn what_another_takes_over_is_not_pruned(world in worlds(), taken in any::<Index>()) {
        let before = plan_of(&world);
        if !before.prune.is_empty() {
            let taken = taken.get(&before.prune).id.clone();
            let plan = plan(Inputs {
                desired: world.desired.clone(),
                deferred: Vec::new(),
                live: &world.cluster,
                inventory: &world.inventory,
                applied: &HashMap::new(),
                is_claimed: &is_claimed,
                heir: &|id| (*id == taken).then(|| owner("heir")),
                policy: &policy(world.prune),
            }).unwrap();
            prop_assert!(plan.prune.iter().all(|deletion| deletion.id != taken));
            prop_assert_eq!(plan.prune.len() + 1, before.prune.len());
            let let_go = plan.kept.iter().find(|kept| kept.entry.id == taken.to_string()).unwrap();
            prop_assert_eq!(&let_go.reason, &Keep::HandedOver(owner("heir")));
            prop_assert!(!listed(&plan.inventory_after).contains(&taken.to_string()));
        }
    }

    #[test]
    fn what_is_going_already_stays_in_the_inventory_until_it_is_gone(mut world in worlds(), going in any::<Index>()) {
        let before = plan_of(&world);
        if !before.prune.is_empty() {
            let id = going.get(&before.prune).id.clone();
            if let Some(live) = world.cluster.objects.remove(&id) {
                let mut live = live.into_value();
                live["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
                world.cluster.objects.insert(id.clone(), object(live));
                world.cluster.unseen.clear();
                let plan = plan_of(&world);
                // What is unseen may not have been ours.
                prop_assume!(before.prune.iter().any(|deletion| deletion.id == id && deletion.uid.is_some()));
                prop_assert!(plan.prune.iter().all(|deletion| deletion.id != id));
                prop_assert_eq!(&plan.terminating[0].id, &id);
                prop_assert!(listed(&plan.inventory_after).contains(&id.to_string()));
            }
        }
    }

    #[test]
    fn every_desired_object_is_in_one_place(world in worlds()) {
        let plan = plan_of(&world);
        let actions = plan.actions().map(|action| action.id.clone());
        let mut planned: Vec<_> = actions.chain(plan.conflicts.iter().map(|conflict| conflict.id.clone())).collect();
        let mut desired: Vec<_> = world.desired.iter().map(|object| object.id()).collect();
        planned.sort();
        desired.sort();
        prop_assert_eq!(planned, desired);
    }

    #[test]
    fn the_inventory_covers_everything_before_it_is_touched(world in worlds()) {
        let plan = plan_of(&world);
        let before = listed(&plan.inventory_before);
        prop_assert_eq!(before.len(), plan.inventory_before.entries.len());
        prop_assert!(plan.actions().all(|action| before.contains(&action.id.to_string())));
        prop_assert!(listed(&world.inventory).is_subset(&before));
        prop_assert!(listed(&plan.inventory_after).is_subset(&before));
    }

    #[test]
    fn what_could_not_be_deleted_stays_in_the_inventory(world in worlds(), failed in any::<Index>()) {
        let plan = plan_of(&world);
        prop_assert_eq!(&plan.inventory_after_failing(&[]), &plan.inventory_after);
        if !plan.prune.is_empty() {
            let failed = failed.get(&plan.prune).id.clone();
            let mut expected = listed(&plan.inventory_after);
            expected.insert(failed.to_string());
            prop_assert_eq!(listed(&plan.inventory_after_failing(&[failed])), expected);
        }
    }

    #[test]
    fn stages_follow_each_other(world in worlds()) {
        let plan = plan_of(&world);
        prop_assert!(plan.stages.is_sorted_by(|left, right| left.stage < right.stage));
        for stage in &plan.stages {
            prop_assert!(!stage.actions.is_empty());
            prop_assert!(stage.actions.is_sorted_by(|left, right| Stages::default().compare(&left.id, &right.id).is_lt()));
            prop_assert!(stage.actions.iter().all(|action| Stages::default().of(&action.id.group_kind) == stage.stage));
        }
    }

    #[test]
    fn the_order_in_which_objects_are_rendered_does_not_matter(world in worlds()) {
        let plan = plan_of(&world);
        let mut other = world.clone();
        other.desired.reverse();
        other.inventory.entries.reverse();
        let other = plan_of(&other);
        let text = |plan: &Plan| format!("{:?} {:?}", plan.stages, plan.prune);
        prop_assert_eq!(text(&plan), text(&other));
        prop_assert_eq!(listed(&plan.inventory_before), listed(&other.inventory_before));
        prop_assert_eq!(text(&plan), text(&plan_of(&world)));
    }

    #[test]
    fn conflicts_are_with_those_who_claim(world in worlds()) {
        let plan = plan_of(&world);
        for conflict in &plan.conflicts {
            prop_assert_eq!(&conflict.holder, &owner("claims"));
            prop_assert!(!listed(&plan.inventory_after).contains(&conflict.id.to_string()));
        }
    }

    #[test]
    fn after_a_plan_there_is_nothing_to_do(mut world in worlds()) {
        let first = plan_of(&world);
        world.inventory = world.cluster.carry_out(&first, &is_claimed, &policy(world.prune));
        world.cluster.unseen.clear();
        let second = plan_of(&world);
        prop_assert!(second.prune.is_empty());
        for action in second.actions() {
            let idle = matches!(action.change, Change::Unchanged | Change::LeftAlone(_));
            prop_assert!(idle, "{:?}", action);
        }
    }
}
