//! What every reconciliation shares.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{self, ObjectRef, Store};
use parking_lot::Mutex;
use plumb_api::{ApplierKind, HelmRelease, Inventory, Kustomization, ObjectId, Pipeline, SourceKind};
use plumb_health::{Check, Checker};
use plumb_pipeline::{Builtins, Engine};
use plumb_plugin::{Cancelled, Host, HostConfig};

use crate::applier::dependencies::{self, Standing};
use crate::applier::{Applier, ApplierId, Memories};
use crate::artifacts::Artifacts;
use crate::clusters::{ClusterId, Clusters};
use crate::events::Events;
use crate::fair::Permits;
use crate::inputs::Inputs;
use crate::metrics::Metrics;
use crate::notifications::Notifications;
use crate::plugins::{self, Plugins};
use crate::sources::{self, SourceId, Sources};
use crate::wakes::ApplierWakes;
use crate::{Config, Key, Kind};

/// Nothing is looked at more often than this, unless it changes.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);
const TWICE: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1);

pub(crate) struct Context {
    pub(crate) client: kube::Client,
    pub(crate) config: Config,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) events: Events,

    pub(crate) kustomizations: Store<Kustomization>,
    pub(crate) pipelines: Store<Pipeline>,
    pub(crate) helm_releases: Store<HelmRelease>,
    pub(crate) applier_wakes: ApplierWakes,

    pub(crate) sources: Sources,
    pub(crate) artifacts: Artifacts,
    pub(crate) engine: Arc<Engine>,
    pub(crate) builtins: Builtins,
    pub(crate) clusters: Clusters,
    pub(crate) inputs: Inputs<ApplierId>,
    pub(crate) plugins: Plugins,
    /// What plugins have said of objects.
    pub(crate) checker: Checker,
    /// The rules that come with Plumbline, where they are used.
    pub(crate) health_rules: Option<Arc<Check>>,

    /// Rendering blocks: it has its own bound, and does not run on the runtime's workers.
    pub(crate) renders: Permits,
    /// Ends renders when the controller stops.
    pub(crate) renders_cancelled: Cancelled,

    pub(crate) applier_memories: Memories,
    /// The objects that each applier rendered last, to tell whether an object that one gives up is wanted by another.
    wanted: Mutex<HashMap<ApplierId, Wanted>>,
    /// The inventory of each applier as it was written last: the watch may lag behind.
    listed: Mutex<HashMap<ApplierId, Inventory>>,
    /// How each applier that others may depend on stood when they were last woken.
    standings: Mutex<HashMap<ApplierId, Standing>>,
}

/// What an applier wants to be in the cluster.
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
    pub(crate) pipelines: Writer<Pipeline>,
    pub(crate) helm_releases: Writer<HelmRelease>,
    pub(crate) plugins: plugins::Writers,
}

impl Context {
    pub(crate) async fn new(
        client: kube::Client,
        config: Config,
        metrics: Arc<Metrics>,
    ) -> anyhow::Result<(Arc<Self>, Writers)> {
        let (kustomizations, kustomization_writer) = reflector::store();
        let (pipelines, pipeline_writer) = reflector::store();
        let (helm_releases, helm_release_writer) = reflector::store();
        let (storage, cache, plugins) =
            (config.storage_path.clone(), config.cache_dir.clone(), config.plugin_dir.clone());
        let compile_program = config.compile_program.clone();
        let api_server = client.clone();
        let health_rules = config.health_rules.then(|| plumb_health::limits(config.plugin_memory));
        // One namespace alone gets half of them, and with that keeps every core busy.
        let renders = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN).saturating_mul(TWICE);
        let prepare = move || -> anyhow::Result<_> {
            let sources = Sources::open(&storage, &api_server)?;
            let host = Host::new(HostConfig {
                cache_dir: Some(cache),
                compile_program,
                concurrent_calls: renders,
                ..HostConfig::default()
            })
            .context("cannot start the plugin host")?;
            let builtins = Builtins::new(host.clone(), plugins);
            // Compiled now rather than when the first Kustomization waits for it.
            builtins.renderer("kustomize")?;
            let rules = |limits| -> anyhow::Result<_> {
                Ok(Arc::new(Check::rules(builtins.plugin("health-cel")?, limits)?))
            };
            let health_rules = health_rules.map(rules).transpose()?;
            Ok((sources, builtins, health_rules, Plugins::open(&storage, host, api_server)?))
        };
        let ((sources, source_writers), builtins, health_rules, (plugins, plugin_writers)) =
            tokio::task::spawn_blocking(prepare).await.context("the start broke down")??;
        let applier_wakes = ApplierWakes::default();
        let notifications =
            config.events_addr.clone().map(|address| Notifications::start(address, config.instance.clone()));
        let notifications =
            notifications.transpose().context("cannot speak to the notification-controller")?;
        let context = Self {
            events: Events::new(client.clone(), config.instance.clone(), notifications),
            clusters: Clusters::new(
                client.clone(),
                metrics.clone(),
                config.override_managers.clone(),
                applier_wakes.clone(),
            ),
            inputs: {
                let wakes = applier_wakes.clone();
                Inputs::new(client.clone(), move |applier: &ApplierId| wakes.wake(applier.clone()))
            },
            client,
            config,
            metrics,
            kustomizations,
            pipelines,
            helm_releases,
            applier_wakes,
            sources,
            artifacts: Artifacts::default(),
            engine: Arc::new(Engine::default()),
            builtins,
            plugins,
            checker: Checker::default(),
            health_rules,
            renders: Permits::new(renders.get()),
            renders_cancelled: Cancelled::new(),
            applier_memories: Memories::default(),
            wanted: Mutex::default(),
            listed: Mutex::default(),
            standings: Mutex::default(),
        };
        let writers = Writers {
            sources: source_writers,
            kustomizations: kustomization_writer,
            pipelines: pipeline_writer,
            helm_releases: helm_release_writer,
            plugins: plugin_writers,
        };
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

