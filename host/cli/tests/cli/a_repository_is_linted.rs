use std::path::Path;

use serde_json::Value;

use crate::plumb::{Ran, files, plumb_in, render};

const APPS: &str = "\
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata:
  name: apps
  namespace: flux-system
spec:
  interval: 5m
  prune: false
  wait: true
  path: ./apps
  sourceRef:
    kind: GitRepository
    name: repo
";
const SECRET: &str =
    "apiVersion: v1\nkind: Secret\nmetadata:\n  name: login\nstringData:\n  password: hunter2\n";

fn lint(directory: &Path, args: &[&str]) -> Ran {
    plumb_in(directory, &[&["lint"], args].concat())
}

#[test]
fn findings_are_told_with_what_to_do() {
    let directory = files(&[("apps.yaml", APPS), ("apps/login.yaml", SECRET)]);
    let ran = lint(directory.path(), &[]);
    assert_eq!((ran.code, &*ran.stderr), (1, ""));
    insta::assert_snapshot!(ran.stdout, @"
    apps.yaml:8: warning: Kustomization/flux-system/apps: spec.prune is false: what is removed from Git stays in the cluster for ever [prune-off]
        set spec.prune to true; what must never be deleted keeps the annotation kustomize.toolkit.fluxcd.io/prune: disabled
    apps/login.yaml:5: error: Secret/login: it is not encrypted: stringData.password can be read by anybody who can read the repository [plain-secret]
        encrypt it with SOPS, seal it as a SealedSecret, or have an operator fetch it; and replace what was in it, since Git keeps every version
    1 error, 1 warning, 0 notes in 2 objects
    ");
}

#[test]
fn warnings_fail_only_where_asked_and_rules_can_be_left_out() {
    let directory = files(&[("apps.yaml", APPS)]);
    let code = |args: &[&str]| lint(directory.path(), args).code;
    assert_eq!((code(&[]), code(&["--strict"])), (0, 1));
    assert_eq!(code(&["--strict", "--disable", "force,prune-off"]), 0);
    let ran = lint(directory.path(), &["--disable", "prune"]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("there is no rule \"prune\"; the rules are unreadable,"), "{}", ran.stderr);
}

#[test]
fn for_programs_and_for_github() {
    let directory = files(&[("apps.yaml", APPS)]);
    let found: Value = serde_json::from_str(&lint(directory.path(), &["-o", "json"]).result()).unwrap();
    assert_eq!(found[0]["rule"], "prune-off");
    assert_eq!((&found[0]["file"], &found[0]["line"]), (&"apps.yaml".into(), &8.into()));
    insta::assert_snapshot!(lint(directory.path(), &["-o", "github"]).result(), @"::warning file=apps.yaml,line=8,title=prune-off::Kustomization/flux-system/apps: spec.prune is false: what is removed from Git stays in the cluster for ever; set spec.prune to true; what must never be deleted keeps the annotation kustomize.toolkit.fluxcd.io/prune: disabled");
}

#[test]
fn the_remote_says_which_source_is_this_repository() {
    let source = "apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {name: repo, namespace: flux-system}\n\
                  spec: {interval: 1m, url: 'https://git.example/org/repo'}\n";
    let config = "[remote \"origin\"]\n\turl = git@git.example:org/repo.git\n";
    let with = |config: &str| {
        let directory = files(&[("apps.yaml", APPS), ("source.yaml", source), (".git/config", config)]);
        lint(directory.path(), &["--disable", "prune-off"]).code
    };
    assert_eq!((with(""), with(config)), (0, 1));
}

#[test]
fn secrets_that_are_made_when_rendering_are_found_where_asked() {
    let kustomization = "secretGenerator:\n- name: login\n  files: [../shared/key]\ngeneratorOptions: {disableNameSuffixHash: true}\n";
    let patch = "resources: [base]\npatches:\n- patch: |\n    apiVersion: v1\n    kind: Secret\n    metadata: {name: empty}\n    stringData: {key: hunter2}\n";
    let empty = "apiVersion: v1\nkind: Secret\nmetadata: {name: empty}\n";
    let directory = files(&[
        ("apps.yaml", APPS),
        ("apps/kustomization.yaml", patch),
        ("apps/base/kustomization.yaml", "resources: [empty.yaml]\n"),
        ("apps/base/empty.yaml", empty),
        ("unused/kustomization.yaml", kustomization),
    ]);
    // Compiles the plugins.
    render(directory.path(), &["apps"]);
    let args = ["--disable", "prune-off"];
    assert_eq!(lint(directory.path(), &args).code, 0);
    let ran = lint(directory.path(), &["--disable", "prune-off", "--render"]);
    assert_eq!((ran.code, &*ran.stderr), (1, ""), "{}", ran.stdout);
    assert!(
        ran.stdout.contains("error: Secret/empty: it is not encrypted: stringData.key"),
        "{}",
        ran.stdout
    );
    assert!(!ran.stdout.contains("hunter2"), "{}", ran.stdout);
}
