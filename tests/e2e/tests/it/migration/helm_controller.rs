//! A Helm release as Flux's source- and helm-controller leave it: a HelmChart, a record, objects and a status.

use std::io::Write as _;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams, PostParams};
use plumb_api::ReleaseAction;
use plumb_helm::{record, snapshot};
use serde_json::{Value, json};

use super::flux::Flux;
use crate::releases::{self, CHART, SETTINGS, VALUES, release};
use crate::scene::Scene;

/// The field manager of helm-controller, and the one with which it writes statuses and finalizers.
pub(super) const RELEASER: &str = "helm-controller";
const STATUS: &str = "gotk-helm-controller";

/// An object that a Helm 3 has created, which did not apply on the server's side.
const OLDER: &str =
    "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}-older\ndata:\n  key: old\n";

/// A cluster in which Flux has installed the release `web`, and in which no controller runs.
pub(super) async fn left_by_flux(name: &str) -> anyhow::Result<(Scene, Value)> {
    let mut scene = releases::scene(name, &[("charts/web/templates/older.yaml", OLDER)]).await?;
    scene.controller.kill()?;
    let flux = Flux(&scene);
    let commit = scene.repository.head()?;
    flux.fetched(&scene.source(), &commit).await?;
    let chart = helm_chart(&scene);
    let (api, chart_name) = flux.api_of(&chart)?;
    api.patch(&chart_name, &PatchParams::apply(RELEASER), &Patch::Apply(&chart)).await?;
    pulled(&flux, &chart, &commit).await?;

    let web = web(&scene, json!({}));
    scene.cluster.apply(&web).await?;
    let (settings, older) = (object(&scene, "settings", &settings_data(1)), older(&scene));
    apply(&flux, &settings).await?;
    let (api, _) = flux.api_of(&older)?;
    let params = PostParams { field_manager: Some(RELEASER.to_owned()), ..PostParams::default() };
    api.create(&params, &serde_json::from_value(older)?).await?;
    let snapshot = recorded(&scene).await?;
    finish(&flux, &web, &snapshot).await?;
    Ok((scene, web))
}

/// The HelmRelease; `spec` overrides what it says by default.
pub(super) fn web(scene: &Scene, spec: Value) -> Value {
    let mut web = release(scene, "web", json!({"values": {"key": "two"}}));
    web["spec"]["chart"]["spec"]["reconcileStrategy"] = "ChartVersion".into();
    for (field, value) in spec.as_object().into_iter().flatten() {
        web["spec"][field] = value.clone();
    }
    web
}

/// What the object `settings` has in a revision of the release.
pub(super) fn settings_data(revision: i64) -> Value {
    json!({"key": "two", "revision": revision.to_string()})
}

/// An object of the release as Flux sends it.
pub(super) fn object(scene: &Scene, name: &str, data: &Value) -> Value {
    let mut object = rendered(scene, name, data);
    object["metadata"]["namespace"] = scene.namespace.clone().into();
    object["metadata"]["labels"]["app.kubernetes.io/managed-by"] = "Helm".into();
    object["metadata"]["annotations"] =
        json!({"meta.helm.sh/release-name": "web", "meta.helm.sh/release-namespace": scene.namespace});
    object
}

/// An object of the release as its manifest has it: what Helm adds when it applies is not there.
fn rendered(scene: &Scene, name: &str, data: &Value) -> Value {
    let labels =
        json!({"helm.toolkit.fluxcd.io/name": "web", "helm.toolkit.fluxcd.io/namespace": scene.namespace});
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("web-{name}"), "labels": labels}, "data": data,
    })
}

/// The one that a Helm 3 has created.
pub(super) fn older(scene: &Scene) -> Value {
    object(scene, "older", &older_data())
}

fn older_data() -> Value {
    json!({"key": "old"})
}

/// Applies an object as Helm 4 in Flux does.
pub(super) async fn apply(flux: &Flux<'_>, object: &Value) -> anyhow::Result<Value> {
    let (api, name) = flux.api_of(object)?;
    let applied = api.patch(&name, &PatchParams::apply(RELEASER).force(), &Patch::Apply(object)).await?;
    Ok(serde_json::to_value(applied)?)
}

fn helm_chart(scene: &Scene) -> Value {
    let mut chart =
        scene.object("source.toolkit.fluxcd.io/v1", "HelmChart", &format!("{}-web", scene.namespace));
    chart["metadata"]["labels"] =
        json!({"helm.toolkit.fluxcd.io/name": "web", "helm.toolkit.fluxcd.io/namespace": scene.namespace});
    chart["spec"] = json!({
        "chart": "./charts/web", "version": "*", "interval": "1h", "reconcileStrategy": "ChartVersion",
        "sourceRef": {"kind": "GitRepository", "name": "source"},
    });
    chart
}