    pub(crate) fn applier(&self, id: &ApplierId) -> Option<Applier> {
        let ApplierId { kind, key } = id;
        match kind {
            ApplierKind::Kustomization => {
                self.kustomizations.get(&reference(key)).map(Applier::Kustomization)
            }
            ApplierKind::Pipeline => self.pipelines.get(&reference(key)).map(Applier::Pipeline),
            ApplierKind::HelmRelease => self.helm_releases.get(&reference(key)).map(Applier::HelmRelease),
        }
    }

    /// All objects that apply others.
    pub(crate) fn appliers(&self) -> impl Iterator<Item = Applier> {
        let kustomizations = self.kustomizations.state().into_iter().map(Applier::Kustomization);
        let pipelines = self.pipelines.state().into_iter().map(Applier::Pipeline);
        let releases = self.helm_releases.state().into_iter().map(Applier::HelmRelease);
        kustomizations.chain(pipelines).chain(releases)
    }

    pub(crate) fn forget_applier(&self, id: &ApplierId) {
        self.applier_memories.forget(id);
        self.wanted.lock().remove(id);
        let left = self.listed.lock().remove(id).unwrap_or_default();
        self.wake_heirs_of(&left);
        self.inputs.follow(id, &[]);
        self.metrics.gone(id.kind.as_str(), &id.key);
    }

    /// Remembers what an applier wants at a revision.
    pub(crate) fn wants(
        &self,
        id: &ApplierId,
        revision: &str,
        cluster: ClusterId,
        objects: HashSet<ObjectId>,
    ) {
        let wanted = Wanted { revision: revision.to_owned(), cluster, objects };
        self.wanted.lock().insert(id.clone(), wanted);
    }

    /// Remembers that an applier cannot say what it wants at a revision: it still wants what it wanted before.
    pub(crate) fn wants_as_before(&self, id: &ApplierId, revision: &str) {
        revision.clone_into(&mut self.wanted.lock().entry(id.clone()).or_default().revision);
    }

    /// Whether every other applier that renders the source has done so at this revision.
    pub(crate) fn all_others_rendered(&self, id: &ApplierId, source: &SourceId, revision: &str) -> bool {
        let wanted = self.wanted.lock();
        self.appliers().all(|object| {
            let other = object.id();
            other == *id
                || other.kind == ApplierKind::HelmRelease
                || object.source() != *source
                || !self.looks_after(&other)
                || !object.is_active()
                || wanted.get(&other).is_some_and(|wanted| wanted.revision == revision)
        })
    }

    /// Remembers the inventory of an applier as it was written.
    pub(crate) fn lists(&self, id: &ApplierId, inventory: Inventory) {
        self.listed.lock().insert(id.clone(), inventory);
    }

