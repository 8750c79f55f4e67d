use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use futures::StreamExt as _;
use kube::Client;
use kube::api::Api;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{Config, Event, watcher};
use plumb_api::{GroupKind, Object};
use serde_json::Value;

use super::{Shared, defined_kinds};
use crate::live::{refusal, slim};
use crate::managed_fields::OverrideManagers;
use crate::supervise::supervise;

/// Definitions are large: so many are held at once while they are listed.
const PAGE: u32 = 20;

/// Watches the definitions of the cluster, and keeps the table of kinds as they say.
pub(super) async fn follow(client: Client, shared: Arc<Shared>) {
    let task = || watch(client.clone(), Arc::clone(&shared));
    // What is known stays: a kind that is no longer served is noticed when it is used.
    supervise("the watch of CustomResourceDefinitions".to_owned(), task, || {}).await;
}

async fn watch(client: Client, shared: Arc<Shared>) {
    let gvk = GroupVersionKind::gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
    let resource = ApiResource::from_gvk(&gvk);
    let api: Api<DynamicObject> = Api::all_with(client, &resource);
    let config = Config::default().page_size(PAGE);
    let mut events = std::pin::pin!(watcher(api, config).default_backoff());
    let mut definitions = Definitions::default();
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => definitions.handle(event, &resource, &shared),
            Err(error) if refusal(&error).is_some_and(|status| status.code == 403) => {
                tracing::debug!(%error, "not allowed to watch CustomResourceDefinitions: new kinds are found by asking");
            }
            Err(error) => {
                tracing::debug!(%error, "the watch of CustomResourceDefinitions failed; it is started again");
            }
        }
    }
}

/// What has been told of the definitions that are established: the versions that they serve.
#[derive(Default)]
struct Definitions {
    served: HashMap<GroupKind, BTreeSet<String>>,
    listing: Option<BTreeSet<GroupKind>>,
    was_listed: bool,
}

impl Definitions {
    fn handle(&mut self, event: Event<DynamicObject>, resource: &ApiResource, shared: &Shared) {
        match event {
            Event::Init => self.listing = Some(BTreeSet::new()),
            Event::InitApply(crd) => {
                let found = slim(crd, resource, &OverrideManagers::default())
                    .and_then(|crd| self.apply(&crd, shared));
                if let (Some(listing), Some(group_kind)) = (&mut self.listing, found) {
                    listing.insert(group_kind);
                }
            }
            Event::InitDone => {
                let Some(listed) = self.listing.take() else { return };
                let gone: Vec<_> =
                    self.served.keys().filter(|kind| !listed.contains(kind)).cloned().collect();
                gone.iter().for_each(|group_kind| self.delete(group_kind, shared));
                self.was_listed = true;
            }
            Event::Apply(crd) => {
                if let Some(crd) = slim(crd, resource, &OverrideManagers::default()) {
                    self.apply(&crd, shared);
                }
            }
            Event::Delete(crd) => {
                let kinds = slim(crd, resource, &OverrideManagers::default())
                    .map(|crd| defined_kinds(&crd))
                    .unwrap_or_default();
                if let Some(kind) = kinds.first() {
                    self.delete(&kind.gvk().group_kind(), shared);
                }
            }
        }
    }

    /// Takes in a definition; returns what it defines. One that is not established yet, or whose names another one has, defines nothing
    /// that could be used.
    fn apply(&mut self, crd: &Object, shared: &Shared) -> Option<GroupKind> {
        let kinds = defined_kinds(crd);
        let group_kind = kinds.first()?.gvk().group_kind();
        if !is_established(crd) {
            return Some(group_kind);
        }
        let versions = kinds.iter().map(|kind| kind.gvk().version).collect();
        if self.served.get(&group_kind) == Some(&versions) {
            return Some(group_kind);
        }
        self.served.insert(group_kind.clone(), versions);
        let mut table = shared.table.write();
        table.define(kinds);
        if self.was_listed {
            table.establish(group_kind.clone());
        }
        drop(table);
        shared.changes.publish(&group_kind, &());
        Some(group_kind)
    }

    fn delete(&mut self, group_kind: &GroupKind, shared: &Shared) {
        self.served.remove(group_kind);
        shared.table.write().undefine(group_kind);
    }
}

