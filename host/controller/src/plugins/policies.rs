//! The PluginPolicies of the cluster and the labels of its namespaces, as the watches bring them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt as _;
use kube::api::Api;
use kube::core::{DeserializeGuard, PartialObjectMeta};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::reflector::{self, ObjectRef, Store, store::Writer};
use kube::runtime::watcher::{self, Event};
use parking_lot::Mutex;
use plumb_api::PluginPolicy;
use tokio::sync::watch;

use super::policy::Place;
use crate::context::Context;
use crate::watch::is_unknown;

/// How long the API server has to answer the first time.
const FIRST_ANSWER: Duration = Duration::from_secs(20);

/// Only the metadata of a namespace is watched.
type NamespaceMeta = PartialObjectMeta<Namespace>;

/// What decides about plugins.
pub(super) struct Policies {
    policies: Store<PluginPolicy>,
    namespaces: Store<NamespaceMeta>,
    /// The policies that cannot be read, and why. Each may be meant for any namespace.
    unreadable: Mutex<BTreeMap<String, String>>,
    policies_known: watch::Sender<Known>,
    namespaces_known: watch::Sender<Known>,
}

/// Whether anything is known of a kind. What was known once stays.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Known {
    /// Not yet, and why not if that is known.
    NotYet(Option<String>),
    Yes,
}

/// The writing ends, for the watches.
pub(crate) struct Writers {
    policies: Writer<PluginPolicy>,
    namespaces: Writer<NamespaceMeta>,
}

/// What policies there are, and the namespace that is asked about.
#[derive(Debug)]
pub(super) struct Situation {
    pub(super) policies: Vec<Arc<PluginPolicy>>,
    namespace: String,
    labels: BTreeMap<String, String>,
}

impl Situation {
    pub(super) fn place(&self) -> Place<'_> {
        Place { namespace: &self.namespace, labels: &self.labels }
    }
}

impl Policies {
    pub(super) fn new() -> (Self, Writers) {
        let ((policies, policy_writer), (namespaces, namespace_writer)) =
            (reflector::store(), reflector::store());
        let (policies_known, namespaces_known) =
            (watch::Sender::new(Known::NotYet(None)), watch::Sender::new(Known::NotYet(None)));
        let unreadable = Mutex::default();
        let all = Self { policies, namespaces, unreadable, policies_known, namespaces_known };
        (all, Writers { policies: policy_writer, namespaces: namespace_writer })
    }

    /// What decides about plugins in a namespace, as soon as it is known. Nothing is decided before.
    pub(super) async fn of(&self, namespace: &str) -> Result<Situation, String> {
        known(&self.policies_known, "PluginPolicies").await?;
        known(&self.namespaces_known, "namespaces").await?;
        if let Some((name, reason)) = self.unreadable.lock().first_key_value() {
            return Err(format!("PluginPolicy '{name}' cannot be read, so no plugin may run: {reason}"));
        }
        let found = self.namespaces.get(&ObjectRef::new(namespace));
        let labels = found.map(|found| found.labels().clone()).unwrap_or_default();
        let mut policies = self.policies.state();
        // So that a message is the same each time.
        policies.sort_by_key(|policy| policy.name_any());
        Ok(Situation { policies, namespace: namespace.to_owned(), labels })
    }
}

async fn known(state: &watch::Sender<Known>, what: &str) -> Result<(), String> {
    let mut state = state.subscribe();
    let waited =
        tokio::time::timeout(FIRST_ANSWER, state.wait_for(|known| *known == Known::Yes)).await.is_ok();
    if waited {
        return Ok(());
    }
    let why = match &*state.borrow() {
        Known::NotYet(Some(reason)) => reason.clone(),
        _ => format!("the API server has not answered for {FIRST_ANSWER:?}"),
    };
    Err(format!("the {what} of the cluster are not known, so no plugin may run: {why}"))
}

/// Keeps the policies up to date. Any change can concern any namespace.
pub(super) async fn follow(context: Arc<Context>, writers: Writers) {
    let Writers { policies, namespaces } = writers;
    tokio::join!(policies_of_cluster(&context, policies), labels_of_namespaces(&context, namespaces));
}

