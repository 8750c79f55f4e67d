//! The clusters that are applied to, and the users that they are applied as.
//!
//! A [`Cluster`] is one API server: its kinds, and one set of watches, read as whoever the connection belongs to. An [`Actor`] is a user
//! of it: everything that is applied, deleted, or read because a tenant names it, is done as that user.

mod lists;
mod reach;
pub(crate) mod records;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use kube::Client;
use parking_lot::Mutex;
use plumb_api::GroupVersionKind;
use plumb_apply::{ApiServer, CountRequests, Executor, Kinds, LiveCache, OverrideManagers, References};
use tokio_util::task::AbortOnDropHandle;

use crate::applier::{Applier, ApplierId};
use crate::kubeconfig::{self, Connection};
use crate::metrics::Metrics;
use crate::status::{bounded, said};
use crate::wakes::ApplierWakes;
pub(crate) use lists::List;
use lists::Lists;
use reach::{First, Reach};
use records::Records;

/// How long a remote API server has to say that it is there.
const ANSWER: Duration = Duration::from_secs(5);
/// How long the version of an API server is believed.
const VERSION_FOR: Duration = Duration::from_secs(300);

/// Which cluster. Two kubeconfigs are taken for two clusters even when they lead to one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub(crate) enum ClusterId {
    /// The one that the controller reconciles.
    #[default]
    Host,
    /// The one that an object of the host cluster says how to reach.
    Remote(kubeconfig::Reference),
}

impl ClusterId {
    /// The cluster that an object is applied to.
    pub(crate) fn of(object: &Applier) -> Self {
        let Some(reference) = object.kube_config() else { return Self::Host };
        Self::Remote(kubeconfig::Reference::new(reference, object.id().key.namespace))
    }
}

/// A service account, by which a tenant acts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ServiceAccount {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl ServiceAccount {
    /// The service account as API servers know it.
    fn user_name(&self) -> String {
        format!("system:serviceaccount:{}:{}", self.namespace, self.name)
    }
}

impl fmt::Display for ServiceAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// One API server.
pub(crate) struct Cluster {
    pub(crate) id: ClusterId,
    client: Client,
    api: ApiServer,
    pub(crate) kinds: Arc<Kinds>,
    pub(crate) live: LiveCache,
    /// The records of the Helm releases.
    pub(crate) records: Records,
    version: Mutex<Option<(Instant, String)>>,
    reach: Mutex<Reach>,
    /// Who waits for a kind that the cluster does not know.
    waiting: Arc<Mutex<HashSet<ApplierId>>>,
    wakes: ApplierWakes,
    /// Kept by who acts, so that what nobody needs any longer goes.
    actors: Mutex<HashMap<Option<ServiceAccount>, Weak<Actor>>>,
    _tasks: Vec<AbortOnDropHandle<()>>,
}

impl Cluster {
    /// A cluster with no watches yet. Changes of what appliers own wake them.
    fn new(
        id: ClusterId,
        connection: Connection,
        counter: Arc<dyn CountRequests>,
        overridden: OverrideManagers,
        wakes: &ApplierWakes,
    ) -> Arc<Self> {
        let Connection { client, refreshing } = connection;
        let live = LiveCache::overriding(client.clone(), overridden.with_helm());
        let (mut changes, waking) = (live.subscribe(), wakes.clone());
        let drift = tokio::spawn(async move {
            loop {
                waking.wake(ApplierId::from(&changes.next().await.owner));
            }
        });
        let kinds = Arc::new(Kinds::new(client.clone()));
        let waiting: Arc<Mutex<HashSet<ApplierId>>> = Arc::default();
        let (mut changes, to_wake, waking) = (kinds.changes(), waiting.clone(), wakes.clone());
        let new_kinds = tokio::spawn(async move {
            loop {
                changes.next().await;
                for id in std::mem::take(&mut *to_wake.lock()) {
                    waking.wake(id);
                }
            }
        });
        let tasks = [drift, new_kinds].map(AbortOnDropHandle::new);
        Arc::new(Self {
            id,
            api: ApiServer::new(client.clone(), counter),
            kinds,
            records: Records::new(client.clone(), wakes.clone()),
            version: Mutex::default(),
            reach: Mutex::default(),
            waiting,
            wakes: wakes.clone(),
            live,
            client,
            actors: Mutex::default(),
            _tasks: refreshing.into_iter().chain(tasks).collect(),
        })
    }

    /// As the controller, or whoever the connection belongs to.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Makes sure that a remote API server answers before anybody waits for more of it. An error says why it does not.
    pub(crate) async fn answers(&self) -> Result<(), String> {
        if self.id == ClusterId::Host {
            return Ok(());
        }
        let first = self.reach.lock().first(Instant::now());
        let silent = |why: &str| format!("the API server of the other cluster does not answer: {why}");
        match first {
            First::Nothing => return Ok(()),
            First::GiveUp => return Err(silent("it was silent a moment ago, and is asked again later")),
            First::Ask => {}
        }
        let why = match tokio::time::timeout(ANSWER, self.client.apiserver_version()).await {
            // Whatever it says, it is there.
            Ok(Ok(_) | Err(kube::Error::Api(_))) => {
                *self.reach.lock() = Reach::Answers;
                return Ok(());
            }
            Ok(Err(error)) => said(&error),
            Err(_) => format!("it was silent for {ANSWER:?}"),
        };
        let mut reach = self.reach.lock();
        *reach = reach.silent(Instant::now());
        Err(silent(&why))
    }

