use std::collections::BTreeSet;

use plumb_lint::Rule;
use rstest::rstest;

use crate::repository::{kustomization, lint, rules, source, told};

fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{text}");
    text.replace(from, to)
}

#[rstest]
#[case::prune(replaced(&kustomization("a", ""), "prune: true", "prune: false"), "prune-off")]
#[case::no_checks(replaced(&kustomization("a", ""), "  wait: true\n", ""), "no-health-checks")]
#[case::force(kustomization("a", "force: true"), "force")]
#[case::validation(kustomization("a", "validation: client"), "deprecated-field")]
#[case::version(replaced(&kustomization("a", ""), "fluxcd.io/v1", "fluxcd.io/v1beta2"), "deprecated-version")]
#[case::retry(replaced(&kustomization("a", "timeout: 5m"), "5m\n  prune", "1h\n  prune"), "no-retry-interval")]
#[case::timeout(replaced(&kustomization("a", "retryInterval: 1m"), "5m\n  prune", "1h\n  prune"), "no-timeout")]
#[case::wrong_type(replaced(&kustomization("a", ""), "prune: true", "prune: maybe"), "invalid")]
#[case::missing_field(replaced(&kustomization("a", ""), "interval: 5m", "suspend: true"), "invalid")]
#[case::dependency(kustomization("a", "dependsOn:\n- name: b"), "missing-dependency")]
#[case::itself(kustomization("a", "dependsOn:\n- name: a"), "dependency-cycle")]
#[case::broken(kustomization("a", "path: ["), "unreadable")]
fn about_a_kustomization(#[case] text: String, #[case] rule: &str) {
    let findings = lint(&[("a.yaml", &text), ("source.yaml", &source(""))]);
    assert_eq!(rules(&findings), [rule], "{}", told(&findings));
}

#[rstest]
#[case::long("5m", "", &["source-interval-long"])]
#[case::a_minute("60s", "", &[])]
#[case::none("0s", "", &["source-interval-short"])]
#[case::milliseconds("500ms", "", &["source-interval-short"])]
#[case::suspended("5m", "suspend: true", &[])]
#[case::a_tag_does_not_move("1h", "ref:\n  tag: v1", &[])]
#[case::nor_a_commit("1h", "ref:\n  commit: 0123456789abcdef0123456789abcdef01234567", &[])]
#[case::a_range_does("1h", "ref:\n  semver: 1.x", &["source-interval-long"])]
// Attack 23 (Multi-tenancy): intervals that are none.
#[case::a_day("1d", "", &["invalid"])]
#[case::negative("-1m", "", &["invalid"])]
fn about_a_source(#[case] interval: &str, #[case] more: &str, #[case] expected: &[&str]) {
    let text = replaced(&source(more), "interval: 1m", &format!("interval: {interval}"));
    let findings = lint(&[("source.yaml", &text)]);
    assert_eq!(rules(&findings), expected, "{}", told(&findings));
}

#[test]
fn a_dependency_of_another_kind_need_not_be_in_git() {
    let apps = kustomization("a", "dependsOn:\n- name: a\n  apiVersion: apps/v1\n  kind: Deployment");
    assert!(lint(&[("a.yaml", &apps), ("source.yaml", &source(""))]).is_empty());
}

#[test]
fn a_source_that_is_pushed_may_be_looked_at_seldom() {
    let source = replaced(&source(""), "interval: 1m", "interval: 1h");
    let receiver = "apiVersion: notification.toolkit.fluxcd.io/v1\nkind: Receiver\nmetadata: {name: github}\n\
                    spec: {type: github, resources: [{kind: GitRepository, name: repo}], secretRef: {name: token}}\n";
    assert_eq!(rules(&lint(&[("source.yaml", &source)])), ["source-interval-long"]);
    assert!(lint(&[("source.yaml", &source), ("receiver.yaml", receiver)]).is_empty());
}

#[test]
fn a_source_that_nobody_defines() {
    let other = replaced(&source(""), "name: repo", "name: other");
    let files = [("a.yaml", &*kustomization("a", "")), ("other.yaml", &other)];
    assert_eq!(rules(&lint(&files)), ["missing-source"]);
    // A repository without any source gets them from elsewhere.
    assert!(lint(&files[..1]).is_empty());
}

