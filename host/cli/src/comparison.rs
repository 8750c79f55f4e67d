//! Compares rendered objects with what a cluster holds, by a dry run of the API server.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use kube::Client;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use plumb_api::{GroupVersionKind, Inventory, Object, ObjectId, SsaPolicy};
use plumb_apply::{
    FIELD_MANAGER, Kind, KindError, Kinds, Owner, RELEASE_FIELD_MANAGER, Refusal, as_sent, may_prune,
};
use serde_json::Value;
use tokio::time::Instant;

use crate::cluster;

/// How long the API server has to say which kinds it serves.
const DISCOVERY: Duration = Duration::from_secs(30);
/// How many objects are asked for at once: enough to hide how far away the API server is, too few to burden it.
const AT_ONCE: usize = 16;

/// What one command asks the cluster.
pub(crate) struct Comparison {
    client: Client,
    kinds: Arc<Kinds>,
    /// The field manager that would apply.
    manager: &'static str,
}

/// An object as it is, if it exists, and as it would be.
pub(crate) type Sides = (Option<Value>, Value);

/// How an object compares; [`None`]: the object says that it is not to be applied. An error is a sentence that names the object and quotes
/// no Secret.
pub(crate) type Compared = (ObjectId, Result<Option<Sides>, String>);

impl Comparison {
    pub(crate) fn new(client: Client) -> Self {
        Self { kinds: Arc::new(Kinds::new(client.clone())), client, manager: FIELD_MANAGER }
    }

    /// For objects of Helm releases.
    pub(crate) fn of_releases(client: Client) -> Self {
        Self { manager: RELEASE_FIELD_MANAGER, ..Self::new(client) }
    }

    /// The kinds of the cluster.
    pub(crate) fn kinds(&self) -> &Arc<Kinds> {
        &self.kinds
    }

    /// Those of the objects that do not exist yet. They are in no namespace.
    pub(crate) async fn absent(&self, objects: Vec<Object>) -> anyhow::Result<Vec<Object>> {
        let mut absent = Vec::new();
        for object in objects {
            let kind = self.kinds.resolve(&object.gvk(), Instant::now() + DISCOVERY).await?;
            let there = self.api(&kind, None).get_opt(object.name()).await.map_err(cluster::plain);
            if there.with_context(|| object.id().human())?.is_none() {
                absent.push(object);
            }
        }
        Ok(absent)
    }

    /// The objects as they would be sent: each in its namespace, by default in the given one.
    pub(crate) async fn place(
        &self,
        mut objects: Vec<Object>,
        namespace: Option<&str>,
    ) -> anyhow::Result<Vec<Arc<Object>>> {
        let namespace = namespace.unwrap_or("default");
        let unknown: Vec<String> =
            match self.kinds.place_all(&mut objects, namespace, Instant::now() + DISCOVERY).await {
                Ok(placed) => placed.deferred.iter().map(ToString::to_string).collect(),
                Err(errors) => errors.iter().map(ToString::to_string).collect(),
            };
        if !unknown.is_empty() {
            bail!(unknown.join("\n"));
        }
        Ok(objects.into_iter().map(|object| as_sent(&Arc::new(object))).collect())
    }

    /// Compares every object, in their order.
    pub(crate) fn compare<'a>(&'a self, objects: &'a [Arc<Object>]) -> impl Stream<Item = Compared> + 'a {
        stream::iter(objects)
            .map(move |object| async move {
                let id = object.id();
                let sides = self.sides(object).await;
                let sides = sides.map_err(|error| refusal(error).explain(&id).to_string());
                (id, sides)
            })
            .buffered(AT_ONCE)
    }

    /// Has the API server apply the object without keeping the result. `None`: the object says that it is not to be applied.
    async fn sides(&self, object: &Arc<Object>) -> kube::Result<Option<Sides>> {
        // An object of a kind that a CRD among these files brings cannot be compared before the CRD is there.
        let Some(kind) = self.kinds.known(&object.gvk()) else {
            return Ok(Some((None, fields(object))));
        };
        let api = self.api(&kind, object.namespace());
        let before = api.get_opt(object.name()).await?;
        let before = before.map(serde_json::to_value).transpose().map_err(kube::Error::SerdeError)?;
        if is_left_alone(object, before.as_ref()) {
            return Ok(None);
        }
        let params = PatchParams::apply(self.manager).force().dry_run();
        let after = match api.patch(object.name(), &params, &Patch::Apply(&**object)).await {
            Ok(after) => serde_json::to_value(after).map_err(kube::Error::SerdeError)?,
            // Its namespace may be among the objects that do not exist yet.
            Err(kube::Error::Api(status)) if status.is_not_found() && before.is_none() => fields(object),
            Err(error) => return Err(error),
        };
        Ok(Some((before, after)))
    }

