use crate::plumb::{files, render};

const KUSTOMIZATION: &str = "\
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata:
  name: web
  namespace: flux-system
spec:
  interval: 10m
  prune: true
  path: ./web
  targetNamespace: production
  sourceRef:
    kind: GitRepository
    name: web
  commonMetadata:
    labels:
      team: shop
  images:
  - name: example/web
    newTag: '2.0'
  patches:
  - target:
      kind: Deployment
    patch: |
      - op: replace
        path: /spec/replicas
        value: 3
";

const DEPLOYMENT: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  replicas: 1
  selector:
    matchLabels: {app: web}
  template:
    metadata:
      labels: {app: web}
    spec:
      containers:
      - name: web
        image: example/web:1.0
";

#[test]
fn with_its_images_patches_and_labels() {
    let directory = files(&[("apps.yaml", KUSTOMIZATION), ("web/deployment.yaml", DEPLOYMENT)]);
    let result = render(directory.path(), &["-f", "apps.yaml"]).result();
    insta::assert_snapshot!(result, @"
    apiVersion: apps/v1
    kind: Deployment
    metadata:
      labels:
        kustomize.toolkit.fluxcd.io/name: web
        kustomize.toolkit.fluxcd.io/namespace: flux-system
        team: shop
      name: web
      namespace: production
    spec:
      replicas: 3
      selector:
        matchLabels:
          app: web
      template:
        metadata:
          labels:
            app: web
        spec:
          containers:
          - image: example/web:2.0
            name: web
    ");
}

#[test]
fn from_another_checkout_if_asked() {
    let apps = files(&[("apps.yaml", KUSTOMIZATION)]);
    let manifests = files(&[("web/deployment.yaml", DEPLOYMENT)]);
    let root = manifests.path().to_str().unwrap();
    let result = render(apps.path(), &["-f", "apps.yaml", "--root", root]).result();
    assert!(result.contains("image: example/web:2.0"), "{result}");
}
