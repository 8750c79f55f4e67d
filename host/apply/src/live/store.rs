//! The objects of one kind, as the watch tells of them and as our own requests have left them. No I/O.

use std::collections::HashMap;
use std::sync::Arc;

use kube::core::DynamicObject;
use kube::discovery::ApiResource;
use kube::runtime::watcher::Event;
use plumb_api::{Object, ObjectId, OwnerLabels};
use serde_json::Value;

use super::changes::{LiveChange, LiveChangeKind};
use crate::managed_fields::{OverrideManagers, Writer};
use crate::plan::Owner;
use crate::{FIELD_MANAGER, RELEASE_FIELD_MANAGER};

/// The objects of one kind that carry these labels.
pub(super) struct Store {
    labels: OwnerLabels,
    /// Whose managed fields are kept, besides ours and kubectl's.
    overridden: OverrideManagers,
    objects: HashMap<ObjectId, Kept>,
    /// What a list that has begun has brought so far. It becomes the truth when it is complete.
    listing: Option<HashMap<ObjectId, Kept>>,
    /// Whether a list has been completed.
    is_complete: bool,
    /// The newest resource version that the watch has told of.
    seen: u64,
}

/// An object as JSON text: taken apart, it would take some ten times as much memory, and it is looked at seldom.
#[derive(Clone)]
pub(super) struct Kept {
    text: Arc<[u8]>,
    version: Option<u64>,
    owner: Option<Owner>,
}

impl Kept {
    /// `None` is never the case: every object can be written.
    fn new(object: &Object, labels: OwnerLabels) -> Option<Self> {
        let text = serde_json::to_vec(object).ok()?;
        Some(Self { text: text.into(), version: version(object), owner: labels.owner(object) })
    }

    /// Of two states of an object the newer one.
    pub(super) fn newer(self, other: Self) -> Self {
        if self.is_newer_than(&other) { self } else { other }
    }

    /// The object. `None` is never the case: the text was an object.
    pub(super) fn object(&self) -> Option<Object> {
        Object::new(serde_json::from_slice(&self.text).ok()?).ok()
    }

    /// Whether it is newer than another state of the object. Where a server has versions that are no numbers, what comes later counts as
    /// newer.
    fn is_newer_than(&self, known: &Self) -> bool {
        match (known.version, self.version) {
            (Some(known), Some(new)) => known < new,
            _ => true,
        }
    }

    fn change(&self, id: &ObjectId, kind: LiveChangeKind) -> Option<LiveChange> {
        Some(LiveChange { id: id.clone(), owner: self.owner.clone()?, kind })
    }
}

impl Store {
    pub(super) fn new(labels: OwnerLabels, overridden: OverrideManagers) -> Self {
        Self { labels, overridden, objects: HashMap::new(), listing: None, is_complete: false, seen: 0 }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.is_complete
    }

    pub(super) fn get(&self, id: &ObjectId) -> Option<Kept> {
        self.objects.get(id).cloned()
    }

    pub(super) fn len(&self) -> usize {
        self.objects.len()
    }

    /// Takes in an event of the watch; returns what has changed for whom. The first list changes nothing: nobody has
    /// looked before it is complete.
    pub(super) fn handle(&mut self, event: Event<DynamicObject>, resource: &ApiResource) -> Vec<LiveChange> {
        match event {
            Event::Init => {
                self.listing = Some(HashMap::new());
                Vec::new()
            }
            Event::InitApply(object) => {
                if let (Some(listing), Some(object)) =
                    (&mut self.listing, slim(object, resource, &self.overridden))
                {
                    listing.extend(Kept::new(&object, self.labels).map(|kept| (object.id(), kept)));
                }
                Vec::new()
            }
            Event::InitDone => self.complete(),
            Event::Apply(object) => {
                let Some(object) = slim(object, resource, &self.overridden) else { return Vec::new() };
                let Some(kept) = Kept::new(&object, self.labels) else { return Vec::new() };
                self.seen = self.seen.max(kept.version.unwrap_or_default());
                self.apply(object.id(), kept)
            }
            Event::Delete(object) => {
                let Some(object) = slim(object, resource, &self.overridden) else { return Vec::new() };
                self.seen = self.seen.max(version(&object).unwrap_or_default());
                self.delete(&object.id())
            }
        }
    }

