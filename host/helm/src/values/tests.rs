#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
use std::collections::HashMap;

use plumb_api::{HelmReleaseSpec, Sensitive, ValuesKind};
use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Value, json};

use super::*;

/// Composes values from `valuesFrom`, `values` and the objects `KIND/NAME`.
fn composed(spec: Value, objects: Value) -> Result<Value, String> {
    let mut whole = json!({"interval": "5m", "chartRef": {"kind": "HelmChart", "name": "web"}});
    whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    let spec: HelmReleaseSpec = serde_json::from_value(whole).unwrap();
    let data = |fields: &Value| -> Data {
        let fields = fields.as_object().unwrap().iter();
        fields.map(|(key, value)| (key.clone(), Sensitive::new(value.as_str().unwrap().into()))).collect()
    };
    let objects: HashMap<String, Data> =
        objects.as_object().unwrap().iter().map(|(name, fields)| (name.clone(), data(fields))).collect();
    let find = |kind: ValuesKind, name: &str| objects.get(&format!("{kind:?}/{name}"));
    compose("team", &spec, find).map(|values| Value::Object(values.0)).map_err(|error| error.to_string())
}

#[test]
fn later_ones_go_before_earlier_ones_and_those_of_the_spec_before_all() {
    let spec = json!({
        "valuesFrom": [{"kind": "ConfigMap", "name": "a"}, {"kind": "Secret", "name": "b", "valuesKey": "more"}],
        "values": {"image": {"tag": "spec"}},
    });
    let objects = json!({
        "ConfigMap/a": {"values.yaml": "image: {name: a, tag: a, pull: a}\nlist: [1, 2]\nonly: a"},
        "Secret/b": {"more": "image: {tag: b, pull: b}\nlist: [3]"},
    });
    let expected = json!({"image": {"name": "a", "tag": "spec", "pull": "b"}, "list": [3], "only": "a"});
    assert_eq!(composed(spec, objects), Ok(expected));
}

/// Whether a target path goes before the spec depends on where the object comes from in which it is; this is what Flux does.
#[rstest]
#[case::in_an_object_of_the_spec_alone("image.tag", "", json!({"image": {"tag": "path"}, "top": "spec"}))]
#[case::in_an_object_of_both("image.tag", "image: {name: a}", json!({"image": {"tag": "spec", "name": "a"}, "top": "spec"}))]
#[case::at_the_top("top", "", json!({"image": {"tag": "spec"}, "top": "spec"}))]
#[case::elsewhere("new.field", "", json!({"image": {"tag": "spec"}, "top": "spec", "new": {"field": "path"}}))]
fn a_target_path_goes_into_what_there_is(#[case] path: &str, #[case] before: &str, #[case] expected: Value) {
    let spec = json!({
        "valuesFrom": [{"kind": "ConfigMap", "name": "a"}, {"kind": "Secret", "name": "b", "valuesKey": "v", "targetPath": path}],
        "values": {"image": {"tag": "spec"}, "top": "spec"},
    });
    let objects = json!({"ConfigMap/a": {"values.yaml": before}, "Secret/b": {"v": "path"}});
    assert_eq!(composed(spec, objects), Ok(expected));
}

#[rstest]
#[case("1", false, json!(1))]
#[case("01", false, json!("01"))]
#[case("-7", false, json!(-7))]
#[case("1.5", false, json!("1.5"))]
#[case("TRUE", false, json!(true))]
#[case("null", false, json!(null))]
#[case("'1'", false, json!("1"))]
#[case("\"true\"", false, json!("true"))]
#[case("{a,2}", false, json!(["a", 2]))]
#[case("a\\,b", false, json!("a,b"))]
#[case("1", true, json!("1"))]
#[case("a,b={c}\\[0]", true, json!("a,b={c}\\[0]"))]
#[case("{a", true, json!("{a"))]
#[case("", true, json!(""))]
#[case("two\nlines\n", true, json!("two\nlines\n"))]
fn a_value_at_a_path_is_typed_unless_it_is_quoted_or_literal(
    #[case] text: &str,
    #[case] literal: bool,
    #[case] expected: Value,
) {
    let reference =
        json!({"kind": "Secret", "name": "a", "valuesKey": "v", "targetPath": "a.b", "literal": literal});
    let values = composed(json!({"valuesFrom": [reference]}), json!({"Secret/a": {"v": text}}));
    assert_eq!(values, Ok(json!({"a": {"b": expected}})));
}

