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

/// A cluster is asked for kinds that are not known at most this often. A kind that a CRD of our own plan brings is learnt from the
/// CRD, without asking.
const ASK_AT_MOST_EVERY: Duration = Duration::from_secs(5);

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
    /// The cluster was asked and does not serve it in this version; all API servers of its group have answered.
    #[error(
        "the cluster does not know the kind {} of {}: its CustomResourceDefinition may be missing, or not serve this version",
        .0.kind, .0.api_version()
    )]
    Unknown(GroupVersionKind),
    /// The cluster could not be asked, or the aggregated API server of the group does not answer: the kind, and its objects, may
    /// well be there.
    #[error("cannot ask the cluster which kinds it serves: {0}")]
    Discovery(String),
}

/// The kinds of one cluster, asked for once (two requests where aggregated discovery, KEP-3352, is offered) and again when an
/// unknown kind turns up.
pub struct Kinds {
    client: Client,
    table: RwLock<Table>,
    /// When the cluster was last asked. Held while asking, so that many who miss the same kind ask once.
    asked: tokio::sync::Mutex<Option<Instant>>,
    ask_at_most_every: Duration,
}

/// What the cluster has answered.
#[derive(Default)]
struct Table {
    kinds: HashMap<GroupVersionKind, Kind>,
    silent: Vec<GroupVersion>,
    /// Whether a kind turned out not to be served since.
    is_outdated: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct GroupVersion {
    group: String,
    version: String,
}

impl Kinds {
    /// The kinds of the cluster that the client speaks to. Nothing is asked yet.
    pub fn new(client: Client) -> Self {
        let (table, asked) = (RwLock::default(), tokio::sync::Mutex::default());
        Self { client, table, asked, ask_at_most_every: ASK_AT_MOST_EVERY }
    }

    /// The kind, if it is known without asking.
    pub fn known(&self, gvk: &GroupVersionKind) -> Option<Kind> {
        self.table.read().kinds.get(gvk).cloned()
    }

    /// The kind. When it is not known, the cluster is asked; where that was done in the last five seconds, after a pause, so that
    /// a kind that somebody has just brought is found. Where the deadline leaves no time for that, the last answer counts. Many
    /// kinds are best resolved at once: then they cost one question.
    pub async fn resolve(&self, gvk: &GroupVersionKind, deadline: Instant) -> Result<Kind, KindError> {
        self.resolve_since(Instant::now(), gvk, deadline).await
    }

    /// The kind in this version or, where that is not served, in another: an object can be reached in each.
    pub(crate) async fn resolve_any_version(
        &self,
        gvk: &GroupVersionKind,
        deadline: Instant,
    ) -> Result<Kind, KindError> {
        let known = || self.table.read().in_any_version(gvk);
        if let Some(kind) = known() {
            return Ok(kind);
        }
        match self.resolve(gvk, deadline).await {
            Err(KindError::Unknown(gvk)) => known().ok_or(KindError::Unknown(gvk)),
            resolved => resolved,
        }
    }

    /// As [`Kinds::resolve`]; what the cluster was asked after `since` need not be asked again.
    async fn resolve_since(
        &self,
        since: Instant,
        gvk: &GroupVersionKind,
        deadline: Instant,
    ) -> Result<Kind, KindError> {
        if let Some(kind) = self.known(gvk) {
            return Ok(kind);
        }
        tokio::time::timeout_at(deadline, self.ask_for(gvk, since, deadline))
            .await
            .map_err(|_| KindError::Discovery("no answer in time".to_owned()))??;
        self.table.read().find(gvk)
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
        let begun = Instant::now();
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
                (None, _) => self.resolve_since(begun, &gvk, deadline).await,
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
        let known = &mut self.table.write().kinds;
        known.retain(|gvk, _| gvk.group_kind() != group_kind);
        known.extend(kinds.into_iter().map(|kind| (kind.gvk(), kind)));
    }

    /// Forgets a kind that the cluster turned out not to serve any longer. When a kind is not known next, the cluster is asked at
    /// once.
    pub fn forget(&self, gvk: &GroupVersionKind) {
        let mut table = self.table.write();
        table.kinds.remove(gvk);
        table.is_outdated = true;
    }