    /// Takes in what a request of our own has made of an object, so that the next plan sees it even when the watch is
    /// behind. The event that follows brings nothing new then. Whoever made the request knows of the change. Where the watch is
    /// ahead already, it may have told that the object is gone again, and is right. Of the same version the answer counts: for a
    /// moment after a CRD has changed, its watch still shows objects by the old schema, without the new fields.
    pub(super) fn observe(&mut self, object: &Object) {
        let (id, Some(kept)) = (object.id(), Kept::new(object, self.labels)) else { return };
        let is_known = self.objects.get(&id).is_some_and(|known| known.version == kept.version);
        let is_ahead = kept.version.is_some_and(|version| version > self.seen);
        if is_known || (is_ahead && self.is_news(&id, &kept)) {
            self.objects.insert(id, kept);
        }
    }

    /// Everything is gone; returns the changes.
    pub(super) fn clear(&mut self) -> Vec<LiveChange> {
        let gone = std::mem::take(&mut self.objects);
        gone.into_iter().filter_map(|(id, kept)| kept.change(&id, LiveChangeKind::Deleted)).collect()
    }

    fn apply(&mut self, id: ObjectId, kept: Kept) -> Vec<LiveChange> {
        if !self.is_news(&id, &kept) {
            return Vec::new();
        }
        let now = kept.change(&id, LiveChangeKind::Applied);
        let before = self.objects.insert(id.clone(), kept);
        let left = before
            .and_then(|before| before.change(&id, LiveChangeKind::Deleted))
            .filter(|left| now.as_ref().is_none_or(|now| now.owner != left.owner));
        left.into_iter().chain(now).collect()
    }

    fn delete(&mut self, id: &ObjectId) -> Vec<LiveChange> {
        let gone = self.objects.remove(id);
        gone.and_then(|gone| gone.change(id, LiveChangeKind::Deleted)).into_iter().collect()
    }

    fn complete(&mut self) -> Vec<LiveChange> {
        let Some(listed) = self.listing.take() else { return Vec::new() };
        if !self.is_complete {
            self.is_complete = true;
            for (id, kept) in listed {
                if self.is_news(&id, &kept) {
                    self.objects.insert(id, kept);
                }
            }
            return Vec::new();
        }
        let vanished: Vec<_> = self.objects.keys().filter(|id| !listed.contains_key(id)).cloned().collect();
        let mut changes: Vec<_> = vanished.iter().flat_map(|id| self.delete(id)).collect();
        for (id, kept) in listed {
            changes.extend(self.apply(id, kept));
        }
        changes
    }

    /// Whether the object is newer than what is known of it.
    fn is_news(&self, id: &ObjectId, kept: &Kept) -> bool {
        self.objects.get(id).is_none_or(|known| kept.is_newer_than(known))
    }
}

/// The resource version. Those of one kind are comparable numbers (KEP-5504).
fn version(object: &Object) -> Option<u64> {
    object.pointer("/metadata/resourceVersion")?.as_str()?.parse().ok()
}

/// The object without what nobody here reads. `None` when it is not an object at all, which no API server sends.
pub(crate) fn slim(
    object: DynamicObject,
    resource: &ApiResource,
    overridden: &OverrideManagers,
) -> Option<Object> {
    let mut value = serde_json::to_value(object).ok()?;
    let fields = value.as_object_mut()?;
    // The items of a list do not say what they are.
    fields.entry("apiVersion").or_insert_with(|| resource.api_version.clone().into());
    fields.entry("kind").or_insert_with(|| resource.kind.clone().into());
    slim_metadata(&mut value, overridden);
    Object::new(value).ok()
}

