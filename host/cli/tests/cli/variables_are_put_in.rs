use crate::plumb::{files, render};

const OBJECTS: &str = "\
apiVersion: example.com/v1
kind: Cluster
metadata:
  name: ${name}
spec:
  region: ${region:=eu}
  replicas: ${replicas}
  shell: $HOME
";

const KUSTOMIZATION: &str = "\
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata:
  name: app
  namespace: flux-system
spec:
  interval: 10m
  prune: true
  path: ./app
  sourceRef:
    kind: GitRepository
    name: app
  postBuild:
    substitute:
      replicas: '3'
    substituteFrom:
    - kind: ConfigMap
      name: vars
    - kind: Secret
      name: secret-vars
    - kind: Secret
      name: other
      optional: true
";

const VARIABLES: &str = "\
apiVersion: v1
kind: ConfigMap
metadata: {name: vars}
data: {name: one, replicas: '1'}
---
apiVersion: v1
kind: Secret
metadata: {name: secret-vars}
data: {name: dHdv}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: unused}
data: {region: us}
";

#[test]
fn of_a_kustomization_and_the_files_that_stand_for_the_cluster() {
    let directory =
        files(&[("app.yaml", KUSTOMIZATION), ("app/cluster.yaml", OBJECTS), ("vars.yaml", VARIABLES)]);
    let result = render(directory.path(), &["-f", "app.yaml", "--substitute-from", "vars.yaml"]).result();
    insta::assert_snapshot!(result, @r"
    apiVersion: example.com/v1
    kind: Cluster
    metadata:
      labels:
        kustomize.toolkit.fluxcd.io/name: app
        kustomize.toolkit.fluxcd.io/namespace: flux-system
      name: two
    spec:
      region: eu
      replicas: 3
      shell: $HOME
    ");
}

#[test]
fn of_the_command_line() {
    let directory = files(&[("cluster.yaml", OBJECTS)]);
    let result =
        render(directory.path(), &[".", "--set", "name=a", "--set", "replicas=2", "--set", "region=us=1"])
            .result();
    assert!(
        result.contains("name: a\n") && result.contains("replicas: 2\n") && result.contains("region: us=1\n"),
        "{result}"
    );
    let untouched = render(directory.path(), &["."]).result();
    assert!(untouched.contains("region: ${region:=eu}\n"), "{untouched}");
}

#[test]
fn or_what_is_missing_is_told() {
    let directory = files(&[("app.yaml", KUSTOMIZATION), ("app/cluster.yaml", OBJECTS)]);
    let failure = render(directory.path(), &["-f", "app.yaml"]).failure();
    insta::assert_snapshot!(failure, @r#"
    warning: spec.postBuild.substituteFrom names ConfigMap vars; give a file that holds it with --values
    warning: spec.postBuild.substituteFrom names Secret secret-vars; give a file that holds it with --values
    error: step "substitute": Cluster/${name}: metadata.name uses the variable "name", which is not set and has no default (Set it in spec.postBuild, give it a default with ${name:=default}, or write $${name} if no variable is meant.)
    "#);
    let directory = files(&[
        ("cluster.yaml", OBJECTS),
        ("secret.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {a: hunter2}\n"),
    ]);
    let failure = render(directory.path(), &[".", "--substitute-from", "secret.yaml"]).failure();
    insta::assert_snapshot!(failure, @r#"error: in secret.yaml: Secret s: the value of "a" is not base64"#);
}