    /// Asks the cluster, unless somebody else has done so since.
    async fn ask_for(
        &self,
        gvk: &GroupVersionKind,
        since: Instant,
        deadline: Instant,
    ) -> Result<(), KindError> {
        loop {
            let mut asked = self.asked.lock().await;
            let now = Instant::now();
            let next = match *asked {
                _ if self.known(gvk).is_some() => Next::TakeLastAnswer,
                Some(asked) if !self.table.read().is_outdated => {
                    after_an_answer(asked, self.ask_at_most_every, since, now, deadline)
                }
                Some(_) | None => Next::Ask,
            };
            match next {
                Next::Ask => {
                    let found = discover(&self.client).await;
                    let found = found.map_err(|error| KindError::Discovery(error.to_string()))?;
                    self.table.write().update(found);
                    *asked = Some(now);
                    return Ok(());
                }
                Next::WaitUntil(then) => {
                    drop(asked);
                    tokio::time::sleep_until(then).await;
                }
                Next::TakeLastAnswer => return Ok(()),
            }
        }
    }
}

/// What to do about a kind that is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Ask,
    WaitUntil(Instant),
    TakeLastAnswer,
}

/// What to do when the cluster was asked at `asked` and whoever wants to know has done so from `since` on.
fn after_an_answer(asked: Instant, every: Duration, since: Instant, now: Instant, deadline: Instant) -> Next {
    let then = asked + every;
    if asked >= since || then > deadline {
        Next::TakeLastAnswer
    } else if then > now {
        Next::WaitUntil(then)
    } else {
        Next::Ask
    }
}

impl Table {
    fn find(&self, gvk: &GroupVersionKind) -> Result<Kind, KindError> {
        if let Some(kind) = self.kinds.get(gvk) {
            return Ok(kind.clone());
        }
        // Its other versions may be served by others; that they do not have the kind is known only when all have answered.
        match self.silent.iter().find(|silent| silent.group == gvk.group) {
            Some(GroupVersion { group, version }) => Err(KindError::Discovery(format!(
                "the API server of {group}/{version} does not answer; see APIService {version}.{group}"
            ))),
            None => Err(KindError::Unknown(gvk.clone())),
        }
    }

    fn in_any_version(&self, gvk: &GroupVersionKind) -> Option<Kind> {
        let this_one = || self.kinds.get(gvk);
        let same_kind = |other: &&Kind| other.gvk().group_kind() == gvk.group_kind();
        let others =
            || self.kinds.values().filter(same_kind).min_by_key(|kind| kind.resource.version.as_str());
        this_one().or_else(others).cloned()
    }

    fn update(&mut self, found: Discovered) {
        let Discovered { kinds, silent } = found;
        // An API server that is down has no kinds to tell of; those known from before stay, to be tried.
        self.kinds.retain(|gvk, _| {
            silent.iter().any(|silent| silent.group == gvk.group && silent.version == gvk.version)
        });
        self.kinds.extend(kinds.into_iter().map(|kind| (kind.gvk(), kind)));
        self.silent = silent;
        self.is_outdated = false;
    }
}

/// What a cluster answered.
#[derive(Default)]
struct Discovered {
    kinds: Vec<Kind>,
    /// Groups and versions whose API server did not answer.
    silent: Vec<GroupVersion>,
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
                self.silent.push(GroupVersion { group: name.clone(), version: label.clone() });
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

    use std::sync::Arc;

    use axum::routing::get;
    use axum::{Json, Router};
    use parking_lot::Mutex;
    use rstest::rstest;
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

    fn widget() -> GroupVersionKind {
        GroupVersionKind::new("example.com/v1", "Widget")
    }

    /// What a cluster answers that serves widgets in some versions, or cannot reach the server of some.
    fn found(served: &[&str], silent: &[&str]) -> Discovered {
        let kinds = served.iter().map(|version| Kind {
            resource: api_resource("example.com", version, "Widget", "widgets"),
            is_namespaced: true,
            is_watchable: true,
        });
        let silent = silent
            .iter()
            .map(|version| GroupVersion { group: "example.com".to_owned(), version: (*version).to_owned() });
        Discovered { kinds: kinds.collect(), silent: silent.collect() }
    }

    #[rstest]
    #[case::never_served(found(&[], &[]), found(&[], &[]), Some("Unknown"))]
    #[case::no_longer_served(found(&["v1"], &[]), found(&["v2"], &[]), Some("Unknown"))]
    #[case::silent_from_the_start(found(&[], &[]), found(&[], &["v1"]), Some("Discovery"))]
    #[case::silent_in_another_version(found(&[], &[]), found(&[], &["v2"]), Some("Discovery"))]
    #[case::silent_later(found(&["v1"], &[]), found(&[], &["v1"]), None)]
    #[case::answers_again(found(&[], &["v1"]), found(&["v1"], &[]), None)]
    #[case::answers_again_without_it(found(&[], &["v1"]), found(&[], &[]), Some("Unknown"))]
    fn a_kind_is_unknown_only_when_all_of_its_group_have_answered(
        #[case] first: Discovered,
        #[case] then: Discovered,
        #[case] error: Option<&str>,
    ) {
        let mut table = Table::default();
        table.update(first);
        table.update(then);
        let which = table.find(&widget()).err().map(|error| match error {
            KindError::Unknown(_) => "Unknown",
            KindError::Discovery(_) => "Discovery",
        });
        assert_eq!(which, error);
    }

