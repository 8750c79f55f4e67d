//! As much of the API server as the planner can see: server-side apply by one manager. Maps and lists of items with a `name` are merged,
//! other lists are atomic.

use std::collections::HashMap;

use plumb_api::{Inventory, Object, ObjectId};
use plumb_apply::{
    Action, Change, Live, LiveState, Owner, Plan, Policy, may_prune, plan_object, projection_digest,
};
use serde_json::{Map, Value, json};

use crate::{MANAGER, object};

/// A cluster, and which of its objects the watches do not show.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cluster {
    pub(crate) objects: HashMap<ObjectId, Object>,
    pub(crate) unseen: Vec<ObjectId>,
}

impl LiveState for Cluster {
    fn live(&self, id: &ObjectId) -> Live {
        if self.unseen.contains(id) { Live::Unknown } else { self.get(id) }
    }
}

impl Cluster {
    fn get(&self, id: &ObjectId) -> Live {
        self.objects.get(id).map_or(Live::Absent, |object| Live::Present(object.clone().into()))
    }

    pub(crate) fn apply(&mut self, desired: &Object) {
        let id = desired.id();
        let applied = applied(self.objects.get(&id), desired);
        assert!(projection_digest(&applied, MANAGER).is_some());
        self.objects.insert(id, applied);
    }

    /// Does what a plan says, and returns the inventory afterwards.
    pub(crate) fn carry_out(
        &mut self,
        plan: &Plan,
        is_claimed: &dyn Fn(&Owner, &ObjectId) -> bool,
        policy: &Policy,
    ) -> Inventory {
        for action in plan.actions() {
            self.act(action, is_claimed, policy);
        }
        for deletion in &plan.prune {
            let is_ours = |live: &Object| may_prune(live, &policy.owner).is_ok();
            if self.objects.get(&deletion.id).is_some_and(is_ours) {
                self.objects.remove(&deletion.id);
            }
        }
        plan.inventory_after.clone()
    }

    fn act(&mut self, action: &Action, is_claimed: &dyn Fn(&Owner, &ObjectId) -> bool, policy: &Policy) {
        match &action.change {
            Change::Create | Change::Apply(_) => self.apply(&action.sent),
            Change::Look => {
                let live = self.get(&action.id);
                if let Ok(action) = plan_object(&action.desired, live, None, is_claimed, policy) {
                    assert_ne!(action.change, Change::Look);
                    self.act(&action, is_claimed, policy);
                }
            }
            Change::Unchanged | Change::LeftAlone(_) | Change::BeingDeleted(_) => {}
        }
    }
}

/// What server-side apply makes of an object.
pub(crate) fn applied(live: Option<&Object>, desired: &Object) -> Object {
    let mut fields = desired.fields().clone();
    fields.remove("apiVersion");
    fields.remove("kind");
    if let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("name");
        metadata.remove("namespace");
        if metadata.is_empty() {
            fields.remove("metadata");
        }
    }
    let owned = owned_fields(&Value::Object(fields));
    let entry = json!({"manager": MANAGER, "operation": "Apply", "apiVersion": desired.api_version(), "fieldsV1": owned});
    let mut merged = live.map_or(Value::Object(Map::new()), |live| live.clone().into_value());
    if let Some(before) = merged.pointer("/metadata/managedFields/0/fieldsV1").cloned() {
        remove_owned(&mut merged, &before, &owned);
    }
    merge(&mut merged, &Value::Object(desired.fields().clone()));
    merged["metadata"]["managedFields"] = json!([entry]);
    merged["metadata"]["uid"] = json!("uid");
    object(merged)
}

fn is_keyed(items: &[Value]) -> bool {
    !items.is_empty() && items.iter().all(|item| item.get("name").is_some())
}

fn key_of(item: &Value) -> String {
    format!("k:{}", json!({"name": item["name"]}))
}

fn owned_fields(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            fields.iter().map(|(field, value)| (format!("f:{field}"), owned_fields(value))).collect()
        }
        Value::Array(items) if is_keyed(items) => {
            let owned = items.iter().map(|item| {
                let mut owned = owned_fields(item);
                owned["."] = json!({});
                (key_of(item), owned)
            });
            owned.collect()
        }
        _ => json!({}),
    }
}

fn remove_owned(value: &mut Value, before: &Value, now: &Value) {
    let Some(owned) = before.as_object() else { return };
    for (key, before) in owned {
        let now = &now[key];
        match (key.strip_prefix("f:"), &mut *value) {
            (Some(field), Value::Object(fields)) if now.is_null() => drop(fields.remove(field)),
            (Some(field), Value::Object(fields)) => {
                if let Some(value) = fields.get_mut(field) {
                    remove_owned(value, before, now);
                }
            }
            (None, Value::Array(items)) if key != "." && now.is_null() => {
                items.retain(|item| key_of(item) != *key)
            }
            (None, Value::Array(items)) if key != "." => {
                items
                    .iter_mut()
                    .filter(|item| key_of(item) == *key)
                    .for_each(|item| remove_owned(item, before, now));
            }
            _ => {}
        }
    }
}

fn merge(live: &mut Value, desired: &Value) {
    match (live, desired) {
        (Value::Object(live), Value::Object(desired)) => {
            for (field, value) in desired {
                merge(live.entry(field).or_insert(Value::Null), value);
            }
        }
        (Value::Array(live), Value::Array(desired)) if is_keyed(live) && is_keyed(desired) => {
            let mut merged = desired.clone();
            for item in &mut merged {
                if let Some(found) = live.iter().find(|found| key_of(found) == key_of(item)) {
                    let mut both = found.clone();
                    merge(&mut both, item);
                    *item = both;
                }
            }
            let others =
                live.iter().filter(|found| !desired.iter().any(|item| key_of(item) == key_of(found)));
            merged.extend(others.cloned());
            *live = merged;
        }
        (live, desired) => *live = desired.clone(),
    }
}
