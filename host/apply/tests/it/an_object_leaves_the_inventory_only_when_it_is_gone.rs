use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use kube::Client;
use parking_lot::Mutex;
use plumb_api::annotations::{OWNER_NAME, OWNER_NAMESPACE};
use plumb_api::{GroupKind, GroupVersionKind, ObjectId};
use plumb_apply::{
    ApiServer, CountRequests, Deletion, Executor, FailureKind, Keep, Kinds, LiveCache, Owner, Propagation,
    Pruned, Verb,
};
use rstest::rstest;
use serde_json::{Value, json};
use tokio::time::Instant;

/// As long as a test may take; less than what passes before a cluster is asked again.
const MOMENT: Duration = Duration::from_secs(3);

struct Uncounted;

impl CountRequests for Uncounted {
    fn count(&self, _: Verb) {}
}

/// A cluster that serves `Widget` of `example.com` in the given version, or has a silent server for it, and holds one or none.
#[derive(Clone)]
struct Cluster {
    version: Arc<Mutex<Value>>,
    widget: Arc<Mutex<Option<Value>>>,
}

impl Cluster {
    fn serving(version: &str, widget: Option<Value>) -> Self {
        let resource = json!({
            "resource": "widgets", "responseKind": {"group": "example.com", "version": version, "kind": "Widget"},
            "scope": "Namespaced", "singularResource": "widget", "verbs": ["get", "list", "watch", "patch", "delete"]});
        let version = json!({"version": version, "freshness": "Current", "resources": [resource]});
        Self { version: Arc::new(Mutex::new(version)), widget: Arc::new(Mutex::new(widget)) }
    }

    /// What an aggregation layer says of an API server that it cannot reach.
    fn silent() -> Self {
        let version = json!({"version": "v1", "freshness": "Stale", "resources": []});
        Self { version: Arc::new(Mutex::new(version)), widget: Arc::default() }
    }

    fn executor(&self) -> Executor {
        let groups = |versions: Vec<Value>, name: &str| {
            let items = json!([{"metadata": {"name": name}, "versions": versions}]);
            Json(
                json!({"apiVersion": "apidiscovery.k8s.io/v2", "kind": "APIGroupDiscoveryList", "metadata": {}, "items": items}),
            )
        };
        let (discovered, got, deleted) = (self.clone(), self.clone(), self.clone());
        let apis = async move || groups(vec![discovered.version.lock().clone()], "example.com");
        let one = get(async move |Path(version): Path<String>| got.get(&version))
            .delete(async move |Path(version): Path<String>, body| deleted.delete(&version, body));
        let routes = Router::new()
            .route("/apis", get(apis))
            .route("/api", get(async move || groups(Vec::new(), "")))
            .route("/apis/example.com/{version}/namespaces/default/widgets/a", one);
        let client = Client::new(routes, "default");
        let api = ApiServer::new(client.clone(), Arc::new(Uncounted));
        Executor::new(api, Arc::new(Kinds::new(client.clone())), LiveCache::new(client))
    }

    /// The widget, as it is in a version.
    fn get(&self, version: &str) -> (StatusCode, Json<Value>) {
        if self.version.lock()["version"] != version {
            return refused(
                StatusCode::NOT_FOUND,
                "NotFound",
                "the server could not find the requested resource",
            );
        }
        match &*self.widget.lock() {
            Some(widget) => (StatusCode::OK, Json(widget.clone())),
            None => refused(StatusCode::NOT_FOUND, "NotFound", "widgets.example.com \"a\" not found"),
        }
    }

    /// As the API server: one whose uid is another is not deleted, nor is one that is going already.
    fn delete(&self, version: &str, body: Bytes) -> (StatusCode, Json<Value>) {
        let (code, Json(found)) = self.get(version);
        if code != StatusCode::OK {
            return (code, Json(found));
        }
        let options: Value = serde_json::from_slice(&body).unwrap();
        let expected = &options["preconditions"]["uid"];
        if !expected.is_null() && *expected != found["metadata"]["uid"] {
            return refused(StatusCode::CONFLICT, "Conflict", "Precondition failed: UID in precondition");
        }
        if !found["metadata"]["deletionTimestamp"].is_null() {
            return refused(
                StatusCode::CONFLICT,
                "Conflict",
                "the system is ensuring all content is removed",
            );
        }
        *self.widget.lock() = None;
        (StatusCode::OK, Json(json!({"kind": "Status", "apiVersion": "v1", "status": "Success"})))
    }
}

fn refused(code: StatusCode, reason: &str, message: &str) -> (StatusCode, Json<Value>) {
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code.as_u16(),
        "reason": reason, "message": message});
    (code, Json(status))
}

fn owner(name: &str) -> Owner {
    Owner::kustomization("flux-system", name)
}

