#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};

use super::{Node, Tree, render};
use crate::read::{Error, Kind};

/// Files by their path.
struct Files(BTreeMap<&'static str, String>);

impl Files {
    fn new<const N: usize>(files: [(&'static str, &str); N]) -> Self {
        Self(files.into_iter().map(|(path, text)| (path, text.to_owned())).collect())
    }
}

impl Tree for Files {
    fn list(&self, path: &str) -> Result<Vec<String>, Error> {
        let prefix = if path.is_empty() { String::new() } else { format!("{path}/") };
        let names: BTreeSet<_> = self
            .0
            .keys()
            .filter_map(|file| file.strip_prefix(&prefix))
            .map(|rest| rest.split('/').next().unwrap().to_owned())
            .collect();
        Ok(names.into_iter().collect())
    }

    fn stat(&self, path: &str) -> Result<Node, Error> {
        if self.0.contains_key(path) {
            return Ok(if path.ends_with("broken.yaml") { Node::Opaque } else { Node::File });
        }
        if path.is_empty() || self.0.keys().any(|file| file.starts_with(&format!("{path}/"))) {
            // `loop` is a link to the root.
            let resolved = if path.ends_with("loop") { String::new() } else { path.to_owned() };
            return Ok(Node::Directory { resolved });
        }
        Err(Error::not_found())
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, Error> {
        self.0.get(path).map(|text| text.clone().into_bytes()).ok_or_else(Error::not_found)
    }
}

fn object(name: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n")
}

fn names(objects: &[String]) -> Vec<String> {
    objects
        .iter()
        .map(|object| {
            serde_json::from_str::<serde_json::Value>(object).unwrap()["metadata"]["name"].to_string()
        })
        .collect()
}

#[test]
fn every_manifest_below_the_directory_is_read_in_order() {
    let tree = Files::new([
        ("apps/b.yml", &object("b")),
        ("apps/a.yaml", &object("a")),
        ("apps/c/d.json", r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "d"}}"#),
        ("apps/.hidden/x.yaml", &object("hidden")),
        ("apps/loop/y.yaml", &object("circle")),
        ("apps/README.md", "not YAML: ["),
        ("other/z.yaml", &object("z")),
    ]);
    let objects = render(&tree, r#"{"path": "./apps/"}"#).unwrap();
    assert_eq!(names(&objects), ["\"a\"", "\"b\"", "\"d\""]);
}

#[test]
fn one_file_can_be_named() {
    let tree = Files::new([("a.yaml", &object("a")), ("b.txt", &object("b"))]);
    assert_eq!(names(&render(&tree, r#"{"path": "b.txt"}"#).unwrap()), ["\"b\""]);
}

#[test]
fn every_error_is_returned_with_its_file() {
    let tree = Files::new([
        ("a.yaml", "a: ["),
        ("b.yaml", &object("b")),
        ("broken.yaml", ""),
        ("d.yaml", "x: 1\nx: 2\n"),
    ]);
    let errors = render(&tree, "{}").unwrap_err();
    let files: Vec<_> = errors.iter().map(|error| error.file.clone().unwrap()).collect();
    assert_eq!(files, ["a.yaml", "broken.yaml", "d.yaml"]);
    assert_eq!(errors[2].line, Some(2));
}

#[test]
fn a_path_that_does_not_exist_and_parameters_that_are_wrong_are_named() {
    let tree = Files::new([("a.yaml", &object("a"))]);
    let error = render(&tree, r#"{"path": "nope"}"#).unwrap_err().remove(0);
    assert_eq!((error.kind, error.file), (Kind::NotFound, None));
    assert!(error.message.contains("\"nope\""), "{}", error.message);
    let error = render(&tree, r#"{"pat": "nope"}"#).unwrap_err().remove(0);
    assert_eq!(error.kind, Kind::InvalidInput);
    assert!(error.message.contains("unknown field `pat`"), "{}", error.message);
}