fn is_established(crd: &Object) -> bool {
    let conditions = crd.pointer("/status/conditions").and_then(Value::as_array);
    let text =
        |condition: &Value, field: &str| condition.get(field).and_then(Value::as_str).map(str::to_owned);
    conditions.into_iter().flatten().any(|condition| {
        text(condition, "type").as_deref() == Some("Established")
            && text(condition, "status").as_deref() == Some("True")
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use plumb_api::GroupVersionKind as Gvk;
    use rstest::rstest;
    use serde_json::json;

    use super::*;
    use crate::news::Reader;

    fn crd(kind: &str, versions: &[&str], established: &str) -> DynamicObject {
        let versions: Vec<_> = versions.iter().map(|name| json!({"name": name, "served": true})).collect();
        let names = json!({"kind": kind, "plural": format!("{}s", kind.to_lowercase())});
        serde_json::from_value(json!({
            "metadata": {"name": kind},
            "spec": {"group": "example.com", "scope": "Cluster", "names": names, "versions": versions},
            "status": {"conditions": [{"type": "Established", "status": established}]},
        }))
        .unwrap()
    }

    fn told(reader: &mut Reader<GroupKind, ()>) -> Vec<String> {
        std::iter::from_fn(|| reader.try_next()).map(|(group_kind, ())| group_kind.kind).collect()
    }

    fn handle(events: Vec<Event<DynamicObject>>) -> (Shared, Definitions, Vec<String>) {
        let (shared, mut definitions) = (Shared::default(), Definitions::default());
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(
            "apiextensions.k8s.io",
            "v1",
            "CustomResourceDefinition",
        ));
        let mut reader = shared.changes.subscribe();
        for event in events {
            definitions.handle(event, &resource, &shared);
        }
        let told = told(&mut reader);
        (shared, definitions, told)
    }

    fn knows(shared: &Shared, version: &str) -> bool {
        shared.table.read().kinds.contains_key(&Gvk::new(&format!("example.com/{version}"), "Widget"))
    }

    #[rstest]
    #[case::established(vec![Event::Apply(crd("Widget", &["v1"], "True"))], true, &["Widget"])]
    #[case::not_yet(vec![Event::Apply(crd("Widget", &["v1"], "False"))], false, &[])]
    #[case::told_twice(vec![Event::Apply(crd("Widget", &["v1"], "True")), Event::Apply(crd("Widget", &["v1"], "True"))], true, &["Widget"])]
    #[case::gone(vec![Event::Apply(crd("Widget", &["v1"], "True")), Event::Delete(crd("Widget", &["v1"], "True"))], false, &["Widget"])]
    #[case::listed(vec![Event::Init, Event::InitApply(crd("Widget", &["v1"], "True")), Event::InitDone], true, &["Widget"])]
    #[case::gone_while_nobody_looked(vec![Event::Apply(crd("Widget", &["v1"], "True")), Event::Init, Event::InitDone], false, &["Widget"])]
    fn a_kind_is_known_while_its_definition_is_established(
        #[case] events: Vec<Event<DynamicObject>>,
        #[case] known: bool,
        #[case] changes: &[&str],
    ) {
        let (shared, _, told) = handle(events);
        assert_eq!(knows(&shared, "v1"), known);
        assert_eq!(told, changes);
    }

    #[test]
    fn a_new_version_is_a_change_and_an_old_one_is_forgotten() {
        let first = Event::Apply(crd("Widget", &["v1"], "True"));
        let (shared, mut definitions, _) = handle(vec![first]);
        let mut reader = shared.changes.subscribe();
        let crd = crd("Widget", &["v2"], "True");
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(
            "apiextensions.k8s.io",
            "v1",
            "CustomResourceDefinition",
        ));
        definitions.handle(Event::Apply(crd), &resource, &shared);
        assert_eq!(told(&mut reader), ["Widget"]);
        assert_eq!((knows(&shared, "v1"), knows(&shared, "v2")), (false, true));
    }

    #[rstest]
    #[case::there_from_the_start(vec![Event::Init, Event::InitApply(crd("Widget", &["v1"], "True")), Event::InitDone], false)]
    #[case::new(vec![Event::Init, Event::InitDone, Event::Apply(crd("Widget", &["v1"], "True"))], true)]
    fn only_what_is_new_may_not_be_served_yet(
        #[case] events: Vec<Event<DynamicObject>>,
        #[case] fresh: bool,
    ) {
        let (shared, ..) = handle(events);
        assert_eq!(shared.table.read().is_fresh(&GroupKind::new("example.com", "Widget")), fresh);
    }
}
