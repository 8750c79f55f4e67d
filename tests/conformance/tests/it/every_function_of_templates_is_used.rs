use std::collections::BTreeSet;
use std::fs;

use plumb_conformance::{Rendering, charts_folder, folder};

use crate::{HELM, RELEASES};

/// What the charts use that render: an error shows nothing of the functions beside the wrong one.
fn used() -> BTreeSet<String> {
    let rendered: BTreeSet<_> = RELEASES
        .iter()
        .filter(|native| matches!(native.rendering(), Rendering::Objects(_)))
        .map(|native| native.case.as_str())
        .collect();
    let cases = HELM.used(&charts_folder()).expect("the oracle reads the charts");
    cases
        .into_iter()
        .filter(|used| rendered.contains(used.case.as_str()))
        .flat_map(|used| used.functions)
        .collect()
}

#[test]
fn by_a_chart_that_renders() {
    let used = used();
    let functions = HELM.functions().expect("the oracle knows the functions");
    assert!(functions.len() > 200, "only {} functions", functions.len());
    let missing: Vec<_> = functions.into_iter().filter(|name| !used.contains(name)).collect();
    assert!(missing.is_empty(), "no chart uses {missing:#?}");
}

/// The line of a go.mod that requires Helm.
fn required(go_mod: &str) -> String {
    let text = fs::read_to_string(folder().join(go_mod)).expect("there is a go.mod");
    let line =
        text.lines().find(|line| line.trim().trim_start_matches("require ").starts_with("helm.sh/helm"));
    line.expect("it requires Helm").trim().trim_start_matches("require ").to_owned()
}

#[test]
fn the_plugin_and_the_oracle_require_the_same_helm() {
    assert_eq!(required("../../plugins/helm/go.mod"), required("helm/go.mod"));
}
