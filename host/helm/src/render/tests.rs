#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use plumb_api::HelmRelease;

use super::*;

fn spec(more: &Value) -> HelmReleaseSpec {
    let mut spec = json!({"interval": "5m", "chartRef": {"kind": "HelmChart", "name": "web"}});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let release: HelmRelease = serde_json::from_value(json!({
        "apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease", "metadata": {"name": "web"}, "spec": spec,
    }))
    .unwrap();
    release.spec
}

fn rendering<'a>(spec: &'a HelmReleaseSpec, values: &'a Values) -> Rendering<'a> {
    Rendering {
        spec,
        ownership: Ownership {
            release_name: "web",
            release_namespace: "shop",
            name: "web",
            namespace: "apps",
        },
        path: "charts/web",
        values_files: &[],
        values,
        capabilities: None,
        revision: 3,
        is_upgrade: true,
    }
}

fn rendered() -> Vec<Object> {
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}});
    let release = json!({
        "apiVersion": "plumbline.dev/v1alpha1", "kind": "RenderedRelease", "metadata": {"name": "web"},
        "objects": [{"source": "web/templates/a.yaml", "object": object}],
        "chart": {"metadata": {"name": "web", "version": "1.0.0"}},
    });
    vec![Object::new(release).unwrap()]
}

#[test]
fn the_plugin_is_told_what_the_spec_says_of_this_action() {
    let (spec, values) = (spec(&json!({"upgrade": {"disableSchemaValidation": true}})), Values::default());
    let rendering = rendering(&spec, &values);
    let expected = json!({
        "path": "charts/web", "as": "release", "values": {}, "valuesFiles": [], "skipSchemaValidation": true,
        "release": {"name": "web", "namespace": "shop", "revision": 3, "isUpgrade": true},
    });
    assert_eq!(rendering.parameters(), expected);
    let install =
        Rendering { is_upgrade: false, capabilities: Some(json!({"kubeVersion": "v1.34.0"})), ..rendering };
    let parameters = install.parameters();
    assert_eq!(parameters["skipSchemaValidation"], false);
    assert_eq!(parameters["capabilities"], json!({"kubeVersion": "v1.34.0"}));
}

#[test]
fn every_post_renderer_gets_what_the_one_before_has_made() {
    let patch = |patch: &str| json!({"kustomize": {"patches": [{"patch": patch}]}});
    let spec = spec(&json!({
        "postRenderers": [patch("first"), patch("second")], "commonMetadata": {"labels": {"team": "shop"}},
    }));
    let values = Values::default();
    let mut seen = Vec::new();
    let release = rendering(&spec, &values).finish(rendered(), |[kustomization, input]| {
        seen.push(format!("{}\n{}", kustomization.text, input.text));
        let object = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"by": seen.len().to_string()},
        });
        Ok::<_, String>(vec![Object::new(object).unwrap()])
    });
    let release = release.unwrap_or_else(|error| panic!("{error}"));
    assert!(seen[0].contains("first") && !seen[0].contains("by:"), "{}", seen[0]);
    assert!(seen[1].contains("second") && seen[1].contains("by: \"1\""), "{}", seen[1]);
    let object = &release.objects[0].object;
    assert_eq!(object["data"], json!({"by": "2"}));
    assert_eq!(object["metadata"]["labels"]["team"], "shop");
    assert_eq!(object["metadata"]["labels"]["helm.toolkit.fluxcd.io/name"], "web");
}

#[test]
fn what_fails_is_named() {
    let kustomize = json!({"kustomize": {}});
    let (spec, values) = (spec(&json!({"postRenderers": [kustomize]})), Values::default());
    let rendering = rendering(&spec, &values);
    let error = rendering.finish(rendered(), |_| Err("no match")).err().unwrap();
    assert_eq!(error.to_string(), "spec.postRenderers[0]: no match");
    let error = rendering.finish(Vec::new(), |_| Err("not run")).err().unwrap();
    assert_eq!(
        error.to_string(),
        "what the helm plugin has rendered cannot be read: it is no RenderedRelease"
    );
}
