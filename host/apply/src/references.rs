//! Objects that a Kustomization names in `spec.healthChecks` and does not own: they lack our label, so each has a watch of its own,
//! for as long as somebody follows it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use kube::api::Api;
use kube::core::DynamicObject;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{Config, Event, watcher};
use kube::{Client, ResourceExt as _};
use parking_lot::RwLock;
use plumb_api::ObjectId;
use tokio_util::task::AbortOnDropHandle;

use crate::api_server::{is_dns_label, is_path_segment};
use crate::discovery::Kind;
use crate::live::{LiveCache, LiveChange, LiveChangeKind, refusal, slim};
use crate::managed_fields::OverrideManagers;
use crate::plan::{Live, LiveState, Owner};
use crate::supervise::supervise;

/// A watch is a connection's worth of memory on either side; more than these are not followed.
const AT_MOST: usize = 1024;
/// How long the API server has to answer who asks for an object that may not be watched.
const ANSWER: Duration = Duration::from_secs(10);

/// What is followed, on one cluster.
pub struct References {
    client: Client,
    live: LiveCache,
    followed: Arc<AllFollowed>,
}

type AllFollowed = RwLock<HashMap<ObjectId, Followed>>;

struct Followed {
    followers: HashSet<Owner>,
    state: Live,
    /// What the API server says when it does not let us read the object; the state is unknown then.
    forbidden: Option<String>,
    _watch: AbortOnDropHandle<()>,
}

impl References {
    /// Follows nothing yet. Changes are told to those who have subscribed to `live`.
    pub fn new(client: Client, live: LiveCache) -> Self {
        Self { client, live, followed: Arc::default() }
    }

    /// From now on `owner` follows these objects and no others; with none, it is forgotten. Returns those that cannot be followed,
    /// because too many are already, or because nothing can have such a name: their state stays unknown.
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
            } else if followed.len() >= AT_MOST || !can_be_watched(id, kind) {
                refused.push(id.clone());
            } else {
                let watch = AbortOnDropHandle::new(tokio::spawn(self.watch(id.clone(), kind.clone())));
                let followers = HashSet::from([owner.clone()]);
                let entry = Followed { followers, state: Live::Unknown, forbidden: None, _watch: watch };
                followed.insert(id.clone(), entry);
            }
        }
        refused
    }

    /// Why the state of an object is unknown and will stay so until somebody does something: RBAC lets us neither watch nor get it.
    /// `None` while it is known, or has not been listed yet, or is not followed.
    pub fn why_unknown(&self, id: &ObjectId) -> Option<String> {
        let followed = self.followed.read();
        let said = followed.get(id)?.forbidden.as_ref()?;
        Some(format!("it may not be read; grant get, list and watch on it: {said}"))
    }

    /// How many objects are followed.
    pub fn len(&self) -> usize {
        self.followed.read().len()
    }

    /// Whether nothing is followed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Watches one object until the task is dropped. What may not be listed is asked for by its name instead, less and less often, as Flux does. On errors the last state stays, unless we are told that we may not read it; the
    /// watch is started again.
    fn watch(&self, id: ObjectId, kind: Kind) -> impl Future<Output = ()> + Send + 'static {
        let api: Api<DynamicObject> = if kind.is_namespaced {
            Api::namespaced_with(self.client.clone(), &id.namespace, &kind.resource)
        } else {
            Api::all_with(self.client.clone(), &kind.resource)
        };
        let (followed, live) = (Arc::clone(&self.followed), self.live.clone());
        async move {
            let watch = || watch_one(api.clone(), &id, &kind, &followed, &live);
            supervise(format!("the watch of {}", id.human()), watch, || {
                set(&followed, &live, &id, Live::Unknown)
            })
            .await;
        }
    }
}

/// Whether namespace and name can go into a path and a field selector.
fn can_be_watched(id: &ObjectId, kind: &Kind) -> bool {
    let is_name = is_path_segment(&id.name) && !id.name.contains([',', '=', '\\']);
    is_name && (!kind.is_namespaced || is_dns_label(&id.namespace))
}

