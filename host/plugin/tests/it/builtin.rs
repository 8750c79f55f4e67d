//! The built-in plugins, as `cargo xtask build` makes them. A test that does not find them fails.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use plumb_plugin::{Call, CallError, ErrorKind, Host, HostConfig, Plugin, World};
use plumb_tree::Memory;
use serde_json::json;
use tempfile::TempDir;

use crate::guest::{path, view_of};

/// Compiling kustomize takes a while: one host for all tests here.
static HOST: LazyLock<(Host, TempDir)> = LazyLock::new(|| {
    let cache = TempDir::new().unwrap();
    let config = HostConfig { cache_dir: Some(cache.path().to_owned()), ..HostConfig::default() };
    (Host::new(config).unwrap(), cache)
});

pub(crate) fn plugin(name: &str) -> Plugin {
    plugin_of(World::Renderer, name)
}

pub(crate) fn plugin_of(world: World, name: &str) -> Plugin {
    let directory = std::env::var_os("PLUMB_PLUGIN_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/plugins"), PathBuf::from);
    let file = directory.join(format!("{name}.wasm"));
    assert!(file.exists(), "{} is missing; run `cargo xtask build`", file.display());
    HOST.0.load_file(name, &file, world).unwrap()
}

const DEPLOYMENT: &str = "apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  replicas: 1
";

#[test]
fn kustomize_renders_an_overlay() {
    let tree = Memory::new()
        .with_file(&path("base/kustomization.yaml"), "resources: [deployment.yaml]\n")
        .with_file(&path("base/deployment.yaml"), DEPLOYMENT)
        .with_file(
            &path("prod/kustomization.yaml"),
            "resources: [../base]\nnamePrefix: prod-\npatches:\n- path: ../patches/replicas.yaml\n",
        )
        .with_file(
            &path("patches/replicas.yaml"),
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {replicas: 5}\n",
        );
    let plugin = plugin("kustomize");
    assert!(
        plugin.imports().iter().all(|import| import.starts_with("plumbline:plugin/")),
        "{:?}",
        plugin.imports()
    );
    let parameters = json!({"path": "prod"});
    let first = plugin.render(view_of(tree.clone()), &parameters, &Call::default()).unwrap();
    assert_eq!(first.len(), 1);
    assert_eq!(first[0].id().human(), "Deployment/prod-web");
    assert_eq!(first[0].pointer("/spec/replicas"), Some(&json!(5)));
    let again = plugin.render(view_of(tree), &parameters, &Call::default()).unwrap();
    assert_eq!(first, again);
}

#[test]
fn kustomize_reports_what_is_missing() {
    let tree = Memory::new().with_file(&path("kustomization.yaml"), "resources: [missing.yaml]\n");
    let error =
        plugin("kustomize").render(view_of(tree), &json!({"path": ""}), &Call::default()).unwrap_err();
    let CallError::Reported(errors) = &error else { panic!("{error:?}") };
    assert!(error.to_string().contains("missing.yaml"), "{error}");
    assert!(errors.iter().all(|error| error.kind != ErrorKind::Internal), "{errors:?}");
}

#[test]
fn yaml_renders_plain_files() {
    let tree = Memory::new().with_file(&path("apps/web.yaml"), DEPLOYMENT);
    let objects = plugin("yaml").render(view_of(tree), &json!({"path": "apps"}), &Call::default()).unwrap();
    assert_eq!(objects.len(), 1);
    assert_eq!(objects[0].id().human(), "Deployment/web");
}

#[test]
fn jsonnet_renders_a_function_with_an_import() {
    let tree = Memory::new()
        .with_file(
            &path("app/main.jsonnet"),
            "local k = import 'k.libsonnet';\nfunction(name) { [n]: k.configMap(name + n) for n in ['-a', '-b'] }\n",
        )
        .with_file(
            &path("vendor/k.libsonnet"),
            "{ configMap(name):: { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: name }, data: std.parseYaml('{z: a, n: \"3\"}') } }\n",
        );
    let parameters = json!({"path": "app", "lib": ["vendor"], "tlas": {"name": "web"}});
    let objects = plugin("jsonnet").render(view_of(tree), &parameters, &Call::default()).unwrap();
    let names: Vec<String> = objects.iter().map(|object| object.id().human()).collect();
    assert_eq!(names, ["ConfigMap/web-a", "ConfigMap/web-b"]);
    assert_eq!(objects[0].pointer("/data/n"), Some(&json!("3")));
}

#[test]
fn cue_renders_a_package_with_imports_tags_and_values() {
    let tree = Memory::new()
        .with_file(&path("cue.mod/module.cue"), "module: \"example.com/app\"\nlanguage: version: \"v0.9.0\"\n")
        .with_file(&path("lib/lib.cue"), "package lib\n\n#Map: {apiVersion: \"v1\", kind: \"ConfigMap\", metadata: name: string, data: [string]: string}\n")
        .with_file(
            &path("app/app.cue"),
            "package app\n\nimport \"example.com/app/lib\"\n\nenv: string @tag(env)\nnames: [...string]\n\
             maps: {for n in names {(n): lib.#Map & {metadata: name: \"\\(n)-\\(env)\", data: a: \"3\"}}}\n",
        );
    let plugin = plugin("cue");
    assert!(
        plugin.imports().iter().all(|import| import.starts_with("plumbline:plugin/")),
        "{:?}",
        plugin.imports()
    );
    let parameters = json!({"path": "app", "tags": {"env": "test"}, "values": {"names": ["web", "api"]}});
    let objects = plugin.render(view_of(tree), &parameters, &Call::default()).unwrap();
    let names: Vec<String> = objects.iter().map(|object| object.id().human()).collect();
    assert_eq!(names, ["ConfigMap/web-test", "ConfigMap/api-test"]);
    assert_eq!(objects[0].pointer("/data/a"), Some(&json!("3")));
}

#[test]
fn cue_reports_every_mistake_with_its_line() {
    let tree = Memory::new().with_file(&path("a.cue"), "a: 1\na: 2\nb: c: 3\nb: c: 4\n");
    let error = plugin("cue").render(view_of(tree), &json!({"path": ""}), &Call::default()).unwrap_err();
    let CallError::Reported(errors) = &error else { panic!("{error:?}") };
    let mut lines: Vec<_> = errors.iter().map(|error| (error.file.clone(), error.line)).collect();
    lines.sort();
    assert_eq!(lines, [(Some("a.cue".to_owned()), Some(1)), (Some("a.cue".to_owned()), Some(3))]);
}
