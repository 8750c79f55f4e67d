use std::process::Command;

use tempfile::TempDir;

use crate::plumb::{files, render};

const CHART: &str = "apiVersion: v2\nname: web\nversion: 1.2.3\n";
const VALUES: &str = "color: red\nonly: chart\n";
const TEMPLATE: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\ndata:\n  color: {{ .Values.color | quote }}\n  \
                        only: {{ .Values.only | default \"nothing\" | quote }}\n  size: {{ .Values.size | default 0 | quote }}\n";
const COMMON: &str = "apiVersion: v2\nname: common\nversion: 0.4.0\ntype: library\n";
const HELPER: &str = "{{ define \"common.hello\" }}hello from common{{ end }}";
const USES_COMMON: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: greeting}\ndata:\n  greeting: {{ include \"common.hello\" . }}\n";

/// A HelmRelease of the chart `charts/web` of a source of this kind, with more fields of its template.
fn release(source: &str, more: &str) -> String {
    format!(
        "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {{name: web, namespace: apps}}\n\
         spec:\n  interval: 10m\n  chart:\n    spec:\n      chart: ./charts/web\n      sourceRef: {{kind: {source}, name: apps}}\n{more}"
    )
}

/// The chart with these files besides, and a HelmRelease of it.
fn repository(release: &str, others: &[(&str, &str)]) -> TempDir {
    let chart = [
        ("charts/web/Chart.yaml", CHART),
        ("charts/web/values.yaml", VALUES),
        ("charts/web/templates/web.yaml", TEMPLATE),
        ("release.yaml", release),
    ];
    // Later ones take the place of earlier ones.
    files(&[&chart, others].concat())
}

fn of_git(directory: &TempDir) -> crate::plumb::Ran {
    render(directory.path(), &["-f", "release.yaml", "--root", "."])
}

fn data(rendered: &str) -> Vec<&str> {
    let lines = rendered.lines().skip_while(|line| *line != "data:").skip(1);
    lines.take_while(|line| line.starts_with("  ")).map(str::trim).collect()
}

#[test]
fn its_files_of_values_take_the_place_of_its_own() {
    let more = "      valuesFiles: [envs/base.yaml, envs/prod.yaml]\n";
    let values = [("envs/base.yaml", "color: green\nsize: 1\n"), ("envs/prod.yaml", "size: 3\n")];
    let rendered = of_git(&repository(&release("GitRepository", more), &values)).result();
    assert_eq!(data(&rendered), ["color: green", "only: nothing", "size: \"3\""]);
}

#[test]
fn its_own_file_among_them_counts_where_it_stands() {
    let more = "      valuesFiles: [charts/web/values.yaml, prod.yaml]\n";
    let rendered = of_git(&repository(&release("GitRepository", more), &[("prod.yaml", "size: 3\n")]));
    assert_eq!(data(&rendered.result()), ["color: red", "only: chart", "size: \"3\""]);
}

#[test]
fn a_file_of_values_that_is_missing_is_told_or_left_out() {
    let more = "      valuesFiles: [charts/web/values.yaml, none.yaml]\n";
    let failure = of_git(&repository(&release("GitRepository", more), &[])).failure();
    assert!(failure.contains("the values file \"none.yaml\" does not exist"), "{failure}");
    let more = format!("{more}      ignoreMissingValuesFiles: true\n");
    let rendered = of_git(&repository(&release("GitRepository", &more), &[])).result();
    assert_eq!(data(&rendered), ["color: red", "only: chart", "size: \"0\""]);
}

#[test]
fn of_a_helm_repository_they_are_files_of_the_chart() {
    let more = "      valuesFiles: [values.yaml, values-prod.yaml]\n";
    let prod = [("charts/web/values-prod.yaml", "size: 3\n")];
    let directory = repository(&release("HelmRepository", more), &prod);
    let rendered = render(directory.path(), &["-f", "release.yaml", "--chart", "charts/web"]).result();
    assert_eq!(data(&rendered), ["color: red", "only: chart", "size: \"3\""]);
}

#[test]
fn what_it_needs_of_the_same_repository_is_put_into_it() {
    let chart = format!(
        "{CHART}dependencies: [{{name: common, version: 0.x, repository: 'file://../../libraries/common'}}]\n"
    );
    let others = [
        ("charts/web/Chart.yaml", chart.as_str()),
        ("charts/web/templates/greeting.yaml", USES_COMMON),
        ("libraries/common/Chart.yaml", COMMON),
        ("libraries/common/templates/_hello.tpl", HELPER),
    ];
    let directory = repository(&release("GitRepository", ""), &others);
    let rendered = of_git(&directory).result();
    assert!(rendered.contains("greeting: hello from common"), "{rendered}");
    // Nothing is written into the work tree.
    assert!(!directory.path().join("charts/web/charts").exists());
    // A chart that is named has the root around it.
    let rendered = render(directory.path(), &["-f", "release.yaml", "--chart", "charts/web", "--root", "."]);
    assert!(rendered.result().contains("greeting: hello from common"));
}

#[test]
fn what_it_needs_of_a_repository_is_told() {
    let chart = format!(
        "{CHART}dependencies: [{{name: redis, version: 19.x, repository: 'https://charts.example.com'}}]\n"
    );
    let directory = repository(&release("GitRepository", ""), &[("charts/web/Chart.yaml", &chart)]);
    insta::assert_snapshot!(of_git(&directory).failure(), @r#"
    error: the dependency "redis" of the chart "web" comes from https://charts.example.com, which is not asked here: put it into charts/ with `helm dependency build`, or give a chart that has it with --chart PATH
    "#);
    let redis = [
        ("charts/web/Chart.yaml", chart.as_str()),
        ("charts/web/charts/redis/Chart.yaml", "apiVersion: v2\nname: redis\nversion: 19.0.1\n"),
        (
            "charts/web/charts/redis/templates/a.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: redis}\n",
        ),
    ];
    let rendered = of_git(&repository(&release("GitRepository", ""), &redis)).result();
    assert!(rendered.contains("name: redis"), "{rendered}");
}

#[test]
fn an_archive_is_taken_as_it_is() {
    let more = "      valuesFiles: [values.yaml, values-prod.yaml]\n";
    let prod = [("charts/web/values-prod.yaml", "size: 3\n")];
    let directory = repository(&release("HelmRepository", more), &prod);
    let mut tar = Command::new("tar");
    tar.args(["-czf", "web-1.2.3.tgz", "-C", "charts", "web"]).current_dir(directory.path());
    assert!(tar.status().unwrap().success());
    let rendered = render(directory.path(), &["-f", "release.yaml", "--chart", "web-1.2.3.tgz"]).result();
    assert_eq!(data(&rendered), ["color: red", "only: chart", "size: \"3\""]);
}

#[test]
fn one_at_the_root_of_a_work_tree_is_without_what_git_keeps_there() {
    let text = release("GitRepository", "").replace("./charts/web", "./");
    let template = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\ndata:\n  git: {{ .Files.Get \".git/HEAD\" | quote }}\n  \
                    readme: {{ .Files.Get \"README.md\" | quote }}\n";
    let directory = files(&[
        ("Chart.yaml", CHART),
        ("README.md", "read me"),
        (".git/HEAD", "ref: refs/heads/main"),
        ("templates/web.yaml", template),
        ("release.yaml", &text),
    ]);
    let by_path = render(directory.path(), &["-f", "release.yaml", "--chart", "."]).result();
    for rendered in [render(directory.path(), &["-f", "release.yaml"]).result(), by_path] {
        assert_eq!(data(&rendered), ["git: \"\"", "readme: read me"]);
    }
}