async fn watch_one(
    api: Api<DynamicObject>,
    id: &ObjectId,
    kind: &Kind,
    followed: &AllFollowed,
    live: &LiveCache,
) {
    let this_one = Config::default().fields(&format!("metadata.name={}", id.name));
    let mut events = std::pin::pin!(watcher(api.clone(), this_one).default_backoff());
    let slim = |object| slim(object, &kind.resource, &OverrideManagers::default());
    let mut listed = None;
    // The version that was seen last by asking, where watching is not permitted.
    let mut asked: Option<Option<String>> = None;
    while let Some(event) = events.next().await {
        let state = match event {
            Ok(Event::Init) => {
                listed = None;
                continue;
            }
            Ok(Event::InitApply(object)) => {
                listed = slim(object);
                continue;
            }
            Ok(Event::InitDone) => listed.take(),
            Ok(Event::Apply(object)) => slim(object),
            Ok(Event::Delete(_)) => None,
            Err(error) => {
                tracing::debug!(object = %id.human(), %error, "watch of a reference failed; it is started again");
                let Some(status) = refusal(&error).filter(|status| status.code == 403) else { continue };
                // The watcher tries again by and by: that is how often this is done.
                match tokio::time::timeout(ANSWER, api.get_opt(&id.name)).await {
                    Ok(Ok(found)) => {
                        let version =
                            found.as_ref().map(|object| object.resource_version().unwrap_or_default());
                        if asked.replace(version.clone()) == Some(version) {
                            continue;
                        }
                        found.and_then(slim)
                    }
                    Ok(Err(kube::Error::Api(answer))) if answer.code == 403 => {
                        asked = None;
                        forbid(followed, live, id, &status.message);
                        continue;
                    }
                    Ok(Err(_)) | Err(_) => continue,
                }
            }
        };
        set(followed, live, id, state.map_or(Live::Absent, |object| Live::Present(Arc::new(object))));
    }
}

fn set(followed: &AllFollowed, live: &LiveCache, id: &ObjectId, state: Live) {
    let kind = match state {
        Live::Present(_) => LiveChangeKind::Applied,
        Live::Absent | Live::Unknown => LiveChangeKind::Deleted,
    };
    let followers = match followed.write().get_mut(id) {
        Some(entry) => {
            entry.state = state;
            entry.forbidden = None;
            entry.followers.clone()
        }
        None => return,
    };
    tell(live, id, followers, kind);
}

/// What could be read before is no longer known. Told once, not at each attempt.
fn forbid(followed: &AllFollowed, live: &LiveCache, id: &ObjectId, said: &str) {
    let followers = match followed.write().get_mut(id) {
        Some(entry) if entry.forbidden.is_none() => {
            entry.state = Live::Unknown;
            entry.forbidden = Some(said.to_owned());
            entry.followers.clone()
        }
        Some(_) | None => return,
    };
    tell(live, id, followers, LiveChangeKind::Applied);
}

