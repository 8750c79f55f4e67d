use crate::plumb::{files, render};

/// What `plumb render` tells; the directory, whose name is random, as DIR.
fn mistake(contents: &[(&str, &str)], args: &[&str]) -> String {
    let directory = files(contents);
    let path = directory.path().canonicalize().unwrap();
    render(directory.path(), args).failure().replace(path.to_str().unwrap(), "DIR")
}

#[test]
fn a_directory_that_is_missing() {
    insta::assert_snapshot!(mistake(&[], &["nowhere"]), @"error: cannot open nowhere: No such file or directory (os error 2)");
}

#[test]
fn a_file_instead_of_a_directory() {
    insta::assert_snapshot!(mistake(&[("apps.yaml", "")], &["apps.yaml"]), @"error: apps.yaml is not a directory; to render the Kustomization in a file, use --file");
}

#[test]
fn a_directory_outside_the_root() {
    let contents = [("inside/a.yaml", ""), ("outside/a.yaml", "")];
    insta::assert_snapshot!(mistake(&contents, &["outside", "--root", "inside"]), @"error: DIR/outside is not inside the root DIR/inside");
}

#[test]
fn a_manifest_that_is_not_yaml() {
    let contents = [
        ("kustomization.yaml", "resources: [web.yaml]\n"),
        ("web.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: web\n data: {}\n"),
    ];
    insta::assert_snapshot!(mistake(&contents, &["."]), @r#"error: step "kustomize": web.yaml:4: accumulating resources: accumulating resources from 'web.yaml': MalformedYAMLError: yaml: line 4: did not find expected key in File: web.yaml"#);
}

#[test]
fn a_resource_that_is_missing() {
    insta::assert_snapshot!(mistake(&[("kustomization.yaml", "resources: [web.yaml]\n")], &["."]), @r#"error: step "kustomize": kustomization.yaml:1: accumulating resources: accumulation err='accumulating resources from 'web.yaml': open /web.yaml: no such file or directory': must build at directory: not a valid directory: evalsymlink failure on '/web.yaml' : lstat /web.yaml: no such file or directory"#);
}

const KUSTOMIZATION: &str = "\
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: web}
spec: {interval: 10m, prune: true, path: ./web, sourceRef: {kind: GitRepository, name: web}}
";

#[test]
fn a_path_that_the_repository_lacks() {
    insta::assert_snapshot!(mistake(&[("apps.yaml", KUSTOMIZATION)], &["-f", "apps.yaml"]), @r#"error: step "kustomize": kustomization path not found: "./web": no such file or directory (Set path to a directory of this revision of the source.)"#);
}

#[test]
fn two_kustomizations_in_one_file() {
    let both = format!("{KUSTOMIZATION}---\n{KUSTOMIZATION}");
    insta::assert_snapshot!(mistake(&[("apps.yaml", &both)], &["-f", "apps.yaml"]), @"error: in apps.yaml: it holds 2 Kustomizations and Pipelines; put the one to render into a file of its own");
}

#[test]
fn no_kustomization_in_the_file() {
    let other = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\n";
    insta::assert_snapshot!(mistake(&[("apps.yaml", other)], &["-f", "apps.yaml"]), @"error: in apps.yaml: it holds neither a Kustomization of kustomize.toolkit.fluxcd.io/v1 nor a Pipeline of plumbline.dev/v1alpha1");
}

#[test]
fn a_field_of_the_wrong_type() {
    let wrong = KUSTOMIZATION.replace("prune: true", "prune: maybe");
    insta::assert_snapshot!(mistake(&[("apps.yaml", &wrong)], &["-f", "apps.yaml"]), @r#"error: in apps.yaml: the Kustomization in document 1 is wrong: invalid type: string "maybe", expected a boolean"#);
}

#[test]
fn a_file_that_is_not_yaml() {
    insta::assert_snapshot!(mistake(&[("apps.yaml", "kind: [\n")], &["-f", "apps.yaml"]), @"error: in apps.yaml: document 1 is not YAML: did not find expected node content at line 2 column 1, while parsing a flow node");
}
