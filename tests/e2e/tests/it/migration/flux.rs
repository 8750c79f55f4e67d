//! Writes objects as Flux's controllers write them: the same field managers, labels, statuses and finalizers.

use anyhow::Context as _;
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};
use sha2::Digest as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::scene::Scene;

/// The field manager with which kustomize-controller applies.
pub(super) const APPLIER: &str = "kustomize-controller";
/// The one with which it writes statuses and finalizers.
const STATUS: &str = "gotk-kustomize-controller";

pub(super) struct Flux<'a>(pub(super) &'a Scene);

impl Flux<'_> {
    /// Applies an object of a Kustomization, as kustomize-controller has done since Flux 0.19.
    pub(super) async fn apply(&self, kustomization: &str, object: &Value) -> anyhow::Result<Value> {
        let (api, name) = self.api_of(object)?;
        let params = PatchParams::apply(APPLIER).force();
        let applied = api.patch(&name, &params, &Patch::Apply(self.labelled(kustomization, object))).await;
        Ok(serde_json::to_value(applied.with_context(|| format!("cannot apply {name}"))?)?)
    }

    /// Creates an object as a version before that did, which ran kubectl: with a copy of the object, and a checksum.
    pub(super) async fn create_as_kubectl_did(
        &self,
        kustomization: &str,
        object: &Value,
        manager: &str,
    ) -> anyhow::Result<()> {
        let (api, _) = self.api_of(object)?;
        let mut object = self.labelled(kustomization, object);
        object["metadata"]["annotations"] = json!({
            "kubectl.kubernetes.io/last-applied-configuration": object.to_string(),
            "kustomize.toolkit.fluxcd.io/checksum": "3a9f",
        });
        let params = PostParams { field_manager: Some(manager.to_owned()), ..PostParams::default() };
        api.create(&params, &serde_json::from_value(object)?).await?;
        Ok(())
    }

    /// Writes the finalizer and the status of a Kustomization that has applied these objects at a commit.
    pub(super) async fn finish(
        &self,
        kustomization: &Value,
        commit: &str,
        ids: &[String],
    ) -> anyhow::Result<()> {
        let revision = format!("main@sha1:{commit}");
        let live = self.0.cluster.get(kustomization).await?.context("the Kustomization is gone")?;
        let generation = &live["metadata"]["generation"];
        let finalizers = json!({"metadata": {"finalizers": ["finalizers.fluxcd.io"]}});
        self.0.cluster.edit_as(STATUS, kustomization, &finalizers).await?;
        let condition = json!({
            "type": "Ready", "status": "True", "reason": "ReconciliationSucceeded", "observedGeneration": generation,
            "message": format!("Applied revision: {revision}"), "lastTransitionTime": "2026-01-01T00:00:00Z",
        });
        let entries: Vec<Value> = ids.iter().map(|id| json!({"id": id, "v": "v1"})).collect();
        let history = json!([{
            "digest": "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "firstReconciled": "2026-01-01T00:00:00Z",
            "lastReconciled": "2026-01-01T01:00:00Z", "lastReconciledDuration": "1.2s", "lastReconciledStatus": "ReconciliationSucceeded",
            "totalReconciliations": 7, "metadata": {"revision": revision},
        }]);
        let status = json!({"status": {
            "observedGeneration": generation, "conditions": [condition], "inventory": {"entries": entries}, "history": history,
            "lastAppliedRevision": revision, "lastAttemptedRevision": revision,
        }});
        self.write_status(STATUS, kustomization, &status).await
    }

    /// Writes the finalizer and the status of a source whose artifact Flux serves.
    pub(super) async fn fetched(&self, source: &Value, commit: &str) -> anyhow::Result<()> {
        let manager = "gotk-source-controller";
        let finalizers = json!({"metadata": {"finalizers": ["finalizers.fluxcd.io"]}});
        self.0.cluster.edit_as(manager, source, &finalizers).await?;
        let revision = format!("main@sha1:{commit}");
        let path = format!("gitrepository/{}/source/{commit}.tar.gz", self.0.namespace);
        let condition = |type_: &str| {
            json!({"type": type_, "status": "True", "reason": "Succeeded", "observedGeneration": 1,
                "message": format!("stored artifact for revision '{revision}'"), "lastTransitionTime": "2026-01-01T00:00:00Z"})
        };
        let artifact = json!({
            "revision": revision, "path": path, "lastUpdateTime": "2026-01-01T00:00:00Z", "size": 1000,
            "digest": "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "url": format!("http://source-controller.flux-system.svc.cluster.local./{path}"),
        });
        let status = json!({"status": {
            "observedGeneration": 1, "artifact": artifact, "conditions": [condition("Ready"), condition("ArtifactInStorage")],
        }});
        self.write_status(manager, source, &status).await
    }

    /// Serves the files of the newest commit as the source's artifact, by a Service that leads to this machine.
    pub(super) async fn serve(&self, source: &Value) -> anyhow::Result<()> {
        let scene = self.0;
        let archive = scene.repository.root().join("artifact.tar.gz");
        let output = archive.to_str().context("the path is text")?;
        scene.repository.git(&["archive", "--format=tar.gz", "-o", output, "HEAD"])?;
        let bytes = std::fs::read(&archive)?;
        let digest = format!("sha256:{:x}", sha2::Sha256::digest(&bytes));
        let listener = TcpListener::bind("0.0.0.0:0").await?;
        let port = listener.local_addr()?.port();
        tokio::spawn(answer_all(listener, bytes));
        // The API server goes to no loopback address. Nothing is sent to find out which one this machine has.
        let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
        socket.connect("192.0.2.1:9").context("this machine has no address but loopback")?;
        let address = socket.local_addr()?.ip().to_string();
        // It goes to pods only: the one of the test cluster, which runs nothing, is given the address.
        let mut pod = scene.object("v1", "Pod", "artifacts");
        pod["metadata"]["labels"] = json!({"serves": "artifacts"});
        pod["spec"] = json!({"containers": [{"name": "artifacts", "image": "example.invalid/artifacts"}]});
        scene.cluster.apply(&pod).await?;
        scene.cluster.wait_for(&pod, "the pod runs", |pod| pod["status"]["podIP"].is_string()).await?;
        let status = json!({"status": {"podIP": address, "podIPs": [{"ip": address}]}});
        self.write_status("kubelet", &pod, &status).await?;
        let mut service = scene.object("v1", "Service", "source-controller");
        service["spec"] =
            json!({"selector": {"serves": "artifacts"}, "ports": [{"port": 80, "targetPort": port}]});
        scene.cluster.apply(&service).await?;
        let url = format!("http://source-controller.{}.svc.cluster.local./artifact.tar.gz", scene.namespace);
        let artifact = json!({"status": {"artifact": {"url": url, "digest": digest}}});
        self.write_status("gotk-source-controller", source, &artifact).await
    }

    pub(super) async fn write_status(
        &self,
        manager: &str,
        object: &Value,
        status: &Value,
    ) -> anyhow::Result<()> {
        let (api, name) = self.api_of(object)?;
        let params = PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() };
        api.patch_status(&name, &params, &Patch::Merge(status)).await?;
        Ok(())
    }

    fn labelled(&self, kustomization: &str, object: &Value) -> Value {
        let mut object = object.clone();
        let labels = &mut object["metadata"]["labels"];
        labels["kustomize.toolkit.fluxcd.io/name"] = kustomization.into();
        labels["kustomize.toolkit.fluxcd.io/namespace"] = self.0.namespace.clone().into();
        object
    }

    pub(super) fn api_of(&self, object: &Value) -> anyhow::Result<(Api<DynamicObject>, String)> {
        let text =
            |pointer| object.pointer(pointer).and_then(Value::as_str).context("the object is not complete");
        let version = text("/apiVersion")?;
        let (group, version) = version.rsplit_once('/').unwrap_or(("", version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, text("/kind")?));
        let api = Api::namespaced_with(self.0.cluster.client.clone(), &self.0.namespace, &resource);
        Ok((api, text("/metadata/name")?.to_owned()))
    }
}

/// Answers every request with the same bytes.
async fn answer_all(listener: TcpListener, bytes: Vec<u8>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", bytes.len());
        let mut request = [0; 4096];
        let _ = stream.read(&mut request).await;
        let _ = stream.write_all(head.as_bytes()).await;
        let _ = stream.write_all(&bytes).await;
    }
}

/// Whoever has fields of an object, as `MANAGER OPERATION`, statuses left out.
pub(super) fn managers(object: &Value) -> Vec<String> {
    let entries = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    let text = |entry: &Value, field: &str| entry[field].as_str().unwrap_or_default().to_owned();
    let entries = entries.iter().filter(|entry| entry.get("subresource").is_none());
    let mut managers: Vec<String> =
        entries.map(|entry| format!("{} {}", text(entry, "manager"), text(entry, "operation"))).collect();
    managers.sort();
    managers
}
