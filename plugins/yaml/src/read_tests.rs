#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use super::read;
use serde_json::{Value, json};

fn objects(text: &str) -> Vec<Value> {
    let (mut objects, mut errors) = (Vec::new(), Vec::new());
    read(text.as_bytes(), &mut objects, &mut errors);
    assert_eq!(errors, []);
    objects.iter().map(|object| serde_json::from_str(object).unwrap()).collect()
}

/// The lines and messages of the errors in a text.
fn errors(text: &str) -> Vec<(Option<u32>, String)> {
    let (mut objects, mut errors) = (Vec::new(), Vec::new());
    read(text.as_bytes(), &mut objects, &mut errors);
    errors.into_iter().map(|error| (error.line, error.message)).collect()
}

/// What a value becomes inside an object.
fn value(yaml: &str) -> Value {
    let text = format!("apiVersion: v1\nkind: K\nmetadata: {{name: name}}\nvalue: {yaml}\n");
    objects(&text).remove(0)["value"].clone()
}

#[test]
fn values_are_read_as_kubernetes_reads_them() {
    for (yaml, expected) in [
        ("yes", json!(true)),
        ("on", json!(true)),
        ("y", json!(true)),
        ("Off", json!(false)),
        ("'yes'", json!("yes")),
        ("0644", json!(420)),
        ("0o644", json!(420)),
        ("0x1F", json!(31)),
        ("\"0644\"", json!("0644")),
        ("1.0", json!(1)),
        ("1e3", json!(1000)),
        ("1.5", json!(1.5)),
        ("~", json!(null)),
        ("2001-01-01", json!("2001-01-01")),
        ("190:20", json!("190:20")),
        ("18446744073709551615", json!(18_446_744_073_709_551_615_u64)),
        ("|\n  a\n  b", json!("a\nb\n")),
    ] {
        assert_eq!(value(yaml), expected, "{yaml}");
    }
}

#[test]
fn documents_lists_and_json_become_objects() {
    let text = "# only a comment\n---\napiVersion: v1\nkind: A\nmetadata: {name: a}\n---\n---\n\
                {\"apiVersion\": \"v1\", \"kind\": \"B\", \"metadata\": {\"name\": \"b\"}}\n---\n\
                apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: C, metadata: {name: c}}\n\
                - {apiVersion: v1, kind: D, metadata: {name: d}}\n";
    let kinds: Vec<_> = objects(text).iter().map(|object| object["kind"].clone()).collect();
    assert_eq!(kinds, ["A", "B", "C", "D"]);
}

#[test]
fn anchors_and_merges_are_resolved() {
    let text = "apiVersion: v1\nkind: A\nmetadata: {name: a}\nx: &x {b: 1, c: 2}\ny: {<<: *x, c: 3}\n";
    assert_eq!(objects(text)[0]["y"], json!({"b": 1, "c": 3}));
}

#[test]
fn a_field_named_items_that_is_not_a_list_stays() {
    let text = "apiVersion: v1\nkind: A\nmetadata: {name: a}\nitems: 3\n";
    assert_eq!(objects(text)[0]["items"], json!(3));
}

#[test]
fn a_key_that_comes_twice_is_an_error_with_its_line() {
    let found = errors("apiVersion: v1\nkind: A\nmetadata:\n  name: a\n  name: b\n");
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].0, Some(5));
    assert!(found[0].1.contains("duplicate"), "{}", found[0].1);
}

#[test]
fn an_error_of_syntax_names_its_line() {
    let found = errors("apiVersion: v1\nkind: A\nmetadata: {name: a\nspec: b\n");
    assert_eq!(found.len(), 1);
    assert!(found[0].0.is_some_and(|line| line >= 3), "{found:?}");
}

#[test]
fn every_document_that_is_not_an_object_is_named() {
    let found = errors("a: b\n---\njust text\n---\napiVersion: v1\nkind: A\nmetadata: {}\n");
    assert_eq!(
        found,
        [
            (
                Some(1),
                "the document is not a Kubernetes object: it lacks apiVersion, kind, metadata.name"
                    .to_owned()
            ),
            (Some(3), "the document is not a Kubernetes object but a single value".to_owned()),
            (Some(5), "the document is not a Kubernetes object: it lacks metadata.name".to_owned()),
        ]
    );
}

#[test]
fn a_file_that_grows_when_it_is_read_is_refused() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..9 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    assert_eq!(errors(&text).len(), 1);
}
