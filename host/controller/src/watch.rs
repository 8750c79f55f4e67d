//! The watches, and whom each change concerns.

use std::collections::HashMap;
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
use plumb_api::annotations::REQUESTED_AT;
use plumb_api::{GitRepository, Kustomization};
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::Key;
use crate::context::{Context, Writers};
use crate::kustomization::dependencies;

/// Starts the watches. They end with the set.
pub(crate) fn start(context: &Arc<Context>, writers: Writers, stop: &CancellationToken) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    tasks.spawn(follow(context.clone(), writers.repositories, repository_changed));
    tasks.spawn(follow(context.clone(), writers.kustomizations, kustomization_changed));
    tasks.spawn(drift(context.clone(), stop.clone()));
    tasks
}

/// What happened to an object.
enum Change<K> {
    /// It is there, and what a reconciliation goes by is new or has changed.
    Asked(K),
    /// It is there, and only its status or something that does not matter has changed.
    Touched(K),
    /// It is gone.
    Gone(K),
}

/// What a reconciliation goes by, other than the spec that the generation counts.
#[derive(PartialEq, Eq)]
struct Trigger {
    uid: Option<String>,
    generation: Option<i64>,
    requested_at: Option<String>,
    deleting: bool,
}

impl Trigger {
    fn of(object: &impl Resource) -> Self {
        let meta = object.meta();
        Self {
            uid: meta.uid.clone(),
            generation: meta.generation,
            requested_at: object.annotations().get(REQUESTED_AT).cloned(),
            deleting: meta.deletion_timestamp.is_some(),
        }
    }
}

/// Keeps the store of a kind up to date and reports every change of it.
async fn follow<K>(context: Arc<Context>, writer: Writer<K>, report: fn(&Context, Change<K>))
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
    let events = kube::runtime::watcher(api, watcher::Config::default()).default_backoff();
    let mut events =
        std::pin::pin!(reflector(writer, events.filter_map(async |event| readable(event).transpose())));
    let mut seen: HashMap<Key, Trigger> = HashMap::new();
    // While the list is read anew: what has not come by at its end is gone.
    let mut listed: Option<HashMap<Key, Trigger>> = None;
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => listed = Some(HashMap::new()),
            Ok(Event::InitApply(object)) => {
                let (key, trigger) = (Key::of(&object), Trigger::of(&object));
                let asked = seen.get(&key) != Some(&trigger);
                listed.get_or_insert_default().insert(key, trigger);
                report(&context, if asked { Change::Asked(object) } else { Change::Touched(object) });
            }
            Ok(Event::InitDone) => seen = listed.take().unwrap_or_default(),
            Ok(Event::Apply(object)) => {
                let trigger = Trigger::of(&object);
                let asked = seen.get(&Key::of(&object)) != Some(&trigger);
                seen.insert(Key::of(&object), trigger);
                report(&context, if asked { Change::Asked(object) } else { Change::Touched(object) });
            }
            Ok(Event::Delete(object)) => {
                seen.remove(&Key::of(&object));
                report(&context, Change::Gone(object));
            }
            Err(error) => {
                tracing::warn!(%error, kind = %K::kind(&K::DynamicType::default()), "the watch broke; trying again")
            }
        }
    }
}

/// The event, unless its object cannot be read: one that another version of the CRDs let in must not hide all the others.
fn readable<K: Resource<DynamicType: Default>>(
    event: watcher::Result<Event<DeserializeGuard<K>>>,
) -> watcher::Result<Option<Event<K>>> {
    let read = |guard: DeserializeGuard<K>| match guard.0 {
        Ok(object) => Some(object),
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

fn repository_changed(context: &Context, change: Change<GitRepository>) {
    match change {
        Change::Asked(object) => context.repository_wakes.wake(Key::of(&object)),
        Change::Touched(_) => {}
        Change::Gone(object) => {
            let key = Key::of(&object);
            context.forget_repository(&key);
            context.wake_users_of(&key);
        }
    }
}

fn kustomization_changed(context: &Context, change: Change<Kustomization>) {
    match change {
        Change::Asked(object) => {
            let key = Key::of(&object);
            context.wake_dependants_of(&key, dependencies::standing(&object));
            context.kustomization_wakes.wake(key);
        }
        Change::Touched(object) => {
            let key = Key::of(&object);
            context.wake_dependants_of(&key, dependencies::standing(&object));
        }
        Change::Gone(object) => {
            let key = Key::of(&object);
            context.forget_kustomization(&key);
            context.wake_dependants_of(&key, None);
        }
    }
}

/// Has the Kustomization looked at whose objects have changed.
async fn drift(context: Arc<Context>, stop: CancellationToken) {
    let mut changes = context.live.subscribe();
    while let Some(change) = stop.run_until_cancelled(changes.next()).await {
        context.kustomization_wakes.wake(Key::from(&change.owner));
    }
}
