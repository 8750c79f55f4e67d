//! Reads objects of any kind from a cluster.

use std::collections::BTreeMap;

use anyhow::Context as _;
use futures::{StreamExt as _, stream};
use kube::Client;
use kube::api::{Api, DynamicObject, ListParams, TypeMeta};
use plumb_api::{ApplierKind, GroupKind, Object, ObjectId};

use crate::catalog::{Catalog, Entry};
use crate::cluster::{self, Pace};

/// How many objects are asked for at once.
const AT_ONCE: usize = 16;
/// How many objects a list has at most.
const PAGE: u32 = 500;

pub(crate) const KUSTOMIZE_GROUP: &str = "kustomize.toolkit.fluxcd.io";
pub(crate) const HELM_GROUP: &str = "helm.toolkit.fluxcd.io";
pub(crate) const SOURCE_GROUP: &str = "source.toolkit.fluxcd.io";

/// Which kind of applier a kind is, if it is one.
pub(crate) fn applier_kind(kind: &GroupKind) -> Option<ApplierKind> {
    ApplierKind::ALL
        .into_iter()
        .find(|applier| applier.as_str() == kind.kind && applier.group() == kind.group)
}

/// Reads a cluster.
pub(crate) struct Reader {
    pub(crate) client: Client,
    pub(crate) catalog: Catalog,
}

/// What came of reading an object.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Read {
    Found(Object),
    Missing,
    /// The API server says why not.
    Refused(String),
}

impl Reader {
    pub(crate) async fn connect() -> anyhow::Result<Self> {
        let client = cluster::client(Pace::Interactive).await?;
        Ok(Self { catalog: Catalog::of(&client).await?, client })
    }

    /// The objects that a command line names. One that does not exist is an error.
    pub(crate) async fn named(&self, words: &[String], namespace: &str) -> anyhow::Result<Vec<Object>> {
        let mut objects = Vec::new();
        for (kind, name) in crate::catalog::named(words)? {
            let entry = self.catalog.find(&kind)?;
            let namespace = entry.is_namespaced.then_some(namespace);
            let found = self.api(entry, namespace).get(&name).await;
            let what = || {
                let place =
                    namespace.map(|namespace| format!(" in namespace {namespace}")).unwrap_or_default();
                format!("cannot read {} {name}{place}", entry.resource.kind)
            };
            objects.push(object(entry, found.map_err(cluster::plain).with_context(what)?)?);
        }
        Ok(objects)
    }

    /// One object by its id.
    pub(crate) async fn get(&self, id: &ObjectId) -> Read {
        let Some(entry) = self.catalog.get(&id.group_kind) else {
            return Read::Refused(format!("the cluster serves no kind {}", id.group_kind));
        };
        let namespace =
            Some(id.namespace.as_str()).filter(|namespace| entry.is_namespaced && !namespace.is_empty());
        match self.api(entry, namespace).get_opt(&id.name).await {
            Ok(Some(found)) => {
                object(entry, found).map_or_else(|error| Read::Refused(error.to_string()), Read::Found)
            }
            Ok(None) => Read::Missing,
            Err(error) => Read::Refused(cluster::plain(error).to_string()),
        }
    }

    /// Many objects by their ids.
    pub(crate) async fn get_all(&self, ids: impl IntoIterator<Item = ObjectId>) -> BTreeMap<ObjectId, Read> {
        let read = |id: ObjectId| async move {
            let read = self.get(&id).await;
            (id, read)
        };
        stream::iter(ids).map(read).buffer_unordered(AT_ONCE).collect().await
    }

    /// All objects of a kind that a selector selects, in a namespace or in all.
    pub(crate) async fn list(
        &self,
        entry: &Entry,
        namespace: Option<&str>,
        params: ListParams,
    ) -> anyhow::Result<Vec<Object>> {
        let api = self.api(entry, namespace);
        let (mut objects, mut params) = (Vec::new(), params.limit(PAGE));
        loop {
            let what = || format!("cannot list {} objects", entry.resource.kind);
            let page = api.list(&params).await.map_err(cluster::plain).with_context(what)?;
            for item in page.items {
                objects.push(object(entry, item)?);
            }
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return Ok(objects),
            }
        }
    }

    /// All objects of a kind; none where the cluster does not serve it.
    pub(crate) async fn list_kind(
        &self,
        group: &str,
        kind: &str,
        namespace: Option<&str>,
    ) -> anyhow::Result<Vec<Object>> {
        match self.catalog.get(&GroupKind::new(group, kind)) {
            Some(entry) => self.list(entry, namespace, ListParams::default()).await,
            None => Ok(Vec::new()),
        }
    }

    pub(crate) fn api(&self, entry: &Entry, namespace: Option<&str>) -> Api<DynamicObject> {
        match namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &entry.resource),
            None => Api::all_with(self.client.clone(), &entry.resource),
        }
    }
}

/// The items of a list do not say what they are.
fn object(entry: &Entry, mut found: DynamicObject) -> anyhow::Result<Object> {
    found.types =
        Some(TypeMeta { api_version: entry.resource.api_version.clone(), kind: entry.resource.kind.clone() });
    Ok(Object::new(serde_json::to_value(found)?)?)
}
