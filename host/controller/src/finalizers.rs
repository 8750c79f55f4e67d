//! Our finalizer: it keeps an object from going before its time.

use std::fmt::Debug;
use std::time::Duration;

use kube::api::{Api, Patch};
use kube::core::NamespaceResourceScope;
use kube::{Client, Resource, ResourceExt as _};
use plumb_api::annotations::FINALIZER;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::status::{bounded, patch_params};

/// How long the watch has to bring the object as it is.
pub(crate) const CATCH_UP: Duration = Duration::from_millis(100);

/// What became of a change of the finalizers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finalizers {
    /// They are as they should be.
    Set,
    /// The object has changed since the watch brought it: the next look, after [`CATCH_UP`], sees it as it is.
    Outdated,
}

/// An object that can have a finalizer.
pub(crate) trait Finalized:
    Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned
{
}

impl<K> Finalized for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned
{
}

/// Whether the object has our finalizer.
pub(crate) fn has(object: &impl Resource) -> bool {
    object.meta().finalizers.iter().flatten().any(|name| name == FINALIZER)
}

/// Adds our finalizer, unless it is there.
pub(crate) async fn add<K: Finalized>(client: &Client, object: &K) -> kube::Result<Finalizers> {
    if has(object) {
        return Ok(Finalizers::Set);
    }
    let mut all = object.finalizers().to_vec();
    all.push(FINALIZER.to_owned());
    set(client, object, &all).await
}

/// Removes our finalizer, if it is there.
pub(crate) async fn remove<K: Finalized>(client: &Client, object: &K) -> kube::Result<Finalizers> {
    if !has(object) {
        return Ok(Finalizers::Set);
    }
    let others: Vec<String> = object.finalizers().iter().filter(|name| *name != FINALIZER).cloned().collect();
    set(client, object, &others).await
}

async fn set<K: Finalized>(client: &Client, object: &K, finalizers: &[String]) -> kube::Result<Finalizers> {
    let api: Api<K> = Api::namespaced(client.clone(), &object.namespace().unwrap_or_default());
    // The resource version makes sure that nobody else's finalizer is lost.
    let version = object.resource_version();
    let patch = json!({ "metadata": { "finalizers": finalizers, "resourceVersion": version } });
    match bounded(api.patch(&object.name_any(), &patch_params(), &Patch::Merge(patch))).await {
        Ok(_) => Ok(Finalizers::Set),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(Finalizers::Set),
        Err(kube::Error::Api(status)) if status.is_conflict() => Ok(Finalizers::Outdated),
        Err(error) => Err(error),
    }
}
