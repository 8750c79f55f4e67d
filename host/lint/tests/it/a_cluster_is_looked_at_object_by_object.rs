use plumb_api::{GitRepository, Kustomization};
use plumb_lint::{lint_git_repository, lint_kustomization, lint_together};
use serde_json::{Value, json};

use crate::repository::rules;

fn kustomization(name: &str, more: Value) -> Kustomization {
    let mut spec = json!({"interval": "5m", "prune": true, "wait": true, "sourceRef": {"kind": "GitRepository", "name": "repo"}});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let metadata = json!({"name": name, "namespace": "flux-system"});
    serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap()
}

fn source(interval: &str) -> GitRepository {
    let value = json!({
        "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository",
        "metadata": {"name": "repo", "namespace": "flux-system"},
        "spec": {"interval": interval, "url": "https://git.example/repo", "ref": {"branch": "main"}},
    });
    serde_json::from_value(value).unwrap()
}

#[test]
fn one_by_one() {
    assert!(lint_kustomization(&kustomization("a", json!({}))).is_empty());
    let findings = lint_kustomization(&kustomization("a", json!({"prune": false})));
    assert_eq!((rules(&findings), &findings[0].file, findings[0].line), (vec!["prune-off"], &None, None));
    assert_eq!(findings[0].object, "Kustomization/flux-system/a");
    assert!(lint_git_repository(&source("1m")).is_empty());
    assert_eq!(rules(&lint_git_repository(&source("2m"))), ["source-interval-long"]);
}

#[test]
fn together() {
    let objects = [
        kustomization("a", json!({"dependsOn": [{"name": "b"}]})),
        kustomization("b", json!({"dependsOn": [{"name": "a"}, {"name": "c", "namespace": "other"}]})),
        kustomization("lost", json!({"sourceRef": {"kind": "GitRepository", "name": "nowhere"}})),
        kustomization("bucket", json!({"sourceRef": {"kind": "Bucket", "name": "unknown"}})),
    ];
    let findings = lint_together(&objects, &[source("1m")]);
    let told: Vec<_> = findings.iter().map(|found| (found.rule.name(), &*found.object)).collect();
    assert_eq!(
        told,
        [
            ("dependency-cycle", "Kustomization/flux-system/a"),
            ("missing-dependency", "Kustomization/flux-system/b"),
            ("missing-source", "Kustomization/flux-system/lost"),
        ]
    );
}

/// Attack 23 (Multi-tenancy): thousands of dependencies, and cycles among them.
#[test]
fn a_tangle_of_dependencies_ends() {
    let all: Vec<Value> = (0..200).map(|index| json!({"name": format!("k{index}")})).collect();
    let objects: Vec<Kustomization> =
        (0..200).map(|index| kustomization(&format!("k{index}"), json!({"dependsOn": all}))).collect();
    let cycles = lint_together(&objects, &[source("1m")]);
    assert_eq!(rules(&cycles), ["dependency-cycle"]);
}