    /// Whether an applier lists the object of a cluster as its own.
    pub(crate) fn is_listed_by(&self, owner: &ApplierId, cluster: &ClusterId, id: &ObjectId) -> bool {
        let object = self.applier(owner);
        if object.as_ref().is_some_and(|object| ClusterId::of(object) != *cluster) {
            return false;
        }
        let id = id.to_string();
        let is_in = |inventory: &Inventory| inventory.entries.iter().any(|entry| entry.id == id);
        if let Some(inventory) = self.listed.lock().get(owner) {
            return is_in(inventory);
        }
        if !self.looks_after(owner) {
            // Another controller does: what is labelled as its own is its own.
            return true;
        }
        if object.is_none() && !self.config.watch_labels.selects_all() {
            // It may be another controller's to look after.
            return true;
        }
        object.and_then(|object| object.inventory().map(is_in)).unwrap_or(false)
    }

    /// Whether an applier, if it exists, is reconciled here.
    fn looks_after(&self, id: &ApplierId) -> bool {
        let is_ours = |namespace: &String| *namespace == id.key.namespace;
        self.config.kinds.contains(&Kind::Applier(id.kind))
            && self.config.watch_namespace.as_ref().is_none_or(is_ours)
    }

    /// Has everybody looked at who wants an object that was just given up.
    fn wake_heirs_of(&self, left: &Inventory) {
        let left: HashSet<ObjectId> =
            left.entries.iter().filter_map(|entry| Some(entry.parse()?.0)).collect();
        for (id, _) in self.wanted.lock().iter().filter(|(_, wanted)| !wanted.objects.is_disjoint(&left)) {
            self.applier_wakes.wake(id.clone());
        }
    }

    /// Another applier that wants the object in the same cluster.
    pub(crate) fn wanted_by_other(
        &self,
        own: &ApplierId,
        cluster: &ClusterId,
        id: &ObjectId,
    ) -> Option<ApplierId> {
        let wanted = self.wanted.lock();
        let mut others = wanted.iter().filter(|(other, wanted)| {
            *other != own && wanted.cluster == *cluster && wanted.objects.contains(id)
        });
        let is_active = |id: &ApplierId| self.applier(id).is_some_and(|object| object.is_active());
        others.find(|(other, _)| is_active(other)).map(|(other, _)| other.clone())
    }

    /// Has every applier looked at that renders the source, and every source that is made of it.
    pub(crate) fn wake_users_of(&self, source: &SourceId) {
        sources::wake_users_of(&self.sources, source);
        for object in self.appliers().filter(|object| object.source() == *source) {
            self.applier_wakes.wake(object.id());
        }
    }

    /// Has everything looked at that uses plugins, or all of a namespace: a plugin, or what may be done with it, is another one. A Kustomization
    /// and a HelmRelease use those that tell the health of their objects.
    pub(crate) fn wake_users_of_plugins(&self, namespace: Option<&str>) {
        let uses = |id: &ApplierId| match (namespace, id.kind) {
            (Some(namespace), _) => id.key.namespace == namespace,
            (None, ApplierKind::Pipeline) => true,
            (None, ApplierKind::Kustomization | ApplierKind::HelmRelease) => {
                self.plugins.has_health_checks(&id.key.namespace)
            }
        };
        self.appliers().map(|applier| applier.id()).filter(uses).for_each(|id| self.applier_wakes.wake(id));
    }

    /// Has everything looked at that policies for plugins, or the labels of a namespace, decide about.
    pub(crate) fn policies_changed(&self, namespace: Option<&str>) {
        self.plugins.keys(namespace).into_iter().for_each(|key| self.plugins.wakes.wake(key));
        self.wake_users_of_plugins(namespace);
    }

    /// Has every applier looked at that depends on `id`, if what it looks at is another than they know.
    pub(crate) fn wake_dependants_of(&self, id: &ApplierId, standing: Option<Standing>) {
        let before = match &standing {
            Some(standing) => self.standings.lock().insert(id.clone(), standing.clone()),
            None => self.standings.lock().remove(id),
        };
        if before == standing {
            return;
        }
        let is_readiness =
            before.as_ref().map(Standing::readiness) != standing.as_ref().map(Standing::readiness);
        for object in self.appliers().filter(|object| !object.depends_on().is_empty()) {
            let dependant = object.id();
            let concerns = object.depends_on().iter().any(|dependency| {
                dependencies::is_on(dependency, &dependant, id)
                    && (is_readiness || dependency.ready_expr.is_some())
            });
            if concerns {
                self.applier_wakes.wake(dependant);
            }
        }
    }
}

fn reference<K: reflector::Lookup<DynamicType = ()>>(key: &Key) -> ObjectRef<K> {
    ObjectRef::new(&key.name).within(&key.namespace)
}