#[rstest]
#[case::object(json!({"kind": "ConfigMap", "name": "none", "optional": true}))]
#[case::key(json!({"kind": "ConfigMap", "name": "a", "valuesKey": "none", "optional": true}))]
fn what_is_optional_may_be_missing(#[case] reference: Value) {
    let values = composed(json!({"valuesFrom": [reference], "values": {"a": 1}}), json!({"ConfigMap/a": {}}));
    assert_eq!(values, Ok(json!({"a": 1})));
}

// Attack 19 (secrets): no error has anything of a value in it.
#[rstest]
#[case(json!({"name": "none"}), "valuesFrom: Secret 'team/none' does not exist; create it, or set optional: true")]
#[case(
    json!({"name": "a"}),
    "valuesFrom: Secret 'team/a' has no key \"values.yaml\"; add it, set valuesKey, or set optional: true"
)]
#[case(json!({"name": "a", "valuesKey": "broken"}), "valuesFrom: Secret 'team/a': \"broken\": the YAML cannot be read: line 2")]
#[case(
    json!({"name": "a", "valuesKey": "list"}),
    "valuesFrom: Secret 'team/a': \"list\": it is no object with values, such as `replicas: 2`, but a list"
)]
#[case(
    json!({"name": "a", "valuesKey": "comma", "targetPath": "x.y"}),
    "valuesFrom: Secret 'team/a': the value of \"comma\" cannot be put at targetPath \"x.y\": a key has no value; a comma in a value is \
     written \\, and literal: true takes the value as it is"
)]
#[case(
    json!({"name": "a", "valuesKey": "comma", "targetPath": "text.y"}),
    "valuesFrom: Secret 'team/a': the value of \"comma\" cannot be put at targetPath \"text.y\": the path leads through a value that is \
     neither an object nor a list of that kind"
)]
fn an_error_names_the_reference_and_no_value(#[case] reference: Value, #[case] message: &str) {
    let mut reference = reference;
    reference["kind"] = "Secret".into();
    let spec = json!({"valuesFrom": [reference], "values": {"text": "hushed"}});
    let objects = json!({"Secret/a": {"broken": "hush: 1\n hush: {", "list": "[hush]", "comma": "hu,sh"}});
    let error = composed(spec, objects).unwrap_err();
    assert_eq!(error, message);
    assert!(!error.contains("hu,") && !error.contains("hush"), "{error}");
}

#[rstest]
#[case("yes: on\noff: 0644", json!({"true": true, "false": 420}))]
#[case("1: a\n1.5: b", json!({"1": "a", "1.5": "b"}))]
#[case("a: 1\na: 2", json!({"a": 2}))]
#[case("a: 2001-01-01\nb: 0x1F\nc: 1_000\nd: 1e3\ne: .5\nf: '1'", json!({"a": "2001-01-01", "b": 31, "c": 1000, "d": 1000.0, "e": 0.5, "f": "1"}))]
#[case("base: &b {x: 1}\nover: {<<: *b, z: 2}", json!({"base": {"x": 1}, "over": {"x": 1, "z": 2}}))]
#[case("a: 1\n---\nb: 2", json!({"a": 1}))]
#[case("# nothing\n", json!({}))]
#[case("", json!({}))]
#[case("{\"a\": 12345678901234567890}", json!({"a": 12345678901234567890.0}))]
fn yaml_is_read_as_helm_reads_it(#[case] yaml: &str, #[case] expected: Value) {
    let spec = json!({"valuesFrom": [{"kind": "ConfigMap", "name": "a"}]});
    assert_eq!(composed(spec, json!({"ConfigMap/a": {"values.yaml": yaml}})), Ok(expected));
}

// Attack 14 (rendering): paths that take all memory or stack.
#[rstest]
#[case::lists((0..200).map(|n| format!("l{n}[65536]=1")).collect::<Vec<_>>().join(","))]
#[case::nesting(format!("a{}=1", "[0]".repeat(100_000)))]
#[case::levels(format!("a{}=1", ".b".repeat(100_000)))]
fn a_line_of_set_has_bounds(#[case] line: String) {
    let error = set(&mut Map::new(), &line).unwrap_err();
    assert!(matches!(error, SetError::TooManyItems | SetError::TooDeep), "{error}");
}

