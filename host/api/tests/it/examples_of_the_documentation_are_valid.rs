use std::path::Path;

use plumb_api::{
    Bucket, ExternalArtifact, GitRepository, HelmChart, HelmRelease, HelmRepository, Kustomization,
    OciRepository, Pipeline, Plugin, PluginPolicy,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize as _, Serialize};
use serde_json::Value;

/// Each block of YAML in docs/spec is an object, or a part of the object with which the page begins: `spec: …` without the rest.
#[test]
fn every_block_of_yaml_is_read_with_all_its_fields() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/spec");
    let mut checked = 0;
    for page in directory.read_dir().unwrap() {
        let page = page.unwrap().path();
        let text = std::fs::read_to_string(&page).unwrap();
        let mut whole = None;
        for (line, block) in blocks(&text) {
            let place = format!("{}:{line}", page.display());
            for example in documents(block).unwrap_or_else(|error| panic!("{place}: {error}")) {
                let is_part =
                    example.as_object().is_some_and(|fields| fields.keys().all(|key| is_a_part(key)));
                let object = match &whole {
                    Some(whole) if is_part => merged(whole, &example),
                    _ => example,
                };
                if let Some(problem) = problem(&object) {
                    panic!("{place}: {problem}");
                }
                checked += usize::from(object.get("kind").is_some());
                whole.get_or_insert(object);
            }
        }
    }
    assert!(checked > 20, "only {checked} examples were found");
}

/// The blocks of YAML of a page, each with the number of its first line.
fn blocks(page: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) = page[at..].find("```yaml\n") {
        let start = at + start + "```yaml\n".len();
        let end = start + page[start..].find("```").expect("a block has an end");
        found.push((page[..start].lines().count() + 1, &page[start..end]));
        at = end + "```".len();
    }
    found
}

fn documents(block: &str) -> Result<Vec<Value>, serde_yaml::Error> {
    serde_yaml::Deserializer::from_str(block).map(Value::deserialize).collect()
}

fn is_a_part(field: &str) -> bool {
    ["metadata", "spec", "status"].contains(&field)
}

/// An object with some fields replaced or added. Lists are replaced as a whole.
fn merged(object: &Value, part: &Value) -> Value {
    let (Value::Object(fields), Value::Object(part)) = (object, part) else { return part.clone() };
    let mut fields = fields.clone();
    for (key, value) in part {
        let before = fields.get(key).unwrap_or(&Value::Null);
        let after = merged(before, value);
        fields.insert(key.clone(), after);
    }
    Value::Object(fields)
}

/// What is wrong with an object, if it is one of ours.
fn problem(object: &Value) -> Option<String> {
    let kind = |group: &str| object["apiVersion"].as_str().is_some_and(|version| version.starts_with(group));
    let ours = [
        "source.toolkit.fluxcd.io/",
        "kustomize.toolkit.fluxcd.io/",
        "helm.toolkit.fluxcd.io/",
        "plumbline.dev/",
    ];
    if !ours.into_iter().any(kind) {
        return None;
    }
    match object["kind"].as_str().unwrap_or_default() {
        "Bucket" => lost::<Bucket>(object),
        "ExternalArtifact" => lost::<ExternalArtifact>(object),
        "GitRepository" => lost::<GitRepository>(object),
        "HelmChart" => lost::<HelmChart>(object),
        "HelmRelease" => lost::<HelmRelease>(object),
        "HelmRepository" => lost::<HelmRepository>(object),
        "Kustomization" => lost::<Kustomization>(object),
        "OCIRepository" => lost::<OciRepository>(object),
        "Pipeline" => lost::<Pipeline>(object),
        "Plugin" => lost::<Plugin>(object),
        "PluginPolicy" => lost::<PluginPolicy>(object),
        other => Some(format!("there is no kind {other:?}")),
    }
}

/// Why an object cannot be read, or a field that is lost on the way: there is none of this name.
fn lost<K: DeserializeOwned + Serialize>(object: &Value) -> Option<String> {
    match serde_json::from_value::<K>(object.clone()) {
        Err(error) => Some(error.to_string()),
        Ok(read) => lost_field("", object, &serde_json::to_value(read).unwrap()),
    }
}

/// What is false or empty may be left out.
fn lost_field(path: &str, written: &Value, read: &Value) -> Option<String> {
    match written {
        Value::Object(fields) => {
            let below =
                |(key, value): (&String, &Value)| lost_field(&format!("{path}.{key}"), value, &read[key]);
            fields.iter().find_map(below)
        }
        Value::Array(items) => {
            let mut below = items.iter().enumerate();
            below.find_map(|(index, value)| lost_field(&format!("{path}[{index}]"), value, &read[index]))
        }
        Value::Bool(false) => None,
        Value::String(text) if text.is_empty() => None,
        value => {
            (value != read).then(|| format!("{path} is {value} in the example and {read} when it is read"))
        }
    }
}

#[test]
fn a_misspelt_field_and_a_wrong_value_are_found() {
    let page = "text\n```yaml\napiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: a}\n\
                spec: {interval: 1m, prune: true, sourceRef: {kind: GitRepository, name: a}}\n```\n```yaml\nspec: {}\n```\n";
    let blocks = blocks(page);
    assert_eq!(blocks.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [3, 9]);
    let whole = documents(blocks[0].1).unwrap().remove(0);
    let with = |part: &str| problem(&merged(&whole, &documents(part).unwrap().remove(0)));
    assert_eq!(with("spec: {path: ./a, suspend: false}"), None);
    let misspelt = with("spec: {dependsOn: [{nam: a, name: b}]}").unwrap();
    assert!(misspelt.starts_with(".spec.dependsOn[0].nam is "), "{misspelt}");
    assert!(with("spec: {interval: 1d}").unwrap().contains("is not a duration"));
}
