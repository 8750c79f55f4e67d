//! The watches, and whom each change concerns.

use std::collections::{HashMap, HashSet};
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;

use futures::StreamExt as _;
use kube::api::Api;
use kube::core::{DeserializeGuard, NamespaceResourceScope};
use kube::runtime::reflector::store::Writer;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt as _, reflector};
use kube::{Resource, ResourceExt as _};
use plumb_api::annotations::{
    PRUNE_CONFIRMED, PRUNE_LIMIT, RELEASE_OWNER_NAME, RELEASE_OWNER_NAMESPACE, REQUESTED_AT,
};
use plumb_api::{
    ApplierKind, Bucket, ConditionType, ExternalArtifact, GitRepository, HelmChart, HelmRelease,
    HelmRepository, Kustomization, OciRepository, Pipeline, Plugin, SourceKind, conditions,
};
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;

use crate::applier::dependencies::Standing;
use crate::applier::{Applier, ApplierId};
use crate::context::{Context, Writers};
use crate::plugins;
use crate::sources::{self, Source, SourceId};
use crate::{Key, Kind};

/// Starts the watches. They end with the set.
pub(crate) fn start(context: &Arc<Context>, writers: Writers) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let sources = writers.sources;
    tasks.spawn(follow(context.clone(), sources.git_repositories, source_changed::<GitRepository>));
    tasks.spawn(follow(context.clone(), sources.oci_repositories, source_changed::<OciRepository>));
    tasks.spawn(follow(context.clone(), sources.buckets, source_changed::<Bucket>));
    tasks.spawn(follow(context.clone(), sources.helm_repositories, source_changed::<HelmRepository>));
    tasks.spawn(follow(context.clone(), sources.helm_charts, helm_chart_changed));
    tasks.spawn(follow(context.clone(), sources.external_artifacts, source_changed::<ExternalArtifact>));
    // Those that another controller reconciles are watched, too: others may depend on them.
    let applies = |kind: ApplierKind| context.config.kinds.contains(&Kind::Applier(kind));
    if ApplierKind::ALL.into_iter().any(applies) {
        tasks.spawn(follow(context.clone(), writers.kustomizations, kustomization_changed));
        tasks.spawn(follow(context.clone(), writers.pipelines, pipeline_changed));
        tasks.spawn(follow(context.clone(), writers.helm_releases, helm_release_changed));
    }
    tasks.spawn(follow(context.clone(), writers.plugins.plugins, plugin_changed));
    tasks.spawn(plugins::follow_policies(context.clone(), writers.plugins.policies));
    tasks.spawn(sources::sweep_regularly(context.clone()));
    tasks.spawn(plugins::sweep_regularly(context.clone()));
    tasks
}

/// What happened to an object.
enum Change<K> {
    /// It is there, and what a reconciliation goes by is new or has changed.
    Asked(K),
    /// It is there, and only its status or something that does not matter has changed.
    Touched(K),
    /// It is gone.
    Gone,
}

impl<K> Change<K> {
    fn map<T>(self, of: impl FnOnce(K) -> T) -> Change<T> {
        match self {
            Self::Asked(object) => Change::Asked(of(object)),
            Self::Touched(object) => Change::Touched(of(object)),
            Self::Gone => Change::Gone,
        }
    }
}

/// What a reconciliation goes by, other than the spec that the generation counts.
#[derive(PartialEq, Eq)]
struct Trigger {
    uid: Option<String>,
    generation: Option<i64>,
    annotations: [Option<String>; 3],
    deleting: bool,
}

impl Trigger {
    fn of(object: &impl Resource) -> Self {
        let meta = object.meta();
        Self {
            uid: meta.uid.clone(),
            generation: meta.generation,
            annotations: [REQUESTED_AT, PRUNE_LIMIT, PRUNE_CONFIRMED]
                .map(|name| object.annotations().get(name).cloned()),
            deleting: meta.deletion_timestamp.is_some(),
        }
    }
}

