use plumb_plugin::{Call, CallError, World};
use rstest::rstest;
use serde_json::json;

use crate::guest::{host, judge, load, no_files, object, renderer};

/// A renderer that returns a good object, and after it `text`.
fn returns(text: &str) -> Vec<u8> {
    let good = object("app").into_value().to_string();
    let (good_len, len) = (good.len(), text.len());
    let (good, text) = (good.replace('"', "\\\""), text.replace('\\', "\\\\").replace('"', "\\\""));
    renderer(
        &format!(r#"(data (i32.const 1024) "{good}") (data (i32.const 4096) "{text}")"#),
        &format!(
            "(call $drop_dir (local.get $root))
             (call $one (i32.const 1024) (i32.const {good_len}))
             (i32.store (i32.const 40) (i32.const 4096))
             (i32.store (i32.const 44) (i32.const {len}))
             (call $ok (i32.const 32) (i32.const 2))"
        ),
    )
}

#[rstest]
#[case::nothing("", "it is not JSON: EOF while parsing a value at line 1 column 0")]
#[case::yaml("kind: Pod", "it is not JSON: expected value at line 1 column 1")]
#[case::two_objects("{}{}", "it is not JSON: trailing characters at line 1 column 3")]
#[case::no_object("[1]", "expected an object with apiVersion, kind and metadata.name, found a list")]
#[case::no_name(r#"{"apiVersion":"v1","kind":"Pod"}"#, "the object of kind Pod has no metadata.name")]
#[case::control_characters(
    r#"{"apiVersion":"v1","kind":"\u001b[2J","metadata":{}}"#,
    "the object of kind \\u{1b}[2J has no metadata.name"
)]
fn an_object_must_be_one(#[case] text: &str, #[case] expected: &str) {
    let error = load(&returns(text)).render(no_files(), &json!({}), &Call::default()).unwrap_err();
    let CallError::InvalidOutput { what, reason } = error else { panic!("{error:?}") };
    assert_eq!((what.as_str(), reason.as_str()), ("object 1", expected));
}

#[test]
fn nesting_that_would_exhaust_the_stack_is_an_error() {
    let error =
        load(&returns(&"[".repeat(20_000))).render(no_files(), &json!({}), &Call::default()).unwrap_err();
    let CallError::InvalidOutput { reason, .. } = error else { panic!("{error:?}") };
    assert_eq!(reason, "it is not JSON: recursion limit exceeded at line 1 column 128");
}

#[test]
fn a_failure_must_say_why() {
    let guest = renderer("", "(call $drop_dir (local.get $root)) (call $err (i32.const 0) (i32.const 0))");
    let error = load(&guest).render(no_files(), &json!({}), &Call::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the plugin returned something that it may not: the list of errors: it is empty; a plugin that fails must say why"
    );
}

#[test]
fn a_field_must_be_a_json_pointer() {
    let guest = judge(
        World::Validator,
        "validate@0.1.0#validate",
        "(param i32 i32 i32 i32)",
        r#"(data (i32.const 1024) "spec.replicas")"#,
        "(i32.store8 (i32.const 136) (i32.const 1))
         (i32.store (i32.const 140) (i32.const 1024))
         (i32.store (i32.const 144) (i32.const 13))
         (call $ok (i32.const 128) (i32.const 1))",
    );
    let plugin = host().load_bytes("validator", &guest, World::Validator).unwrap();
    let error = plugin.validate(&[object("app")], &json!({}), &Call::default()).unwrap_err();
    let CallError::InvalidOutput { what, reason } = error else { panic!("{error:?}") };
    assert_eq!(
        (what.as_str(), reason.as_str()),
        ("finding 0", "its field is not a JSON Pointer: it does not start with \"/\"")
    );
}

#[test]
fn control_characters_in_an_error_are_escaped() {
    let guest = renderer(
        r#"(data (i32.const 1024) "\1b[2Jgone\nbut this line stays\r")"#,
        "(call $drop_dir (local.get $root))
         (i32.store (i32.const 132) (i32.const 1024))
         (i32.store (i32.const 136) (i32.const 29))
         (call $err (i32.const 128) (i32.const 1))",
    );
    let error = load(&guest).render(no_files(), &json!({}), &Call::default()).unwrap_err();
    assert_eq!(error.to_string(), "\\u{1b}[2Jgone\nbut this line stays\\r");
}
