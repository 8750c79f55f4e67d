//! What a test begins with: a namespace, a Git repository that asks for a password, and a controller for that namespace.

use anyhow::Context as _;
use plumb_test_support::cluster::{Cluster, condition, is_ready};
use plumb_test_support::controller::{Controller, install_crds};
use plumb_test_support::{Auth, GitRepo, GitServer, GitServerOptions};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

static CRDS: OnceCell<()> = OnceCell::const_new();
const PASSWORD: &str = "correct horse";

pub(crate) struct Scene {
    pub(crate) cluster: Cluster,
    pub(crate) namespace: String,
    pub(crate) repository: GitRepo,
    pub(crate) server: GitServer,
    pub(crate) controller: Controller,
}

impl Scene {
    /// Sets the scene, with a GitRepository `source` whose interval is long: tests say when to fetch.
    pub(crate) async fn set(name: &str) -> anyhow::Result<Self> {
        Self::set_with(name, &[]).await
    }

    /// As [`set`](Self::set), with these arguments for the controller.
    pub(crate) async fn set_with(name: &str, arguments: &[&str]) -> anyhow::Result<Self> {
        Self::set_in(name, arguments, &[]).await
    }

    /// As [`set_with`](Self::set_with), with these variables in the environment of the controller.
    pub(crate) async fn set_in(
        name: &str,
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let cluster = cluster().await?;
        let namespace = cluster.namespace(name).await?;
        let repository = GitRepo::new()?;
        let auth = Auth::Basic { username: "git".to_owned(), password: PASSWORD.to_owned() };
        let server =
            GitServer::start(&repository.root(), GitServerOptions { auth, ..GitServerOptions::default() })?;
        let controller = Controller::start_in(&cluster, &namespace, arguments, variables).await?;
        let scene = Self { cluster, namespace, repository, server, controller };
        scene.set_password(PASSWORD).await?;
        Ok(scene)
    }

    /// As [`set`](Self::set), with these files committed and fetched.
    pub(crate) async fn with_files(name: &str, files: &[(&str, &str)]) -> anyhow::Result<Self> {
        Self::with_files_and(name, files, &[]).await
    }

    /// As [`with_files`](Self::with_files), with these arguments for the controller.
    pub(crate) async fn with_files_and(
        name: &str,
        files: &[(&str, &str)],
        arguments: &[&str],
    ) -> anyhow::Result<Self> {
        let scene = Self::set_with(name, arguments).await?;
        scene.commit(files)?;
        scene.cluster.apply(&scene.source()).await?;
        Ok(scene)
    }

