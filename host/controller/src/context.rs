//! What every reconciliation shares.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{self, ObjectRef, Store};
use parking_lot::Mutex;
use plumb_api::{Inventory, Kustomization, ObjectId, SourceKind};
use plumb_pipeline::{Builtins, Engine};
use plumb_plugin::{Cancelled, Host, HostConfig};
use tokio::sync::Semaphore;

use crate::applier::dependencies::{self, Standing};
use crate::artifacts::Artifacts;
use crate::clusters::{ClusterId, Clusters};
use crate::events::Events;
use crate::inputs::Inputs;
use crate::metrics::Metrics;
use crate::notifications::Notifications;
use crate::sources::{self, SourceId, Sources};
use crate::wakes::Wakes;
use crate::{Config, Key, Kind, applier};

/// Nothing is looked at more often than this, unless it changes.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);

pub(crate) struct Context {
    pub(crate) client: kube::Client,
    pub(crate) config: Config,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) events: Events,

    pub(crate) kustomizations: Store<Kustomization>,
    pub(crate) kustomization_wakes: Wakes,

    pub(crate) sources: Sources,
    pub(crate) artifacts: Artifacts,
    pub(crate) engine: Arc<Engine>,
    pub(crate) builtins: Builtins,
    pub(crate) clusters: Clusters,
    pub(crate) inputs: Inputs,

    /// Rendering blocks: it has its own bound, and does not run on the runtime's workers.
    pub(crate) renders: Arc<Semaphore>,
    /// Ends renders when the controller stops.
    pub(crate) renders_cancelled: Cancelled,

    kustomization_memories: Mutex<HashMap<Key, applier::Memory>>,
    /// The objects that each Kustomization rendered last, to tell whether an object that one gives up is wanted by another.
    wanted: Mutex<HashMap<Key, Wanted>>,
    /// The inventory of each Kustomization as it was written last: the watch may lag behind.
    listed: Mutex<HashMap<Key, Inventory>>,
    /// How each Kustomization that others may depend on stood when they were last woken.
    standings: Mutex<HashMap<Key, Standing>>,
}

/// What a Kustomization wants to be in the cluster.
#[derive(Default)]
struct Wanted {
    /// The revision that was rendered last.
    revision: String,
    cluster: ClusterId,
    objects: HashSet<ObjectId>,
}

/// The writing ends of the stores, for the watches.
pub(crate) struct Writers {
    pub(crate) sources: sources::Writers,
    pub(crate) kustomizations: Writer<Kustomization>,
}

impl Context {
    pub(crate) async fn new(
        client: kube::Client,
        config: Config,
        metrics: Arc<Metrics>,
    ) -> anyhow::Result<(Arc<Self>, Writers)> {
        let (kustomizations, kustomization_writer) = reflector::store();
        let (storage, cache, plugins) =
            (config.storage_path.clone(), config.cache_dir.clone(), config.plugin_dir.clone());
        let prepare = move || -> anyhow::Result<_> {
            let sources = Sources::open(&storage)?;
            let host = Host::new(HostConfig { cache_dir: Some(cache), ..HostConfig::default() })
                .context("cannot start the plugin host")?;
            let builtins = Builtins::new(host, plugins);
            // Compiled now rather than when the first Kustomization waits for it.
            builtins.renderer("kustomize")?;
            Ok((sources, builtins))
        };
        let ((sources, source_writers), builtins) =
            tokio::task::spawn_blocking(prepare).await.context("the start broke down")??;
        let kustomization_wakes = Wakes::default();
        let notifications =
            config.events_addr.clone().map(|address| Notifications::start(address, config.instance.clone()));
        let notifications =
            notifications.transpose().context("cannot speak to the notification-controller")?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let context = Self {
            events: Events::new(client.clone(), config.instance.clone(), notifications),
            clusters: Clusters::new(
                client.clone(),
                metrics.clone(),
                config.override_managers.clone(),
                kustomization_wakes.clone(),
            ),
            inputs: Inputs::new(client.clone(), kustomization_wakes.clone()),
            client,
            config,
            metrics,
            kustomizations,
            kustomization_wakes,
            sources,
            artifacts: Artifacts::default(),
            engine: Arc::new(Engine::default()),
            builtins,
            renders: Arc::new(Semaphore::new(cores)),
            renders_cancelled: Cancelled::new(),
            kustomization_memories: Mutex::default(),
            wanted: Mutex::default(),
            listed: Mutex::default(),
            standings: Mutex::default(),
        };
        let writers = Writers { sources: source_writers, kustomizations: kustomization_writer };
        Ok((Arc::new(context), writers))
    }