/// As [`slim`], for the answer to a request.
pub(super) fn slim_answer(object: Object, overridden: &OverrideManagers) -> Option<Object> {
    let mut value = object.into_value();
    slim_metadata(&mut value, overridden);
    Object::new(value).ok()
}

/// Drops the managed fields of those who neither apply nor are taken over (controllers write status, at length), and kubectl's copy of
/// the manifest, which repeats the object and, for a Secret, its values.
fn slim_metadata(value: &mut Value, overridden: &OverrideManagers) {
    if let Some(entries) = value.pointer_mut("/metadata/managedFields").and_then(Value::as_array_mut) {
        entries.retain(|entry| {
            // Whoever has the object now, another kind of applier may take it over.
            let is_read = |manager| {
                let writer = entry.as_object().map(|entry| overridden.writer_of(entry, manager));
                writer.is_some_and(|writer| writer != Writer::Nobody)
            };
            [FIELD_MANAGER, RELEASE_FIELD_MANAGER].into_iter().any(is_read)
        });
    }
    if let Some(annotations) = value.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use kube::core::GroupVersionKind;
    use plumb_api::annotations;
    use serde_json::json;

    use super::*;

    fn resource() -> ApiResource {
        ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "ConfigMap"))
    }

    fn config_map(name: &str, version: u64, owner: &str) -> DynamicObject {
        let labels = json!({annotations::OWNER_NAME: owner, annotations::OWNER_NAMESPACE: "flux-system"});
        let metadata = json!({"name": name, "namespace": "default", "resourceVersion": version.to_string(), "labels": labels});
        // As in a list: no apiVersion, no kind.
        serde_json::from_value(json!({"metadata": metadata, "data": {"version": version.to_string()}}))
            .unwrap()
    }

    fn listed(objects: &[DynamicObject]) -> (Store, Vec<LiveChange>) {
        let mut store = Store::new(OwnerLabels::Kustomize, OverrideManagers::default());
        let changes = list(&mut store, objects);
        (store, changes)
    }

    fn list(store: &mut Store, objects: &[DynamicObject]) -> Vec<LiveChange> {
        let mut changes = store.handle(Event::Init, &resource());
        for object in objects {
            changes.extend(store.handle(Event::InitApply(object.clone()), &resource()));
        }
        changes.extend(store.handle(Event::InitDone, &resource()));
        changes
    }

    fn told(changes: &[LiveChange]) -> Vec<(&str, &str, LiveChangeKind)> {
        changes
            .iter()
            .map(|change| (change.id.name.as_str(), change.owner.name.as_str(), change.kind))
            .collect()
    }

    #[test]
    fn the_first_list_is_no_news_and_is_complete_only_at_its_end() {
        let mut store = Store::new(OwnerLabels::Kustomize, OverrideManagers::default());
        store.handle(Event::Init, &resource());
        store.handle(Event::InitApply(config_map("a", 1, "apps")), &resource());
        assert!(!store.is_complete());
        assert_eq!(store.handle(Event::InitDone, &resource()), []);
        assert!(store.is_complete());
        assert_eq!(store.len(), 1);
    }

    #[test]
    fn a_second_list_tells_what_was_missed() {
        let (mut store, _) =
            listed(&[config_map("a", 1, "apps"), config_map("b", 2, "apps"), config_map("c", 3, "apps")]);
        let changes = list(
            &mut store,
            &[config_map("a", 1, "apps"), config_map("b", 4, "apps"), config_map("d", 5, "apps")],
        );
        let mut told = told(&changes);
        told.sort_by_key(|(name, ..)| *name);
        assert_eq!(
            told,
            [
                ("b", "apps", LiveChangeKind::Applied),
                ("c", "apps", LiveChangeKind::Deleted),
                ("d", "apps", LiveChangeKind::Applied),
            ]
        );
    }

    #[test]
    fn our_own_write_is_seen_at_once_and_its_event_is_no_news() {
        let (mut store, _) = listed(&[config_map("a", 1, "apps")]);
        let written = slim(config_map("a", 5, "apps"), &resource(), &OverrideManagers::default()).unwrap();
        let id = written.id();
        store.observe(&written);
        assert_eq!(store.get(&id).unwrap().object().unwrap().pointer("/data/version").unwrap(), "5");
        assert_eq!(
            store.handle(Event::Apply(config_map("a", 3, "apps")), &resource()),
            [],
            "older than our write"
        );
        assert_eq!(store.handle(Event::Apply(config_map("a", 5, "apps")), &resource()), [], "our write");
        assert_eq!(store.get(&id).unwrap().object().unwrap().pointer("/data/version").unwrap(), "5");
        assert_eq!(
            store.handle(Event::Apply(config_map("a", 6, "apps")), &resource()).len(),
            1,
            "somebody else's"
        );
    }

    #[test]
    fn an_answer_that_comes_after_the_deletion_does_not_bring_the_object_back() {
        let (mut store, _) = listed(&[config_map("a", 1, "apps")]);
        store.handle(Event::Apply(config_map("a", 5, "apps")), &resource());
        store.handle(Event::Delete(config_map("a", 6, "apps")), &resource());
        store.observe(&slim(config_map("a", 5, "apps"), &resource(), &OverrideManagers::default()).unwrap());
        assert_eq!(store.len(), 0);
    }

    #[test]
    fn of_the_same_version_our_answer_counts() {
        let (mut store, _) = listed(&[]);
        let mut pruned = config_map("a", 5, "apps");
        pruned.data = json!({});
        store.handle(Event::Apply(pruned), &resource());
        let answer = slim(config_map("a", 5, "apps"), &resource(), &OverrideManagers::default()).unwrap();
        store.observe(&answer);
        assert_eq!(store.get(&answer.id()).unwrap().object().unwrap(), answer);
    }

    #[test]
    fn an_object_that_changes_hands_is_news_for_both_owners() {
        let (mut store, _) = listed(&[config_map("a", 1, "apps")]);
        let changes = store.handle(Event::Apply(config_map("a", 2, "infra")), &resource());
        assert_eq!(
            told(&changes),
            [("a", "apps", LiveChangeKind::Deleted), ("a", "infra", LiveChangeKind::Applied)]
        );
    }

    #[test]
    fn a_kind_that_vanishes_takes_its_objects_along() {
        let (mut store, _) = listed(&[config_map("a", 1, "apps")]);
        assert_eq!(told(&store.clear()), [("a", "apps", LiveChangeKind::Deleted)]);
        assert_eq!(store.len(), 0);
    }

    #[test]
    fn only_what_is_read_is_kept() {
        let entry = |manager: &str, operation: &str, subresource: &str| json!({"manager": manager, "operation": operation, "subresource": subresource, "fieldsV1": {}});
        let mut value = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": "a",
                "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "other": "stays"},
                "managedFields": [
                    entry("kustomize-controller", "Apply", ""),
                    entry("kubectl-client-side-apply", "Update", ""),
                    entry("kube-controller-manager", "Update", "status"),
                    entry("kubectl-edit", "Update", "status"),
                    entry("hpa", "Update", ""),
                    entry("vpa", "Update", ""),
                ],
            },
        });
        slim_metadata(&mut value, &OverrideManagers::new(["hpa".to_owned()]).unwrap());
        let managers: Vec<_> = value["metadata"]["managedFields"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| entry["manager"].clone())
            .collect();
        assert_eq!(managers, ["kustomize-controller", "kubectl-client-side-apply", "hpa"]);
        assert_eq!(value["metadata"]["annotations"], json!({"other": "stays"}));
    }
}
