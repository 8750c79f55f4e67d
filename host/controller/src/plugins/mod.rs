//! Plugins: where they come from, which of them may run where, and what steps may hand to them.
//!
//! A [`Plugin`](plumb_api::Plugin) is pulled, verified and loaded by [`reconcile`]; what is loaded runs until another version takes its place, or until its
//! signature is no longer good. [`resolve()`] gives a step its plugin, with what [`policy`] allows and no more.

mod choice;
mod components;
mod failure;
mod grants;
mod image;
mod inspect;
mod policies;
mod policy;
mod pull;
mod reconcile;
mod report;
mod resolve;
mod trust;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{self, ObjectRef, Store};
use parking_lot::Mutex;
use plumb_api::{OciRepositoryVerification, Plugin, PluginSpec, PluginStatus};
use plumb_plugin::Host;

use crate::Key;
use crate::context::Context;
use crate::fair::Permits;
use crate::inputs::Inputs;
use crate::status::Written;
use crate::wakes::Wakes;
use components::Components;
use image::{Image, Repository};
use policies::Policies;
use policy::{Signatures, Subject};

pub(crate) use grants::of_releases as grants_of_releases;
pub use grants::reader_of_everything;
pub(crate) use grants::vault::listing;
pub(crate) use reconcile::run;
pub(crate) use resolve::{Asking, Resolved, Runs, Unresolved, resolve};

/// Plugins that are pulled or loaded at once: compiling takes a processor for some seconds.
const AT_ONCE: usize = 4;
/// How often what is no longer used is deleted.
const SWEEP: Duration = Duration::from_secs(600);

/// All plugins, and what decides about them.
pub(crate) struct Plugins {
    store: Store<Plugin>,
    pub(crate) wakes: Wakes,
    memories: Mutex<HashMap<Key, Memory>>,
    /// What runs, by the Plugin that says so.
    loaded: Mutex<HashMap<Key, Arc<Loaded>>>,
    policies: Policies,
    components: Components,
    /// The Secrets with the keys of those who may sign.
    keys: Inputs<Key>,
    host: Host,
    permits: Permits,
}

/// The writing ends of the stores, for the watches.
pub(crate) struct Writers {
    pub(crate) plugins: Writer<Plugin>,
    pub(crate) policies: policies::Writers,
}

/// A plugin that runs.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// The UID of the Plugin: one of the same name may take its place.
    uid: String,
    origin: Origin,
    /// The digest of the manifest, or of the component of a built-in one.
    digest: String,
    plugin: plumb_plugin::Plugin,
    /// The size of the component in bytes, where it was pulled.
    size: Option<u64>,
    signatures: Signed,
}

/// What a Plugin refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Origin {
    Builtin(String),
    Registry {
        repository: Repository,
        /// `spec.image` without its digest.
        place: String,
    },
}

/// Whose signatures were found good.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Signed {
    /// That which the Plugin itself asks for.
    of_plugin: Option<OciRepositoryVerification>,
    /// Those that policies ask for.
    of_rules: Vec<OciRepositoryVerification>,
    /// Identify what they were verified with, in order.
    fingerprints: Vec<String>,
    /// For people.
    signer: Option<String>,
}

impl Loaded {
    /// Whether it is what a spec asks for, which may have changed since.
    fn is_of(&self, spec: &PluginSpec) -> bool {
        match &self.origin {
            Origin::Builtin(name) => spec.builtin.as_ref() == Some(name),
            Origin::Registry { place, .. } => {
                let image = spec.image.as_deref().and_then(|image| Image::parse(image).ok());
                image.is_some_and(|image| image.place() == *place)
                    && spec.digest.as_ref().is_none_or(|digest| *digest == self.digest)
                    && spec.verify == self.signatures.of_plugin
            }
        }
    }

    fn subject(&self) -> Subject<'_> {
        match &self.origin {
            Origin::Builtin(name) => Subject::Builtin(name),
            Origin::Registry { repository, .. } => Subject::Image(repository),
        }
    }

    fn signatures(&self) -> Signatures<'_> {
        Signatures { of_plugin: self.signatures.of_plugin.is_some(), of_rules: &self.signatures.of_rules }
    }
}

/// What is remembered of a Plugin between two reconciliations.
struct Memory {
    uid: String,
    /// The status as we wrote it last: the watch may lag behind.
    status: Option<Written<PluginStatus>>,
    /// How often in a row something has failed.
    failures: u32,
}