fn tell(live: &LiveCache, id: &ObjectId, followers: HashSet<Owner>, kind: LiveChangeKind) {
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use std::time::Duration;

    use axum::http::StatusCode;
    use axum::routing::get;
    use axum::{Json, Router};
    use kube::core::ApiResource;
    use parking_lot::Mutex;
    use plumb_api::GroupKind;
    use serde_json::{Value, json};
    use tokio::time::Instant;

    use super::*;

    const FORBIDDEN: &str = "secrets \"a\" is forbidden: User \"plumb\" cannot list resource \"secrets\"";

    /// A cluster whose list of Secrets is answered with what is in the cell.
    fn references(answer: &Arc<Mutex<(StatusCode, Value)>>) -> References {
        let answer = answer.clone();
        let list = move || async move {
            let (code, body) = answer.lock().clone();
            (code, Json(body))
        };
        let routes = Router::new()
            .route("/api/v1/namespaces/default/secrets", get(list.clone()))
            .route("/api/v1/namespaces/default/secrets/a", get(list));
        let client = Client::new(routes, "default");
        References::new(client.clone(), LiveCache::new(client))
    }

    /// A cluster where nobody may list, and that answers who asks for one object with what is in the cell.
    fn without_list(answer: &Arc<Mutex<(StatusCode, Value)>>) -> References {
        let answer = answer.clone();
        let one = move || async move {
            let (code, body) = answer.lock().clone();
            (code, Json(body))
        };
        let routes = Router::new()
            .route(
                "/api/v1/namespaces/default/secrets",
                get(async || (StatusCode::FORBIDDEN, Json(forbidden()))),
            )
            .route("/api/v1/namespaces/default/secrets/a", get(one));
        let client = Client::new(routes, "default");
        References::new(client.clone(), LiveCache::new(client))
    }

    fn forbidden() -> Value {
        json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 403, "reason": "Forbidden", "message": FORBIDDEN})
    }

    fn secret() -> (ObjectId, Kind) {
        let id = ObjectId {
            namespace: "default".to_owned(),
            name: "a".to_owned(),
            group_kind: GroupKind::new("", "Secret"),
        };
        let resource = ApiResource::from_gvk(&kube::core::GroupVersionKind::gvk("", "v1", "Secret"));
        (id, Kind { resource, is_namespaced: true, is_watchable: true })
    }

    #[tokio::test]
    async fn what_may_only_be_got_is_asked_for_until_it_is_there() {
        let missing = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404, "reason": "NotFound"});
        let answer = Arc::new(Mutex::new((StatusCode::NOT_FOUND, missing)));
        let references = without_list(&answer);
        let (id, kind) = secret();
        references.follow(&Owner::kustomization("flux-system", "apps"), &[(id.clone(), kind)]);
        let deadline = Instant::now() + Duration::from_secs(60);
        let is_absent = || matches!(references.live(&id), Live::Absent);
        assert!(references.live.wait_until(deadline, is_absent).await);
        assert_eq!(references.why_unknown(&id), None);

        let found = json!({"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "a", "namespace": "default", "resourceVersion": "7"}});
        *answer.lock() = (StatusCode::OK, found);
        let is_there = || matches!(references.live(&id), Live::Present(_));
        assert!(references.live.wait_until(deadline, is_there).await);

        *answer.lock() = (StatusCode::FORBIDDEN, forbidden());
        let is_forbidden = || references.why_unknown(&id).is_some();
        assert!(references.live.wait_until(deadline, is_forbidden).await);
        assert!(matches!(references.live(&id), Live::Unknown));
    }

    #[tokio::test]
    async fn what_may_not_be_read_is_said_until_it_may() {
        let answer = Arc::new(Mutex::new((StatusCode::FORBIDDEN, forbidden())));
        let references = references(&answer);
        let (id, kind) = secret();
        let owner = Owner::kustomization("flux-system", "apps");
        let mut changes = references.live.subscribe();
        references.follow(&owner, &[(id.clone(), kind)]);
        let deadline = Instant::now() + Duration::from_secs(60);

        let is_forbidden = || references.why_unknown(&id).is_some();
        assert!(references.live.wait_until(deadline, is_forbidden).await);
        insta::assert_snapshot!(references.why_unknown(&id).unwrap(), @r#"it may not be read; grant get, list and watch on it: secrets "a" is forbidden: User "plumb" cannot list resource "secrets""#);
        assert!(matches!(references.live(&id), Live::Unknown));
        assert_eq!(changes.next().await.owner, owner, "whoever follows it is told");

        *answer.lock() = (
            StatusCode::OK,
            json!({"kind": "SecretList", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": []}),
        );
        let is_absent = || matches!(references.live(&id), Live::Absent);
        assert!(references.live.wait_until(deadline, is_absent).await);
        assert_eq!(references.why_unknown(&id), None);
    }
}
