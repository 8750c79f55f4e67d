//! Flux's controllers, as their Deployments show them. Pure.

use plumb_api::Object;
use plumb_api::annotations::OWNER_NAME;
use serde::Serialize;
use serde_json::Value;

/// How many replicas a controller had before it was scaled to zero.
pub(super) const REPLICAS: &str = "plumbline.dev/flux-replicas";

/// A controller of Flux.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Controller {
    pub(super) namespace: String,
    /// The name of its Deployment.
    pub(super) name: String,
    /// What it is, for example `kustomize-controller`: shards have other names.
    pub(super) component: String,
    /// The version of its image.
    pub(super) version: String,
    /// The version of Flux that it came with.
    pub(super) flux_version: Option<String>,
    /// How many replicas it is to have.
    pub(super) replicas: i64,
    /// How many it had before `plumb migrate` scaled it to zero.
    pub(super) replicas_before: Option<i64>,
    /// The Kustomization that applies it, as Flux's bootstrap sets it up.
    pub(super) applied_by: Option<String>,
}

/// The controllers of Flux among Deployments.
pub(super) fn controllers(deployments: &[Object]) -> Vec<Controller> {
    deployments.iter().filter_map(controller).collect()
}

fn controller(deployment: &Object) -> Option<Controller> {
    let is_flux = deployment.label("app.kubernetes.io/part-of") == Some("flux");
    let component = deployment.label("app.kubernetes.io/component").unwrap_or(deployment.name());
    let is_known = ["source-controller", "kustomize-controller", "helm-controller"].contains(&component);
    if !is_flux && !is_known {
        return None;
    }
    let image = deployment.pointer("/spec/template/spec/containers/0/image").and_then(Value::as_str);
    let version = image.and_then(|image| image.split('@').next()?.rsplit_once(':'));
    let version = version.map(|(_, tag)| tag).filter(|tag| !tag.contains('/'));
    Some(Controller {
        namespace: deployment.namespace().unwrap_or_default().to_owned(),
        name: deployment.name().to_owned(),
        component: component.to_owned(),
        version: version.unwrap_or("an unknown version").to_owned(),
        flux_version: deployment.label("app.kubernetes.io/version").map(str::to_owned),
        // As the API server defaults it.
        replicas: deployment.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(1),
        replicas_before: deployment.annotation(REPLICAS).and_then(|text| text.parse().ok()),
        applied_by: deployment.label(OWNER_NAME).map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::*;

    #[test]
    fn a_controller_is_known_by_its_labels() {
        let deployment = |name: &str, labels: Value, image: &str| {
            let template = json!({"spec": {"containers": [{"image": image}]}});
            let value = json!({"apiVersion": "apps/v1", "kind": "Deployment",
                "metadata": {"name": name, "namespace": "flux-system", "labels": labels}, "spec": {"replicas": 2, "template": template}});
            Object::new(value).unwrap()
        };
        let labels = json!({"app.kubernetes.io/part-of": "flux", "app.kubernetes.io/version": "v2.9.0",
            "app.kubernetes.io/component": "source-controller", "kustomize.toolkit.fluxcd.io/name": "flux-system"});
        let found = controllers(&[
            deployment(
                "source-controller-shard1",
                labels,
                "ghcr.io/fluxcd/source-controller:v1.9.0@sha256:aa",
            ),
            deployment("kustomize-controller", json!({}), "registry:5000/kustomize-controller"),
            deployment("web", json!({}), "web:1"),
        ]);
        let told: Vec<_> =
            found.iter().map(|found| (&*found.name, &*found.component, &*found.version)).collect();
        assert_eq!(
            told,
            [
                ("source-controller-shard1", "source-controller", "v1.9.0"),
                ("kustomize-controller", "kustomize-controller", "an unknown version")
            ]
        );
        assert_eq!((found[0].replicas, found[0].applied_by.as_deref()), (2, Some("flux-system")));
    }
}
