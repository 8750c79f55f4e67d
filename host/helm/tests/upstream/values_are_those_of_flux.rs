use std::collections::HashMap;

use plumb_api::{HelmReleaseSpec, Sensitive, ValuesKind};
use plumb_helm::values::{Data, Values, compose};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::oracle;

/// What we make of a request to the oracle; `None` where it is refused.
fn composed(request: &Value) -> Option<Values> {
    let mut spec = json!({"interval": "5m", "chartRef": {"kind": "HelmChart", "name": "web"}});
    spec["valuesFrom"] = request["references"].clone();
    spec["values"] = request["values"].clone();
    let spec: HelmReleaseSpec = serde_json::from_value(spec).unwrap();
    let data = |fields: &Value| -> Data {
        let fields = fields.as_object().unwrap().iter();
        fields.map(|(key, value)| (key.clone(), Sensitive::new(value.as_str().unwrap().into()))).collect()
    };
    let objects: HashMap<String, Data> = request["objects"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, fields)| (name.clone(), data(fields)))
        .collect();
    let find = |kind: ValuesKind, name: &str| objects.get(&format!("{kind:?}/{name}"));
    compose("team", &spec, find).ok()
}

/// Every request has the same values, the same digest, or is refused by both.
fn agree(requests: &[Value]) {
    let answers = oracle::ask(requests);
    let mut refused = 0;
    for (request, answer) in requests.iter().zip(&answers) {
        match composed(request) {
            None => {
                refused += 1;
                assert!(answer["error"].is_string(), "only we refuse {request}\nFlux: {answer}");
            }
            Some(ours) => {
                assert!(!answer["error"].is_string(), "only Flux refuses {request}\n{answer}");
                let theirs = answer["values"].as_object().cloned().unwrap_or_default();
                let ours_plain = Value::Object(ours.expose().clone());
                assert_eq!(
                    ours.digest(),
                    answer["digest"].as_str().unwrap(),
                    "{request}\nours: {ours_plain}\nFlux: {theirs:?}\n{}",
                    answer["yaml"]
                );
            }
        }
    }
    assert!(refused < requests.len(), "all were refused");
}

/// A request with one text for one path.
fn at(path: &str, text: &str, literal: bool, values: Value) -> Value {
    json!({
        "references": [{"kind": "Secret", "name": "a", "valuesKey": "v", "targetPath": path, "literal": literal}],
        "objects": {"Secret/a": {"v": text}},
        "values": values,
    })
}

fn of_yaml(yaml: &str) -> Value {
    json!({"references": [{"kind": "ConfigMap", "name": "a"}], "objects": {"ConfigMap/a": {"values.yaml": yaml}}, "values": null})
}

fn drawn<T: std::fmt::Debug>(strategy: &impl Strategy<Value = T>, count: usize) -> Vec<T> {
    // Always the same ones, so that a failure is one again.
    let mut runner = TestRunner::deterministic();
    (0..count).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect()
}

#[test]
fn what_is_put_at_a_path() {
    let paths = [
        "a",
        "a.b",
        "a.b.c",
        "list[0]",
        "list[2]",
        "list[1].x",
        "a.list[0][1]",
        "a\\.b",
        "there.x",
        "text.x",
        "there[0]",
        "nothing.x",
        "list",
    ];
    let texts = [
        "1",
        "0",
        "01",
        "-5",
        "+5",
        "1.5",
        "true",
        "TRUE",
        "False",
        "null",
        "NULL",
        "",
        " ",
        "x y",
        "'1'",
        "\"1\"",
        "'",
        "''",
        "'a\"",
        "{a,b}",
        "{}",
        "{a",
        "a,b=c",
        "a\\,b",
        "a=b",
        "a,",
        ",",
        "a\nb",
        "[0]",
        "a[0]",
        "x,list[1]=2",
        "{a,b},x=1",
        "\\",
        "a\\",
        "é",
        "9223372036854775807",
        "9223372036854775808",
        "0x1f",
        "1e3",
        "yes",
    ];
    let values = json!({"there": {"x": 1, "y": [1, 2]}, "text": "t", "list": [1, {"x": 1}], "nothing": null});
    let mut requests = Vec::new();
    for path in paths {
        for text in texts {
            for literal in [false, true] {
                requests.push(at(path, text, literal, values.clone()));
            }
        }
    }
    agree(&requests);
}

#[test]
fn any_line_of_set() {
    let line = (r"[a-c]{1,2}(\.[a-c]|\[[0-3]\]){0,3}", r"[a-c0-2.,=\[\]{}\\'\x22 -]{0,16}", any::<bool>());
    let values = json!({"a": {"b": {"c": 1}}, "b": [1, [2], {"a": 3}], "c": "text"});
    let requests: Vec<Value> = drawn(&line, 6000)
        .iter()
        .map(|(path, text, literal)| at(path, text, *literal, values.clone()))
        .collect();
    agree(&requests);
}

