//! Lists that plugins have read: objects of a kind, in a namespace or in all, with labels or any. The metadata of each is watched for as long as somebody follows it,
//! by one watch for all who follow the same, and they are looked at when an object appears, changes or disappears. What the objects are, is read again by then.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use kube::api::Api;
use kube::core::{DynamicObject, PartialObjectMeta};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{Config, Event, watcher};
use kube::{Client, Resource, ResourceExt as _};
use parking_lot::Mutex;
use plumb_api::{GroupVersionKind, is_object_name};
use plumb_apply::Kind;
use tokio::time::{Instant, sleep};
use tokio_util::task::AbortOnDropHandle;

use crate::applier::ApplierId;
use crate::wakes::ApplierWakes;

/// A watch is a stream on either side, and remembers every object; more than these are not opened for one user.
const AT_MOST: usize = 256;
/// Events that are taken in together.
const TOGETHER: usize = 1024;
/// How long whoever follows a list is left in peace after he was woken. It doubles for as long as there are changes all the time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What is listed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct List {
    pub(crate) kind: GroupVersionKind,
    /// None for all namespaces, and for kinds that have none.
    pub(crate) namespace: Option<String>,
    /// As for `kubectl get --selector`.
    pub(crate) label_selector: Option<String>,
}

impl fmt::Display for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "all {}", self.kind.kind)?;
        self.namespace.as_ref().map_or(Ok(()), |namespace| write!(f, " of {namespace}"))?;
        self.label_selector.as_ref().map_or(Ok(()), |selector| write!(f, " with the labels {selector}"))
    }
}

/// All lists that are followed, as far as one user may read them.
pub(crate) struct Lists {
    client: Client,
    wakes: ApplierWakes,
    followed: Mutex<HashMap<List, Followed>>,
}

struct Followed {
    followers: Arc<Mutex<HashSet<ApplierId>>>,
    _watch: AbortOnDropHandle<()>,
}

impl Lists {
    /// Follows nothing yet.
    pub(super) fn new(client: Client, wakes: ApplierWakes) -> Self {
        Self { client, wakes, followed: Mutex::default() }
    }

    /// From now on `who` follows these lists and no others. Returns those that cannot be followed, because too many are already: they are compared whenever `who` is
    /// looked at.
    pub(crate) fn follow(&self, who: &ApplierId, lists: &[(List, Kind)]) -> Vec<List> {
        let mut followed = self.followed.lock();
        followed.retain(|list, entry| {
            let mut followers = entry.followers.lock();
            if !lists.iter().any(|(wanted, _)| wanted == list) {
                followers.remove(who);
            }
            !followers.is_empty()
        });
        let mut refused = Vec::new();
        for (list, kind) in lists {
            if let Some(entry) = followed.get(list) {
                entry.followers.lock().insert(who.clone());
            } else if followed.len() >= AT_MOST || !can_be_watched(list, kind) {
                refused.push(list.clone());
            } else {
                followed.insert(list.clone(), self.start(list, kind, who));
            }
        }
        refused
    }

    fn start(&self, list: &List, kind: &Kind, who: &ApplierId) -> Followed {
        let followers = Arc::new(Mutex::new(HashSet::from([who.clone()])));
        let api = match &list.namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &kind.resource),
            None => Api::all_with(self.client.clone(), &kind.resource),
        };
        let (waking, wakes) = (followers.clone(), self.wakes.clone());
        let wake = move || waking.lock().iter().for_each(|follower| wakes.wake(follower.clone()));
        let watch = AbortOnDropHandle::new(tokio::spawn(watch(api, list.clone(), wake)));
        Followed { followers, _watch: watch }
    }
}

/// The namespace becomes a part of a path.
fn can_be_watched(list: &List, kind: &Kind) -> bool {
    kind.is_watchable && list.namespace.as_deref().is_none_or(is_object_name)
}

