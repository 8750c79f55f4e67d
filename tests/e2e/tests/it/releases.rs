//! What tests of releases begin with: a chart in the repository of a scene, and a HelmRelease of it.

use anyhow::Context as _;
use plumb_test_support::cluster::{condition, is_ready};
use serde_json::{Value, json};

use crate::scene::Scene;

pub(crate) const CHART: &str = "apiVersion: v2\nname: web\nversion: 1.0.0\nappVersion: \"7\"\n";
pub(crate) const VALUES: &str = "key: one\n";
/// A ConfigMap of the name of the release.
pub(crate) const SETTINGS: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}-settings\ndata:\n  \
                                   key: {{ .Values.key | quote }}\n  revision: {{ .Release.Revision | quote }}\n";

/// A scene with the chart `charts/web`, and these files besides.
pub(crate) async fn scene(name: &str, files: &[(&str, &str)]) -> anyhow::Result<Scene> {
    let mut all = vec![
        ("charts/web/Chart.yaml", CHART),
        ("charts/web/values.yaml", VALUES),
        ("charts/web/templates/settings.yaml", SETTINGS),
    ];
    all.extend_from_slice(files);
    Scene::with_files(name, &all).await
}

/// A HelmRelease of the chart; `spec` overrides what it says by default.
pub(crate) fn release(scene: &Scene, name: &str, spec: Value) -> Value {
    let source = json!({"kind": "GitRepository", "name": "source"});
    let chart =
        json!({"spec": {"chart": "./charts/web", "sourceRef": source, "reconcileStrategy": "Revision"}});
    let mut all = json!({"interval": "1h", "timeout": "1m", "chart": chart});
    if let (Some(all), Value::Object(spec)) = (all.as_object_mut(), spec) {
        all.extend(spec);
    }
    let mut release = scene.object("helm.toolkit.fluxcd.io/v2", "HelmRelease", name);
    release["spec"] = all;
    release
}

/// Applies a HelmRelease and waits until it is ready for its generation, with this revision of the release.
pub(crate) async fn released(scene: &Scene, release: &Value, revision: i64) -> anyhow::Result<Value> {
    scene.cluster.apply(release).await?;
    wait_released(scene, release, revision).await
}

pub(crate) async fn wait_released(scene: &Scene, release: &Value, revision: i64) -> anyhow::Result<Value> {
    let is = |object: &Value| {
        is_ready(object)
            && object["status"]["observedGeneration"] == object["metadata"]["generation"]
            && object["status"]["history"][0]["version"] == revision
            && object["status"]["history"][0]["status"] == "deployed"
    };
    scene.wait(release, &format!("revision {revision} is released"), is).await
}

/// The Secret with the record of a revision.
pub(crate) fn record(scene: &Scene, name: &str, revision: i64) -> Value {
    scene.object("v1", "Secret", &format!("sh.helm.release.v1.{name}.v{revision}"))
}

/// The status of a revision, as its record has it.
pub(crate) async fn status_of(scene: &Scene, name: &str, revision: i64) -> anyhow::Result<Option<String>> {
    let found = scene.cluster.get(&record(scene, name, revision)).await?;
    let label = |secret: Value| Some(secret["metadata"]["labels"]["status"].as_str()?.to_owned());
    Ok(found.and_then(label))
}

/// A condition of a release, with its reason and message.
pub(crate) async fn wait_for(
    scene: &Scene,
    release: &Value,
    type_: &str,
    status: &str,
    reason: &str,
) -> anyhow::Result<String> {
    let matches =
        |object: &Value| condition(object, type_).is_some_and(|found| (found.0, found.1) == (status, reason));
    let found = scene.wait(release, &format!("{type_} is {status} because of {reason}"), matches).await?;
    let (_, _, message) = condition(&found, type_).context("the condition has gone")?;
    Ok(message.to_owned())
}

/// Whether the node of a pod has said that it waits.
pub(crate) fn is_waiting(pod: &Value) -> bool {
    pod["status"]["containerStatuses"][0]["state"]["waiting"].is_object()
}
