//! Which kinds a cluster serves, under which path, and whether their objects live in a namespace.

mod ask;
mod definitions;
mod kind;
mod table;

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use kube::Client;
use parking_lot::RwLock;
use plumb_api::{GroupKind, GroupVersionKind, Object, ObjectId};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

pub use kind::Kind;
pub(crate) use kind::defined_kinds;

use crate::news::{News, Reader};
use table::Table;

/// A cluster is asked for kinds that are not known at most this often. A kind that a CRD of our own plan brings is learnt from the
/// CRD, without asking.
const ASK_AT_MOST_EVERY: Duration = Duration::from_secs(5);

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

/// A rendered object whose kind the cluster does not know, and no definition among the objects brings. It waits; the others need not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} waits for its kind: {}", .id.human(), KindError::Unknown(.gvk.clone()))]
pub struct Deferred {
    /// The object, as it was rendered: whether it has a namespace is for its definition to say.
    pub id: ObjectId,
    /// Its kind. [`Kinds::changes`] tells when the cluster has learnt it.
    pub gvk: GroupVersionKind,
}

/// What [`Kinds::place_all`] has found out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placed {
    /// The kinds of all objects that the cluster serves, each once.
    pub kinds: Vec<Kind>,
    /// What has been taken out of the objects.
    pub deferred: Vec<Deferred>,
}

/// Kinds that the cluster did not know before and now does, or in other versions than before.
pub struct KindChanges(Reader<GroupKind, ()>);

impl KindChanges {
    /// The next kind; waits for one.
    pub async fn next(&mut self) -> GroupKind {
        self.0.next().await.0
    }
}

/// The kinds of one cluster, asked for once (two requests where aggregated discovery, KEP-3352, is offered) and again when an
/// unknown kind turns up; or told of by a watch, see [`Kinds::follow_definitions`].
pub struct Kinds {
    client: Client,
    shared: Arc<Shared>,
    /// The watch of the definitions.
    definitions: OnceLock<AbortOnDropHandle<()>>,
    /// When the cluster was last asked. Held while asking, so that many who miss the same kind ask once.
    asked: tokio::sync::Mutex<Option<Instant>>,
    ask_at_most_every: Duration,
}

/// What the watch of the definitions tells, and others read.
#[derive(Default)]
struct Shared {
    table: RwLock<Table>,
    changes: News<GroupKind, ()>,
}

impl Kinds {
    /// The kinds of the cluster that the client speaks to. Nothing is asked yet.
    pub fn new(client: Client) -> Self {
        Self {
            client,
            shared: Arc::default(),
            definitions: OnceLock::new(),
            asked: tokio::sync::Mutex::default(),
            ask_at_most_every: ASK_AT_MOST_EVERY,
        }
    }

    /// Watches the CustomResourceDefinitions of the cluster from now on, until this is dropped: a kind is known as soon as its definition
    /// is established, and forgotten with it. The client has to be allowed to list and watch them; while it is not, the cluster is asked
    /// when a kind is not known. Has to be called inside a Tokio runtime; a second call does nothing.
    pub fn follow_definitions(&self) {
        self.definitions.get_or_init(|| {
            let following = definitions::follow(self.client.clone(), Arc::clone(&self.shared));
            AbortOnDropHandle::new(tokio::spawn(following))
        });
    }

    /// The kinds that become known from now on, or known in other versions: whoever waits for one has to look again. Without
    /// [`Kinds::follow_definitions`] there are none.
    pub fn changes(&self) -> KindChanges {
        KindChanges(self.shared.changes.subscribe())
    }

    /// Whether the definition of a kind was established a moment ago, so that its path may not be served everywhere yet.
    pub(crate) fn is_fresh(&self, group_kind: &GroupKind) -> bool {
        self.shared.table.read().is_fresh(group_kind)
    }

    /// The kind, if it is known without asking.
    pub fn known(&self, gvk: &GroupVersionKind) -> Option<Kind> {
        self.shared.table.read().kinds.get(gvk).cloned()
    }

    /// All kinds that the cluster serves, as far as that is known once it was asked: in the order of their names.
    ///
    /// # Errors
    ///
    /// When it cannot be asked.
    pub async fn all(&self, deadline: Instant) -> Result<Vec<GroupVersionKind>, KindError> {
        // Every cluster has it.
        self.resolve(&GroupVersionKind::new("v1", "ConfigMap"), deadline).await?;
        let mut all: Vec<_> = self.shared.table.read().kinds.keys().cloned().collect();
        all.sort_by_key(|gvk| (gvk.api_version(), gvk.kind.clone()));
        Ok(all)
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
        let known = || self.shared.table.read().in_any_version(gvk);
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
        self.shared.table.read().find(gvk)
    }