    /// A service account that may do these things in the namespace of the test.
    pub(crate) async fn service_account(&self, name: &str, rules: Value) -> anyhow::Result<()> {
        let rbac = "rbac.authorization.k8s.io/v1";
        self.cluster.apply(&self.object("v1", "ServiceAccount", name)).await?;
        let mut role = self.object(rbac, "Role", name);
        role["rules"] = rules;
        self.cluster.apply(&role).await?;
        let mut binding = self.object(rbac, "RoleBinding", name);
        binding["roleRef"] = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name});
        binding["subjects"] = json!([{"kind": "ServiceAccount", "name": name, "namespace": self.namespace}]);
        self.cluster.apply(&binding).await?;
        Ok(())
    }

    pub(crate) async fn set_password(&self, password: &str) -> anyhow::Result<()> {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "git", "namespace": self.namespace},
            "stringData": {"username": "git", "password": password},
        });
        self.cluster.apply(&secret).await?;
        Ok(())
    }

    pub(crate) fn source(&self) -> Value {
        json!({
            "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository",
            "metadata": {"name": "source", "namespace": self.namespace},
            "spec": {"interval": "1h", "url": self.server.url(), "ref": {"branch": "main"}, "secretRef": {"name": "git"}},
        })
    }

    /// A Kustomization of the root of the repository into the namespace of the test; `spec` overrides what it says by default.
    pub(crate) fn kustomization(&self, name: &str, spec: Value) -> Value {
        let mut all = json!({
            "interval": "1h", "retryInterval": "1s", "timeout": "1m", "prune": true, "path": "./",
            "targetNamespace": self.namespace, "sourceRef": {"kind": "GitRepository", "name": "source"},
        });
        if let (Some(all), Value::Object(spec)) = (all.as_object_mut(), spec) {
            all.extend(spec);
        }
        json!({
            "apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
            "metadata": {"name": name, "namespace": self.namespace}, "spec": all,
        })
    }

    /// A Pipeline of these steps into the namespace of the test; `spec` overrides what it says by default.
    pub(crate) fn pipeline(&self, name: &str, steps: Value, spec: Value) -> Value {
        let mut all = json!({
            "interval": "1h", "retryInterval": "1s", "timeout": "1m", "steps": steps,
            "apply": {"targetNamespace": self.namespace}, "sourceRef": {"kind": "GitRepository", "name": "source"},
        });
        if let (Some(all), Value::Object(spec)) = (all.as_object_mut(), spec) {
            all.extend(spec);
        }
        let mut pipeline = self.object("plumbline.dev/v1alpha1", "Pipeline", name);
        pipeline["spec"] = all;
        pipeline
    }

    /// Names an object in the namespace of the test.
    pub(crate) fn object(&self, api_version: &str, kind: &str, name: &str) -> Value {
        json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "namespace": self.namespace}})
    }

    pub(crate) fn config_map(&self, name: &str) -> Value {
        self.object("v1", "ConfigMap", name)
    }

    pub(crate) fn deployment(&self, name: &str) -> Value {
        self.object("apps/v1", "Deployment", name)
    }

    /// The API group of custom resources that only this test has.
    pub(crate) fn group(&self) -> String {
        format!("{}.example.com", self.namespace)
    }

    /// Defines the kind Widget in the group of the test, with a phase in its status.
    pub(crate) fn widget_definition(&self) -> Value {
        let text = json!({"type": "string"});
        let object = |properties: Value| json!({"type": "object", "properties": properties});
        let status = object(json!({"phase": text, "ready": {"type": "boolean"}}));
        json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("widgets.{}", self.group())},
            "spec": {
                "group": self.group(), "scope": "Namespaced", "names": {"kind": "Widget", "plural": "widgets"},
                "versions": [{
                    "name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                    "schema": {"openAPIV3Schema": object(json!({"spec": object(json!({"size": text})), "status": status}))},
                }],
            },
        })
    }

    /// A Widget of the test.
    pub(crate) fn widget(&self, name: &str) -> Value {
        self.object(&format!("{}/v1", self.group()), "Widget", name)
    }

    /// Writes files and commits them.
    pub(crate) fn commit(&self, files: &[(&str, &str)]) -> anyhow::Result<String> {
        for (path, text) in files {
            self.repository.write(path, text)?;
        }
        self.repository.commit("A change")
    }

    /// Writes files, commits them, and has them fetched now.
    pub(crate) async fn push(&self, files: &[(&str, &str)]) -> anyhow::Result<String> {
        let commit = self.commit(files)?;
        self.request(&self.source(), &commit).await?;
        Ok(commit)
    }

    /// Asks for a reconciliation now, as `flux reconcile` does.
    pub(crate) async fn request(&self, object: &Value, token: &str) -> anyhow::Result<()> {
        let patch = json!({"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": token}}});
        self.cluster.edit(object, &patch).await?;
        Ok(())
    }

    /// Waits until a Kustomization has applied a commit and says that it is ready.
    pub(crate) async fn wait_applied(&self, kustomization: &Value, commit: &str) -> anyhow::Result<Value> {
        let revision = format!("main@sha1:{commit}");
        let applied =
            |object: &Value| is_ready(object) && object["status"]["lastAppliedRevision"] == revision.as_str();
        self.wait(kustomization, "the commit is applied", applied).await
    }

    /// Applies a Kustomization and waits until it has applied the newest commit.
    pub(crate) async fn apply_and_wait(&self, kustomization: &Value) -> anyhow::Result<Value> {
        self.cluster.apply(kustomization).await?;
        self.wait_applied(kustomization, &self.repository.head()?).await
    }

    /// Waits until Ready has this status and reason; returns the message.
    pub(crate) async fn wait_condition(
        &self,
        object: &Value,
        status: &str,
        reason: &str,
    ) -> anyhow::Result<String> {
        let matches = |object: &Value| {
            condition(object, "Ready").is_some_and(|found| (found.0, found.1) == (status, reason))
        };
        let found = self.wait(object, &format!("Ready is {status} because of {reason}"), matches).await?;
        Ok(condition(&found, "Ready").map(|(_, _, message)| message.to_owned()).unwrap_or_default())
    }

    pub(crate) async fn wait(
        &self,
        object: &Value,
        what: &str,
        is: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<Value> {
        let waited = self.cluster.wait_for(object, what, is).await;
        waited.with_context(|| format!("the controller has logged:\n{}", self.controller.log()))
    }

    /// The ids in the inventory of a Kustomization.
    pub(crate) async fn inventory(&self, kustomization: &Value) -> anyhow::Result<Vec<String>> {
        let object = self.cluster.get(kustomization).await?.context("the Kustomization is gone")?;
        let entries = object["status"]["inventory"]["entries"].as_array().cloned().unwrap_or_default();
        Ok(entries.iter().filter_map(|entry| Some(entry["id"].as_str()?.to_owned())).collect())
    }
}

/// The cluster of this test run, with the definitions installed.
pub(crate) async fn cluster() -> anyhow::Result<Cluster> {
    let cluster = Cluster::from_env().await?;
    // Once for all tests.
    CRDS.get_or_try_init(|| install_crds(&cluster)).await?;
    Ok(cluster)
}

/// A ConfigMap as YAML.
pub(crate) fn config_map(name: &str, value: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\ndata:\n  key: {value}\n")
}

/// A Deployment as YAML. The image exists in name only: the nodes of the test cluster run nothing.
pub(crate) fn deployment(name: &str, replicas: u32) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: {name}\nspec:\n  replicas: {replicas}\n  \
         selector:\n    matchLabels: {{app: {name}}}\n  template:\n    metadata:\n      labels: {{app: {name}}}\n    \
         spec:\n      containers:\n      - {{name: app, image: example.invalid/app}}\n"
    )
}