/// The status of a HelmChart that source-controller has packaged.
async fn pulled(flux: &Flux<'_>, chart: &Value, commit: &str) -> anyhow::Result<()> {
    let finalizers = json!({"metadata": {"finalizers": ["finalizers.fluxcd.io"]}});
    flux.0.cluster.edit_as("gotk-source-controller", chart, &finalizers).await?;
    let path = format!("helmchart/{0}/{0}-web/web-1.0.0.tgz", flux.0.namespace);
    let condition = |type_: &str, reason: &str| {
        json!({"type": type_, "status": "True", "reason": reason, "observedGeneration": 1,
            "message": "packaged 'web' chart with version '1.0.0'", "lastTransitionTime": "2026-01-01T00:00:00Z"})
    };
    let artifact = json!({
        "revision": "1.0.0", "path": path, "lastUpdateTime": "2026-01-01T00:00:00Z", "size": 1000,
        "digest": "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "url": format!("http://source-controller.flux-system.svc.cluster.local./{path}"),
    });
    let status = json!({"status": {
        "observedGeneration": 1, "artifact": artifact, "observedChartName": "web",
        "observedSourceArtifactRevision": format!("main@sha1:{commit}"),
        "conditions": [condition("Ready", "ChartPackageSucceeded"), condition("ArtifactInStorage", "ChartPackageSucceeded")],
    }});
    flux.write_status("gotk-source-controller", chart, &status).await
}

/// Writes the record of the release as Helm does, and returns the entry of `status.history` that Flux writes of it.
async fn recorded(scene: &Scene) -> anyhow::Result<Value> {
    let document = |name: &str, data: &Value| -> anyhow::Result<String> {
        let text = serde_yaml::to_string(&rendered(scene, name, data))?;
        Ok(format!("---\n# Source: web/templates/{name}.yaml\n{text}"))
    };
    let manifest = document("older", &older_data())? + &document("settings", &settings_data(1))?;
    let file = |name: &str, text: &str| json!({"name": name, "data": BASE64.encode(text)});
    let chart = json!({
        "metadata": {"name": "web", "version": "1.0.0", "apiVersion": "v2", "appVersion": "7"}, "lock": null,
        "templates": [file("templates/older.yaml", OLDER), file("templates/settings.yaml", SETTINGS)],
        "values": serde_yaml::from_str::<Value>(VALUES)?, "schema": null, "files": [file("Chart.yaml", CHART)],
    });
    let at = "2026-01-01T00:00:00.123456789Z";
    let release = json!({
        "name": "web", "version": 1, "namespace": scene.namespace, "manifest": manifest, "chart": chart,
        "config": {"key": "two"}, "apply_method": "ssa",
        "info": {"first_deployed": at, "last_deployed": at, "description": "Install complete", "status": "deployed"},
    });
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gz.write_all(release.to_string().as_bytes())?;
    let stored = BASE64.encode(gz.finish()?);
    let mut secret = releases::record(scene, "web", 1);
    secret["type"] = "helm.sh/release.v1".into();
    secret["metadata"]["labels"] = json!({"name": "web", "owner": "helm", "status": "deployed", "version": "1", "createdAt": "1767225600"});
    secret["data"] = json!({"release": BASE64.encode(stored)});
    scene.cluster.apply(&secret).await?;
    let secret: Secret = serde_json::from_value(secret)?;
    // That the digests are Flux's, the tests of plumb-helm compare.
    let record = record::decode(&secret)?;
    Ok(serde_json::to_value(snapshot::of(&record, Some(ReleaseAction::Install), None))?)
}

/// Writes the finalizer and the status of a HelmRelease whose release is installed.
async fn finish(flux: &Flux<'_>, web: &Value, snapshot: &Value) -> anyhow::Result<()> {
    let scene = flux.0;
    let live = scene.cluster.get(web).await?.context("the HelmRelease is gone")?;
    let generation = &live["metadata"]["generation"];
    let finalizers = json!({"metadata": {"finalizers": ["finalizers.fluxcd.io"]}});
    scene.cluster.edit_as(STATUS, web, &finalizers).await?;
    let message =
        format!("Helm install succeeded for release {}/web.v1 with chart web@1.0.0", scene.namespace);
    let condition = |type_: &str| {
        json!({"type": type_, "status": "True", "reason": "InstallSucceeded", "observedGeneration": generation,
            "message": message, "lastTransitionTime": "2026-01-01T00:00:00Z"})
    };
    let entry = |name: &str| json!({"id": format!("{}_web-{name}__ConfigMap", scene.namespace), "v": "v1"});
    let status = json!({"status": {
        "observedGeneration": generation, "lastAttemptedGeneration": generation,
        "conditions": [condition("Ready"), condition("Released")],
        "helmChart": format!("{0}/{0}-web", scene.namespace), "storageNamespace": scene.namespace,
        "history": [snapshot], "inventory": {"entries": [entry("older"), entry("settings")]},
        "lastAttemptedConfigDigest": snapshot["configDigest"], "lastAttemptedReleaseAction": "install",
        "lastAttemptedReleaseActionDuration": "1.2s", "lastAttemptedRevision": "1.0.0",
    }});
    flux.write_status(STATUS, web, &status).await
}
