//! ConfigMaps and Secrets that appliers are made from: values and parameters, and kubeconfigs. Each is watched by its name for
//! as long as somebody needs it: a change has those looked at who use it, and nothing is asked for while nothing changes. What there
//! are too many of to watch is read whenever it is needed.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::join_all;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::Api;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, watch_object};
use kube::{Client, ResourceExt as _};
use parking_lot::Mutex;
use plumb_api::{Sensitive, ValuesKind, is_object_name};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::status::{bounded, said};

/// A watch is a stream on either side; more than these are not opened, whoever asks for them.
const AT_MOST: usize = 1024;
/// How long the API server has to answer the first time.
const FIRST_ANSWER: Duration = Duration::from_secs(20);

/// A ConfigMap or a Secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct InputId {
    kind: ValuesKind,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl InputId {
    pub(crate) fn new(kind: ValuesKind, namespace: String, name: String) -> Self {
        Self { kind, namespace, name }
    }

    pub(crate) fn secret(namespace: String, name: String) -> Self {
        Self::new(ValuesKind::Secret, namespace, name)
    }

    pub(crate) fn config_map(namespace: String, name: String) -> Self {
        Self::new(ValuesKind::ConfigMap, namespace, name)
    }

    pub(crate) fn is_secret(&self) -> bool {
        self.kind == ValuesKind::Secret
    }
}

impl fmt::Display for InputId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} '{}/{}'", self.kind, self.namespace, self.name)
    }
}

/// What an input holds. Values of ConfigMaps are kept as carefully as those of Secrets: people put secrets into either.
pub(crate) type Data = Arc<BTreeMap<String, Sensitive<Vec<u8>>>>;

/// An input as it was seen last.
#[derive(Clone)]
pub(crate) enum Input {
    /// It is there.
    Present { data: Data, version: String },
    /// There is no such object.
    Absent,
    /// It cannot be read, for this reason.
    Unreadable(String),
}

/// Names who follows inputs.
pub(crate) trait Follower: Clone + Eq + Hash + Send + 'static {}

impl<T: Clone + Eq + Hash + Send + 'static> Follower for T {}

/// Has a follower looked at.
type Wake<F> = Arc<dyn Fn(&F) + Send + Sync>;

/// All inputs that are followed.
pub(crate) struct Inputs<F> {
    client: Client,
    wake: Wake<F>,
    followed: Mutex<HashMap<InputId, Followed<F>>>,
}

struct Followed<F> {
    followers: Arc<Mutex<HashSet<F>>>,
    state: watch::Receiver<Option<Input>>,
    _watch: AbortOnDropHandle<()>,
}

impl<F: Follower> Inputs<F> {
    /// Nothing is followed yet. A change of an input has its followers looked at by `wake`.
    pub(crate) fn new(client: Client, wake: impl Fn(&F) + Send + Sync + 'static) -> Self {
        Self { client, wake: Arc::new(wake), followed: Mutex::default() }
    }

    /// From now on `follower` follows these inputs and no others.
    pub(crate) fn follow(&self, follower: &F, inputs: &[InputId]) {
        let mut followed = self.followed.lock();
        followed.retain(|id, entry| {
            let mut followers = entry.followers.lock();
            if !inputs.contains(id) {
                followers.remove(follower);
            }
            !followers.is_empty()
        });
        for id in inputs {
            if let Some(entry) = followed.get(id) {
                entry.followers.lock().insert(follower.clone());
            } else if followed.len() < AT_MOST {
                followed.insert(id.clone(), self.start(id, follower));
            }
        }
    }

    /// Waits until something is known of all of these that are followed.
    pub(crate) async fn answered(&self, ids: &[InputId]) {
        let states: Vec<_> = {
            let followed = self.followed.lock();
            ids.iter().filter_map(|id| Some(followed.get(id)?.state.clone())).collect()
        };
        let answered = states.into_iter().map(|mut state| async move {
            // Whoever reads it tells of an API server that does not answer.
            let _ = tokio::time::timeout(FIRST_ANSWER, state.wait_for(Option::is_some)).await;
        });
        join_all(answered).await;
    }