    /// Whether sources of the kind are fetched here, rather than used as their own controllers publish them.
    pub(crate) fn fetches(&self, kind: SourceKind) -> bool {
        kind != SourceKind::ExternalArtifact && self.config.kinds.contains(&Kind::Source(kind))
    }

    /// Whether this process is to end what it does.
    pub(crate) fn is_called_off(&self) -> bool {
        self.renders_cancelled.is_cancelled()
    }

    /// Ends what blocks: fetches and renders.
    pub(crate) fn call_off(&self) {
        self.sources.call_off();
        self.renders_cancelled.cancel();
    }

    /// The next wait of an object that is to be looked at every `interval`.
    pub(crate) fn jittered(&self, interval: Duration) -> Duration {
        // `interval: 0s` is a valid duration, and would never rest.
        let interval = interval.max(SHORTEST_INTERVAL);
        crate::schedule::jittered(interval, self.config.interval_jitter_percentage, rand::random())
    }

    /// The wait after so many failures in a row, and never longer than `longest`.
    pub(crate) fn backoff(&self, failures: u32, longest: Duration) -> Duration {
        let max = self.config.max_retry_delay.min(longest.max(self.config.min_retry_delay));
        crate::schedule::backoff(failures, self.config.min_retry_delay, max)
    }

    pub(crate) fn kustomization(&self, key: &Key) -> Option<Arc<Kustomization>> {
        self.kustomizations.get(&ObjectRef::new(&key.name).within(&key.namespace))
    }

    /// What is remembered of a Kustomization; nothing after a panic. Whoever takes it puts it back.
    pub(crate) fn take_kustomization_memory(&self, key: &Key) -> applier::Memory {
        self.kustomization_memories.lock().remove(key).unwrap_or_default()
    }

    pub(crate) fn put_kustomization_memory(&self, key: Key, memory: applier::Memory) {
        self.kustomization_memories.lock().insert(key, memory);
    }

    pub(crate) fn forget_kustomization(&self, key: &Key) {
        if let Some(memory) = self.kustomization_memories.lock().remove(key) {
            memory.let_go(key);
        }
        self.wanted.lock().remove(key);
        let left = self.listed.lock().remove(key).unwrap_or_default();
        self.wake_heirs_of(&left);
        self.inputs.follow(key, &[]);
        self.metrics.gone("Kustomization", key);
    }

    /// Remembers what a Kustomization wants at a revision.
    pub(crate) fn wants(&self, key: &Key, revision: &str, cluster: ClusterId, objects: HashSet<ObjectId>) {
        let wanted = Wanted { revision: revision.to_owned(), cluster, objects };
        self.wanted.lock().insert(key.clone(), wanted);
    }

    /// Remembers that a Kustomization cannot say what it wants at a revision: it still wants what it wanted before.
    pub(crate) fn wants_as_before(&self, key: &Key, revision: &str) {
        revision.clone_into(&mut self.wanted.lock().entry(key.clone()).or_default().revision);
    }