#[test]
fn the_order_of_references() {
    let tree = prop_oneof![
        Just("a: {x: 1, y: 1}\n"),
        Just("a: {x: 2}\nb: [1, 2]\n"),
        Just("a: text\n"),
        Just("b: {x: 3}\nc: null\n"),
        Just(""),
        Just("a: {z: {x: 1}}\n"),
    ];
    let path = prop_oneof![
        Just(None),
        Just(None),
        Just(Some("a.x")),
        Just(Some("a.z.x")),
        Just(Some("b[1]")),
        Just(Some("b.x")),
        Just(Some("c"))
    ];
    let reference = (path, tree.clone());
    let values = prop_oneof![
        Just(json!(null)),
        Just(json!({"a": {"x": "spec"}})),
        Just(json!({"a": {"z": {"x": "spec", "y": "spec"}}, "c": "spec"})),
        Just(json!({"b": ["s", "p", "ec"]})),
    ];
    let requests: Vec<Value> = drawn(&(prop::collection::vec(reference, 0..5), values), 4000)
        .into_iter()
        .map(|(references, values)| {
            let mut request = json!({"references": [], "objects": {}, "values": values});
            for (index, (path, yaml)) in references.into_iter().enumerate() {
                let name = format!("r{index}");
                let (text, reference) = match path {
                    Some(path) => {
                        (format!("v{index}"), json!({"kind": "Secret", "name": name, "targetPath": path}))
                    }
                    None => (yaml.to_owned(), json!({"kind": "Secret", "name": name})),
                };
                request["objects"][format!("Secret/{name}")] = json!({"values.yaml": text});
                request["references"].as_array_mut().unwrap().push(reference);
            }
            request
        })
        .collect();
    agree(&requests);
}

#[test]
fn what_is_optional_and_what_is_missing() {
    let mut requests = Vec::new();
    for optional in [false, true] {
        for name in ["none", "a"] {
            for key in ["none", "v"] {
                requests.push(json!({
                    "references": [{"kind": "ConfigMap", "name": name, "valuesKey": key, "optional": optional}],
                    "objects": {"ConfigMap/a": {"v": "x: 1"}},
                    "values": {"y": 2},
                }));
            }
        }
    }
    agree(&requests);
}

#[test]
fn yaml_of_all_kinds() {
    let yaml = [
        "a: 0644\nb: 0o17\nc: 0x1F\nd: 0b101\ne: 1_000\nf: +1\ng: -0\nh: 08",
        "a: 1.0\nb: 1e3\nc: 1E-7\nd: .5\ne: 5.\nf: 1.5e300\ng: 123456789.125\nh: 1e21\ni: 12345678901234567890\nj: 9007199254740993",
        "a: yes\nb: No\nc: on\nd: OFF\ne: y\nf: n\ng: Y\nh: true\ni: ~\nj: null\nk: Null\nl:",
        "yes: 1\n2: b\n2.5: c\ntrue: d\n'3': f",
        "null: e",
        "~: e",
        "a: 2001-01-01\nb: 2001-01-01T00:00:00Z\nc: 12:30:45\nd: '2001-01-01'\ne: \"12:30\"",
        "a: |\n  x\n  y\nb: >\n  x\n  y\nc: |-\n  x\nd: |+\n  x\n\ne: 'it''s'\nf: \"\\u00e9\\t\"",
        "a: &x {y: 1}\nb: *x\nc: {<<: *x, z: 2}",
        "a: [1, [2, {b: 3}], []]\nb: {}\nc: [{}]",
        "a: 1\na: 2",
        "a: 1\n---\nb: 2",
        "# nothing",
        "",
        "[1]",
        "text",
        "a: {",
        "a: .inf",
        "a: !!str 1\nb: !!int '2'",
        "\u{feff}a: 1",
        "a: \"x\\ny\"\nb: 'x\n\n  y'\nc: x\n  y",
        "{\"a\": {\"b\": [1, \"2\", null, true]}}",
        "a: ünïcödé ☃ 🎉\nb: \"\\U0001F389\"",
        "a:\n- b\n-\n- c: d\n  e: f",
    ];
    agree(&yaml.map(of_yaml));
}

/// The digest is one of bytes, so the values themselves are what is varied here.
#[test]
fn digests_of_any_values() {
    let text = prop_oneof![
        r#"[-a-zA-Z0-9.,:#'"&*!|>%@`?{}\[\]_+~<= \n\t]{0,30}"#,
        r"[a-z ]{60,160}",
        r"[ \na-z]{0,12}",
        r"[-+]?[0-9._:exob]{1,8}",
        r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt ][0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}([.][0-9]{1,3})?(Z|[+-][0-9]{2}:[0-9]{2})?)?",
        prop::sample::select(vec![
            "y", "yes", "No", "on", "null", "~", "", "-", "?", ":", "---", "...", "- a", "<<", "=", ".inf",
            "+.INF", ".nan", "0x", "0o7", "0b1", "1__0", "._5", ".1_5"
        ])
        .prop_map(str::to_owned),
        r"\PC{0,12}",
        r"[\x00-\x20\x7f\x80-\xa0a\u{2028}\u{feff}\u{1f389}]{0,8}",
    ];
    let leaf = prop_oneof![
        text.clone().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_filter("JSON has no others", |float| float.is_finite()).prop_map(Value::from),
        (-1e9..1e9_f64).prop_map(Value::from),
        Just(Value::Null),
    ];
    let tree = leaf.prop_recursive(4, 24, 5, move |inner| {
        let key = prop_oneof![text.clone(), r"[a-z]{1,8}", r"[a-z]{120,140}"];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(key, inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    });
    let requests: Vec<Value> = drawn(&prop::collection::btree_map(r"[a-z0-9]{1,3}", tree, 0..4), 4000)
        .into_iter()
        .map(|values| json!({"references": [], "objects": {}, "values": values}))
        .collect();
    agree(&requests);
}