    /// An input, as soon as it is known.
    pub(crate) async fn get(&self, id: &InputId) -> Input {
        let state = self.followed.lock().get(id).map(|entry| entry.state.clone());
        let Some(mut state) = state else { return self.read(id).await };
        let known = tokio::time::timeout(FIRST_ANSWER, state.wait_for(Option::is_some)).await;
        let known = known.ok().and_then(Result::ok).and_then(|state| state.clone());
        known.unwrap_or_else(|| {
            Input::Unreadable(format!("the API server has not answered for {FIRST_ANSWER:?}"))
        })
    }

    /// An input that is not followed.
    async fn read(&self, id: &InputId) -> Input {
        let InputId { kind, namespace, name } = id;
        if !is_object_name(name) {
            return Input::Absent;
        }
        let client = self.client.clone();
        let read = match kind {
            ValuesKind::Secret => bounded(Api::namespaced(client, namespace).get_opt(name))
                .await
                .map(|found| found.map(|object| present(object, of_secret))),
            ValuesKind::ConfigMap => bounded(Api::namespaced(client, namespace).get_opt(name))
                .await
                .map(|found| found.map(|object| present(object, of_config_map))),
        };
        match read {
            Ok(found) => found.unwrap_or(Input::Absent),
            Err(error) => Input::Unreadable(said(&error)),
        }
    }

    /// Tells one state of everything that `follower` follows from another.
    pub(crate) fn versions(&self, follower: &F) -> Vec<(InputId, String)> {
        let followed = self.followed.lock();
        let mine = followed.iter().filter(|(_, entry)| entry.followers.lock().contains(follower));
        let version = |entry: &Followed<F>| match &*entry.state.borrow() {
            Some(Input::Present { version, .. }) => version.clone(),
            Some(Input::Absent) => "absent".to_owned(),
            Some(Input::Unreadable(reason)) => reason.clone(),
            None => String::new(),
        };
        let mut versions: Vec<_> = mine.map(|(id, entry)| (id.clone(), version(entry))).collect();
        versions.sort_by(|(left, _), (right, _)| {
            (&left.namespace, &left.name).cmp(&(&right.namespace, &right.name))
        });
        versions
    }

    fn start(&self, id: &InputId, follower: &F) -> Followed<F> {
        let followers = Arc::new(Mutex::new(HashSet::from([follower.clone()])));
        let (sender, state) = watch::channel(None);
        let tell = Tell { sender, wake: self.wake.clone(), followers: followers.clone() };
        let (client, id) = (self.client.clone(), id.clone());
        let task = match id.kind {
            ValuesKind::Secret => {
                tokio::spawn(follow(Api::namespaced(client, &id.namespace), id, tell, of_secret))
            }
            ValuesKind::ConfigMap => {
                tokio::spawn(follow(Api::namespaced(client, &id.namespace), id, tell, of_config_map))
            }
        };
        Followed { followers, state, _watch: AbortOnDropHandle::new(task) }
    }
}

fn of_secret(secret: Secret) -> BTreeMap<String, Vec<u8>> {
    secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect()
}

fn of_config_map(map: ConfigMap) -> BTreeMap<String, Vec<u8>> {
    let text = map.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.into_bytes()));
    let binary = map.binary_data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0));
    text.chain(binary).collect()
}

fn present<K: kube::Resource>(object: K, data_of: fn(K) -> BTreeMap<String, Vec<u8>>) -> Input {
    let version = object.resource_version().unwrap_or_default();
    let data = data_of(object).into_iter().map(|(key, value)| (key, Sensitive::new(value)));
    Input::Present { data: Arc::new(data.collect()), version }
}

/// Makes a change known.
struct Tell<F> {
    sender: watch::Sender<Option<Input>>,
    wake: Wake<F>,
    followers: Arc<Mutex<HashSet<F>>>,
}

