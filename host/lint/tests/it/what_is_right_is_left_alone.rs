use plumb_lint::{Rule, Settings};
use rstest::rstest;

use crate::repository::{kustomization, lint, lint_with, rules, source};

#[test]
fn rules_are_switched_off_by_an_annotation_or_by_whoever_asks() {
    let text = kustomization("a", "force: true").replace("prune: true", "prune: false");
    assert_eq!(rules(&lint(&[("a.yaml", &text)])), ["force", "prune-off"]);
    let annotated = |rules: &str| {
        text.replace(
            "metadata:\n",
            &format!("metadata:\n  annotations:\n    plumbline.dev/lint-ignore: {rules}\n"),
        )
    };
    assert_eq!(rules(&lint(&[("a.yaml", &annotated("force"))])), ["prune-off"]);
    assert!(lint(&[("a.yaml", &annotated("force, prune-off"))]).is_empty());
    let settings = Settings { disabled: [Rule::Force].into(), ..Settings::default() };
    assert_eq!(rules(&lint_with(&[("a.yaml", &text)], &settings)), ["prune-off"]);
}

#[rstest]
#[case::a_patch("kustomization.yaml", "patches:\n- path: patches/a.yaml\n", "patches/a.yaml")]
#[case::an_older_patch("kustomization.yaml", "patchesStrategicMerge: [patches/a.yaml]\n", "patches/a.yaml")]
#[case::a_template_of_helm("chart/Chart.yaml", "name: a\n", "chart/templates/a.yaml")]
#[case::hidden("a.txt", "", ".github/a.yaml")]
fn what_is_no_object_by_itself(#[case] beside: &str, #[case] text: &str, #[case] path: &str) {
    let part = "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: a}\nspec: {path: ./production}\n";
    assert!(lint(&[(beside, text), (path, part)]).is_empty());
    assert_eq!(rules(&lint(&[("a.yaml", part)])), ["invalid"]);
}

#[test]
fn variables_that_are_still_to_be_put_in() {
    let text = kustomization("a", "path: ./${cluster}").replace("interval: 5m", "interval: ${interval}");
    assert!(lint(&[("a.yaml", &text), ("source.yaml", &source(""))]).is_empty());
}

/// Repositories define an object of one name for each of their clusters.
#[test]
fn clusters_are_told_apart_by_their_directories() {
    let after = |other: &str| kustomization("apps", &format!("dependsOn:\n- name: {other}"));
    let findings = lint(&[
        ("clusters/a/apps.yaml", &after("infra")),
        ("clusters/a/infra.yaml", &kustomization("infra", "")),
        ("clusters/b/apps.yaml", &kustomization("apps", "")),
        ("clusters/b/infra.yaml", &kustomization("infra", "dependsOn:\n- name: apps")),
    ]);
    assert!(findings.is_empty(), "{findings:?}");
}

/// Attack 13 (Rendering): what a path or a link of the repository names outside of it is not asked about.
#[test]
fn a_path_that_leads_out_is_missing() {
    let findings = lint(&[
        ("a.yaml", &kustomization("a", "path: ../../etc")),
        ("b.yaml", &kustomization("b", "path: ./b")),
        ("b/x.yaml", ""),
        ("source.yaml", &source("")),
    ]);
    assert_eq!(rules(&findings), ["missing-path"]);
}
