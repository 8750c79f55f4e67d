//! An API server without a socket: discovery, server-side apply by one manager, deletion with finalizers, and the watch of definitions; with a
//! log of what it was asked.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{Method, Response, StatusCode, Uri};
use futures::StreamExt as _;
use kube::Client;
use parking_lot::Mutex;
use plumb_api::annotations::{OWNER_NAME, OWNER_NAMESPACE};
use plumb_api::{Inventory, Object, ObjectId};
use plumb_apply::{
    ApiServer, Applied, Context, CountRequests, Executor, Inputs, Kinds, LiveCache, Outcome, Owner, Plan,
    Policy, Verb, plan,
};
use serde_json::{Value, json};
use tokio::sync::broadcast;
use tokio::time::Instant;

use crate::api_server::applied;
use crate::object;

/// As long as a test may take before something is wrong.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What is answered instead of doing what was asked: a function of the line of the log.
type Refuse = Box<dyn FnMut(&str) -> Option<(StatusCode, Value)> + Send>;

#[derive(Clone)]
pub(crate) struct Server(Arc<Mutex<State>>, broadcast::Sender<Value>);

struct State {
    /// By `GROUP/VERSION/PLURAL`: the kind, and whether it is namespaced.
    kinds: BTreeMap<String, (String, bool)>,
    objects: HashMap<ObjectId, Value>,
    log: Vec<String>,
    refuse: Refuse,
    version: u64,
}

pub(crate) struct Uncounted;

impl CountRequests for Uncounted {
    fn count(&self, _: Verb) {}
}

impl Server {
    pub(crate) fn new() -> Self {
        let kinds = [
            ("/v1/configmaps", "ConfigMap", true),
            ("/v1/secrets", "Secret", true),
            ("/v1/namespaces", "Namespace", false),
            ("apps/v1/deployments", "Deployment", true),
            ("rbac.authorization.k8s.io/v1/roles", "Role", true),
            ("rbac.authorization.k8s.io/v1/rolebindings", "RoleBinding", true),
            ("rbac.authorization.k8s.io/v1/clusterrolebindings", "ClusterRoleBinding", false),
            ("apiextensions.k8s.io/v1/customresourcedefinitions", "CustomResourceDefinition", false),
        ];
        let kinds = kinds
            .into_iter()
            .map(|(path, kind, namespaced)| (path.to_owned(), (kind.to_owned(), namespaced)));
        let state = State {
            kinds: kinds.collect(),
            objects: HashMap::new(),
            log: Vec::new(),
            refuse: Box::new(|_| None),
            version: 0,
        };
        Self(Arc::new(Mutex::new(state)), broadcast::Sender::new(64))
    }

    /// Answers with something else where the function says so. It sees lines such as `DRYRUN Role/default/a`.
    pub(crate) fn refusing(
        self,
        refuse: impl FnMut(&str) -> Option<(StatusCode, Value)> + Send + 'static,
    ) -> Self {
        self.0.lock().refuse = Box::new(refuse);
        self
    }

    pub(crate) fn holding(self, objects: impl IntoIterator<Item = Value>) -> Self {
        objects.into_iter().for_each(|object| self.put(object));
        self
    }

    pub(crate) fn put(&self, value: Value) {
        let mut state = self.0.lock();
        let id = object(value.clone()).id();
        state.put(id, value);
    }

    pub(crate) fn get(&self, id: &ObjectId) -> Option<Value> {
        self.0.lock().objects.get(id).cloned()
    }

    /// What it was asked to do, without discovery and watches.
    pub(crate) fn log(&self) -> Vec<String> {
        self.0.lock().log.clone()
    }

    /// The definition of `Widget` of `example.com` is there from now on, and the watch tells of it.
    pub(crate) fn establish(&self, definition: &Value) {
        let mut established = definition.clone();
        established["status"] = json!({"conditions": [{"type": "Established", "status": "True"}]});
        self.0.lock().define(&established);
        self.put(established.clone());
        drop(self.1.send(json!({"type": "ADDED", "object": established})));
    }

    pub(crate) fn client(&self) -> Client {
        let server = self.clone();
        let answer = async move |method: Method, uri: Uri, body: Bytes| server.answer(&method, &uri, &body);
        Client::new(Router::new().fallback(answer), "default")
    }

