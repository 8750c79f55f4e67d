use crate::plumb::{files, render};

const RELEASE: &str = "\
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata:
  name: web
  namespace: apps
spec:
  interval: 10m
  targetNamespace: shop
  chart:
    spec:
      chart: ./charts/web
      sourceRef:
        kind: GitRepository
        name: apps
  valuesFrom:
  - kind: Secret
    name: web
    valuesKey: greeting
    targetPath: greeting
    literal: true
  values:
    replicas: 3
  commonMetadata:
    annotations:
      contact: shop@example.com
  postRenderers:
  - kustomize:
      patches:
      - target:
          kind: ConfigMap
        patch: |
          - op: add
            path: /data/patched
            value: by kustomize
";

const SECRET: &str = "\
apiVersion: v1
kind: Secret
metadata:
  name: web
stringData:
  greeting: hello, {world}
";

const CHART: &[(&str, &str)] = &[
    ("charts/web/Chart.yaml", "apiVersion: v2\nname: web\nversion: 1.2.3\n"),
    ("charts/web/values.yaml", "replicas: 1\ngreeting: none\n"),
    (
        "charts/web/templates/web.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}\ndata:\n  replicas: {{ .Values.replicas | quote }}\n  \
         greeting: {{ .Values.greeting | quote }}\n  namespace: {{ .Release.Namespace }}\n",
    ),
    (
        "charts/web/templates/hook.yaml",
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: prepare\n  annotations:\n    helm.sh/hook: pre-install\nspec:\n  containers: []\n",
    ),
];

fn with_chart(others: &[(&'static str, &'static str)]) -> tempfile::TempDir {
    files(&[CHART, others].concat())
}

#[test]
fn with_its_values_post_renderers_labels_and_hooks() {
    let directory = with_chart(&[("release.yaml", RELEASE), ("values.yaml", SECRET)]);
    let result =
        render(directory.path(), &["-f", "release.yaml", "--root", ".", "--values", "values.yaml"]).result();
    insta::assert_snapshot!(result, @r#"
    apiVersion: v1
    data:
      greeting: hello, {world}
      namespace: shop
      patched: by kustomize
      replicas: "3"
    kind: ConfigMap
    metadata:
      annotations:
        contact: shop@example.com
        meta.helm.sh/release-name: shop-web
        meta.helm.sh/release-namespace: shop
      labels:
        app.kubernetes.io/managed-by: Helm
        helm.toolkit.fluxcd.io/name: web
        helm.toolkit.fluxcd.io/namespace: apps
      name: shop-web
    ---
    apiVersion: v1
    kind: Pod
    metadata:
      annotations:
        contact: shop@example.com
        helm.sh/hook: pre-install
      labels:
        helm.toolkit.fluxcd.io/name: web
        helm.toolkit.fluxcd.io/namespace: apps
      name: prepare
    spec:
      containers: []
    "#);
}

#[test]
fn with_a_chart_that_is_given() {
    let release = "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: web}\n\
                   spec: {interval: 10m, chartRef: {kind: OCIRepository, name: web}, install: {disableHooks: true}}\n";
    let directory = with_chart(&[]);
    std::fs::write(directory.path().join("release.yaml"), release).unwrap();
    let result = render(directory.path(), &["-f", "release.yaml", "--chart", "charts/web"]).result();
    assert!(result.contains("replicas: \"1\"") && result.contains("namespace: default"), "{result}");
    assert!(!result.contains("kind: Pod"), "{result}");
    let failure = render(directory.path(), &["-f", "release.yaml"]).failure();
    assert!(failure.contains("give it with --chart PATH"), "{failure}");
}

#[test]
fn with_kinds_that_the_cluster_has_besides_those_of_kubernetes() {
    let release = "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: web}\n\
                   spec: {interval: 10m, chartRef: {kind: OCIRepository, name: web}}\n";
    let template = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  own: \"{{ .Capabilities.APIVersions.Has \"apps/v1\" }}\"\n  \
                    added: \"{{ .Capabilities.APIVersions.Has \"example.com/v1/Database\" }}\"\n  mode: \"0644\"\n";
    let directory = files(&[
        ("web/Chart.yaml", "apiVersion: v2\nname: web\nversion: 1.2.3\n"),
        ("web/templates/a.yaml", template),
        ("release.yaml", release),
    ]);
    let result = |more: &[&str]| {
        let arguments = [&["-f", "release.yaml", "--chart", "web"], more].concat();
        render(directory.path(), &arguments).result()
    };
    let without = result(&[]);
    assert!(without.contains("own: \"true\"") && without.contains("added: \"false\""), "{without}");
    let with = result(&["--api-version", "example.com/v1/Database"]);
    assert!(with.contains("own: \"true\"") && with.contains("added: \"true\""), "{with}");
    assert!(with.contains("mode: \"0644\""), "it is text: {with}");
}

#[test]
fn what_is_missing_is_told() {
    let directory = with_chart(&[("release.yaml", RELEASE)]);
    let failure = render(directory.path(), &["-f", "release.yaml", "--root", "."]).failure();
    assert!(failure.contains("Secret 'apps/web' does not exist"), "{failure}");
    assert!(failure.contains("--values FILE"), "{failure}");
}

#[test]
fn as_it_would_be_installed() {
    let release = "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: web}\n\
                   spec: {interval: 10m, chartRef: {kind: OCIRepository, name: web}}\n";
    let template = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  \
                    release: \"{{ .Release.Revision }} {{ .Release.IsInstall }} {{ .Release.IsUpgrade }}\"\n";
    let definition = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: as.example.com}\n";
    let directory = files(&[
        ("web/Chart.yaml", "apiVersion: v2\nname: web\nversion: 1.2.3\n"),
        ("web/crds/a.yaml", definition),
        ("web/templates/a.yaml", template),
        ("release.yaml", release),
    ]);
    let result = render(directory.path(), &["-f", "release.yaml", "--chart", "web"]).result();
    assert!(result.contains("release: 1 true false"), "{result}");
    assert!(result.contains("name: as.example.com"), "{result}");
}

#[test]
fn what_charts_look_up_is_in_the_files_that_stand_for_a_cluster() {
    let release = "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: web}\n\
                   spec: {interval: 10m, chartRef: {kind: OCIRepository, name: web}}\n";
    let template = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  \
                    zone: {{ (lookup \"v1\" \"ConfigMap\" \"infra\" \"zone\").data.name }}\n";
    let zone =
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: zone, namespace: infra}\ndata: {name: eu-1}\n";
    let directory = files(&[
        ("web/Chart.yaml", "apiVersion: v2\nname: web\nversion: 1.2.3\n"),
        ("web/templates/a.yaml", template),
        ("release.yaml", release),
        ("cluster.yaml", zone),
    ]);
    let arguments = ["-f", "release.yaml", "--chart", "web"];
    let given = [&arguments[..], &["--cluster-objects", "cluster.yaml"]].concat();
    let result = render(directory.path(), &given).result();
    assert!(result.contains("zone: eu-1"), "{result}");
    let failure = render(directory.path(), &arguments).failure();
    assert!(failure.contains("lookup"), "{failure}");
}
