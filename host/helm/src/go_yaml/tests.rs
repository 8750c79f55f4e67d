#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use rstest::rstest;
use serde_json::json;

use super::*;
use crate::values::documents;

const WORDS: &[&str] = &[
    "yes",
    "No",
    "on",
    "OFF",
    "y",
    "N",
    "true",
    "null",
    "~",
    "",
    "0644",
    "0o17",
    "0x1f",
    "1e3",
    "1_000",
    "12:30:45",
    ".5",
    ".inf",
    "-.INF",
    ".nan",
    "2001-12-14",
    "2001-12-14T21:59:43Z",
    "<<",
    "=",
    "---",
    "...",
    "- a",
    "a: b",
    "# a",
    "%a",
    "@a",
];

/// Text that readers of YAML could take for something else, and any other.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(WORDS).prop_map(ToOwned::to_owned),
        "[-+.0-9_:eExob]{1,10}",
        "[ \n\r\t#:'\"a{}\\[\\],&*!|>%@`?=<\\\\-]{0,16}",
        "(?s).{0,24}",
        "[a-z ]{60,200}",
    ]
}

fn tree() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        8 => text().prop_map(Value::from),
        1 => any::<i32>().prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        let fields = prop::collection::btree_map(text(), inner.clone(), 0..4);
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(Value::from),
            fields.prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn readers_of_every_version_of_yaml_read_back_what_was_written(tree in tree()) {
        let object = json!({ "a": tree });
        let written = to_string(&object);
        let read = documents(&written).map(|documents| documents.into_iter().map(Value::Object).collect::<Vec<_>>());
        prop_assert_eq!(read, Ok(vec![object.clone()]), "YAML 1.1: {}", &written);
        let read: Result<Value, String> = serde_yaml::from_str(&written).map_err(|error| error.to_string());
        prop_assert_eq!(read, Ok(object), "YAML 1.2: {}", &written);
    }
}

#[rstest]
#[case(json!("yes"), "\"yes\"\n")]
#[case(json!("0644"), "\"0644\"\n")]
#[case(json!("1:30"), "\"1:30\"\n")]
#[case(json!("***"), "'***'\n")]
#[case(json!({"<<": "="}), "\"<<\": \"=\"\n")]
#[case(json!({"n": ["a", {"b": [], "c": {}}], "1": true}), "\"1\": true\n\"n\":\n- a\n- b: []\n  c: {}\n")]
#[case(json!({"text": "a\nb\n"}), "text: |\n  a\n  b\n")]
#[case(json!({"text": "a\r\nb"}), "text: \"a\\r\\nb\"\n")]
#[case(json!([1, [2]]), "- 1\n- - 2\n")]
fn text_is_quoted_where_it_has_to_be(#[case] value: Value, #[case] expected: &str) {
    assert_eq!(to_string(&value), expected);
}

#[test]
fn long_text_stays_on_its_line() {
    let long = "words ".repeat(40);
    let object = json!({ "text": long.trim_end() });
    assert_eq!(to_string(&object).lines().count(), 1);
    assert!(emit(object.as_object().unwrap()).lines().count() > 1, "Go folds it");
}