    /// Places every object (see [`Kind::place`]). Kinds that a CRD among the objects defines count as known. Objects of kinds that the
    /// cluster does not know are taken out of the list. The errors are that the cluster could not be asked, one a group.
    pub async fn place_all(
        &self,
        objects: &mut Vec<Object>,
        default_namespace: &str,
        deadline: Instant,
    ) -> Result<Placed, Vec<KindError>> {
        let defined: HashMap<_, _> =
            objects.iter().flat_map(defined_kinds).map(|kind| (kind.gvk(), kind)).collect();
        let resolved = self.resolve_all(objects, &defined, deadline).await;
        let mut errors: Vec<KindError> = Vec::new();
        for error in resolved.values().filter_map(|found| found.as_ref().err()) {
            if matches!(error, KindError::Discovery(_)) && !errors.contains(error) {
                errors.push(error.clone());
            }
        }
        if !errors.is_empty() {
            errors.sort_by_key(ToString::to_string);
            return Err(errors);
        }
        let mut deferred = Vec::new();
        objects.retain_mut(|object| {
            let gvk = object.gvk();
            match resolved.get(&gvk).and_then(|found| found.as_ref().ok()).or(defined.get(&gvk)) {
                Some(kind) => {
                    kind.place(object, default_namespace);
                    true
                }
                None => {
                    deferred.push(Deferred { id: object.id(), gvk });
                    false
                }
            }
        });
        Ok(Placed { kinds: resolved.into_values().filter_map(Result::ok).collect(), deferred })
    }

    /// Looks up every kind of the objects once, but for those that are not known and that their own definitions bring.
    async fn resolve_all(
        &self,
        objects: &[Object],
        defined: &HashMap<GroupVersionKind, Kind>,
        deadline: Instant,
    ) -> HashMap<GroupVersionKind, Result<Kind, KindError>> {
        let begun = Instant::now();
        // Where the watch tells of new definitions, nobody has to wait until the cluster may be asked again.
        let since = match self.definitions.get() {
            Some(_) => begun.checked_sub(self.ask_at_most_every).unwrap_or(begun),
            None => begun,
        };
        let mut resolved = HashMap::new();
        for gvk in objects.iter().map(Object::gvk) {
            if resolved.contains_key(&gvk) || (defined.contains_key(&gvk) && self.known(&gvk).is_none()) {
                continue;
            }
            let found = self.resolve_since(since, &gvk, deadline).await;
            resolved.insert(gvk, found);
        }
        resolved
    }

    /// Learns the kinds that a CRD defines, when it has been applied, and forgets the versions that it no longer serves.
    pub fn learn(&self, crd: &Object) {
        self.shared.table.write().define(defined_kinds(crd));
    }

    /// Forgets a kind that the cluster turned out not to serve any longer. When a kind is not known next, the cluster is asked at
    /// once.
    pub fn forget(&self, gvk: &GroupVersionKind) {
        let mut table = self.shared.table.write();
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
                Some(asked) if !self.shared.table.read().is_outdated => {
                    after_an_answer(asked, self.ask_at_most_every, since, now, deadline)
                }
                Some(_) | None => Next::Ask,
            };
            match next {
                Next::Ask => {
                    let found = ask::discover(&self.client).await;
                    let found = found.map_err(|error| KindError::Discovery(error.to_string()))?;
                    self.shared.table.write().update(found);
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use axum::routing::get;
    use axum::{Json, Router};
    use parking_lot::Mutex;
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn an_unknown_kind_is_named_with_its_version_and_a_hint() {
        let error = KindError::Unknown(GroupVersionKind::new("example.com/v1", "Widget"));
        insta::assert_snapshot!(error, @"the cluster does not know the kind Widget of example.com/v1: its CustomResourceDefinition may be missing, or not serve this version");
    }

    fn widget() -> GroupVersionKind {
        GroupVersionKind::new("example.com/v1", "Widget")
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
        let mut objects = vec![object("Gadget"), object("Widget"), object("Gizmo"), object("Widget")];
        let deadline = Instant::now() + Duration::from_secs(60);
        let placed = kinds.place_all(&mut objects, "default", deadline).await.unwrap();
        let deferred: Vec<_> = placed.deferred.iter().map(|deferred| deferred.gvk.kind.as_str()).collect();
        assert_eq!(deferred, ["Gadget", "Gizmo"]);
        insta::assert_snapshot!(placed.deferred[0], @"Gadget/a waits for its kind: the cluster does not know the kind Gadget of example.com/v1: its CustomResourceDefinition may be missing, or not serve this version");
        assert_eq!(placed.kinds.len(), 1);
        assert!(
            objects.iter().all(|object| object.kind() == "Widget" && object.namespace() == Some("default"))
        );
        assert_eq!(*asked.lock(), 1);
    }
}
