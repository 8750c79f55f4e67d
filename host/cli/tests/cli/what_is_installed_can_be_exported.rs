use serde::Deserialize as _;
use serde_json::Value;

use crate::plumb::plumb;

fn exported(args: &[&str]) -> Vec<Value> {
    let text = plumb(&[&["install", "--export"], args].concat()).result();
    serde_yaml::Deserializer::from_str(&text).map(|document| Value::deserialize(document).unwrap()).collect()
}

fn names(manifests: &[Value]) -> String {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let name = |object: &Value| format!("{}/{}\n", text(&object["kind"]), text(&object["metadata"]["name"]));
    manifests.iter().map(name).collect()
}

#[test]
fn the_crds_alone() {
    insta::assert_snapshot!(names(&exported(&["--crds-only"])), @"
    CustomResourceDefinition/buckets.source.toolkit.fluxcd.io
    CustomResourceDefinition/externalartifacts.source.toolkit.fluxcd.io
    CustomResourceDefinition/gitrepositories.source.toolkit.fluxcd.io
    CustomResourceDefinition/helmcharts.source.toolkit.fluxcd.io
    CustomResourceDefinition/helmreleases.helm.toolkit.fluxcd.io
    CustomResourceDefinition/helmrepositories.source.toolkit.fluxcd.io
    CustomResourceDefinition/kustomizations.kustomize.toolkit.fluxcd.io
    CustomResourceDefinition/ocirepositories.source.toolkit.fluxcd.io
    CustomResourceDefinition/pipelines.plumbline.dev
    CustomResourceDefinition/plugins.plumbline.dev
    CustomResourceDefinition/pluginpolicies.plumbline.dev
    ");
}

#[test]
fn everything_with_the_crds_first() {
    insta::assert_snapshot!(names(&exported(&[])), @"
    CustomResourceDefinition/buckets.source.toolkit.fluxcd.io
    CustomResourceDefinition/externalartifacts.source.toolkit.fluxcd.io
    CustomResourceDefinition/gitrepositories.source.toolkit.fluxcd.io
    CustomResourceDefinition/helmcharts.source.toolkit.fluxcd.io
    CustomResourceDefinition/helmreleases.helm.toolkit.fluxcd.io
    CustomResourceDefinition/helmrepositories.source.toolkit.fluxcd.io
    CustomResourceDefinition/kustomizations.kustomize.toolkit.fluxcd.io
    CustomResourceDefinition/ocirepositories.source.toolkit.fluxcd.io
    CustomResourceDefinition/pipelines.plumbline.dev
    CustomResourceDefinition/plugins.plumbline.dev
    CustomResourceDefinition/pluginpolicies.plumbline.dev
    Namespace/plumbline-system
    ServiceAccount/plumb-controller
    ClusterRoleBinding/plumb-controller
    Deployment/plumb-controller
    ");
}

#[test]
fn the_image_is_that_of_this_version_or_the_one_named() {
    let image = |args: &[&str]| {
        let manifests = exported(args);
        let deployment = manifests.into_iter().find(|object| object["kind"] == "Deployment").unwrap();
        deployment["spec"]["template"]["spec"]["containers"][0]["image"].clone()
    };
    assert_eq!(image(&[]), concat!("ghcr.io/plumbline/plumb:v", env!("CARGO_PKG_VERSION")));
    assert_eq!(image(&["--image", "registry.example/plumb:1"]), "registry.example/plumb:1");
}