    /// Whether every other Kustomization that renders the source has done so at this revision.
    pub(crate) fn all_others_rendered(&self, key: &Key, source: &SourceId, revision: &str) -> bool {
        let wanted = self.wanted.lock();
        self.kustomizations.state().iter().all(|object| {
            let other = Key::of(object.as_ref());
            other == *key
                || applier::source_of(object, &other) != *source
                || !applier::is_active(object)
                || wanted.get(&other).is_some_and(|wanted| wanted.revision == revision)
        })
    }

    /// Remembers the inventory of a Kustomization as it was written.
    pub(crate) fn lists(&self, key: &Key, inventory: Inventory) {
        self.listed.lock().insert(key.clone(), inventory);
    }

    /// Whether a Kustomization lists the object of a cluster as its own.
    pub(crate) fn is_listed_by(&self, key: &Key, cluster: &ClusterId, id: &ObjectId) -> bool {
        let object = self.kustomization(key);
        if object.as_ref().is_some_and(|object| ClusterId::of(object) != *cluster) {
            return false;
        }
        let id = id.to_string();
        let is_in = |inventory: &Inventory| inventory.entries.iter().any(|entry| entry.id == id);
        if let Some(inventory) = self.listed.lock().get(key) {
            return is_in(inventory);
        }
        let is_ours = |namespace: &String| *namespace == key.namespace;
        if !self.config.watch_namespace.as_ref().is_none_or(is_ours) {
            // Another controller looks after that namespace: what is labelled as its own is its own.
            return true;
        }
        object.and_then(|object| object.status.as_ref()?.inventory.as_ref().map(is_in)).unwrap_or(false)
    }

    /// Has everybody looked at who wants an object that was just given up.
    fn wake_heirs_of(&self, left: &Inventory) {
        let left: HashSet<ObjectId> =
            left.entries.iter().filter_map(|entry| Some(entry.parse()?.0)).collect();
        for (key, _) in self.wanted.lock().iter().filter(|(_, wanted)| !wanted.objects.is_disjoint(&left)) {
            self.kustomization_wakes.wake(key.clone());
        }
    }

    /// Another Kustomization that wants the object in the same cluster.
    pub(crate) fn wanted_by_other(&self, key: &Key, cluster: &ClusterId, id: &ObjectId) -> Option<Key> {
        let wanted = self.wanted.lock();
        let mut others = wanted.iter().filter(|(other, wanted)| {
            *other != key && wanted.cluster == *cluster && wanted.objects.contains(id)
        });
        let is_active = |key: &Key| self.kustomization(key).is_some_and(|object| applier::is_active(&object));
        others.find(|(other, _)| is_active(other)).map(|(other, _)| other.clone())
    }

    /// Has every Kustomization looked at that renders the source, and every source that is made of it.
    pub(crate) fn wake_users_of(&self, source: &SourceId) {
        sources::wake_users_of(&self.sources, source);
        for object in self.kustomizations.state() {
            let key = Key::of(object.as_ref());
            if applier::source_of(&object, &key) == *source {
                self.kustomization_wakes.wake(key);
            }
        }
    }

    /// Has every Kustomization looked at that depends on `key`, if what it looks at is another than they know.
    pub(crate) fn wake_dependants_of(&self, key: &Key, standing: Option<Standing>) {
        let before = match &standing {
            Some(standing) => self.standings.lock().insert(key.clone(), standing.clone()),
            None => self.standings.lock().remove(key),
        };
        if before == standing {
            return;
        }
        let is_readiness =
            before.as_ref().map(Standing::readiness) != standing.as_ref().map(Standing::readiness);
        for object in self.kustomizations.state() {
            if object.spec.depends_on.is_empty() {
                continue;
            }
            let dependant = Key::of(object.as_ref());
            let concerns = object.spec.depends_on.iter().any(|dependency| {
                dependencies::is_on(dependency, &dependant, key)
                    && (is_readiness || dependency.ready_expr.is_some())
            });
            if concerns {
                self.kustomization_wakes.wake(dependant);
            }
        }
    }
}
