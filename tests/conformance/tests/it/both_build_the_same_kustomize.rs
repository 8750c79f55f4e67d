use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use plumb_conformance::folder;

/// What a go.mod says of kustomize and its YAML: the versions that are required, and what replaces them.
fn kustomize(go_mod: &Path) -> BTreeMap<String, String> {
    let text = fs::read_to_string(go_mod).unwrap_or_else(|error| panic!("{}: {error}", go_mod.display()));
    text.lines()
        .map(|line| line.trim().trim_start_matches("require ").trim_start_matches("replace "))
        .filter_map(|line| line.split("//").next()?.trim().split_once(' '))
        .filter(|(module, _)| {
            ["sigs.k8s.io/", "k8s.io/", "go.yaml.in/", "gopkg.in/"]
                .iter()
                .any(|prefix| module.starts_with(prefix))
        })
        .map(|(module, version)| (module.to_owned(), version.trim().to_owned()))
        .collect()
}

#[test]
fn the_plugin_and_the_oracle_require_the_same_versions() {
    let plugin = kustomize(&folder().join("../../plugins/kustomize/go.mod"));
    let oracle = kustomize(&folder().join("oracle/go.mod"));
    assert!(plugin.contains_key("sigs.k8s.io/kustomize/api"), "no kustomize among {plugin:?}");
    assert!(plugin.contains_key("sigs.k8s.io/kustomize/kyaml"), "no kyaml among {plugin:?}");
    // The oracle has more: what Flux needs to put variables in.
    let shared: BTreeMap<_, _> =
        oracle.into_iter().filter(|(module, _)| plugin.contains_key(module)).collect();
    assert_eq!(plugin, shared, "give both go.mod files the same versions");
}
