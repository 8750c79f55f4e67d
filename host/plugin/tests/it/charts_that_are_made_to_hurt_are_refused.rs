//! Charts that are made to hurt: every one ends in an error that says what is wrong.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use plumb_plugin::{Call, CallError, LimitKind, Limits};
use plumb_tree::Memory;
use rstest::rstest;
use serde_json::json;

use crate::builtin::plugin;
use crate::charts_render_with_what_they_are_granted::{chart, render};
use crate::guest::{path, view_of};

/// What is said of a chart. Nothing is said by the host alone: no limit was met, and nothing broke.
fn refused(files: Memory) -> String {
    let error = render(files, &Call::default()).unwrap_err();
    let CallError::Reported(errors) = &error else { panic!("{error:?}") };
    assert!(!errors.is_empty());
    error.to_string()
}

#[rstest]
// Attack 14 (Rendering): infinite recursion of `include`, of `template`, and of `tpl`.
#[case::include(
    r#"{{ define "a" }}{{ include "a" . }}{{ end }}{{ include "a" . }}"#,
    "nested reference name: a"
)]
#[case::template(
    r#"{{ define "a" }}{{ template "a" . }}{{ end }}{{ template "a" . }}"#,
    "exceeded maximum template depth"
)]
// Attack 14 (Rendering): ranges and texts without end.
#[case::until("{{ range until 1000000000 }}a{{ end }}", "until: a list of 1000000000 elements is longer")]
#[case::until_step(
    "{{ range untilStep 0 1000000000 1 }}a{{ end }}",
    "untilStep: a list of 1000000000 elements is longer"
)]
#[case::repeat(
    "{{ repeat 1000000000 \"aaaaaaaaaaaaaaaa\" }}",
    "repeat: 1000000000 times 16 bytes is more than the limit"
)]
#[case::repeat_backwards("{{ repeat -1 \"a\" }}", "negative Repeat count")]
// Attack 14 (Rendering): what reads the environment is not there.
#[case::env("{{ env \"HOME\" }}", "function \"env\" not defined")]
#[case::expandenv("{{ expandenv \"$HOME\" }}", "function \"expandenv\" not defined")]
// Attack 14 (Rendering): YAML that values have got into, and that is no object any more.
#[case::a_list("- a\n- b\n", "cannot unmarshal array")]
#[case::a_text("just text\n", "cannot unmarshal string")]
#[case::no_name("apiVersion: v1\nkind: ConfigMap\n", "no metadata.name")]
#[case::no_kind("apiVersion: v1\nmetadata: {name: a}\n", "no kind")]
// Attack 15 (Rendering): nesting that exhausts a stack.
#[case::brackets(format!("a: {}", "[".repeat(100_000)), "exceeded max depth")]
#[case::parentheses(format!("{{{{ {} }}}}", "(".repeat(100_000)), "")]
fn a_template_is(#[case] template: impl Into<String>, #[case] expected: &str) {
    let told = refused(chart(&template.into()));
    assert!(told.contains(expected), "{told}");
}

#[rstest]
// Attack 14 (Rendering): a `tpl` that calls itself: nothing of Helm's bounds it, the stack or the memory of the plugin does.
#[case::tpl(r#"{{ $t := "{{ tpl . . }}" }}{{ tpl $t $t }}"#)]
// Attack 14 (Rendering): two that include each other. Helm bounds each by a thousand; the stack is used up before.
#[case::two_of_each_other(
    r#"{{ define "a" }}{{ include "b" . }}{{ end }}{{ define "b" }}{{ include "a" . }}{{ end }}{{ include "a" . }}"#
)]
// Attack 14 (Rendering): keys that are made without end.
#[case::keys("{{ range until 1000000 }}{{ $k := genPrivateKey \"ecdsa\" }}{{ end }}")]
// Attack 14 (Rendering): a range over a number, which needs no list.
#[case::range_over_a_number("{{ range 100000000000 }}{{ end }}")]
#[case::much_output(
    "{{ range 100000000000 }}aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa{{ end }}"
)]
fn what_goes_on_for_ever_is_ended_by_a_limit(#[case] template: &str) {
    let limits =
        Limits { wall_time: std::time::Duration::from_secs(3), memory_bytes: 512 << 20, ..Limits::default() };
    let grants = plumb_plugin::Grants {
        random: Some(std::sync::Arc::new(plumb_plugin::SystemRandom)),
        ..plumb_plugin::Grants::default()
    };
    let call = Call { limits, grants, ..Call::default() };
    let error = render(chart(template), &call).unwrap_err();
    assert!(matches!(error, CallError::Limit { .. } | CallError::Trapped { .. }), "{error:?}");
}