    /// The version of Kubernetes, for example `v1.34.0`. It is asked for from time to time.
    pub(crate) async fn version(&self) -> Result<String, String> {
        if let Some((asked, version)) = &*self.version.lock()
            && asked.elapsed() < VERSION_FOR
        {
            return Ok(version.clone());
        }
        let answer = bounded(self.client.apiserver_version()).await;
        let version = answer.map_err(|error| said(&error))?.git_version;
        *self.version.lock() = Some((Instant::now(), version.clone()));
        Ok(version)
    }

    /// Something has failed: a remote API server is asked whether it is there before anybody waits for it again.
    pub(crate) fn doubt(&self) {
        let mut reach = self.reach.lock();
        *reach = reach.doubted();
    }

    /// Has an applier looked at as soon as the cluster learns a kind; at once, when it has learnt one of these meanwhile.
    pub(crate) fn await_kinds<'a>(
        &self,
        id: &ApplierId,
        missing: impl IntoIterator<Item = &'a GroupVersionKind>,
    ) {
        self.waiting.lock().insert(id.clone());
        self.kinds.follow_definitions();
        if missing.into_iter().any(|gvk| self.kinds.known(gvk).is_some()) {
            self.wakes.wake(id.clone());
        }
    }

    /// Somebody who acts on the cluster: a service account, or without one whoever the connection belongs to.
    pub(crate) fn actor(self: &Arc<Self>, user: Option<ServiceAccount>) -> Arc<Actor> {
        let mut actors = self.actors.lock();
        actors.retain(|_, actor| actor.strong_count() > 0);
        if let Some(actor) = actors.get(&user).and_then(Weak::upgrade) {
            return actor;
        }
        let client = match &user {
            Some(account) => kubeconfig::impersonating(&self.client, &account.user_name()),
            None => self.client.clone(),
        };
        let api = self.api.as_user(client.clone());
        let actor = Arc::new(Actor {
            executor: Executor::new(api, self.kinds.clone(), self.live.clone()),
            references: References::new(client.clone(), self.live.clone()),
            lists: Lists::new(client.clone(), self.wakes.clone()),
            client,
            cluster: self.clone(),
        });
        actors.insert(user, Arc::downgrade(&actor));
        actor
    }
}

/// A user of a cluster.
pub(crate) struct Actor {
    pub(crate) cluster: Arc<Cluster>,
    /// Speaks as the user.
    pub(crate) client: Client,
    pub(crate) executor: Executor,
    /// What the user's appliers name and do not own, as far as the user may read it.
    pub(crate) references: References,
    /// What the user's plugins have listed.
    pub(crate) lists: Lists,
}

/// All clusters that are in use.
pub(crate) struct Clusters {
    host: Arc<Cluster>,
    remote: Mutex<HashMap<kubeconfig::Reference, Remote>>,
    metrics: Arc<Metrics>,
    overridden: OverrideManagers,
    wakes: ApplierWakes,
}

struct Remote {
    /// Identifies what the connection was made from.
    made_from: kubeconfig::Fingerprint,
    /// Kept by who acts on it.
    cluster: Weak<Cluster>,
}

impl Clusters {
    /// Only the host cluster is known at first.
    pub(crate) fn new(
        client: Client,
        metrics: Arc<Metrics>,
        overridden: OverrideManagers,
        wakes: ApplierWakes,
    ) -> Self {
        let connection = Connection { client, refreshing: None };
        let host = Cluster::new(ClusterId::Host, connection, metrics.clone(), overridden.clone(), &wakes);
        Self { host, overridden, remote: Mutex::default(), metrics, wakes }
    }

    pub(crate) fn host(&self) -> &Arc<Cluster> {
        &self.host
    }

    /// A cluster that is in use already, if it is reached in just this way.
    pub(crate) fn remote(
        &self,
        reference: &kubeconfig::Reference,
        made_from: kubeconfig::Fingerprint,
    ) -> Option<Arc<Cluster>> {
        let remote = self.remote.lock();
        remote.get(reference).filter(|remote| remote.made_from == made_from)?.cluster.upgrade()
    }

    /// Takes in another cluster, or another way to reach one. Who uses the old way goes on with it until it looks again.
    pub(crate) fn add(
        &self,
        reference: &kubeconfig::Reference,
        made_from: kubeconfig::Fingerprint,
        connection: Connection,
    ) -> Arc<Cluster> {
        let id = ClusterId::Remote(reference.clone());
        let cluster =
            Cluster::new(id, connection, self.metrics.clone(), self.overridden.clone(), &self.wakes);
        let mut remote = self.remote.lock();
        remote.retain(|_, remote| remote.cluster.strong_count() > 0);
        remote.insert(reference.clone(), Remote { made_from, cluster: Arc::downgrade(&cluster) });
        cluster
    }
}