    #[test]
    fn a_silent_api_server_is_named_with_where_to_look() {
        let mut table = Table::default();
        table.update(found(&[], &["v1"]));
        insta::assert_snapshot!(table.find(&widget()).unwrap_err(), @"cannot ask the cluster which kinds it serves: the API server of example.com/v1 does not answer; see APIService v1.example.com");
    }

    #[test]
    fn an_object_is_reached_in_its_own_version_or_another() {
        let mut table = Table::default();
        let mut version = |served: &[&str]| {
            table.update(found(served, &[]));
            table.in_any_version(&widget()).map(|kind| kind.resource.version)
        };
        assert_eq!(version(&["v1alpha1", "v1"]).as_deref(), Some("v1"));
        assert_eq!(version(&["v3", "v2"]).as_deref(), Some("v2"));
        assert_eq!(version(&[]), None);
    }

    /// Seconds after a moment. The cluster was asked at 10, and may be asked again at 15.
    #[rstest]
    #[case::answered_since(9, 11, 60, |_| Next::TakeLastAnswer)]
    #[case::too_early(11, 11, 60, Next::WaitUntil)]
    #[case::too_early_and_no_time(11, 11, 14, |_| Next::TakeLastAnswer)]
    #[case::just_in_time(11, 11, 15, Next::WaitUntil)]
    #[case::long_ago(20, 20, 60, |_| Next::Ask)]
    fn whoever_misses_a_kind_waits_for_an_answer_of_their_own(
        #[case] since: u64,
        #[case] now: u64,
        #[case] deadline: u64,
        #[case] expected: fn(Instant) -> Next,
    ) {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let next = after_an_answer(at(10), Duration::from_secs(5), at(since), at(now), at(deadline));
        assert_eq!(next, expected(at(15)));
    }

    /// The kinds of a cluster that answers with what is in the list, and how often it was asked.
    fn kinds(served: &Arc<Mutex<Vec<&'static str>>>, asked: &Arc<Mutex<u32>>) -> Kinds {
        let list = |group: &str, resources: Vec<Value>| {
            let version = json!({"version": "v1", "freshness": "Current", "resources": resources});
            let items = json!([{"metadata": {"name": group}, "versions": [version]}]);
            Json(
                json!({"apiVersion": "apidiscovery.k8s.io/v2", "kind": "APIGroupDiscoveryList", "metadata": {}, "items": items}),
            )
        };
        let resource = |kind: &&str| {
            let response = json!({"group": "example.com", "version": "v1", "kind": kind});
            json!({"resource": format!("{}s", kind.to_lowercase()), "responseKind": response, "scope": "Namespaced",
                "singularResource": kind.to_lowercase(), "verbs": ["list", "watch"]})
        };
        let (served, asked) = (served.clone(), asked.clone());
        let apis = move || async move {
            *asked.lock() += 1;
            list("example.com", served.lock().iter().map(resource).collect())
        };
        let routes = Router::new()
            .route("/apis", get(apis))
            .route("/api", get(move || async move { list("", vec![]) }));
        Kinds { ask_at_most_every: Duration::from_millis(50), ..Kinds::new(Client::new(routes, "default")) }
    }

    #[tokio::test]
    async fn a_kind_that_somebody_has_just_brought_is_found() {
        let (served, asked) = (Arc::default(), Arc::default());
        let kinds = kinds(&served, &asked);
        let deadline = Instant::now() + Duration::from_secs(60);
        assert_eq!(kinds.resolve(&widget(), deadline).await, Err(KindError::Unknown(widget())));
        served.lock().push("Widget");
        assert!(kinds.resolve(&widget(), deadline).await.is_ok());
        assert_eq!(*asked.lock(), 2);
    }

    #[tokio::test]
    async fn many_unknown_kinds_cost_one_question() {
        let (served, asked) = (Arc::new(Mutex::new(vec!["Widget"])), Arc::default());
        let kinds = kinds(&served, &asked);
        let object = |kind: &str| {
            let metadata = json!({"name": "a"});
            Object::new(json!({"apiVersion": "example.com/v1", "kind": kind, "metadata": metadata})).unwrap()
        };
        let mut objects = [object("Gadget"), object("Widget"), object("Gizmo")];
        let deadline = Instant::now() + Duration::from_secs(60);
        let unknown = |kind| KindError::Unknown(GroupVersionKind::new("example.com/v1", kind));
        let errors = kinds.place_all(&mut objects, "default", deadline).await.unwrap_err();
        assert_eq!(errors, [unknown("Gadget"), unknown("Gizmo")]);
        assert_eq!(*asked.lock(), 1);
    }
}
