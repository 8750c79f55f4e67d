#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use plumbline_plugin::{Errors, Object, Tree};
use serde_json::{Value, json};

use crate::{Parameters, render};

fn run(files: &[(&str, &str)], parameters: Value) -> Result<Vec<Object>, Errors> {
    let tree = Tree::in_memory(files.iter().map(|(path, text)| (*path, *text)));
    render(&tree, serde_json::from_value::<Parameters>(parameters).unwrap())
}

fn names(files: &[(&str, &str)], parameters: Value) -> Vec<String> {
    run(files, parameters)
        .unwrap()
        .iter()
        .map(|object| format!("{}/{}", object.kind(), object.name()))
        .collect()
}

fn refused(main: &str) -> Vec<String> {
    let errors = run(&[("app/main.jsonnet", main)], json!({"path": "app"})).unwrap_err();
    errors.into_iter().map(|error| error.to_string()).collect()
}

const LIB: &str = "{ configMap(name, data={}):: { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: name }, data: data } }";

#[test]
fn a_value_may_be_an_object_a_list_or_maps_of_them() {
    let render = |main: &str| names(&[("main.jsonnet", main), ("k.libsonnet", LIB)], json!({"path": ""}));
    assert_eq!(render("(import 'k.libsonnet').configMap('a')"), ["ConfigMap/a"]);
    assert_eq!(
        render("local k = import 'k.libsonnet'; [k.configMap('b'), [k.configMap('a')], null]"),
        ["ConfigMap/b", "ConfigMap/a"]
    );
    assert_eq!(
        render(
            "local k = import 'k.libsonnet'; { z: k.configMap('1'), a: { b: k.configMap('2'), hidden:: 5 } }"
        ),
        ["ConfigMap/2", "ConfigMap/1"]
    );
    assert_eq!(
        render(
            "local k = import 'k.libsonnet'; { apiVersion: 'v1', kind: 'ConfigMapList', items: [k.configMap('a'), k.configMap('b')] }"
        ),
        ["ConfigMap/a", "ConfigMap/b"]
    );
}

#[test]
fn imports_are_beside_the_file_or_in_a_library() {
    let files = [
        (
            "apps/web/main.jsonnet",
            "(import '../names.libsonnet') + (import 'k/k.libsonnet').configMap(importstr './name.txt')",
        ),
        ("apps/names.libsonnet", "{ metadata+: { labels: { a: 'b' } } }"),
        ("apps/web/name.txt", "web"),
        ("vendor/k/k.libsonnet", LIB),
    ];
    assert_eq!(names(&files, json!({"path": "apps/web", "lib": ["lib", "vendor"]})), ["ConfigMap/web"]);
    let told = run(&files, json!({"path": "apps/web/main.jsonnet"})).unwrap_err().as_slice()[0].to_string();
    assert!(told.starts_with("apps/web/main.jsonnet: there is no file \"k/k.libsonnet\""), "{told}");
}

#[test]
fn variables_and_arguments_are_any_json() {
    let main = "function(name, replicas=1) { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: name }, n: replicas + std.extVar('more').n }";
    let parameters = json!({"path": "main.jsonnet", "tlas": {"name": "web", "replicas": 3}, "extVars": {"more": {"n": 4}}});
    let objects = run(&[("main.jsonnet", main)], parameters).unwrap();
    assert_eq!(objects[0].get("/n"), Some(&json!(7)));
}

#[test]
fn yaml_can_be_read_and_hashes_made() {
    let main = "std.parseYaml(importstr 'a.yaml') + { data: { hash: std.md5('a'), json: std.manifestJsonMinified({ b: 1 }) } }";
    let yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, labels: {z: '1', b: '2'}}\n";
    let objects = run(&[("main.jsonnet", main), ("a.yaml", yaml)], json!({"path": "main.jsonnet"})).unwrap();
    assert_eq!(objects[0].get("/data/hash"), Some(&json!("0cc175b9c0f1b6a831c399e269772661")));
    assert_eq!(objects[0].label("b"), Some("2"));
}

#[test]
fn mistakes_have_their_file_and_line() {
    for (main, expected) in [
        ("{\n  a: 1,\n  b: }\n", "app/main.jsonnet:3: "),
        ("{\n  a: nothing\n}", "app/main.jsonnet:2: "),
        ("local f(x) =\n  error 'no ' + x;\n{ a: f('way') }", "app/main.jsonnet:2: no way"),
        ("local a = { b: 1 };\n{ c: a.d }", "app/main.jsonnet: no such field: d"),
        ("{ a: 5, b: { c: 'text' } }", "$.a is neither an object of Kubernetes"),
        ("{ a: { apiVersion: 'v1', kind: 'Pod' } }", "$.a: an object has no metadata.name"),
        ("import '../missing.libsonnet'", "app/main.jsonnet: there is no file \"../missing.libsonnet\""),
    ] {
        let told = refused(main);
        assert!(told[0].starts_with(expected), "{main}: {told:?}");
    }
    assert_eq!(refused("{ a: 5, b: { c: 'text' } }").len(), 2);
}

// Attack 13 (Rendering): files of the machine.
#[test]
fn nothing_outside_of_the_tree_can_be_imported() {
    for path in ["/etc/passwd", "../../../etc/passwd", "../../app/../../etc/passwd"] {
        let told = refused(&format!("importstr '{path}'"));
        assert!(told[0].contains("leads out of the source"), "{told:?}");
    }
}

// Attack 27 (Plugins): recursion without end.
#[test]
fn what_never_ends_is_told() {
    for (main, expected) in [
        ("local f(x) = f(x + 1) + 1; f(0)", "too deeply, or without end"),
        ("{ a: self.b, b: self.a }", "depends on itself"),
        ("import 'main.jsonnet'", "depends on itself"),
        ("local a = [a]; a", "too deeply, or without end"),
    ] {
        let told = refused(main);
        assert!(told[0].contains(expected), "{main}: {told:?}");
    }
    assert!(refused(&("[".repeat(10_000) + &"]".repeat(10_000)))[0].contains("nested deeper"));
}

#[test]
fn the_same_input_gives_the_same_objects_in_the_same_order() {
    let main = "{ [std.char(97 + i)]: { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'c%d' % i } } for i in std.range(0, 25) }";
    let files = [("main.jsonnet", main)];
    let first = names(&files, json!({"path": ""}));
    assert_eq!(first[0], "ConfigMap/c0");
    assert_eq!(first, names(&files, json!({"path": ""})));
}
