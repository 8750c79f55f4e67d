#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use plumb_api::{CrdsPolicy, GroupVersionKind, HelmRelease, ReleaseStatus};
use rstest::rstest;

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

static WITHOUT_CLUSTER: Capabilities =
    Capabilities { kube_version: None, api_versions: Vec::new(), additional_api_versions: Vec::new() };

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
        values,
        capabilities: &WITHOUT_CLUSTER,
        occasion: Occasion::Upgrade { revision: 3 },
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
        "path": "charts/web", "as": "release", "values": {}, "capabilities": {}, "skipSchemaValidation": true,
        "release": {"name": "web", "namespace": "shop", "revision": 3, "isUpgrade": true},
    });
    assert_eq!(rendering.parameters(), expected);
    let kinds = [("apps/v1", "Deployment"), ("apps/v1", "DaemonSet"), ("v1", "Pod")];
    let kinds = kinds.map(|(api_version, kind)| GroupVersionKind::new(api_version, kind));
    let capabilities = Capabilities {
        additional_api_versions: vec!["example.com/v1".to_owned()],
        ..Capabilities::of_cluster("v1.34.0".to_owned(), &kinds)
    };
    let occasion = Occasion::Install { revision: 1 };
    let parameters = Rendering { occasion, capabilities: &capabilities, ..rendering }.parameters();
    assert_eq!(parameters["skipSchemaValidation"], false);
    let expected = json!({
        "kubeVersion": "v1.34.0",
        "apiVersions": ["apps/v1", "v1", "apps/v1/Deployment", "apps/v1/DaemonSet", "v1/Pod"],
        "additionalAPIVersions": ["example.com/v1"],
    });
    assert_eq!(parameters["capabilities"], expected);
}

#[rstest]
#[case::nothing(None, false, Occasion::Install { revision: 1 })]
#[case::deployed(Some((3, ReleaseStatus::Deployed)), false, Occasion::Upgrade { revision: 4 })]
#[case::failed(Some((1, ReleaseStatus::Failed)), false, Occasion::Upgrade { revision: 2 })]
#[case::interrupted(Some((2, ReleaseStatus::PendingUpgrade)), false, Occasion::Upgrade { revision: 3 })]
#[case::uninstalled_and_kept(Some((3, ReleaseStatus::Uninstalled)), false, Occasion::Install { revision: 4 })]
#[case::going(Some((3, ReleaseStatus::Uninstalling)), false, Occasion::Install { revision: 1 })]
#[case::going_but_kept(Some((3, ReleaseStatus::Uninstalling)), true, Occasion::Install { revision: 4 })]
fn what_follows_is_told_by_the_newest_revision(
    #[case] newest: Option<(i64, ReleaseStatus)>,
    #[case] keeps_history: bool,
    #[case] expected: Occasion,
) {
    let spec = spec(&json!({"uninstall": {"keepHistory": keeps_history}}));
    assert_eq!(Occasion::after(newest, &spec), expected);
}

#[test]
fn an_install_and_an_upgrade_have_fields_of_their_own() {
    let spec = spec(&json!({
        "install": {"crds": "Skip", "disableHooks": true},
        "upgrade": {"crds": "CreateReplace", "disableSchemaValidation": true, "preserveValues": true},
    }));
    let of = |occasion: Occasion| {
        let (hooks, validated) = (occasion.runs_hooks(&spec), occasion.validates_values(&spec));
        (occasion.crds(&spec), hooks, validated, occasion.preserves_values(&spec))
    };
    assert_eq!(of(Occasion::of(1)), (CrdsPolicy::Skip, false, true, false));
    assert_eq!(of(Occasion::of(2)), (CrdsPolicy::CreateReplace, true, false, true));
}

#[test]
fn definitions_are_created_by_an_install_and_left_alone_by_an_upgrade() {
    let spec = spec(&json!({}));
    assert_eq!(Occasion::of(1).crds(&spec), CrdsPolicy::Create);
    assert_eq!(Occasion::of(2).crds(&spec), CrdsPolicy::Skip);
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
