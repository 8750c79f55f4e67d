//! Files that are made to hurt: every one ends in an error that says what is wrong, and never in a trap.

use plumb_plugin::{Call, CallError, ErrorKind, LimitKind, Limits};
use plumb_tree::Memory;
use rstest::rstest;
use serde_json::json;

use crate::builtin::plugin;
use crate::guest::{path, view_of};

fn refused(plugin_name: &str, files: Memory) -> String {
    let error =
        plugin(plugin_name).render(view_of(files), &json!({"path": ""}), &Call::default()).unwrap_err();
    let CallError::Reported(errors) = &error else { panic!("{plugin_name}: {error:?}") };
    assert!(errors.iter().all(|error| error.kind != ErrorKind::Internal), "{plugin_name}: {errors:?}");
    error.to_string()
}

/// One file of plain YAML, and what names it for kustomize.
fn one_file(text: impl Into<Vec<u8>>) -> Memory {
    Memory::new()
        .with_file(&path("kustomization.yaml"), "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nmetadata: {name: k}\nresources: [a.yaml]\n")
        .with_file(&path("a.yaml"), text)
}

fn config_map(data: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c}}\ndata: {data}\n")
}

fn laughs() -> String {
    let mut text = String::from(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\na0: &a0 [x, x, x, x, x, x, x, x, x, x]\n",
    );
    for level in 1..12 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    text
}

#[rstest]
// Attack 15 (Rendering): a hundred thousand lists in each other.
#[case::deep_lists(config_map(&("[".repeat(100_000) + &"]".repeat(100_000))))]
#[case::deep_maps(config_map(&("{a: ".repeat(100_000) + &"}".repeat(100_000))))]
#[case::never_closed(config_map(&"[".repeat(300_000)))]
// Attack 15 (Rendering): bytes that are not UTF-8.
#[case::bytes(b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: \xff\xfe\x80}\n".to_vec())]
// Attack 15 (Rendering): a key twice.
#[case::key_twice("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: b, a: c}\n")]
fn yaml_that_is_made_to_hurt_is_refused(
    #[values("yaml", "kustomize")] plugin: &str,
    #[case] text: impl Into<Vec<u8>>,
) {
    refused(plugin, one_file(text));
}

// Attack 15 (Rendering): aliases within aliases. kustomize writes them all out, and meets the limit of memory.
#[test]
fn aliases_do_not_multiply_without_end() {
    refused("yaml", one_file(laughs()));
    let limits = Limits { memory_bytes: 256 << 20, ..Limits::default() };
    let call = Call { limits, ..Call::default() };
    let error =
        plugin("kustomize").render(view_of(one_file(laughs())), &json!({"path": ""}), &call).unwrap_err();
    assert!(matches!(error, CallError::Limit { which: LimitKind::MemoryBytes, .. }), "{error:?}");
}

// Attack 15 (Rendering): a merge of what is being defined.
#[test]
fn a_merge_cycle_is_refused() {
    refused("yaml", one_file("apiVersion: v1\nkind: ConfigMap\nmetadata: &m {name: c, <<: *m}\n"));
}

// Attack 15 (Rendering): a file that is larger than the host hands out.
#[rstest]
fn a_file_that_is_too_large_is_named_with_the_limit(#[values("yaml", "kustomize")] plugin: &str) {
    let told = refused(plugin, one_file(config_map(&format!("{{a: {}}}", "x".repeat(2 << 20)))));
    assert!(told.contains("a.yaml") && told.contains("1048576"), "{told}");
}

