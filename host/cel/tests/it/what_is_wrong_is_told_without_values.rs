//! Messages: where and why, and nothing of the object, which may be a Secret (Attack 19 (Secrets)).

use plumb_cel::{Expression, ReadyExpression};
use rstest::rstest;
use serde_json::json;

#[rstest]
#[case::nothing("", 1, 1)]
#[case::ends_early("data.", 1, 6)]
#[case::second_line("a &&\n b c", 2, 4)]
#[case::has_of_a_name("has(status)", 1, 5)]
fn a_mistake_has_its_place(#[case] text: &str, #[case] line: usize, #[case] column: usize) {
    let message = Expression::compile(text).unwrap_err().to_string();
    assert!(message.starts_with(&format!("line {line}, column {column}: ")), "{message}");
    assert!(message.chars().count() < 250, "{message}");
}

#[test]
fn a_function_that_does_not_exist_is_told_at_once() {
    assert_eq!(
        Expression::compile("status.phase.isReady()").unwrap_err().to_string(),
        "there is no function `isReady`"
    );
    assert_eq!(
        Expression::compile("lists.range(1000000000)").unwrap_err().to_string(),
        "there is no function `range`"
    );
    assert_eq!(
        Expression::compile("Pod{name: 'a'}.name == 'a'").unwrap_err().to_string(),
        "objects of a type, such as `Pod{…}`, cannot be made here"
    );
}

#[rstest]
#[case("data.password + 1 == 2")]
#[case("data.password")]
#[case("data.password != 1 && data.password")]
#[case("duration(data.password) == duration('1s')")]
#[case("int(data.password) == 1")]
#[case("base64.decode(data.password) == b'a'")]
#[case("'%d'.format([data.password]) == ''")]
#[case("'a'.matches(data.password)")]
#[case("data[data.password] == 1")]
#[case("{'a': 1}[data.password] == 1")]
#[case("-data.password == 1")]
#[case("data.password.a.b == 1")]
#[case("data.password < 1")]
#[case("[1][data.password] == 1")]
#[case("data.password.charAt(100) == 'a'")]
fn a_failure_shows_no_value(#[case] text: &str) {
    let error = Expression::compile(text)
        .unwrap()
        .evaluate_bool(&[("data", &json!({"password": "hunter2("}))])
        .unwrap_err();
    assert!(!error.to_string().contains("hunter2"), "{error}");
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
}

#[test]
fn a_result_that_is_no_truth_value_is_told() {
    let error = ReadyExpression::compile("dep.status")
        .unwrap()
        .evaluate(&json!({"status": {}}), &json!({}))
        .unwrap_err();
    assert_eq!(error.to_string(), "`dep.status` gives a map, not true or false");
}
