//! `docs/plugins/writing.md`, as a reader follows it.

use std::process::Command;

use plumb_api::{Pipeline, PipelineHealth, Plugin};
use plumb_test_support::registry;
use serde::Deserialize as _;
use serde_json::Value;

use crate::plumb::{checkout, run};

const PAGE: &str = include_str!("../../../../docs/plugins/writing.md");

/// The blocks of the page in a language, in their order.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    PAGE.split(fence.as_str()).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

#[test]
fn every_command_of_it_works() {
    let registry = registry(None, None).unwrap();
    let directory = tempfile::tempdir().unwrap();
    // Without -e a shell goes on after a command that failed.
    let script =
        format!("set -euo pipefail\n{}", blocks("sh").concat()).replace("localhost:5000", registry.host());
    let plumb = std::path::Path::new(env!("CARGO_BIN_EXE_plumb")).parent().unwrap();
    let path = format!("{}:{}", plumb.display(), std::env::var("PATH").unwrap());
    let mut bash = Command::new("bash");
    bash.args(["-c", &script]).current_dir(directory.path());
    bash.env("PATH", path).env("DOCKER_CONFIG", directory.path()).env_remove("CARGO_TARGET_DIR");
    let shown = run(bash).result();
    for part in [
        "is a new transformer in Rust",
        "1 of 1 cases passed",
        "updated typo",
        "the parameters cannot be used: unknown field `lable`",
        "wants      nothing: it is a pure function",
        "is signed with cosign.pub",
        "signed by  the key that was given",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
}

#[test]
fn the_code_is_what_a_new_plugin_has() {
    let template = checkout().join("host/cli/src/plugin/templates/rust/transformer/lib.rs");
    let code = std::fs::read_to_string(template).unwrap();
    let (_, code) = code.split_once("\n\n").unwrap();
    assert_eq!(blocks("rust"), [code]);
}

#[test]
fn the_objects_are_what_the_cluster_takes() {
    let [text, health, report] = blocks("yaml")[..] else { panic!("there are three blocks of YAML") };
    let documents: Vec<Value> = serde_yaml::Deserializer::from_str(text)
        .map(|document| Value::deserialize(document).unwrap())
        .collect();
    let plugin: Plugin = serde_json::from_value(documents[0].clone()).unwrap();
    let pipeline: Pipeline = serde_json::from_value(documents[1].clone()).unwrap();
    assert_eq!(plugin.spec.image.as_deref(), Some("oci://localhost:5000/plugins/tier-label:1.0"));
    assert!(plugin.spec.verify.is_some());
    assert_eq!(pipeline.spec.steps[1].plugin, plugin.metadata.name.unwrap());

    let health: Value = serde_yaml::from_str(health).unwrap();
    let health: PipelineHealth = serde_json::from_value(health["spec"]["health"].clone()).unwrap();
    assert_eq!(health.plugins[0].plugin, "database-health");
    let cases = checkout().join("host/cli/src/plugin/templates/cases/health-check");
    let case = |file: &str| -> Value {
        serde_yaml::from_str(&std::fs::read_to_string(cases.join(file)).unwrap()).unwrap()
    };
    assert_eq!(serde_json::to_value(&health.plugins[0].with).unwrap(), case("parameters.yaml"));
    assert_eq!(serde_yaml::from_str::<Value>(report).unwrap(), case("expected.yaml"));
}
