//! Which kinds a cluster serves, under which path, and whether their objects live in a namespace.

use std::collections::HashMap;
use std::time::Duration;

use kube::Client;
use kube::core::discovery::v2::{APIGroupDiscovery, APIResourceDiscovery};
use kube::discovery::{ApiResource, Discovery, Scope, verbs};
use parking_lot::RwLock;
use plumb_api::{GroupVersionKind, Object};
use serde_json::Value;
use tokio::time::Instant;

/// A cluster that is asked for a kind it does not know is asked again at most this often. A kind that a CRD of our own plan
/// brings is learnt from the CRD, without asking.
const REFRESH_AT_MOST_EVERY: Duration = Duration::from_secs(5);

/// A kind that the cluster serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Its group, version, kind and the plural that goes into the path.
    pub resource: ApiResource,
    /// Whether its objects live in a namespace.
    pub is_namespaced: bool,
    /// Whether it can be listed and watched; reviews and bindings cannot.
    pub is_watchable: bool,
}

impl Kind {
    /// The type as objects name it.
    pub fn gvk(&self) -> GroupVersionKind {
        GroupVersionKind::new(&self.resource.api_version, &self.resource.kind)
    }

    /// Puts an object where the API server will see it: an object of a cluster-wide kind loses its namespace, which kustomize and
    /// Helm set too freely; a namespaced one without a namespace gets the given one.
    pub fn place(&self, object: &mut Object, default_namespace: &str) {
        if !self.is_namespaced {
            object.set_namespace(None);
        } else if object.namespace().is_none() {
            object.set_namespace(Some(default_namespace));
        }
    }
}

/// Why a kind could not be found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KindError {
    /// The cluster was asked and does not serve it.
    #[error(
        "the cluster does not know the kind {} of {}: its CustomResourceDefinition may be missing, or not serve this version",
        .0.kind, .0.api_version()
    )]
    Unknown(GroupVersionKind),
    /// The cluster could not be asked.
    #[error("cannot ask the cluster which kinds it serves: {0}")]
    Discovery(String),
}

/// The kinds of one cluster, asked for once (two requests where aggregated discovery, KEP-3352, is offered) and again when an
/// unknown kind turns up.
pub struct Kinds {
    client: Client,
    table: RwLock<HashMap<GroupVersionKind, Kind>>,
    /// When the cluster was last asked. Held while asking, so that many who miss the same kind ask once.
    refreshed: tokio::sync::Mutex<Option<Instant>>,
}

impl Kinds {
    /// The kinds of the cluster that the client speaks to. Nothing is asked yet.
    pub fn new(client: Client) -> Self {
        Self { client, table: RwLock::default(), refreshed: tokio::sync::Mutex::default() }
    }

    /// The kind, if it is known without asking.
    pub fn known(&self, gvk: &GroupVersionKind) -> Option<Kind> {
        self.table.read().get(gvk).cloned()
    }

    /// The kind; the cluster is asked when it is not known, but not again within five seconds. Gives up at the deadline.
    pub async fn resolve(&self, gvk: &GroupVersionKind, deadline: Instant) -> Result<Kind, KindError> {
        if let Some(kind) = self.known(gvk) {
            return Ok(kind);
        }
        let refreshing = self.refresh_unless_just_done(gvk);
        tokio::time::timeout_at(deadline, refreshing)
            .await
            .map_err(|_| KindError::Discovery("no answer in time".to_owned()))??;
        self.known(gvk).ok_or_else(|| KindError::Unknown(gvk.clone()))
    }