fn widget(uid: &str, owner: &str) -> Value {
    let labels = match owner {
        "" => json!({}),
        owner => json!({OWNER_NAMESPACE: "flux-system", OWNER_NAME: owner}),
    };
    json!({"apiVersion": "example.com/v1", "kind": "Widget",
        "metadata": {"name": "a", "namespace": "default", "uid": uid, "labels": labels}})
}

/// The deletion of the widget that once was seen with the uid `old`.
fn deletion(kind: &str) -> Deletion {
    let id = ObjectId {
        namespace: "default".to_owned(),
        name: "a".to_owned(),
        group_kind: GroupKind::new("example.com", kind),
    };
    Deletion { id, gvk: GroupVersionKind::new("example.com/v1", kind), uid: Some("old".to_owned()) }
}

async fn prune(cluster: &Cluster) -> Pruned {
    cluster
        .executor()
        .prune(&[deletion("Widget")], &owner("apps"), Propagation::Background, Instant::now() + MOMENT)
        .await
}

#[tokio::test]
async fn an_object_whose_api_server_is_down_is_not_gone() {
    let executor = Cluster::silent().executor();
    let pruned = executor
        .prune(&[deletion("Widget")], &owner("apps"), Propagation::Background, Instant::now() + MOMENT)
        .await;
    let [failure] = pruned.failed.as_slice() else { panic!("{pruned:?}") };
    insta::assert_snapshot!(failure, @"Widget/default/a: cannot ask the cluster which kinds it serves: the API server of example.com/v1 does not answer; see APIService v1.example.com");
    assert_eq!(failure.kind, FailureKind::Unavailable);
    let left = executor.wait_gone(&[deletion("Widget")], Instant::now() + MOMENT).await;
    assert_eq!(left, pruned.failed);
}

#[tokio::test]
async fn an_object_whose_definition_is_gone_went_with_it() {
    let executor = Cluster::serving("v1", None).executor();
    let gadget = deletion("Gadget");
    let pruned = executor
        .prune(
            std::slice::from_ref(&gadget),
            &owner("apps"),
            Propagation::Background,
            Instant::now() + MOMENT,
        )
        .await;
    assert_eq!(pruned.deleted, std::slice::from_ref(&gadget.id));
    assert_eq!(executor.wait_gone(&[gadget], Instant::now() + MOMENT).await, []);
}

#[tokio::test]
async fn an_object_is_deleted_in_whichever_version_is_served() {
    let cluster = Cluster::serving("v2", Some(widget("old", "apps")));
    let pruned = prune(&cluster).await;
    assert_eq!(pruned.deleted, [deletion("Widget").id]);
    assert_eq!(*cluster.widget.lock(), None);
}

#[tokio::test]
async fn an_object_is_deleted_in_the_version_that_has_replaced_its_own() {
    let cluster = Cluster::serving("v1", None);
    let executor = cluster.executor();
    executor
        .prune(&[deletion("Widget")], &owner("apps"), Propagation::Background, Instant::now() + MOMENT)
        .await;
    let later = Cluster::serving("v2", Some(widget("old", "apps")));
    *cluster.version.lock() = later.version.lock().clone();
    *cluster.widget.lock() = later.widget.lock().clone();
    let pruned = executor
        .prune(&[deletion("Widget")], &owner("apps"), Propagation::Background, Instant::now() + MOMENT)
        .await;
    assert_eq!(pruned.deleted, [deletion("Widget").id]);
    assert_eq!(*cluster.widget.lock(), None);
}

#[rstest]
#[case::by_nobody_we_know("", Keep::NotLabelled)]
#[case::by_another_kustomization("other", Keep::BelongsTo(owner("other")))]
#[tokio::test]
async fn an_object_that_was_made_anew_is_kept(#[case] maker: &str, #[case] reason: Keep) {
    let made_anew = widget("new", maker);
    let cluster = Cluster::serving("v1", Some(made_anew.clone()));
    let pruned = prune(&cluster).await;
    assert_eq!(pruned.kept, [(deletion("Widget").id, reason)]);
    assert!(pruned.deleted.is_empty() && pruned.failed.is_empty());
    assert_eq!(*cluster.widget.lock(), Some(made_anew));
}

#[tokio::test]
async fn an_object_that_was_made_anew_with_our_labels_is_deleted() {
    let cluster = Cluster::serving("v1", Some(widget("new", "apps")));
    let pruned = prune(&cluster).await;
    assert_eq!(pruned.deleted, [deletion("Widget").id]);
    assert_eq!(*cluster.widget.lock(), None);
}

#[tokio::test]
async fn an_object_that_is_going_counts_as_deleted() {
    let mut going = widget("old", "apps");
    going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    let pruned = prune(&Cluster::serving("v1", Some(going))).await;
    assert_eq!(pruned.deleted, [deletion("Widget").id]);
    assert!(pruned.failed.is_empty());
}