    fn answer(&self, method: &Method, uri: &Uri, body: &Bytes) -> Response<Body> {
        let query = uri.query().unwrap_or_default();
        if query.contains("watch=true") {
            return self.watch(uri.path());
        }
        let mut state = self.0.lock();
        let (code, value) = match uri.path() {
            "/api" => (StatusCode::OK, state.discovery(true)),
            "/apis" => (StatusCode::OK, state.discovery(false)),
            path => state.act(method, path, query.contains("dryRun=All"), body),
        };
        Response::builder()
            .status(code)
            .header("content-type", "application/json")
            .body(Body::from(value.to_string()))
            .unwrap()
    }

    /// Only definitions are told of; other watches are silent.
    fn watch(&self, path: &str) -> Response<Body> {
        let is_told = path.ends_with("/customresourcedefinitions");
        let events = futures::stream::unfold(self.1.subscribe(), |mut events| async move {
            let event = events.recv().await.ok()?;
            Some((Ok::<_, Infallible>(format!("{event}\n")), events))
        });
        let events = events.filter(move |_| std::future::ready(is_told));
        Response::builder()
            .header("content-type", "application/json")
            .body(Body::from_stream(events))
            .unwrap()
    }

    pub(crate) fn engine(&self, policy: Policy) -> Engine {
        let client = self.client();
        let kinds = Arc::new(Kinds::new(client.clone()));
        let api = ApiServer::new(client.clone(), Arc::new(Uncounted));
        Engine { executor: Executor::new(api, kinds.clone(), LiveCache::new(client)), kinds, policy }
    }
}

impl State {
    fn put(&mut self, id: ObjectId, mut value: Value) {
        self.version += 1;
        value["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.objects.insert(id, value);
    }

    fn define(&mut self, definition: &Value) {
        let spec = &definition["spec"];
        for version in spec["versions"].as_array().unwrap() {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let (group, plural) = (text(&spec["group"]), text(&spec["names"]["plural"]));
            let path = format!("{group}/{}/{plural}", text(&version["name"]));
            self.kinds.insert(path, (text(&spec["names"]["kind"]), spec["scope"] == "Namespaced"));
        }
    }

    fn discovery(&self, core: bool) -> Value {
        let mut groups: BTreeMap<&str, BTreeMap<&str, Vec<Value>>> = BTreeMap::new();
        for (path, (kind, namespaced)) in &self.kinds {
            let [group, version, plural] = path.split('/').collect::<Vec<_>>()[..] else { unreachable!() };
            let scope = if *namespaced { "Namespaced" } else { "Cluster" };
            let response = json!({"group": group, "version": version, "kind": kind});
            let resource = json!({"resource": plural, "responseKind": response, "scope": scope,
                "singularResource": kind.to_lowercase(), "verbs": ["get", "list", "watch", "patch", "delete"]});
            if group.is_empty() == core {
                groups.entry(group).or_default().entry(version).or_default().push(resource);
            }
        }
        let items = groups.into_iter().map(|(name, versions)| {
            let versions: Vec<_> = versions
                .into_iter()
                .map(|(version, resources)| json!({"version": version, "freshness": "Current", "resources": resources}))
                .collect();
            json!({"metadata": {"name": name}, "versions": versions})
        });
        json!({"apiVersion": "apidiscovery.k8s.io/v2", "kind": "APIGroupDiscoveryList", "metadata": {},
            "items": items.collect::<Vec<_>>()})
    }

    fn act(&mut self, method: &Method, path: &str, dry_run: bool, body: &Bytes) -> (StatusCode, Value) {
        let mut parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let group = if parts.remove(0) == "api" { "" } else { parts.remove(0) };
        let version = parts.remove(0);
        let namespace = if parts.first() == Some(&"namespaces") && parts.len() > 2 {
            parts.remove(0);
            parts.remove(0)
        } else {
            ""
        };
        let Some((kind, _)) = self.kinds.get(&format!("{group}/{version}/{}", parts[0])).cloned() else {
            return not_served();
        };
        let Some(name) = parts.get(1) else {
            let items: Vec<_> = self
                .objects
                .iter()
                .filter(|(id, _)| id.group_kind.kind == kind)
                .map(|(_, object)| object)
                .collect();
            return (
                StatusCode::OK,
                json!({"kind": "List", "apiVersion": "v1", "items": items,
                "metadata": {"resourceVersion": self.version.to_string()}}),
            );
        };
        let group_kind = plumb_api::GroupKind::new(group, &kind);
        let id = ObjectId { namespace: namespace.to_owned(), name: (*name).to_owned(), group_kind };
        let verb = if dry_run { "DRYRUN" } else { method.as_str() };
        let line = format!("{verb} {}", id.human());
        self.log.push(line.clone());
        if let Some(refused) = (self.refuse)(&line) {
            return refused;
        }
        match *method {
            Method::PATCH => self.apply(id, body, dry_run),
            Method::DELETE => self.delete(&id),
            _ => match self.objects.get(&id) {
                Some(found) => (StatusCode::OK, found.clone()),
                None => not_found(&id),
            },
        }
    }

    fn apply(&mut self, id: ObjectId, body: &Bytes, dry_run: bool) -> (StatusCode, Value) {
        let desired = object(serde_json::from_slice(body).unwrap());
        let before = self.objects.get(&id).map(|live| object(live.clone()));
        let code = if before.is_some() { StatusCode::OK } else { StatusCode::CREATED };
        let mut after = applied(before.as_ref(), &desired).into_value();
        if desired.kind() == "CustomResourceDefinition" {
            after["status"] = json!({"conditions": [{"type": "NamesAccepted", "status": "True"}, {"type": "Established", "status": "True"}]});
        }
        if desired.kind() == "Namespace" {
            after["status"] = json!({"phase": "Active"});
        }
        if !dry_run {
            if desired.kind() == "CustomResourceDefinition" {
                self.define(&after);
            }
            self.put(id.clone(), after.clone());
            after.clone_from(&self.objects[&id]);
        }
        (code, after)
    }

    fn delete(&mut self, id: &ObjectId) -> (StatusCode, Value) {
        let Some(found) = self.objects.get_mut(id) else { return not_found(id) };
        if found["metadata"]["finalizers"].as_array().is_some_and(|finalizers| !finalizers.is_empty()) {
            found["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
            return (StatusCode::OK, found.clone());
        }
        self.objects.remove(id);
        (StatusCode::OK, json!({"kind": "Status", "apiVersion": "v1", "status": "Success"}))
    }
}

pub(crate) fn refused(code: StatusCode, reason: &str, message: &str) -> (StatusCode, Value) {
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code.as_u16(),
        "reason": reason, "message": message});
    (code, status)
}