/// Keeps the store of a kind up to date and reports every change of it, once the store has it.
async fn follow<K>(context: Arc<Context>, writer: Writer<K>, report: fn(&Arc<Context>, Key, Change<K>))
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType: Default + Debug + Eq + Hash + Clone>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static,
{
    let api: Api<DeserializeGuard<K>> = match &context.config.watch_namespace {
        Some(namespace) => Api::namespaced(context.client.clone(), namespace),
        None => Api::all(context.client.clone()),
    };
    let config = watcher::Config::default().labels_from(&context.config.watch_labels);
    let events = kube::runtime::watcher(api, config).default_backoff();
    let events = events.filter_map(async |event| readable(event).transpose());
    let mut events = std::pin::pin!(reflector(writer, events));
    let (mut seen, mut outage) = (Seen::default(), Outage::default());
    // The store takes a list as a whole at its end, and only then may anybody look at it.
    let mut listed: Vec<K> = Vec::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => listed.clear(),
            Ok(Event::InitApply(object)) => listed.push(object),
            Ok(Event::InitDone) => {
                outage = Outage::default();
                let there: HashSet<Key> = listed.iter().map(Key::of).collect();
                for key in seen.forget_all_but(&there) {
                    report(&context, key, Change::Gone);
                }
                for object in listed.drain(..) {
                    seen.apply(object, |key, change| report(&context, key, change));
                }
            }
            Ok(Event::Apply(object)) => seen.apply(object, |key, change| report(&context, key, change)),
            Ok(Event::Delete(object)) => {
                let key = Key::of(&object);
                seen.0.remove(&key);
                report(&context, key, Change::Gone);
            }
            Err(error) => outage.tell(&error, &K::kind(&K::DynamicType::default())),
        }
    }
}

/// What has been told of a watch that does not work.
#[derive(Default)]
struct Outage {
    is_told: bool,
}

impl Outage {
    /// Tells of an error. A kind that the cluster does not know is told of once: its definition may be installed later, or never.
    fn tell(&mut self, error: &watcher::Error, kind: &str) {
        if !is_unknown(error) {
            tracing::warn!(%error, kind, "the watch broke; trying again");
        } else if !std::mem::replace(&mut self.is_told, true) {
            tracing::warn!(kind, "the cluster does not know the kind; it is looked for until it does");
        }
    }
}

/// Whether the API server does not serve the kind.
pub(crate) fn is_unknown(error: &watcher::Error) -> bool {
    use watcher::Error::{InitialListFailed, WatchFailed, WatchStartFailed};
    match error {
        InitialListFailed(error) | WatchStartFailed(error) | WatchFailed(error) => {
            matches!(error, kube::Error::Api(status) if status.is_not_found())
        }
        _ => false,
    }
}

/// The objects that have been reported and are not gone.
#[derive(Default)]
struct Seen(HashMap<Key, Trigger>);

impl Seen {
    fn apply<K: Resource>(&mut self, object: K, mut report: impl FnMut(Key, Change<K>)) {
        let (key, trigger) = (Key::of(&object), Trigger::of(&object));
        let before = self.0.get(&key);
        if before.is_some_and(|before| before.uid != trigger.uid) {
            // Another object of the same name, made while the watch was down.
            report(key.clone(), Change::Gone);
        }
        let is_asked = before != Some(&trigger);
        self.0.insert(key.clone(), trigger);
        report(key, if is_asked { Change::Asked(object) } else { Change::Touched(object) });
    }

    /// Forgets what is not in the list, and returns it.
    fn forget_all_but(&mut self, there: &HashSet<Key>) -> Vec<Key> {
        let gone: Vec<Key> = self.0.keys().filter(|key| !there.contains(*key)).cloned().collect();
        self.0.retain(|key, _| there.contains(key));
        gone
    }
}

/// The event, unless its object cannot be read: one that another version of the CRDs let in must not hide all the others.
fn readable<K: Resource<DynamicType: Default>>(
    event: watcher::Result<Event<DeserializeGuard<K>>>,
) -> watcher::Result<Option<Event<K>>> {
    let read = |guard: DeserializeGuard<K>| match guard.0 {
        Ok(mut object) => {
            // Nobody here asks who has written what into an object of the Flux API, and it is the larger part of most.
            object.meta_mut().managed_fields = None;
            Some(object)
        }
        Err(error) => {
            let kind = K::kind(&K::DynamicType::default()).into_owned();
            let (namespace, name) = (error.metadata.namespace.as_deref(), error.metadata.name.as_deref());
            tracing::error!(
                kind,
                namespace,
                name,
                error = error.error,
                "the object cannot be read and is left alone"
            );
            None
        }
    };
    Ok(match event? {
        Event::Apply(object) => read(object).map(Event::Apply),
        Event::Delete(object) => read(object).map(Event::Delete),
        Event::Init => Some(Event::Init),
        Event::InitApply(object) => read(object).map(Event::InitApply),
        Event::InitDone => Some(Event::InitDone),
    })
}

fn source_changed<K: Source>(context: &Arc<Context>, key: Key, change: Change<K>) {
    match change {
        Change::Asked(_) => K::all(&context.sources).wakes.wake(key),
        // What others fetch is used as their status says.
        Change::Touched(_) if !context.fetches(K::KIND) => K::all(&context.sources).wakes.wake(key),
        Change::Touched(_) => {}
        Change::Gone => {
            sources::forget::<K>(context, &key);
            context.wake_users_of(&SourceId { kind: K::KIND, key });
            sources::sweep(context);
        }
    }
}