    /// The objects that a Kustomization has applied, that are not among `objects`, and that may be pruned.
    pub(crate) async fn pruned(
        &self,
        owner: &Owner,
        inventory: &Inventory,
        objects: &[Arc<Object>],
    ) -> anyhow::Result<Vec<ObjectId>> {
        let kept: HashSet<ObjectId> = objects.iter().map(|object| object.id()).collect();
        let stale =
            inventory.entries.iter().filter_map(|entry| entry.parse()).filter(|(id, _)| !kept.contains(id));
        let pruned: Vec<Option<ObjectId>> = stream::iter(stale)
            .map(|(id, gvk)| async move { Ok(self.would_prune(owner, &id, &gvk).await?.then_some(id)) })
            .buffered(AT_ONCE)
            .try_collect::<Vec<_>>()
            .await
            .map_err(|error: anyhow::Error| error.context("cannot tell what would be pruned"))?;
        Ok(pruned.into_iter().flatten().collect())
    }

    async fn would_prune(
        &self,
        owner: &Owner,
        id: &ObjectId,
        gvk: &GroupVersionKind,
    ) -> anyhow::Result<bool> {
        let kind = match self.kinds.resolve(gvk, Instant::now() + DISCOVERY).await {
            Ok(kind) => kind,
            // With the kind, its objects are gone.
            Err(KindError::Unknown(_)) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let namespace = Some(id.namespace.as_str()).filter(|namespace| !namespace.is_empty());
        let live = self.api(&kind, namespace).get_opt(&id.name).await;
        let Some(live) = live.map_err(cluster::plain).with_context(|| id.human())? else { return Ok(false) };
        let live = Object::new(serde_json::to_value(live)?)?;
        Ok(may_prune(&live, owner).is_ok())
    }

    fn api(&self, kind: &Kind, namespace: Option<&str>) -> Api<DynamicObject> {
        match namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &kind.resource),
            None => Api::all_with(self.client.clone(), &kind.resource),
        }
    }
}

/// What the API server says of a Secret can quote it; a [`Refusal`] knows what can be told.
fn refusal(error: kube::Error) -> Refusal {
    match error {
        kube::Error::Api(status) => Refusal::Status(status),
        kube::Error::SerdeError(error) => Refusal::Malformed(error.to_string()),
        error => Refusal::Unreachable(error.to_string()),
    }
}

fn fields(object: &Object) -> Value {
    Value::Object(object.fields().clone())
}

/// Whether the object is not applied, because it says so or because it may only be made once.
fn is_left_alone(desired: &Object, live: Option<&Value>) -> bool {
    let live = live.and_then(|live| Object::new(live.clone()).ok());
    match SsaPolicy::of(desired) {
        SsaPolicy::Ignore => true,
        SsaPolicy::IfNotPresent => live.is_some(),
        SsaPolicy::Merge | SsaPolicy::Override => {
            live.is_some_and(|live| SsaPolicy::of(&live) == SsaPolicy::Ignore)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use plumb_api::annotations::SSA;
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case::applied("Override", Some("Override"), false)]
    #[case::merged("Merge", Some("Override"), false)]
    #[case::ignored("Ignore", None, true)]
    #[case::ignored_in_the_cluster("Override", Some("Ignore"), true)]
    #[case::made_once("IfNotPresent", None, false)]
    #[case::made_before("IfNotPresent", Some("IfNotPresent"), true)]
    fn what_is_not_applied_is_not_compared(
        #[case] desired: &str,
        #[case] live: Option<&str>,
        #[case] expected: bool,
    ) {
        let object = |policy: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "annotations": {SSA: policy}}});
        let desired = Object::new(object(desired)).unwrap();
        assert_eq!(is_left_alone(&desired, live.map(object).as_ref()), expected);
    }
}