#[rstest]
// Attack 13 (Rendering): files of the machine.
#[case::absolute("resources: [/etc/passwd]\n")]
#[case::above("resources: [../../../../../etc/passwd]\n")]
#[case::generator(
    "configMapGenerator: [{name: c, files: [/var/run/secrets/kubernetes.io/serviceaccount/token]}]\n"
)]
#[case::schema_over_the_network("openapi: {path: 'https://example.com/schema.json'}\n")]
#[case::remote("resources: ['https://github.com/example/app//deploy?ref=main']\n")]
#[case::helm("helmCharts: [{name: chart, repo: 'https://example.com'}]\n")]
// Attack 13 (Rendering): what leads back to itself.
#[case::base_of_itself("resources: [../app]\n")]
#[case::component_of_itself("components: [../app]\n")]
// Attack 13 (Rendering): a pattern that is no regular expression, with a target.
#[case::pattern(
    r#"{resources: [a.yaml], patches: [{target: {name: '(a+'}, patch: '[{"op": "remove", "path": "/data"}]'}]}"#
)]
fn a_kustomization_that_is_made_to_hurt_is_refused(#[case] kustomization: &str) {
    let files = Memory::new()
        .with_file(&path("app/kustomization.yaml"), kustomization)
        .with_file(&path("app/a.yaml"), config_map("{a: b}"))
        .with_file(&path("kustomization.yaml"), "resources: [app]\n");
    refused("kustomize", files);
}

/// Attack 13 (Rendering): Go's patterns take time in proportion to the text.
#[test]
fn a_pattern_that_would_take_for_ever_elsewhere_does_not() {
    let files = Memory::new()
        .with_file(
            &path("kustomization.yaml"),
            r#"{resources: [a.yaml], patches: [{target: {name: '(a*)*(a*)*b'}, patch: '[{"op": "remove", "path": "/data"}]'}]}"#,
        )
        .with_file(&path("a.yaml"), config_map("{a: b}").replace("name: c", &format!("name: {}", "a".repeat(253))));
    let objects = plugin("kustomize").render(view_of(files), &json!({"path": ""}), &Call::default()).unwrap();
    assert_eq!(objects[0].pointer("/data/a"), Some(&json!("b")));
}

#[rstest]
// Attack 13 (Rendering): files of the machine, and of others.
#[case::absolute("importstr '/etc/passwd'", "leads out of the source")]
#[case::above("import '../../../secret.json'", "leads out of the source")]
// Attack 27 (Plugins): recursion without end, and nesting that exhausts a stack.
#[case::calls("local f(x) = f(x + 1) + 1; f(0)", "without end")]
#[case::objects("local o(n) = { a: o(n + 1) }; o(0)", "")]
#[case::itself("{ a: self.b, b: self.a }", "depends on itself")]
#[case::file_of_itself("import 'main.jsonnet'", "depends on itself")]
#[case::brackets(format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)), "nested deeper")]
#[case::operators(format!("{}1", "-".repeat(100_000)), "")]
fn jsonnet_that_is_made_to_hurt_is_refused(#[case] text: impl Into<Vec<u8>>, #[case] expected: &str) {
    let told = refused("jsonnet", Memory::new().with_file(&path("main.jsonnet"), text));
    assert!(told.contains(expected), "{told}");
}

#[rstest]
// Attack 13 (Rendering): files of others, and the network.
#[case::embedded(
    "@extern(embed)\n\npackage a\n\na: _ @embed(file=\"/etc/passwd\",type=text)",
    "not supported"
)]
#[case::registry("import \"example.com/x@v0\"\n\na: x.a", "is neither in this module")]
// Attack 27 (Plugins): recursion without end, and nesting that exhausts a stack.
#[case::itself("a: b: a", "structural cycle")]
#[case::brackets("[".repeat(100_000), "nested deeper")]
#[case::operators(format!("a: {}1", "-".repeat(100_000)), "nested deeper")]
#[case::sums(format!("a: 1{}", " + 1".repeat(999)), "incomplete")]
#[case::at_the_limit(format!("a: {}int{}", "[".repeat(999), "]".repeat(999)), "incomplete")]
fn cue_that_is_made_to_hurt_is_refused(#[case] text: impl Into<String>, #[case] expected: &str) {
    let mut text: String = text.into();
    text.push_str("\nlast: int\n");
    let told = refused("cue", Memory::new().with_file(&path("a.cue"), text));
    assert!(told.contains(expected), "{told}");
}