impl Plugins {
    /// Opens what was pulled into `storage`. Blocks on the disk.
    pub(crate) fn open(storage: &Path, host: Host, client: Client) -> anyhow::Result<(Self, Writers)> {
        let (store, writer) = reflector::store();
        let (policies, policy_writers) = Policies::new();
        let wakes = Wakes::default();
        let to_wake = wakes.clone();
        let plugins = Self {
            store,
            wakes,
            memories: Mutex::default(),
            loaded: Mutex::default(),
            policies,
            components: Components::open(&storage.join("components"))?,
            keys: Inputs::new(client, move |key: &Key| to_wake.wake(key.clone())),
            host,
            permits: Permits::new(AT_ONCE),
        };
        Ok((plugins, Writers { plugins: writer, policies: policy_writers }))
    }

    /// Where plugins are loaded.
    pub(crate) fn host(&self) -> Host {
        self.host.clone()
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Arc<Plugin>> {
        self.store.get(&ObjectRef::new(&key.name).within(&key.namespace))
    }

    /// The keys of all Plugins, or of those of a namespace.
    pub(crate) fn keys(&self, namespace: Option<&str>) -> Vec<Key> {
        let all = self.store.state();
        let keys = all.iter().map(|plugin| Key::of(plugin.as_ref()));
        keys.filter(|key| namespace.is_none_or(|namespace| key.namespace == namespace)).collect()
    }

    /// The Plugins of a namespace that tell how objects of some kinds are, in the order of their names.
    pub(crate) fn health_checks(&self, namespace: &str) -> Vec<Arc<Plugin>> {
        let is_one = |plugin: &Arc<Plugin>| {
            plugin.metadata.namespace.as_deref() == Some(namespace) && plugin.spec.health_check.is_some()
        };
        let mut found: Vec<Arc<Plugin>> = self.store.state().into_iter().filter(is_one).collect();
        found.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
        found
    }

    pub(crate) fn has_health_checks(&self, namespace: &str) -> bool {
        !self.health_checks(namespace).is_empty()
    }

    fn loaded(&self, key: &Key) -> Option<Arc<Loaded>> {
        self.loaded.lock().get(key).cloned()
    }

    /// The bytes that plugins of registries take on the disk, without those of one Plugin.
    fn bytes_of_others(&self, key: &Key) -> u64 {
        let loaded = self.loaded.lock();
        let of_registries = loaded
            .iter()
            .filter(|(other, loaded)| *other != key && matches!(loaded.origin, Origin::Registry { .. }));
        of_registries.filter_map(|(_, loaded)| loaded.size).sum()
    }

    fn take_memory(&self, key: &Key, uid: &str) -> Memory {
        match self.memories.lock().remove(key) {
            Some(memory) if memory.uid == uid => memory,
            _ => Memory { uid: uid.to_owned(), status: None, failures: 0 },
        }
    }

    fn put_memory(&self, key: Key, memory: Memory) {
        self.memories.lock().insert(key, memory);
    }
}

/// Forgets a Plugin that is gone. What runs with it fails to find it from now on.
pub(crate) fn forget(context: &Context, key: &Key) {
    let plugins = &context.plugins;
    plugins.memories.lock().remove(key);
    plugins.loaded.lock().remove(key);
    plugins.keys.follow(key, &[]);
    context.metrics.gone("Plugin", key);
    context.wake_users_of_plugins(Some(&key.namespace));
}

/// Keeps policies and labels up to date.
pub(crate) async fn follow_policies(context: Arc<Context>, writers: policies::Writers) {
    policies::follow(context, writers).await;
}

/// Deletes what no Plugin has pulled last, from time to time. It ends with the task.
pub(crate) async fn sweep_regularly(context: Arc<Context>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        // Before the Plugins are known, nothing would be in use.
        if context.plugins.store.wait_until_ready().await.is_err() {
            return;
        }
        let context = context.clone();
        let sweeping = tokio::task::spawn_blocking(move || {
            let all = context.plugins.store.state();
            let uids: Vec<String> = all.iter().filter_map(|plugin| plugin.metadata.uid.clone()).collect();
            context.plugins.components.sweep(&uids);
        });
        // One that broke down is tried again.
        let _ = sweeping.await;
    }
}