#[rstest]
// Attack 14 (Rendering): files outside of the chart.
#[case::above("{{ .Files.Get \"../secret.yaml\" }}")]
#[case::absolute("{{ .Files.Get \"/etc/passwd\" }}")]
#[case::glob("{{ range $name, $_ := .Files.Glob \"**secret.yaml\" }}{{ $name }}{{ end }}")]
// Attack 14 (Rendering): names are not resolved.
#[case::dns("{{ getHostByName \"localhost\" }}")]
// Attack 14 (Rendering): a width that would take a gigabyte.
#[case::width("{{ printf \"%1000000000d\" 1 | trunc 0 }}")]
fn there_is_nothing_to_be_had(#[case] expression: &str) {
    let template =
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a}}\ndata: {{a: \"{expression}\"}}\n");
    let files = chart(&template).with_file(&path("secret.yaml"), "a: secret\n");
    let objects = render(files, &Call::default()).unwrap();
    assert_eq!(objects[0].pointer("/data/a"), Some(&json!("")));
}

#[rstest]
// Attack 14 (Rendering): a schema that refers to itself without end, to files of the machine, and to the network.
#[case::itself(r##"{"$ref": "#"}"##, "")]
#[case::circle(
    r##"{"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}"##,
    ""
)]
#[case::zeros(r#"{"$ref": "file:///dev/zero"}"#, "/dev/zero")]
#[case::passwords(r#"{"$ref": "file:///etc/passwd"}"#, "/etc/passwd")]
#[case::network(r#"{"$ref": "http://169.254.169.254/latest/meta-data"}"#, "169.254.169.254")]
#[case::network_tls(r#"{"$ref": "https://example.com/schema.json"}"#, "example.com")]
#[case::deep(
    &format!(r#"{}{{"type": "string"}}{}"#, r#"{"properties": {"a": "#.repeat(20_000), "}}".repeat(20_000)),
    ""
)]
#[case::no_schema("[1]", "")]
fn a_schema_is(#[case] schema: &str, #[case] expected: &str) {
    let files = chart("").with_file(&path("web/values.schema.json"), schema);
    let told = refused(files);
    assert!(told.contains(expected), "{told}");
}

#[rstest]
// Attack 14 (Rendering): subcharts whose names lead out of the chart.
#[case::dots("..")]
#[case::path("../../other")]
#[case::slash("a/b")]
fn the_name_of_a_subchart_is_no_path(#[case] name: &str) {
    let files = chart("").with_file(
        &path("web/charts/sub/Chart.yaml"),
        format!("apiVersion: v2\nname: {name:?}\nversion: 1.0.0\n"),
    );
    let told = refused(files);
    assert!(told.contains("name") && told.contains(name), "{told}");
}

// Attack 14 (Rendering): something else than definitions in crds/, which Helm would apply unseen and never delete.
#[test]
fn crds_holds_nothing_but_definitions() {
    let binding =
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {name: admin}\n";
    let call = Call::default();
    let objects = render(chart("").with_file(&path("web/crds/a.yaml"), binding), &call).unwrap();
    assert!(objects.is_empty(), "{objects:?}");
    let told = call.warnings.take().join("\n");
    assert!(told.contains("the ClusterRoleBinding \"admin\" of web/crds/a.yaml is left out"), "{told}");
}