    /// Places every object (see [`Kind::place`]) and tells the kinds of all that the cluster serves, each once. Kinds that a CRD
    /// among the objects defines count as known. All kinds that are not known are reported, not the first.
    pub async fn place_all(
        &self,
        objects: &mut [Object],
        default_namespace: &str,
        deadline: Instant,
    ) -> Result<Vec<Kind>, Vec<KindError>> {
        let defined: HashMap<_, _> =
            objects.iter().flat_map(defined_kinds).map(|kind| (kind.gvk(), kind)).collect();
        let mut served: HashMap<GroupVersionKind, Kind> = HashMap::new();
        let mut errors = Vec::new();
        for object in objects {
            let gvk = object.gvk();
            let found = match (served.get(&gvk), defined.get(&gvk)) {
                (Some(kind), _) => Ok(kind.clone()),
                (None, Some(kind)) if self.known(&gvk).is_none() => {
                    kind.place(object, default_namespace);
                    continue;
                }
                (None, _) => self.resolve(&gvk, deadline).await,
            };
            match found {
                Ok(kind) => {
                    kind.place(object, default_namespace);
                    served.insert(gvk, kind);
                }
                Err(error) if errors.contains(&error) => {}
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(served.into_values().collect()) } else { Err(errors) }
    }

    /// Learns the kinds that a CRD defines, when it has been applied, and forgets the versions that it no longer serves.
    pub fn learn(&self, crd: &Object) {
        let kinds = defined_kinds(crd);
        let Some(group_kind) = kinds.first().map(|kind| kind.gvk().group_kind()) else { return };
        let mut table = self.table.write();
        table.retain(|gvk, _| gvk.group_kind() != group_kind);
        table.extend(kinds.into_iter().map(|kind| (kind.gvk(), kind)));
    }

    /// Forgets a kind that the cluster turned out not to serve any longer.
    pub fn forget(&self, gvk: &GroupVersionKind) {
        self.table.write().remove(gvk);
    }

    async fn refresh_unless_just_done(&self, gvk: &GroupVersionKind) -> Result<(), KindError> {
        let mut refreshed = self.refreshed.lock().await;
        let is_fresh = refreshed.is_some_and(|at| at.elapsed() < REFRESH_AT_MOST_EVERY);
        if is_fresh || self.known(gvk).is_some() {
            return Ok(());
        }
        let found = discover(&self.client).await.map_err(|error| KindError::Discovery(error.to_string()))?;
        *refreshed = Some(Instant::now());
        let mut table = self.table.write();
        // An aggregated API server that is down has no kinds to tell of; those known from before stay, to be tried.
        table.retain(|gvk, _| found.silent.contains(&(gvk.group.clone(), gvk.version.clone())));
        table.extend(found.kinds.into_iter().map(|kind| (kind.gvk(), kind)));
        Ok(())
    }
}

/// What a cluster answered.
#[derive(Default)]
struct Discovered {
    kinds: Vec<Kind>,
    /// Groups and versions whose API server did not answer.
    silent: Vec<(String, String)>,
}

/// Asks by aggregated discovery. A server too old for it answers with another type, which reads as an empty list: then
/// each group is asked on its own.
async fn discover(client: &Client) -> kube::Result<Discovered> {
    let groups = client.list_api_groups_aggregated().await?;
    if groups.items.is_empty() {
        return discover_each_group(client).await;
    }
    let core = client.list_core_api_versions_aggregated().await?;
    let mut found = Discovered::default();
    for group in groups.items.into_iter().chain(core.items) {
        found.add_group(group);
    }
    Ok(found)
}

async fn discover_each_group(client: &Client) -> kube::Result<Discovered> {
    let discovery = Discovery::new(client.clone()).run().await?;
    let mut found = Discovered::default();
    for group in discovery.groups() {
        for version in group.versions() {
            found.kinds.extend(group.versioned_resources(version).into_iter().map(
                |(resource, capabilities)| Kind {
                    resource,
                    is_namespaced: capabilities.scope == Scope::Namespaced,
                    is_watchable: capabilities.supports_operation(verbs::WATCH)
                        && capabilities.supports_operation(verbs::LIST),
                },
            ));
        }
    }
    Ok(found)
}

impl Discovered {
    fn add_group(&mut self, group: APIGroupDiscovery) {
        let name = group.metadata.and_then(|metadata| metadata.name).unwrap_or_default();
        for version in group.versions {
            let label = version.version.unwrap_or_default();
            if version.freshness.as_deref() == Some("Stale") {
                self.silent.push((name.clone(), label.clone()));
            }
            self.kinds.extend(
                version.resources.into_iter().filter_map(|resource| kind_of(&name, &label, resource)),
            );
        }
    }
}

fn kind_of(group: &str, version: &str, resource: APIResourceDiscovery) -> Option<Kind> {
    let kind = resource.response_kind?.kind?;
    let can = |verb: &str| resource.verbs.iter().any(|offered| offered == verb);
    Some(Kind {
        is_namespaced: resource.scope.as_deref() == Some("Namespaced"),
        is_watchable: can(verbs::LIST) && can(verbs::WATCH),
        resource: api_resource(group, version, &kind, &resource.resource?),
    })
}

fn api_resource(group: &str, version: &str, kind: &str, plural: &str) -> ApiResource {
    ApiResource::from_gvk_with_plural(&kube::core::GroupVersionKind::gvk(group, version, kind), plural)
}

/// The kinds that a CRD serves, one a version; none for any other object, or for a CRD that lacks a name or a version.
pub fn defined_kinds(crd: &Object) -> Vec<Kind> {
    let gvk = crd.gvk();
    if gvk.group != "apiextensions.k8s.io" || gvk.kind != "CustomResourceDefinition" {
        return Vec::new();
    }
    let text = |pointer| crd.pointer(pointer).and_then(Value::as_str);
    let (Some(group), Some(kind), Some(plural)) =
        (text("/spec/group"), text("/spec/names/kind"), text("/spec/names/plural"))
    else {
        return Vec::new();
    };
    let is_namespaced = text("/spec/scope") == Some("Namespaced");
    let versions = crd.pointer("/spec/versions").and_then(Value::as_array);
    versions
        .into_iter()
        .flatten()
        .filter(|version| version.get("served").and_then(Value::as_bool) == Some(true))
        .filter_map(|version| version.get("name")?.as_str())
        .map(|version| Kind {
            resource: api_resource(group, version, kind, plural),
            is_namespaced,
            is_watchable: true,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use serde_json::json;

    use super::*;

    fn crd(scope: &str) -> Object {
        Object::new(json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": "widgets.example.com"},
            "spec": {
                "group": "example.com",
                "scope": scope,
                "names": {"kind": "Widget", "plural": "widgets"},
                "versions": [
                    {"name": "v1", "served": true, "storage": true},
                    {"name": "v1alpha1", "served": false, "storage": false},
                ],
            },
        }))
        .unwrap()
    }

    #[test]
    fn a_crd_defines_the_versions_that_it_serves() {
        let kinds = defined_kinds(&crd("Namespaced"));
        let [kind] = kinds.as_slice() else { panic!("{kinds:?}") };
        assert_eq!(kind.gvk(), GroupVersionKind::new("example.com/v1", "Widget"));
        assert_eq!(kind.resource.plural, "widgets");
        assert!(kind.is_namespaced);
    }

    #[test]
    fn an_object_is_placed_where_its_kind_lives() {
        let mut widget =
            Object::new(json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "a"}}))
                .unwrap();
        let place = |widget: &mut Object, scope| defined_kinds(&crd(scope))[0].place(widget, "default");
        place(&mut widget, "Namespaced");
        assert_eq!(widget.namespace(), Some("default"));
        widget.set_namespace(Some("prod"));
        place(&mut widget, "Namespaced");
        assert_eq!(widget.namespace(), Some("prod"), "a namespace that is there stays");
        place(&mut widget, "Cluster");
        assert_eq!(widget.namespace(), None);
    }

    #[test]
    fn an_unknown_kind_is_named_with_its_version_and_a_hint() {
        let error = KindError::Unknown(GroupVersionKind::new("example.com/v1", "Widget"));
        insta::assert_snapshot!(error, @"the cluster does not know the kind Widget of example.com/v1: its CustomResourceDefinition may be missing, or not serve this version");
    }
}
