use std::fs;

use crate::plumb::{files, plumb_in, render};

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples");

const PIPELINE: &str = "\
apiVersion: plumbline.dev/v1alpha1
kind: Pipeline
metadata: {name: shop, namespace: team-a}
spec:
  interval: 10m
  sourceRef: {kind: GitRepository, name: shop}
  steps:
  - plugin: yaml
  - plugin: substitute
    withFrom: [{kind: Secret, name: vars, to: /variables}]
  apply: {targetNamespace: shop}
";

const VALUES: &str = "apiVersion: v1\nkind: Secret\nmetadata: {name: vars}\nstringData: {region: eu}\n";
const OBJECT: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: app}\ndata: {region: '${region}'}\n";

#[test]
fn the_examples_make_what_they_say() {
    // Kustomize is compiled first, which the other tests wait for as well.
    drop(render(EXAMPLES.as_ref(), &["multi-env/clusters/production"]));
    let ran = plumb_in(EXAMPLES.as_ref(), &["test", "pipelines"]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    let cases = fs::read_dir(format!("{EXAMPLES}/pipelines")).unwrap();
    let cases = cases.filter(|case| case.as_ref().unwrap().path().is_dir()).count();
    assert_eq!(ran.stdout.lines().filter(|line| line.starts_with("ok ")).count(), cases);
}

#[test]
fn a_pipeline_is_rendered_with_values_from_files() {
    let directory =
        files(&[("pipeline.yaml", PIPELINE), ("source/app.yaml", OBJECT), ("values.yaml", VALUES)]);
    let args = ["-f", "pipeline.yaml", "--root", "source", "--values", "values.yaml"];
    insta::assert_snapshot!(render(directory.path(), &args).result(), @"
    apiVersion: v1
    data:
      region: eu
    kind: ConfigMap
    metadata:
      labels:
        kustomize.toolkit.fluxcd.io/name: shop
        kustomize.toolkit.fluxcd.io/namespace: team-a
        plumbline.dev/applier: Pipeline
      name: app
      namespace: shop
    ");
    let failure = render(directory.path(), &args[..4]).failure();
    insta::assert_snapshot!(failure, @r#"
    error: step "substitute": withFrom: Secret vars does not exist; create it, or set optional: true
    (give ConfigMaps and Secrets with --values FILE)
    "#);
}

#[test]
fn what_differs_is_shown_until_it_is_updated() {
    let directory = files(&[
        ("a/pipeline.yaml", PIPELINE),
        ("a/source/app.yaml", OBJECT),
        ("a/values.yaml", VALUES),
        ("b/pipeline.yaml", PIPELINE),
        ("b/source/app.yaml", OBJECT),
        ("b/error.txt", "another error\n"),
    ]);
    let test = |args: &[&str]| plumb_in(directory.path(), &[&["test"], args].concat());
    let ran = test(&[]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    insta::assert_snapshot!(format!("{}{}", ran.stdout, ran.stderr), @r#"
    FAILED  ./a
    it has neither expected.yaml nor error.txt; write what was made with --update
    FAILED  ./b
    --- error.txt
    +++ made
    @@ -1 +1,2 @@
    -another error
    +step "substitute": withFrom: Secret vars does not exist; create it, or set optional: true
    +(give ConfigMaps and Secrets with --values FILE)
    2 of 2 cases failed; where what was made is right, write it with --update
    "#);
    assert_eq!(test(&["--update"]).result(), "written ./a\nwritten ./b\n");
    assert_eq!(test(&[]).result(), "ok      ./a\nok      ./b\n");
    fs::write(directory.path().join("a/source/app.yaml"), OBJECT.replace("app", "other")).unwrap();
    let ran = test(&["a"]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    insta::assert_snapshot!(ran.stdout, @"
    FAILED  a
    --- expected.yaml
    +++ made
    @@ -7,5 +7,5 @@
         kustomize.toolkit.fluxcd.io/name: shop
         kustomize.toolkit.fluxcd.io/namespace: team-a
         plumbline.dev/applier: Pipeline
    -  name: app
    +  name: other
       namespace: shop
    ");
}

#[test]
fn a_directory_without_cases_is_an_error() {
    let directory = files(&[("app.yaml", OBJECT)]);
    let failure = plumb_in(directory.path(), &["test"]).failure();
    assert_eq!(failure, "error: there is no pipeline.yaml in . or below\n");
}

#[test]
fn a_plugin_of_a_registry_is_not_pulled() {
    let plugin = "apiVersion: plumbline.dev/v1alpha1\nkind: Plugin\nmetadata: {name: yaml}\n\
                  spec: {image: 'oci://registry.example/yaml:1'}\n---\n";
    let directory = files(&[
        ("pipeline.yaml", &format!("{plugin}{PIPELINE}")),
        ("source/app.yaml", OBJECT),
        ("values.yaml", VALUES),
    ]);
    let args = ["-f", "pipeline.yaml", "--root", "source", "--values", "values.yaml"];
    insta::assert_snapshot!(render(directory.path(), &args).failure(), @r#"error: step "yaml": the Plugin yaml is oci://registry.example/yaml:1, which is not pulled here; give its component with --plugin yaml=FILE"#);
}

const VALIDATED: &str = "\
apiVersion: plumbline.dev/v1alpha1
kind: Pipeline
metadata: {name: shop, namespace: team-a}
spec:
  interval: 10m
  sourceRef: {kind: GitRepository, name: shop}
  steps:
  - {name: definitions, plugin: yaml, with: {path: crds}, apply: false}
  - {name: apps, plugin: yaml, with: {path: apps}}
  - {plugin: schema, with: {strict: true}}
";

const DEFINITION: &str = "\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {kind: Widget, plural: widgets}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {size: {type: integer}}}}}}
";

const WIDGET: &str =
    "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: a, namespace: shop}\nspec: {size: 3}\n";

#[test]
fn a_definition_beside_its_objects_is_enough_to_validate_them() {
    let directory = files(&[
        ("pipeline.yaml", VALIDATED),
        ("source/crds/widgets.yaml", DEFINITION),
        ("source/apps/a.yaml", WIDGET),
    ]);
    let args = ["-f", "pipeline.yaml", "--root", "source"];
    let rendered = render(directory.path(), &args).result();
    assert!(
        rendered.contains("kind: Widget") && !rendered.contains("CustomResourceDefinition"),
        "{rendered}"
    );
    fs::write(directory.path().join("source/apps/a.yaml"), WIDGET.replace("size", "sise")).unwrap();
    insta::assert_snapshot!(
        render(directory.path(), &args).failure(),
        @r#"error: step "schema": Widget/shop/a /spec/sise: there is no field "sise"; did you mean "size"? (rule unknown-field)"#
    );
}
