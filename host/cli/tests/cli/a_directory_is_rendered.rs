use serde_json::Value;

use crate::plumb::{files, render};

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples");

#[test]
fn as_yaml_for_people() {
    let result = render(EXAMPLES.as_ref(), &["multi-env/clusters/production"]).result();
    insta::assert_snapshot!(result, @"
    apiVersion: apps/v1
    kind: Deployment
    metadata:
      name: myapp
      namespace: default
    spec:
      replicas: 3
      selector:
        matchLabels:
          app: myapp
      template:
        metadata:
          labels:
            app: myapp
        spec:
          containers:
          - image: nginx:1.29
            name: myapp
            ports:
            - containerPort: 80
              name: http
            readinessProbe:
              httpGet:
                path: /
                port: http
            resources:
              limits:
                memory: 128Mi
              requests:
                cpu: 100m
                memory: 64Mi
    ---
    apiVersion: v1
    kind: Service
    metadata:
      name: myapp
      namespace: default
    spec:
      ports:
      - name: http
        port: 80
        targetPort: http
      selector:
        app: myapp
    ");
}

#[test]
fn as_json_for_programs() {
    let result = render(EXAMPLES.as_ref(), &["multi-env/clusters/staging", "-o", "json"]).result();
    let objects: Vec<Value> = serde_json::from_str(&result).unwrap();
    let kinds: Vec<&str> = objects.iter().map(|object| object["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["Deployment", "Service"]);
    assert_eq!(objects[0]["spec"]["replicas"], 1);
}

#[test]
fn without_a_kustomization_yaml_every_yaml_file_below_is_taken() {
    let config = |name: &str| format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n");
    // As in Flux: what is not YAML by its name is not looked at.
    let directory = files(&[
        ("a.yaml", &config("a")),
        ("below/b.yml", &config("b")),
        ("README.md", "not a manifest"),
        ("below/c.json", r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}"#),
    ]);
    insta::assert_snapshot!(render(directory.path(), &["."]).result(), @"
    apiVersion: v1
    kind: ConfigMap
    metadata:
      name: a
    ---
    apiVersion: v1
    kind: ConfigMap
    metadata:
      name: b
    ");
}

#[test]
fn the_root_decides_what_can_be_read() {
    let directory = files(&[
        ("base/kustomization.yaml", "resources: [a.yaml]\n"),
        ("base/a.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n"),
        ("apps/kustomization.yaml", "resources: [../base]\n"),
    ]);
    // No Git work tree around it: then the directory is all there is.
    let alone = render(directory.path(), &["apps"]).failure();
    insta::assert_snapshot!(alone, @r#"error: step "kustomize": kustomization.yaml:1: accumulating resources: accumulation err='accumulating resources from '../base': open /base: no such file or directory': must build at directory: not a valid directory: evalsymlink failure on '/base' : lstat /base: no such file or directory"#);
    let result = render(directory.path(), &["apps", "--root", "."]).result();
    insta::assert_snapshot!(result, @"
    apiVersion: v1
    kind: ConfigMap
    metadata:
      name: a
    ");
}
