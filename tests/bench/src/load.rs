//! What the benchmark itself sends, counted, so that it can be taken off the API server's count.

use anyhow::Context as _;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use crate::metrics::Requests;

/// How many requests are under way at once: enough to keep a controller busy, too few to starve it.
const AT_ONCE: usize = 8;

/// The kinds that the benchmark writes and watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    GitRepository,
    HelmRepository,
    HelmChart,
    Kustomization,
    HelmRelease,
    Deployment,
}

impl Kind {
    /// All of them in one namespace.
    pub(crate) fn api(self, client: &Client, namespace: &str) -> Api<DynamicObject> {
        let (group, version) = match self {
            Self::GitRepository | Self::HelmRepository | Self::HelmChart => {
                ("source.toolkit.fluxcd.io", "v1")
            }
            Self::Kustomization => ("kustomize.toolkit.fluxcd.io", "v1"),
            Self::HelmRelease => ("helm.toolkit.fluxcd.io", "v2"),
            Self::Deployment => ("apps", "v1"),
        };
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, self.name()));
        Api::namespaced_with(client.clone(), namespace, &resource)
    }

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::GitRepository => "GitRepository",
            Self::HelmRepository => "HelmRepository",
            Self::HelmChart => "HelmChart",
            Self::Kustomization => "Kustomization",
            Self::HelmRelease => "HelmRelease",
            Self::Deployment => "Deployment",
        }
    }
}

/// Sends requests about one namespace.
pub(crate) struct Load {
    client: Client,
    namespace: String,
    sent: Requests,
}

impl Load {
    /// Nothing is sent yet.
    pub(crate) fn new(client: Client, namespace: String) -> Self {
        Self { client, namespace, sent: Requests::default() }
    }

    /// What was sent so far.
    pub(crate) fn sent(&self) -> &Requests {
        &self.sent
    }

    /// Creates objects of one kind.
    pub(crate) async fn create(&mut self, kind: Kind, objects: Vec<Value>) -> anyhow::Result<()> {
        self.sent.add("POST", objects.len() as u64);
        let api = kind.api(&self.client, &self.namespace);
        let create = async |object: Value| {
            let object: DynamicObject = serde_json::from_value(object)?;
            let created = api.create(&PostParams::default(), &object).await;
            created.map(drop).with_context(|| format!("cannot create {}", object.name_any()))
        };
        stream::iter(objects).map(create).buffer_unordered(AT_ONCE).try_collect::<()>().await
    }

    /// Asks for a reconciliation as `flux reconcile` does. The answer is what `status.lastHandledReconcileAt` will be.
    pub(crate) async fn ask(&mut self, kind: Kind, names: &[String]) -> anyhow::Result<String> {
        let token = format!("{:?}", std::time::SystemTime::now());
        let patch =
            json!({"metadata": {"annotations": {plumb_api::annotations::REQUESTED_AT: token.as_str()}}});
        self.patch(kind, names, &patch).await?;
        Ok(token)
    }

    /// Changes objects by hand.
    pub(crate) async fn patch(&mut self, kind: Kind, names: &[String], patch: &Value) -> anyhow::Result<()> {
        self.sent.add("PATCH", names.len() as u64);
        let api = kind.api(&self.client, &self.namespace);
        let params = PatchParams { field_manager: Some("kubectl-edit".to_owned()), ..PatchParams::default() };
        let (api, params) = (&api, &params);
        let send = async |name: &String| {
            let sent = api.patch(name, params, &Patch::Merge(patch)).await;
            sent.map(drop).with_context(|| format!("cannot patch {name}"))
        };
        stream::iter(names).map(send).buffer_unordered(AT_ONCE).try_collect::<()>().await
    }

    /// Takes the finalizers off whatever there is of these kinds: who would is ended.
    pub(crate) async fn release(&mut self, kinds: &[Kind]) -> anyhow::Result<()> {
        for kind in kinds {
            let there = kind.api(&self.client, &self.namespace).list_metadata(&ListParams::default()).await?;
            let names: Vec<String> = there.items.iter().map(ResourceExt::name_any).collect();
            self.patch(*kind, &names, &json!({"metadata": {"finalizers": null}})).await?;
        }
        Ok(())
    }
}