/// The HelmRelease that has a HelmChart made puts it back when somebody else has changed it, and tells why it cannot be had.
fn helm_chart_changed(context: &Arc<Context>, key: Key, change: Change<HelmChart>) {
    let maker = match &change {
        Change::Asked(object) => maker_of(object),
        Change::Touched(object) if has_failed(object) => maker_of(object),
        Change::Touched(_) | Change::Gone => None,
    };
    let source = SourceId { kind: SourceKind::HelmChart, key: key.clone() };
    source_changed(context, key, change);
    // Anybody can write the labels.
    let is_maker = |id: &ApplierId| context.applier(id).is_some_and(|object| object.source() == source);
    if let Some(maker) = maker.filter(is_maker) {
        context.applier_wakes.wake(maker);
    }
}

fn maker_of(object: &HelmChart) -> Option<ApplierId> {
    let label = |name| object.labels().get(name).cloned();
    let key = Key { namespace: label(RELEASE_OWNER_NAMESPACE)?, name: label(RELEASE_OWNER_NAME)? };
    Some(ApplierId { kind: ApplierKind::HelmRelease, key })
}

fn has_failed(object: &HelmChart) -> bool {
    let conditions = object.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    let ready = conditions::find(conditions, ConditionType::Ready);
    ready.is_some_and(|ready| ready.status == "False")
}

fn plugin_changed(context: &Arc<Context>, key: Key, change: Change<Plugin>) {
    match change {
        Change::Asked(_) => {
            // Until it was looked at, it may not be what Pipelines use.
            context.wake_users_of_plugins(Some(&key.namespace));
            context.plugins.wakes.wake(key);
        }
        Change::Touched(_) => {}
        Change::Gone => plugins::forget(context, &key),
    }
}

fn kustomization_changed(context: &Arc<Context>, key: Key, change: Change<Kustomization>) {
    let change = change.map(|object| Applier::Kustomization(Arc::new(object)));
    applier_changed(context, ApplierId { kind: ApplierKind::Kustomization, key }, change);
}

fn pipeline_changed(context: &Arc<Context>, key: Key, change: Change<Pipeline>) {
    let change = change.map(|object| Applier::Pipeline(Arc::new(object)));
    applier_changed(context, ApplierId { kind: ApplierKind::Pipeline, key }, change);
}

fn helm_release_changed(context: &Arc<Context>, key: Key, change: Change<HelmRelease>) {
    let change = change.map(|object| Applier::HelmRelease(Arc::new(object)));
    applier_changed(context, ApplierId { kind: ApplierKind::HelmRelease, key }, change);
}

fn applier_changed(context: &Arc<Context>, id: ApplierId, change: Change<Applier>) {
    match change {
        Change::Asked(object) => {
            context.wake_dependants_of(&id, Some(Standing::of(&object)));
            context.applier_wakes.wake(id);
        }
        Change::Touched(object) => context.wake_dependants_of(&id, Some(Standing::of(&object))),
        Change::Gone => {
            context.forget_applier(&id);
            context.wake_dependants_of(&id, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::api::ObjectMeta;

    use super::*;

    fn object(name: &str, uid: &str, generation: i64) -> ConfigMap {
        let (name, uid) = (Some(name.to_owned()), Some(uid.to_owned()));
        let metadata = ObjectMeta { name, uid, generation: Some(generation), ..ObjectMeta::default() };
        ConfigMap { metadata, ..ConfigMap::default() }
    }

    fn apply(seen: &mut Seen, object: ConfigMap) -> Vec<&'static str> {
        let mut changes = Vec::new();
        seen.apply(object, |_, change| {
            changes.push(match change {
                Change::Asked(_) => "asked",
                Change::Touched(_) => "touched",
                Change::Gone => "gone",
            });
        });
        changes
    }

    #[test]
    fn what_a_reconciliation_goes_by_is_told_from_the_rest() {
        let mut seen = Seen::default();
        assert_eq!(apply(&mut seen, object("a", "1", 1)), ["asked"]);
        assert_eq!(apply(&mut seen, object("a", "1", 1)), ["touched"]);
        assert_eq!(apply(&mut seen, object("a", "1", 2)), ["asked"]);
        assert_eq!(apply(&mut seen, object("a", "2", 2)), ["gone", "asked"], "it was deleted and made anew");
    }

    #[test]
    fn what_a_new_list_does_not_hold_is_gone() {
        let mut seen = Seen::default();
        apply(&mut seen, object("stays", "1", 1));
        apply(&mut seen, object("goes", "2", 1));
        let stays = Key { namespace: String::new(), name: "stays".to_owned() };
        let gone = seen.forget_all_but(&HashSet::from([stays]));
        assert_eq!(gone.iter().map(|key| key.name.as_str()).collect::<Vec<_>>(), ["goes"]);
        assert_eq!(apply(&mut seen, object("goes", "2", 1)), ["asked"]);
    }
}
