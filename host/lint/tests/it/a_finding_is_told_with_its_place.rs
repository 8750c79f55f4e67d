use crate::repository::{lint, told};

const APPS: &str = "\
# What the cluster runs.
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata:
  name: repo
  namespace: flux-system
spec:
  interval: 10m
  url: https://git.example/org/repo
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata:
  name: apps
  namespace: flux-system
spec:
  interval: 1h
  prune: false
  path: ./apps
  dependsOn:
  - name: infrastructure
  sourceRef:
    kind: GitRepository
    name: repo
";

#[test]
fn with_file_line_object_and_rule() {
    insta::assert_snapshot!(told(&lint(&[("apps.yaml", APPS)])), @"
    apps.yaml:8: warning: GitRepository/flux-system/repo: spec.interval is 10m0s: so long may pass before a change is even looked at [source-interval-long]
    apps.yaml:16: warning: Kustomization/flux-system/apps: it has neither spec.wait nor spec.healthChecks nor spec.healthCheckExprs: it is ready as soon as its objects are applied, though none of them may ever work [no-health-checks]
    apps.yaml:17: info: Kustomization/flux-system/apps: what fails is tried again after spec.interval, 1h0m0s, only [no-retry-interval]
    apps.yaml:18: warning: Kustomization/flux-system/apps: spec.prune is false: what is removed from Git stays in the cluster for ever [prune-off]
    apps.yaml:20: warning: Kustomization/flux-system/apps: spec.dependsOn names Kustomization flux-system/infrastructure, which is nowhere to be found [missing-dependency]
    ");
}

#[test]
fn for_programs_as_json() {
    let findings = lint(&[("apps.yaml", APPS)]);
    let expected = serde_json::json!({
        "rule": "source-interval-long", "severity": "warning", "object": "GitRepository/flux-system/repo",
        "file": "apps.yaml", "line": 8,
        "message": "spec.interval is 10m0s: so long may pass before a change is even looked at",
        "hint": "set spec.interval to 1m or less, or have the Git server push: a Receiver with a webhook starts a fetch at once",
    });
    assert_eq!(serde_json::to_value(&findings[0]).unwrap(), expected);
}
