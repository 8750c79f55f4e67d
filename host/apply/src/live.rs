//! What the cluster holds of the objects that appliers own: one watch a kind and [`OwnerLabels`], over all namespaces, of the objects that
//! carry the ownership label. So the planner reads memory instead of asking, and drift is known when it happens.

mod changes;
mod store;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use kube::Client;
use kube::api::Api;
use kube::core::{DynamicObject, Status};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use parking_lot::RwLock;
use plumb_api::{GroupKind, GroupVersionKind, Object, ObjectId, OwnerLabels};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

pub use changes::{LiveChange, LiveChangeKind, LiveChanges};
pub(crate) use store::slim;

use crate::discovery::Kind;
use crate::managed_fields::OverrideManagers;
use crate::plan::{Live, LiveState};
use crate::supervise::supervise;
use changes::ChangeHub;
use store::{Kept, Store};

/// A kind that we may not list is tried again after this time: somebody may have granted it.
const FORBIDDEN_FOR: Duration = Duration::from_secs(300);

/// The watches of one cluster. Cloning gives another handle; the watches end with the last one.
#[derive(Clone)]
pub struct LiveCache {
    client: Client,
    shared: Arc<Shared>,
    /// The tasks, apart from what they share: they hold that themselves, and have to end when the last handle goes.
    tasks: Arc<RwLock<HashMap<Watched, AbortOnDropHandle<()>>>>,
}

/// What one watch brings.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Watched {
    gvk: GroupVersionKind,
    labels: OwnerLabels,
}

struct Shared {
    overridden: OverrideManagers,
    kinds: RwLock<HashMap<Watched, WatchedKind>>,
    changes: ChangeHub,
    /// Ticks whenever something in `kinds` has changed, for those who wait for a state.
    ticks: watch::Sender<u64>,
}

struct WatchedKind {
    store: Store,
    state: WatchState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WatchState {
    Running,
    Forbidden { since: Instant },
}

/// A kind whose objects cannot be told from the cache, so that they are applied each time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotWatched {
    /// The kind.
    pub gvk: GroupVersionKind,
    /// Why.
    pub why: WhyNotWatched,
}

/// Why a kind is not watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WhyNotWatched {
    /// The API does not offer it.
    #[error("its API offers no watch")]
    NotOffered,
    /// RBAC does not allow us to list or watch it in all namespaces.
    #[error("we may not list and watch it in all namespaces; grant list and watch, so that drift is seen")]
    Forbidden,
    /// The first list was not there in time. It is still being waited for.
    #[error("its first list has not arrived yet")]
    NotListed,
    /// The cluster no longer serves it.
    #[error("the cluster no longer serves it")]
    NotServed,
}

impl LiveCache {
    /// A cache with no watches yet. The client has to be allowed to list and watch in all namespaces what is applied.
    pub fn new(client: Client) -> Self {
        Self::overriding(client, OverrideManagers::default())
    }

    /// As [`LiveCache::new`], for plans whose [`Policy`](crate::Policy) has these managers to override: only who is named here is seen to
    /// have written something.
    pub fn overriding(client: Client, overridden: OverrideManagers) -> Self {
        let (kinds, changes, ticks) = (RwLock::default(), ChangeHub::default(), watch::Sender::new(0));
        let shared = Shared { overridden, kinds, changes, ticks };
        Self { client, shared: Arc::new(shared), tasks: Arc::default() }
    }

    /// Starts to watch the objects of these kinds with these labels that are not watched yet, without waiting.
    pub fn start(&self, kinds: &[Kind], labels: OwnerLabels) {
        for kind in kinds.iter().filter(|kind| kind.is_watchable) {
            self.start_one(kind, labels);
        }
    }

    /// Starts what is not watched yet, and waits until every kind is listed, or the deadline. Returns those that are not to be
    /// relied on.
    pub async fn ensure(&self, kinds: &[Kind], labels: OwnerLabels, deadline: Instant) -> Vec<NotWatched> {
        self.start(kinds, labels);
        let unlisted = || self.not_watched(kinds, labels);
        self.wait_until(deadline, || unlisted().iter().all(|kind| kind.why != WhyNotWatched::NotListed))
            .await;
        unlisted()
    }

    /// What is known of the objects of these kinds, each in the version given here; objects of other kinds are looked up in
    /// whatever version is watched.
    pub fn view(&self, kinds: &[Kind]) -> LiveView {
        let versions = kinds.iter().map(|kind| (kind.gvk().group_kind(), kind.gvk().version)).collect();
        LiveView { shared: Arc::clone(&self.shared), versions }
    }

    /// Changes from now on, of all kinds that are or will be watched.
    pub fn subscribe(&self) -> LiveChanges {
        self.shared.changes.subscribe()
    }

    /// How many objects are held.
    pub fn len(&self) -> usize {
        self.shared.kinds.read().values().map(|kind| kind.store.len()).sum()
    }