async fn policies_of_cluster(context: &Arc<Context>, writer: Writer<PluginPolicy>) {
    let api: Api<DeserializeGuard<PluginPolicy>> = Api::all(context.client.clone());
    let all = &context.plugins.policies;
    let events = kube::runtime::watcher(api, watcher::Config::default()).default_backoff();
    let events = events.filter_map(async |event| readable(all, event).transpose());
    let mut events = std::pin::pin!(reflector::reflector(writer, events));
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init | Event::InitApply(_)) => {}
            Ok(Event::InitDone) => {
                all.policies_known.send_replace(Known::Yes);
                context.policies_changed(None);
            }
            Ok(Event::Apply(_) | Event::Delete(_)) => context.policies_changed(None),
            // A cluster that does not have the kind has no policies.
            Err(error) if is_unknown(&error) => {
                all.policies_known.send_replace(Known::Yes);
            }
            Err(error) => broken(&all.policies_known, &error, "PluginPolicy"),
        }
    }
}

/// The event without the policies that cannot be read, which are noted.
fn readable(
    all: &Policies,
    event: watcher::Result<Event<DeserializeGuard<PluginPolicy>>>,
) -> watcher::Result<Option<Event<PluginPolicy>>> {
    let read = |guard: DeserializeGuard<PluginPolicy>| match guard.0 {
        Ok(policy) => {
            all.unreadable.lock().remove(&policy.name_any());
            Some(policy)
        }
        Err(invalid) => {
            let name = invalid.metadata.name.unwrap_or_default();
            tracing::error!(name, error = invalid.error, "a PluginPolicy cannot be read: no plugin may run");
            all.unreadable.lock().insert(name, invalid.error);
            None
        }
    };
    Ok(match event? {
        Event::Init => {
            all.unreadable.lock().clear();
            Some(Event::Init)
        }
        Event::InitApply(object) => read(object).map(Event::InitApply),
        Event::InitDone => Some(Event::InitDone),
        Event::Apply(object) => read(object).map(Event::Apply),
        Event::Delete(object) => {
            let deleted = read(object);
            if let Some(name) = deleted.as_ref().map(|policy| policy.name_any()) {
                all.unreadable.lock().remove(&name);
            }
            deleted.map(Event::Delete)
        }
    })
}

async fn labels_of_namespaces(context: &Arc<Context>, writer: Writer<NamespaceMeta>) {
    let all = &context.plugins.policies;
    let api: Api<NamespaceMeta> = Api::all(context.client.clone());
    let events = kube::runtime::watcher(api, selection(context));
    let mut events = std::pin::pin!(reflector::reflector(writer, events.default_backoff()));
    let mut labels: HashMap<String, BTreeMap<String, String>> = HashMap::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::InitDone) => {
                all.namespaces_known.send_replace(Known::Yes);
                context.policies_changed(None);
            }
            Ok(Event::Apply(namespace)) => {
                let (name, now) = (namespace.name_any(), namespace.labels().clone());
                if labels.insert(name.clone(), now.clone()).is_none_or(|before| before != now) {
                    context.policies_changed(Some(&name));
                }
            }
            Ok(Event::Delete(namespace)) => {
                labels.remove(&namespace.name_any());
            }
            Ok(Event::Init | Event::InitApply(_)) => {}
            Err(error) => broken(&all.namespaces_known, &error, "Namespace"),
        }
    }
}

/// All namespaces, or the one that this controller is for.
fn selection(context: &Context) -> watcher::Config {
    match &context.config.watch_namespace {
        Some(namespace) => watcher::Config::default().fields(&format!("metadata.name={namespace}")),
        None => watcher::Config::default(),
    }
}

fn broken(known: &watch::Sender<Known>, error: &watcher::Error, kind: &str) {
    tracing::warn!(%error, kind, "the watch broke; trying again");
    known.send_if_modified(|known| {
        let is_first = *known != Known::Yes;
        if is_first {
            *known = Known::NotYet(Some(error.to_string()));
        }
        is_first
    });
}