// Attack 15 (rendering): billions of laughs, and nesting without end.
#[test]
fn yaml_has_bounds() {
    let bomb: String =
        (1..9).map(|n| format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 9].join(","))).collect();
    for yaml in [format!("a0: &a0 lol\n{bomb}"), format!("a: {}{}", "[".repeat(5000), "]".repeat(5000))] {
        let spec = json!({"valuesFrom": [{"kind": "ConfigMap", "name": "a"}]});
        let error = composed(spec, json!({"ConfigMap/a": {"values.yaml": yaml}})).unwrap_err();
        assert!(error.contains("the YAML cannot be read"), "{error}");
    }
}

#[rstest]
#[case(json!({}), "")]
#[case(json!({"b": 1, "a": {"z": [], "y": {}}}), "a:\n  \"y\": {}\n  z: []\nb: 1\n")]
#[case(json!({"list": [1, {"a": 1, "b": [2]}, [3]]}), "list:\n- 1\n- a: 1\n  b:\n  - 2\n- - 3\n")]
#[case(json!({"a": 1.0, "b": 1.5, "c": 1e21, "d": 1234567.5}), "a: 1\nb: 1.5\nc: 1e+21\nd: 1.2345675e+06\n")]
#[case(json!({"a": "yes", "b": "1", "c": "", "d": "1:30", "e": "a: b", "f": "#x"}), "a: \"yes\"\nb: \"1\"\nc: \"\"\nd: \"1:30\"\ne: 'a: b'\nf: '#x'\n")]
#[case(json!({"a": "x\ny\n", "b": "x\ny", "c": " x\n", "d": "x\n\n", "e": "tab\tx"}), "a: |\n  x\n  y\nb: |-\n  x\n  y\nc: |2\n   x\nd: |+\n  x\n\ne: \"tab\\tx\"\n")]
fn the_digest_is_of_yaml_as_go_writes_it(#[case] values: Value, #[case] yaml: &str) {
    let values = Values::from(values.as_object().unwrap().clone());
    assert_eq!(values.canonical(), yaml);
    assert!(values.have_digest(&values.digest()));
    assert!(!values.have_digest("sha256:00"));
    assert!(!values.have_digest("md5:00"));
}

proptest! {
    #[test]
    fn any_line_is_read_or_refused(line in r"[-a-z0-9.,=\[\]{}\\' ]{0,40}|\PC{0,20}") {
        let _ = set(&mut Map::new(), &line);
        let _ = set_text(&mut Map::new(), &line);
    }

    #[test]
    fn a_literal_value_comes_through_as_it_is(text in r"[-a-z0-9.,=\[\]{}\\'\n ]{0,40}|\PC{0,20}") {
        let reference = json!({"kind": "Secret", "name": "a", "valuesKey": "v", "targetPath": "p", "literal": true});
        let values = composed(json!({"valuesFrom": [reference]}), json!({"Secret/a": {"v": text.clone()}}));
        prop_assert_eq!(values, Ok(json!({"p": text})));
    }

    /// What is written can be read: it is YAML, and says the same.
    #[test]
    fn what_the_digest_is_of_reads_back(text in r#"[-a-z0-9.,:#'"&*!|>%@`?{}\[\]\n\t ]{0,120}|\PC{0,40}"#) {
        let values = Values::from(json!({"k": text.clone(), "l": [text.clone()]}).as_object().unwrap().clone());
        let read = yaml::read(&values.canonical()).map(Value::Object);
        prop_assert_eq!(read, Ok(json!({"k": text.clone(), "l": [text]})));
    }
}

#[test]
fn what_the_last_release_was_given_is_kept_where_nothing_else_is_given() {
    let last = json!({"a": {"b": 1, "c": 2}, "d": [1]}).as_object().unwrap().clone();
    let now = json!({"a": {"b": 3}, "d": [2], "e": true}).as_object().unwrap().clone();
    let all = Values::from(now).over(last);
    assert_eq!(Value::Object(all.into_exposed()), json!({"a": {"b": 3, "c": 2}, "d": [2], "e": true}));
}