impl<F: Follower> Tell<F> {
    fn tell(&self, input: Input) {
        let before = self.sender.send_replace(Some(input.clone()));
        // Who asked first waits for the answer; nobody has to be woken for it.
        if before.is_some_and(|before| !before.is_same(&input)) {
            for follower in self.followers.lock().iter() {
                (self.wake)(follower);
            }
        }
    }
}

impl Input {
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Present { version: a, .. }, Self::Present { version: b, .. }) => a == b,
            (Self::Absent, Self::Absent) => true,
            (Self::Unreadable(a), Self::Unreadable(b)) => a == b,
            _ => false,
        }
    }
}

/// Follows one object until the task is dropped. On errors the last state stays, unless we are told that we may not read it.
async fn follow<K, F: Follower>(
    api: Api<K>,
    id: InputId,
    tell: Tell<F>,
    data_of: fn(K) -> BTreeMap<String, Vec<u8>>,
) where
    K: kube::Resource + Clone + serde::de::DeserializeOwned + fmt::Debug + Send + 'static,
{
    let mut states = std::pin::pin!(watch_object(api, &id.name).default_backoff());
    while let Some(state) = states.next().await {
        match state {
            Ok(Some(object)) => tell.tell(present(object, data_of)),
            Ok(None) => tell.tell(Input::Absent),
            Err(error) => match refusal(&error) {
                Some(reason) => tell.tell(Input::Unreadable(reason)),
                None => tracing::debug!(input = %id, "the watch of an input failed; it is started again"),
            },
        }
    }
}

/// What the API server says when it does not let us read the object.
fn refusal(error: &watcher::Error) -> Option<String> {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
            if status.code == 403 =>
        {
            Some(status.message.clone())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic, reason = "tests")]

    use std::sync::atomic::{AtomicUsize, Ordering};

    use kube::client::Body;
    use plumb_api::ApplierKind;
    use tower::service_fn;

    use super::*;
    use crate::Key;
    use crate::applier::ApplierId;

    /// An API server that answers who asks for an object, and keeps silent to all watches. It counts what it has answered.
    fn client(answered: Arc<AtomicUsize>) -> Client {
        let service = service_fn(move |request: http::Request<Body>| {
            let answered = answered.clone();
            async move {
                if request.uri().query().is_some_and(|query| query.contains("fieldSelector")) {
                    std::future::pending::<()>().await;
                }
                answered.fetch_add(1, Ordering::SeqCst);
                let text = r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "resourceVersion": "7"}, "data": {"key": "value"}}"#;
                Ok::<_, kube::Error>(http::Response::new(Body::from(text.as_bytes().to_vec())))
            }
        });
        Client::new(service, "default")
    }

    // Attack 23 (Kubernetes): one tenant names so many that there is no watch left for the others.
    #[tokio::test]
    async fn what_cannot_be_watched_is_read() {
        let answered = Arc::new(AtomicUsize::new(0));
        let inputs = Inputs::new(client(answered.clone()), |_: &ApplierId| {});
        let id = |name: &str| {
            let key = Key { namespace: "default".to_owned(), name: name.to_owned() };
            ApplierId { kind: ApplierKind::Pipeline, key }
        };
        let input = |name: String| InputId::config_map("default".to_owned(), name);
        let many: Vec<_> = (0..2 * AT_MOST).map(|number| input(format!("map-{number}"))).collect();
        inputs.follow(&id("greedy"), &many);
        assert_eq!(inputs.followed.lock().len(), AT_MOST);

        let vars = input("vars".to_owned());
        inputs.follow(&id("modest"), std::slice::from_ref(&vars));
        let Input::Present { data, version } = inputs.get(&vars).await else { panic!("it is there") };
        assert_eq!((data["key"].expose().as_slice(), version.as_str()), (b"value".as_slice(), "7"));
        let odd = input("../secrets/vars".to_owned());
        assert!(matches!(inputs.get(&odd).await, Input::Absent));
        assert_eq!(answered.load(Ordering::SeqCst), 1, "what is no name gets into no path");

        inputs.follow(&id("greedy"), &[]);
        inputs.follow(&id("modest"), std::slice::from_ref(&vars));
        assert_eq!(inputs.followed.lock().len(), 1, "there is room again");
    }
}
