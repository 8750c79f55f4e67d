use std::collections::BTreeSet;

use plumb_conformance::{Rendering, cases_folder};

use crate::{NATIVE, ORACLE};

/// The fields that no case renders with, and why.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("helmCharts", "kustomize runs the program helm for it, which a plugin may not"),
    ("helmGlobals", "it is only for helmCharts"),
    ("helmChartInflationGenerator", "the old name of helmCharts"),
    ("builtin:HelmChartInflationGenerator", "it does what helmCharts does"),
];

fn is_exception(field: &str) -> bool {
    EXCEPTIONS.iter().any(|(name, _)| field == *name || field.starts_with(&format!("{name}.")))
}

/// What the cases use that render: an error shows nothing of the fields beside the wrong one.
fn used() -> BTreeSet<String> {
    let rendered: BTreeSet<_> = NATIVE
        .iter()
        .filter(|native| matches!(native.rendering(), Rendering::Objects(_)))
        .map(|native| native.case.as_str())
        .collect();
    let cases = ORACLE.used(&cases_folder()).expect("the oracle reads the cases");
    cases
        .into_iter()
        .filter(|used| rendered.contains(used.case.as_str()))
        .flat_map(|used| used.fields)
        .collect()
}

#[test]
fn by_a_case_that_renders() {
    let used = used();
    let fields = ORACLE.fields().expect("the oracle knows the fields");
    assert!(
        fields.iter().any(|field| field == "patches.target.kind"),
        "the fields are not those of a kustomization"
    );
    let missing: Vec<_> =
        fields.into_iter().filter(|field| !is_exception(field) && !used.contains(field)).collect();
    assert!(missing.is_empty(), "no case uses {missing:#?}");
}

#[test]
fn and_every_exception_is_one() {
    let used = used();
    let fields = ORACLE.fields().expect("the oracle knows the fields");
    for (field, _) in EXCEPTIONS {
        assert!(fields.iter().any(|known| known == field), "{field} is no field any more");
        assert!(!used.contains(*field), "{field} is used: take it off the list");
    }
}