/// Watches one list until the task is dropped. What somebody may not watch, he does not hear of.
async fn watch(api: Api<PartialObjectMeta<DynamicObject>>, list: List, wake: impl Fn()) {
    let config = Config { label_selector: list.label_selector.clone(), ..Config::default() };
    let events = watcher(api, config).default_backoff().ready_chunks(TOGETHER);
    let mut events = std::pin::pin!(events);
    let (mut seen, mut pause, mut awake) = (Seen::default(), FIRST_PAUSE, Instant::now());
    while let Some(events) = events.next().await {
        let mut is_news = false;
        for event in events {
            match event {
                Ok(event) => is_news |= seen.take(event),
                Err(error) => {
                    tracing::debug!(%list, %error, "the watch of a list failed; it is started again")
                }
            }
        }
        if is_news {
            wake();
            let is_calm = awake.elapsed() > pause;
            pause = if is_calm { FIRST_PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
            sleep(pause).await;
            awake = Instant::now();
        }
    }
}

/// The versions of the objects, by namespace and name.
type Versions = HashMap<(String, String), String>;

/// The objects of a list.
#[derive(Default)]
struct Seen {
    /// None before the first list.
    now: Option<Versions>,
    listing: Versions,
}

impl Seen {
    /// Takes in an event; whether the list is another one now. The first counts as one: what somebody has read before may be older.
    fn take<K: Resource>(&mut self, event: Event<K>) -> bool {
        match event {
            Event::Init => {
                self.listing.clear();
                false
            }
            Event::InitApply(object) => {
                let (key, version) = version(&object);
                self.listing.insert(key, version);
                false
            }
            Event::InitDone => {
                let listed = Some(std::mem::take(&mut self.listing));
                let is_news = self.now != listed;
                self.now = listed;
                is_news
            }
            Event::Apply(object) => {
                let (key, version) = version(&object);
                let before = self.now.get_or_insert_default().insert(key, version.clone());
                before != Some(version)
            }
            Event::Delete(object) => self.now.get_or_insert_default().remove(&version(&object).0).is_some(),
        }
    }
}

fn version(object: &impl Resource) -> ((String, String), String) {
    let key = (object.namespace().unwrap_or_default(), object.name_any());
    (key, object.resource_version().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use kube::client::Body;
    use kube::core::ApiResource;
    use plumb_api::ApplierKind;
    use serde_json::json;
    use tower::service_fn;

    use super::*;
    use crate::Key;

    fn object(name: &str, version: &str) -> DynamicObject {
        let metadata = json!({"name": name, "namespace": "shop", "resourceVersion": version});
        serde_json::from_value(json!({"metadata": metadata})).unwrap()
    }

    #[test]
    fn what_is_listed_again_is_no_news() {
        let mut seen = Seen::default();
        let list = |seen: &mut Seen, objects: Vec<DynamicObject>| {
            let begun = seen.take(Event::<DynamicObject>::Init);
            let listed =
                objects.into_iter().fold(begun, |news, object| news | seen.take(Event::InitApply(object)));
            assert!(!listed, "half a list says nothing");
            seen.take(Event::<DynamicObject>::InitDone)
        };
        assert!(list(&mut seen, Vec::new()), "what was read before may be older than the first list");
        assert!(!list(&mut seen, Vec::new()));
        assert!(list(&mut seen, vec![object("a", "1")]));
        assert!(!list(&mut seen, vec![object("a", "1")]));
        assert!(!seen.take(Event::Apply(object("a", "1"))));
        assert!(seen.take(Event::Apply(object("a", "2"))));
        assert!(seen.take(Event::Apply(object("b", "3"))));
        assert!(!list(&mut seen, vec![object("b", "3"), object("a", "2")]));
        assert!(seen.take(Event::Delete(object("a", "4"))));
        assert!(!seen.take(Event::Delete(object("a", "4"))));
        assert!(list(&mut seen, Vec::new()));
    }

    /// A cluster that answers nobody.
    fn lists() -> Lists {
        let silent = service_fn(|_: http::Request<Body>| {
            std::future::pending::<Result<http::Response<Body>, kube::Error>>()
        });
        Lists::new(Client::new(silent, "default"), ApplierWakes::default())
    }

    fn list(namespace: &str) -> (List, Kind) {
        let resource = ApiResource::from_gvk(&kube::core::GroupVersionKind::gvk("", "v1", "ConfigMap"));
        let kind = Kind { resource, is_namespaced: true, is_watchable: true };
        let list = List { kind: kind.gvk(), namespace: Some(namespace.to_owned()), label_selector: None };
        (list, kind)
    }

    // Attack 23 (Kubernetes): one tenant reads so many lists that there is no watch left for the others.
    #[tokio::test]
    async fn there_is_one_watch_a_list_and_there_are_no_more_than_that() {
        let lists = lists();
        let id = |name: &str| {
            let key = Key { namespace: "default".to_owned(), name: name.to_owned() };
            ApplierId { kind: ApplierKind::Pipeline, key }
        };
        let many: Vec<_> = (0..2 * AT_MOST).map(|number| list(&format!("team-{number}"))).collect();
        assert_eq!(lists.follow(&id("greedy"), &many).len(), AT_MOST);
        assert_eq!(lists.followed.lock().len(), AT_MOST);
        assert!(lists.follow(&id("second"), &many[..1]).is_empty(), "it is watched already");
        assert_eq!(lists.follow(&id("third"), &[list("team-x")]).len(), 1);

        assert!(lists.follow(&id("greedy"), &[]).is_empty());
        assert_eq!(lists.followed.lock().len(), 1, "somebody follows it still");
        assert!(lists.follow(&id("third"), &[list("team-x")]).is_empty(), "there is room again");
        assert_eq!(
            lists.follow(&id("third"), &[list("../secrets")]).len(),
            1,
            "what is no name gets into no path"
        );
        assert!(lists.follow(&id("second"), &[]).is_empty());
        assert!(lists.followed.lock().is_empty());
    }
}