// Attack 14 (Rendering): Chart.lock is a link to a file of the machine: there are none, and nothing is written.
#[test]
fn a_lock_that_leads_out_of_the_source_is_not_read() {
    let files = chart("").with_link(&path("web/Chart.lock"), "../../../etc/passwd");
    let told = refused(files);
    assert!(told.contains("web/Chart.lock") && !told.contains("root:"), "{told}");
}

/// A chart archive.
fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (name, data) in entries {
        let mut header = tar::Header::new_gnu();
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(data.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        archive.append(&header, *data).unwrap();
    }
    archive.into_inner().unwrap().finish().unwrap()
}

const CHART: &[u8] = b"apiVersion: v2\nname: web\nversion: 1.0.0\n";

fn render_archive(bytes: Vec<u8>) -> Result<Vec<plumb_api::Object>, CallError> {
    let files = Memory::new().with_file(&path("web.tgz"), bytes);
    plugin("helm").render(view_of(files), &json!({"path": "web.tgz"}), &Call::default())
}

#[test]
fn an_archive_renders_as_its_directory_does() {
    let template = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";
    let objects = render_archive(archive(&[("web/Chart.yaml", CHART), ("web/templates/a.yaml", template)]));
    assert_eq!(objects.unwrap()[0].id().human(), "ConfigMap/a");
}

#[rstest]
// Attack 14 (Rendering): archives that lead out of themselves.
#[case::above(vec![("web/Chart.yaml", CHART), ("web/../../a", b"a")], "parent directory")]
#[case::absolute(vec![("web/Chart.yaml", CHART), ("web//etc/passwd", b"a")], "absolute paths")]
#[case::drive(vec![("web/Chart.yaml", CHART), ("web/c:/a", b"a")], "illegally named")]
#[case::no_directory(vec![("Chart.yaml", CHART)], "outside the base directory")]
#[case::nothing(vec![], "no files in chart archive")]
fn an_archive_is(#[case] entries: Vec<(&str, &[u8])>, #[case] expected: &str) {
    let error = render_archive(archive(&entries)).unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
}

// Attack 14 (Rendering): a small archive with much in it.
#[test]
fn an_archive_that_is_a_bomb_is() {
    let zeros = vec![0; 101 << 20];
    let bomb = archive(&[("web/Chart.yaml", CHART), ("web/a", &zeros)]);
    assert!(bomb.len() < 1 << 20, "{}", bomb.len());
    let error = render_archive(bomb).unwrap_err().to_string();
    assert!(error.contains("larger than the maximum size 104857600"), "{error}");
}

#[test]
fn what_is_no_archive_is() {
    let mut text = Vec::new();
    text.write_all(b"not an archive").unwrap();
    let error = render_archive(text).unwrap_err().to_string();
    assert!(error.contains("does not appear to be a gzipped archive"), "{error}");
}

// Attack 14 (Rendering): a value that writes YAML of its own. It is the chart's author who has to quote; what comes of it is applied as the
// tenant, and a document that is no object is refused.
#[test]
fn a_value_that_is_yaml_becomes_objects_as_with_helm() {
    let template = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {a: {{ .Values.a }}}\n";
    let render = |value: &str| {
        let parameters = json!({"path": "web", "values": {"a": value}});
        plugin("helm").render(view_of(chart(template)), &parameters, &Call::default())
    };
    let injected = render("b}\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: b").unwrap();
    assert_eq!(injected.len(), 2);
    let error = render("b}\n---\n- c: {d").unwrap_err().to_string();
    assert!(error.contains("YAML parse error on web/templates/a.yaml"), "{error}");
}

#[test]
fn a_limit_that_is_met_is_named() {
    let limits = Limits { memory_bytes: 200 << 20, ..Limits::default() };
    let call = Call { limits, ..Call::default() };
    let template = "{{ range until 1000 }}{{ $a := repeat 4000000 \"aaaaaaaa\" }}{{ $b := dict \"a\" $a }}{{ $b | toJson }}{{ end }}";
    let error = render(chart(template), &call).unwrap_err();
    assert!(matches!(error, CallError::Limit { which: LimitKind::MemoryBytes, .. }), "{error:?}");
}
