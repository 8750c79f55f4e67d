//! The plugins kustomize and helm against upstream kustomize and Helm of the same versions, and the plugin that puts in variables against Flux.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod both_build_the_same_kustomize;
mod every_case_renders_as_kustomize_renders_it;
mod every_chart_renders_as_helm_renders_it;
mod every_difference_is_told;
mod every_field_of_a_kustomization_is_used;
mod every_function_of_templates_is_used;
mod every_substitution_is_that_of_flux;

use std::path::Path;
use std::sync::LazyLock;

use plumb_conformance::{HelmOracle, Native, NativeRelease, Oracle, cases_folder, charts_folder};

/// Where what is built for the tests is kept: a folder of cargo's, outside the sources.
const KEPT: &str = env!("CARGO_TARGET_TMPDIR");

static ORACLE: LazyLock<Oracle> =
    LazyLock::new(|| Oracle::build(Path::new(KEPT)).expect("the oracle is built"));

/// What upstream kustomize makes of every case, in the order of their names.
static NATIVE: LazyLock<Vec<Native>> =
    LazyLock::new(|| ORACLE.render(&cases_folder()).expect("the oracle renders the cases"));

static HELM: LazyLock<HelmOracle> =
    LazyLock::new(|| HelmOracle::build(Path::new(KEPT)).expect("the oracle of Helm is built"));

/// What upstream Helm makes of every chart, in the order of their names.
static RELEASES: LazyLock<Vec<NativeRelease>> =
    LazyLock::new(|| HELM.render(&charts_folder()).expect("the oracle renders the charts"));