    /// Whether no object is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits until something is true of the cache, or the deadline; returns whether it is.
    pub(crate) async fn wait_until(&self, deadline: Instant, is_true: impl Fn() -> bool) -> bool {
        let mut ticks = self.shared.ticks.subscribe();
        loop {
            // What ticks after this is seen by `changed`.
            ticks.borrow_and_update();
            if is_true() {
                return true;
            }
            if !matches!(tokio::time::timeout_at(deadline, ticks.changed()).await, Ok(Ok(()))) {
                return is_true();
            }
        }
    }

    /// Takes in the answer to a request of our own.
    pub(crate) fn observe(&self, answer: Object) {
        let gvk = answer.gvk();
        let Some(object) = store::slim_answer(answer, &self.shared.overridden) else { return };
        // Where no watch would tell of later changes, what we know now would soon be wrong.
        let mut kinds = self.shared.kinds.write();
        for labels in OwnerLabels::ALL.into_iter().filter(|labels| object.label(labels.name()).is_some()) {
            if let Some(kind) = kinds.get_mut(&Watched { gvk: gvk.clone(), labels })
                && kind.state == WatchState::Running
            {
                kind.store.observe(&object);
            }
        }
        drop(kinds);
        self.shared.tick();
    }

    pub(crate) fn publish(&self, change: &LiveChange) {
        self.shared.changes.publish(change);
    }

    pub(crate) fn tick(&self) {
        self.shared.tick();
    }

    fn not_watched(&self, kinds: &[Kind], labels: OwnerLabels) -> Vec<NotWatched> {
        let watched = self.shared.kinds.read();
        let why = |kind: &Kind| match watched.get(&Watched { gvk: kind.gvk(), labels }) {
            None if !kind.is_watchable => Some(WhyNotWatched::NotOffered),
            None => Some(WhyNotWatched::NotServed),
            Some(WatchedKind { state: WatchState::Forbidden { .. }, .. }) => Some(WhyNotWatched::Forbidden),
            Some(kind) if !kind.store.is_complete() => Some(WhyNotWatched::NotListed),
            Some(_) => None,
        };
        kinds.iter().filter_map(|kind| Some(NotWatched { gvk: kind.gvk(), why: why(kind)? })).collect()
    }

    fn start_one(&self, kind: &Kind, labels: OwnerLabels) {
        let watched = Watched { gvk: kind.gvk(), labels };
        let mut kinds = self.shared.kinds.write();
        match kinds.get(&watched).map(|kind| kind.state) {
            Some(WatchState::Running) => return,
            Some(WatchState::Forbidden { since }) if since.elapsed() < FORBIDDEN_FOR => return,
            Some(WatchState::Forbidden { .. }) | None => {}
        }
        let store = Store::new(labels, self.shared.overridden.clone());
        kinds.insert(watched.clone(), WatchedKind { store, state: WatchState::Running });
        drop(kinds);
        let watching = watch_always(self.client.clone(), kind.clone(), labels, Arc::clone(&self.shared));
        self.tasks.write().insert(watched, AbortOnDropHandle::new(tokio::spawn(watching)));
    }
}

impl Shared {
    fn tick(&self) {
        self.ticks.send_modify(|tick| *tick += 1);
    }

    fn handle(&self, kind: &Kind, labels: OwnerLabels, event: Event<DynamicObject>) {
        let changes = match self.kinds.write().get_mut(&Watched { gvk: kind.gvk(), labels }) {
            Some(watched) => watched.store.handle(event, &kind.resource),
            None => return,
        };
        self.tell(&changes);
    }

    /// The watch of a kind ends. With a state, the kind stays known; without one, it is as if it had never been watched.
    fn end(&self, kind: &Kind, labels: OwnerLabels, state: Option<WatchState>) {
        let watched = Watched { gvk: kind.gvk(), labels };
        let mut kinds = self.kinds.write();
        let changes = match state {
            Some(state) => kinds.get_mut(&watched).map(|watched| {
                watched.state = state;
                watched.store.clear()
            }),
            None => kinds.remove(&watched).map(|mut watched| watched.store.clear()),
        };
        drop(kinds);
        self.tell(&changes.unwrap_or_default());
    }

    /// Nothing more is known of a kind until it has been listed again.
    fn forget(&self, kind: &Kind, labels: OwnerLabels) {
        let changes = self.kinds.write().get_mut(&Watched { gvk: kind.gvk(), labels }).map(|watched| {
            let fresh = Store::new(labels, self.overridden.clone());
            let mut forgotten = std::mem::replace(&mut watched.store, fresh);
            forgotten.clear()
        });
        self.tell(&changes.unwrap_or_default());
    }

    fn tell(&self, changes: &[LiveChange]) {
        for change in changes {
            self.changes.publish(change);
        }
        self.tick();
    }
}