pub(crate) fn not_served() -> (StatusCode, Value) {
    refused(StatusCode::NOT_FOUND, "NotFound", "the server could not find the requested resource")
}

fn not_found(id: &ObjectId) -> (StatusCode, Value) {
    refused(StatusCode::NOT_FOUND, "NotFound", &format!("{} not found", id.human()))
}

/// What plans and carries out, as the controller does; no watch tells it anything.
pub(crate) struct Engine {
    pub(crate) executor: Executor,
    pub(crate) kinds: Arc<Kinds>,
    pub(crate) policy: Policy,
}

impl Engine {
    /// Plans what is desired, with the labels of the Kustomization.
    pub(crate) async fn plan(&self, desired: &[Value], inventory: &Inventory) -> Plan {
        let deadline = Instant::now() + PATIENCE;
        let mut objects: Vec<Object> = desired.iter().cloned().map(object).collect();
        for object in &mut objects {
            object.set_label(OWNER_NAME, &self.policy.owner.name);
            object.set_label(OWNER_NAMESPACE, &self.policy.owner.namespace);
        }
        let placed = self.kinds.place_all(&mut objects, "default", deadline).await.unwrap();
        plan(Inputs {
            desired: objects.into_iter().map(Arc::new).collect(),
            deferred: placed.deferred,
            live: &HashMap::new(),
            inventory,
            applied: &HashMap::new(),
            is_claimed: &|_, _| true,
            heir: &|_| None,
            policy: &self.policy,
        })
        .unwrap()
    }

    pub(crate) async fn execute(&self, plan: &Plan) -> Outcome {
        let applied: HashMap<ObjectId, Applied> = HashMap::new();
        let deadline = Instant::now() + PATIENCE;
        let context = Context { policy: &self.policy, applied: &applied, is_claimed: &|_, _| true, deadline };
        self.executor.execute(plan, &context).await
    }

    pub(crate) async fn sync(&self, desired: &[Value]) -> Outcome {
        self.execute(&self.plan(desired, &Inventory::default()).await).await
    }
}

pub(crate) fn policy() -> Policy {
    let owner = Owner::kustomization("flux-system", "apps");
    Policy { prune: true, ..Policy::new(owner) }
}

pub(crate) fn config_map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}, "data": {"a": "b"}})
}

pub(crate) fn widgets() -> Value {
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "widgets.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": {"kind": "Widget", "plural": "widgets"},
            "versions": [{"name": "v1", "served": true, "storage": true}]}})
}

pub(crate) fn widget(name: &str) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name}})
}
