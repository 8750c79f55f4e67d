use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use kube::api::{Api, ApiResource, DynamicObject, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use plumb_api::{GroupVersionKind, Inventory, Object, ObjectId, annotations};
use plumb_apply::{
    ApiServer, Applied, Context, CountRequests, Executor, Inputs, Kind, Kinds, LiveCache, LiveChange,
    LiveChanges, LiveState, Outcome, Owner, Plan, Policy, Verb, plan,
};
use serde_json::{Value, json};
use tokio::time::Instant;

/// No step of a test takes longer, even on a machine that does a lot besides.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// Counts requests that objects cost.
#[derive(Default)]
pub(super) struct Counter(AtomicUsize);

impl CountRequests for Counter {
    fn count(&self, _: Verb) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// One Kustomization's worth of machinery, in a namespace of its own.
pub(super) struct Engine {
    pub(super) client: Client,
    pub(super) live: LiveCache,
    pub(super) namespace: String,
    pub(super) policy: Policy,
    pub(super) executor: Executor,
    pub(super) kinds: Arc<Kinds>,
    counter: Arc<Counter>,
    applied: HashMap<ObjectId, Applied>,
    inventory: Inventory,
}

/// The cluster that the tests were given.
pub(super) async fn client() -> Result<Client> {
    client_as(|_| {}).await
}

/// The same, with another user or another setting.
pub(super) async fn client_as(change: impl FnOnce(&mut Config)) -> Result<Client> {
    let path = std::env::var("KUBECONFIG").context("KUBECONFIG is not set: run `cargo xtask test`")?;
    let kubeconfig = Kubeconfig::read_from(path)?;
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    change(&mut config);
    Ok(Client::try_from(config)?)
}

impl Engine {
    /// An engine in a new namespace, whose name begins as told.
    pub(super) async fn new(begins: &str) -> Result<Self> {
        let client = client().await?;
        Self::watching_as(begins, client.clone(), client).await
    }

    /// An engine whose watches are another user's than its requests.
    pub(super) async fn watching_as(begins: &str, client: Client, watching: Client) -> Result<Self> {
        let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(client.clone());
        let namespace = serde_json::from_value(json!({"metadata": {"generateName": format!("{begins}-")}}))?;
        let namespace = namespaces.create(&PostParams::default(), &namespace).await?;
        let namespace = namespace.metadata.name.context("the namespace has no name")?;
        let counter = Arc::new(Counter::default());
        let kinds = Arc::new(Kinds::new(client.clone()));
        let live = LiveCache::new(watching);
        let executor =
            Executor::new(ApiServer::new(client.clone(), counter.clone()), kinds.clone(), live.clone());
        let owner = Owner::kustomization(namespace.clone(), "apps");
        let policy = Policy { prune: true, ..Policy::new(owner) };
        let (applied, inventory) = (HashMap::new(), Inventory::default());
        Ok(Self { client, live, namespace, policy, executor, kinds, counter, applied, inventory })
    }

    /// Plans as the controller does: with its labels, where the kinds live, when all kinds are watched.
    pub(super) async fn plan(&self, desired: &[Value]) -> Result<Plan> {
        let deadline = Instant::now() + PATIENCE;
        let mut objects = desired.iter().cloned().map(Object::new).collect::<Result<Vec<_>, _>>()?;
        for object in &mut objects {
            object.set_label(annotations::OWNER_NAME, &self.policy.owner.name);
            object.set_label(annotations::OWNER_NAMESPACE, &self.policy.owner.namespace);
        }
        let placed = self.kinds.place_all(&mut objects, &self.namespace, deadline).await;
        let placed = placed.map_err(|errors| anyhow::anyhow!("{errors:?}"))?;
        self.live.ensure(&placed.kinds, plumb_api::OwnerLabels::Kustomize, deadline).await;
        let view = self.live.view(&placed.kinds);
        Ok(plan(Inputs {
            desired: objects.into_iter().map(Arc::new).collect(),
            live: &view as &dyn LiveState,
            inventory: &self.inventory,
            applied: &self.applied,
            is_claimed: &|_, _| false,
            deferred: placed.deferred,
            heir: &|_| None,
            policy: &self.policy,
        })?)
    }

    /// Plans and carries out; returns what came of it and how many requests objects have cost.
    pub(super) async fn sync(&mut self, desired: &[Value]) -> Result<(Outcome, usize)> {
        let plan = self.plan(desired).await?;
        let before = self.counter.0.load(Ordering::SeqCst);
        let context = Context {
            policy: &self.policy,
            applied: &self.applied,
            is_claimed: &|_, _| false,
            deadline: Instant::now() + PATIENCE,
        };
        let outcome = self.executor.execute(&plan, &context).await;
        let applied = outcome.applied.iter().filter_map(|object| Some((object.id.clone(), object.applied?)));
        self.applied.extend(applied);
        self.inventory = if outcome.failed.is_empty() { plan.inventory_after } else { plan.inventory_before };
        Ok((outcome, self.counter.0.load(Ordering::SeqCst) - before))
    }

    /// As [`Engine::sync`], and everything has to succeed.
    pub(super) async fn sync_well(&mut self, desired: &[Value]) -> Result<(Outcome, usize)> {
        let (outcome, requests) = self.sync(desired).await?;
        anyhow::ensure!(outcome.failed.is_empty(), "{:#?}", outcome.failed);
        anyhow::ensure!(outcome.pruned.failed.is_empty(), "{:#?}", outcome.pruned.failed);
        Ok((outcome, requests))
    }

    /// The next change of an object of the engine: the watches tell of those of all namespaces, where other tests are at work.
    pub(super) async fn next_change(&self, changes: &mut LiveChanges) -> Result<LiveChange> {
        let ours = async {
            loop {
                let change = changes.next().await;
                if change.owner == self.policy.owner {
                    return change;
                }
            }
        };
        Ok(tokio::time::timeout(PATIENCE, ours).await?)
    }

    /// The objects of a kind in the engine's namespace, for a test to change behind its back.
    pub(super) fn api(&self, api_version: &str, kind: &str, plural: &str) -> Api<DynamicObject> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let resource = ApiResource::from_gvk_with_plural(
            &kube::core::GroupVersionKind::gvk(group, version, kind),
            plural,
        );
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource)
    }

    /// A kind that the cluster is known to have.
    pub(super) async fn kind(&self, api_version: &str, kind: &str) -> Result<Kind> {
        Ok(self.kinds.resolve(&GroupVersionKind::new(api_version, kind), Instant::now() + PATIENCE).await?)
    }

    pub(super) fn config_maps(&self) -> Api<DynamicObject> {
        self.api("v1", "ConfigMap", "configmaps")
    }
}

pub(super) fn config_map(name: &str, data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})
}

pub(super) fn deployment(name: &str, replicas: i64) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{
                    "name": "web",
                    "image": "example.com/web:1",
                    "ports": [{"containerPort": 8080}],
                    "resources": {"requests": {"cpu": "100m"}},
                }]},
            },
        },
    })
}

/// The names of what an outcome applied, with what it did, in order of names.
pub(super) fn told(outcome: &Outcome) -> Vec<String> {
    let mut told: Vec<_> =
        outcome.applied.iter().map(|object| format!("{} {:?}", object.id.name, object.action)).collect();
    told.sort();
    told
}