/// As [`watch_kind`], whatever happens in it.
async fn watch_always(client: Client, kind: Kind, labels: OwnerLabels, shared: Arc<Shared>) {
    let name = format!("the watch of {}", kind.gvk().group_kind());
    let watch = || watch_kind(client.clone(), kind.clone(), labels, Arc::clone(&shared));
    supervise(name, watch, || shared.forget(&kind, labels)).await;
}

/// Watches one kind until the cluster stops serving it, or turns out not to let us.
async fn watch_kind(client: Client, kind: Kind, labels: OwnerLabels, shared: Arc<Shared>) {
    let api: Api<DynamicObject> = Api::all_with(client, &kind.resource);
    let owned = watcher::Config::default().labels(labels.name());
    let mut events = std::pin::pin!(watcher(api, owned).default_backoff());
    while let Some(event) = events.next().await {
        let error = match event {
            Ok(event) => {
                shared.handle(&kind, labels, event);
                continue;
            }
            Err(error) => error,
        };
        match refusal(&error).map(|status| status.code) {
            Some(403) => {
                tracing::warn!(kind = %kind.gvk().group_kind(), "not allowed to list and watch: drift is not seen, and its objects are applied at each interval");
                return shared.end(&kind, labels, Some(WatchState::Forbidden { since: Instant::now() }));
            }
            Some(404 | 405) => {
                tracing::info!(kind = %kind.gvk().group_kind(), "the cluster no longer serves this kind");
                return shared.end(&kind, labels, None);
            }
            _ => {
                tracing::debug!(kind = %kind.gvk().group_kind(), %error, "watch failed; it is started again")
            }
        }
    }
}

/// With what the API server refused the list or the watch.
pub(crate) fn refusal(error: &watcher::Error) -> Option<&Status> {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => Some(status),
        _ => None,
    }
}

/// What is known, at the time of the look-up, of objects in the versions in which a plan has them.
#[derive(Clone)]
pub struct LiveView {
    shared: Arc<Shared>,
    versions: HashMap<GroupKind, String>,
}

impl LiveState for LiveView {
    /// An object that is not in the cache is never said to be absent: it may be there without our labels.
    fn live(&self, id: &ObjectId) -> Live {
        let kinds = self.shared.kinds.read();
        let found = match self.versions.get(&id.group_kind) {
            Some(version) => {
                let GroupKind { group, kind } = id.group_kind.clone();
                let gvk = GroupVersionKind { group, version: version.clone(), kind };
                // An object that moves from one kind of owner to another may be in two, of which one is behind.
                let of = |labels| kinds.get(&Watched { gvk: gvk.clone(), labels })?.store.get(id);
                OwnerLabels::ALL.into_iter().filter_map(of).reduce(Kept::newer)
            }
            None => kinds
                .iter()
                .filter(|(watched, _)| {
                    watched.gvk.kind == id.group_kind.kind && watched.gvk.group == id.group_kind.group
                })
                .filter_map(|(_, kind)| kind.store.get(id))
                .reduce(Kept::newer),
        };
        drop(kinds);
        found.and_then(|kept| kept.object()).map_or(Live::Unknown, |object| Live::Present(Arc::new(object)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use axum::Router;
    use kube::core::ApiResource;
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn when_a_watch_has_panicked_nothing_is_known_until_the_next_list() {
        let cache = LiveCache::new(Client::new(Router::new(), "default"));
        let resource = ApiResource::from_gvk(&kube::core::GroupVersionKind::gvk("", "v1", "ConfigMap"));
        let kind = Kind { resource, is_namespaced: true, is_watchable: true };
        let labels = OwnerLabels::Kustomize;
        let store = Store::new(labels, OverrideManagers::default());
        let watched = WatchedKind { store, state: WatchState::Running };
        cache.shared.kinds.write().insert(Watched { gvk: kind.gvk(), labels }, watched);
        let owner = json!({labels.name(): "apps", labels.namespace(): "flux-system"});
        let metadata = json!({"name": "a", "namespace": "default", "labels": owner});
        let object: DynamicObject = serde_json::from_value(json!({"metadata": metadata})).unwrap();
        for event in [Event::Init, Event::InitApply(object), Event::InitDone] {
            cache.shared.handle(&kind, labels, event);
        }
        let kinds = std::slice::from_ref(&kind);
        assert_eq!(cache.not_watched(kinds, labels), []);
        assert_eq!(cache.len(), 1);

        let mut changes = cache.subscribe();
        cache.shared.forget(&kind, labels);
        let why = WhyNotWatched::NotListed;
        assert_eq!(cache.not_watched(kinds, labels), [NotWatched { gvk: kind.gvk(), why }]);
        assert!(cache.is_empty());
        assert_eq!(changes.next().await.owner.name, "apps", "whoever relied on it looks again");
    }
}