#[test]
fn a_cycle_is_told_once_with_all_who_are_in_it() {
    let after = |name, other| kustomization(name, &format!("dependsOn:\n- name: {other}"));
    let files = [
        ("0.yaml", &*after("app", "a")),
        ("1.yaml", &*after("a", "b")),
        ("2.yaml", &*after("b", "c")),
        ("3.yaml", &*after("c", "a")),
    ];
    insta::assert_snapshot!(told(&lint(&files)), @"1.yaml:13: error: Kustomization/flux-system/a: these wait for each other for ever: a → b → c → a [dependency-cycle]");
}

#[test]
fn a_path_is_looked_for_only_where_it_has_to_be() {
    let files = |url: &str| {
        vec![
            ("a.yaml", kustomization("a", "path: ./apps")),
            ("b.yaml", kustomization("b", "path: ./nowhere")),
            ("source.yaml", replaced(&source(""), "https://git.example/org/repo", url)),
        ]
    };
    let with = |files: &[(&'static str, String)], more: &[(&'static str, &str)], own: &str| {
        let all: Vec<(&str, &str)> =
            files.iter().map(|(path, text)| (*path, &**text)).chain(more.iter().copied()).collect();
        let settings = plumb_lint::Settings { own_urls: vec![own.to_owned()], ..Default::default() };
        let findings = crate::repository::lint_with(&all, &settings);
        findings
            .iter()
            .filter(|found| found.rule.name() == "missing-path")
            .map(|found| found.object.clone())
            .collect::<Vec<_>>()
    };
    let apps = [("apps/a.yaml", "")];
    let url = "https://git.example/org/repo";
    // Neither path is here: it may be another repository.
    assert!(with(&files(url), &[], "").is_empty());
    // One is, so this is the repository.
    assert_eq!(with(&files(url), &apps, ""), ["Kustomization/flux-system/b"]);
    // Its address says so.
    assert_eq!(with(&files(url), &[], "git@git.example:org/repo.git").len(), 2);
    assert!(with(&files(url), &[], "git@git.example:org/other.git").is_empty());
}

#[rstest]
#[case::nothing_before("", "", &["floating-reference", "no-staging"])]
#[case::a_range("ref:\n  semver: 1.x", "", &[])]
#[case::a_branch_of_its_own("ref:\n  branch: production", "", &["floating-reference"])]
#[case::after_staging("", "dependsOn:\n- name: staging", &["floating-reference"])]
#[case::after_what_comes_after_staging("", "dependsOn:\n- name: between", &["floating-reference"])]
fn production_goes_after_staging(#[case] source_more: &str, #[case] more: &str, #[case] expected: &[&str]) {
    let findings = lint(&[
        ("production.yaml", &kustomization("production", more)),
        ("staging.yaml", &kustomization("staging", "")),
        ("between.yaml", &kustomization("between", "dependsOn:\n- name: staging")),
        ("source.yaml", &source(source_more)),
    ]);
    assert_eq!(rules(&findings), expected, "{}", told(&findings));
}

#[test]
fn one_source_of_production_is_one_finding() {
    let findings = lint(&[
        ("a.yaml", &kustomization("apps", "path: ./apps/production")),
        ("b.yaml", &kustomization("infra", "path: ./infra/prod-eu")),
        ("c/production/x.yaml", ""),
        ("apps/production/x.yaml", ""),
        ("infra/prod-eu/x.yaml", ""),
        ("source.yaml", &source("ref:\n  branch: main")),
    ]);
    insta::assert_snapshot!(told(&findings), @r#"
    a.yaml:13: warning: Kustomization/flux-system/apps: Kustomization apps, infra gets every commit on "main" of GitRepository/flux-system/repo at once: nothing is tried before production [no-staging]
    source.yaml:9: info: GitRepository/flux-system/repo: Kustomization apps, infra takes whatever is pushed to "main" [floating-reference]
    "#);
}

/// Guards the tests above: a rule that is added has to be found by one of them, or by those of Secrets.
#[test]
fn every_rule_has_a_case() {
    let sources = [
        include_str!("every_rule_finds_what_it_is_for.rs"),
        include_str!("plain_secrets_are_found_and_never_quoted.rs"),
    ];
    let missing: BTreeSet<&str> = Rule::ALL
        .map(Rule::name)
        .into_iter()
        .filter(|name| !sources.iter().any(|text| text.contains(&format!("\"{name}\""))))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}
