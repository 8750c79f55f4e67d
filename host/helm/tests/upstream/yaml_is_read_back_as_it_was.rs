use plumb_helm::go_yaml;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::oracle;

const WORDS: &[&str] = &[
    "yes",
    "No",
    "on",
    "y",
    "N",
    "true",
    "NULL",
    "~",
    "",
    "0644",
    "0o17",
    "0x1f",
    "1e3",
    "1_0",
    "12:30:45",
    ".inf",
    "2001-12-14",
    "<<",
    "=",
];

#[test]
fn every_text_as_a_value_and_as_a_key() {
    let text = prop_oneof![
        prop::sample::select(WORDS).prop_map(ToOwned::to_owned),
        "[-+.0-9_:eExobyYnN]{1,8}",
        "[ \n\r\t#:'\"a{}\\[\\],&*!|>%@`?=<\\\\-]{0,16}",
        "(?s).{0,24}",
    ];
    // Always the same ones, so that a failure is one again.
    let mut runner = TestRunner::deterministic();
    let texts: Vec<String> = (0..6000).map(|_| text.new_tree(&mut runner).unwrap().current()).collect();
    let objects = texts
        .iter()
        .map(|text| json!({"value": text, "list": [[text], {"a": text}], "key": {text: {"a": 1}}}));
    let objects: Vec<Value> = objects.collect();
    let requests: Vec<Value> =
        objects.iter().map(|object| json!({"yaml": go_yaml::to_string(object)})).collect();
    for ((object, request), answer) in objects.iter().zip(&requests).zip(oracle::ask(&requests)) {
        assert_eq!(answer["values"], *object, "{request}\n{answer}");
    }
}
