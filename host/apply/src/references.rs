//! Objects that a Kustomization names in `spec.healthChecks` and does not own: they lack our label, so each has a watch of its own,
//! for as long as somebody follows it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures::StreamExt;
use kube::Client;
use kube::api::Api;
use kube::core::DynamicObject;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{Config, Event, watcher};
use parking_lot::RwLock;
use plumb_api::{Object, ObjectId};
use tokio_util::task::AbortOnDropHandle;

use crate::discovery::Kind;
use crate::live::{LiveCache, LiveChange, LiveChangeKind, slim};
use crate::plan::{Live, LiveState, Owner};

/// A watch is a connection's worth of memory on either side; more than these are not followed.
const AT_MOST: usize = 1024;

/// What is followed, on one cluster.
pub struct References {
    client: Client,
    live: LiveCache,
    followed: Arc<RwLock<HashMap<ObjectId, Followed>>>,
}

struct Followed {
    followers: HashSet<Owner>,
    state: Live,
    _watch: AbortOnDropHandle<()>,
}

impl References {
    /// Follows nothing yet. Changes are told to those who have subscribed to `live`.
    pub fn new(client: Client, live: LiveCache) -> Self {
        Self { client, live, followed: Arc::default() }
    }

    /// From now on `owner` follows these objects and no others; with none, it is forgotten. Returns those that cannot be followed,
    /// because too many are already: their state stays unknown.
    pub fn follow(&self, owner: &Owner, references: &[(ObjectId, Kind)]) -> Vec<ObjectId> {
        let mut followed = self.followed.write();
        for (id, entry) in followed.iter_mut() {
            if !references.iter().any(|(wanted, _)| wanted == id) {
                entry.followers.remove(owner);
            }
        }
        followed.retain(|_, entry| !entry.followers.is_empty());
        let mut refused = Vec::new();
        for (id, kind) in references {
            if let Some(entry) = followed.get_mut(id) {
                entry.followers.insert(owner.clone());
            } else if followed.len() >= AT_MOST {
                refused.push(id.clone());
            } else {
                let watch = AbortOnDropHandle::new(tokio::spawn(self.watch(id.clone(), kind.clone())));
                let followers = HashSet::from([owner.clone()]);
                followed.insert(id.clone(), Followed { followers, state: Live::Unknown, _watch: watch });
            }
        }
        refused
    }

    /// How many objects are followed.
    pub fn len(&self) -> usize {
        self.followed.read().len()
    }

    /// Whether nothing is followed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Watches one object until the task is dropped. On errors the last state stays, and the watch is started again.
    fn watch(&self, id: ObjectId, kind: Kind) -> impl Future<Output = ()> + Send + 'static {
        let api: Api<DynamicObject> = if kind.is_namespaced {
            Api::namespaced_with(self.client.clone(), &id.namespace, &kind.resource)
        } else {
            Api::all_with(self.client.clone(), &kind.resource)
        };
        let (followed, live) = (Arc::clone(&self.followed), self.live.clone());
        async move {
            let this_one = Config::default().fields(&format!("metadata.name={}", id.name));
            let mut events = std::pin::pin!(watcher(api, this_one).default_backoff());
            let mut listed = None;
            while let Some(event) = events.next().await {
                let state = match event {
                    Ok(Event::Init) => {
                        listed = None;
                        continue;
                    }
                    Ok(Event::InitApply(object)) => {
                        listed = slim(object, &kind.resource);
                        continue;
                    }
                    Ok(Event::InitDone) => listed.take(),
                    Ok(Event::Apply(object)) => slim(object, &kind.resource),
                    Ok(Event::Delete(_)) => None,
                    Err(error) => {
                        tracing::debug!(object = %id.human(), %error, "watch of a reference failed; it is started again");
                        continue;
                    }
                };
                set(&followed, &live, &id, state);
            }
        }
    }
}

fn set(
    followed: &RwLock<HashMap<ObjectId, Followed>>,
    live: &LiveCache,
    id: &ObjectId,
    state: Option<Object>,
) {
    let kind = if state.is_some() { LiveChangeKind::Applied } else { LiveChangeKind::Deleted };
    let followers = match followed.write().get_mut(id) {
        Some(entry) => {
            entry.state = state.map_or(Live::Absent, |object| Live::Present(Arc::new(object)));
            entry.followers.clone()
        }
        None => return,
    };
    for owner in followers {
        live.publish(&LiveChange { id: id.clone(), owner, kind });
    }
    live.tick();
}

/// What is not followed, or has not been listed yet, is unknown. Here `Absent` is certain.
impl LiveState for References {
    fn live(&self, id: &ObjectId) -> Live {
        self.followed.read().get(id).map_or(Live::Unknown, |entry| entry.state.clone())
    }
}
