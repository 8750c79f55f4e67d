//! Attack 16 (Rendering): CEL without limits, and regular expressions that never end.

use plumb_cel::{CompileError, EvaluateError, Expression};
use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Value, json};

fn evaluate(text: &str, object: &Value) -> Result<bool, EvaluateError> {
    Expression::compile(text).unwrap().evaluate_bool(&[("self", object)])
}

#[rstest]
#[case::macros_in_macros("self.list.all(a, self.list.all(b, self.list.all(c, a + b + c >= 0)))")]
#[case::errors_that_are_forgiven("self.list.all(a, self.list.all(b, self.list.all(c, a.x == 1 || true)))")]
#[case::macros_that_only_copy(
    "self.list.filter(a, self.list.filter(b, self.list.filter(c, true) == []) == []) == []"
)]
#[case::a_text_that_doubles(&format!("['aaaaaaaaaaaaaaaa']{}.size() == 1", ".map(x, x + x)".repeat(24)))]
#[case::a_list_that_doubles(&format!("[1]{}.size() == 1", ".map(x, [x, x])".repeat(24)))]
#[case::a_replacement_that_multiplies(&format!("'aaaaaaaa'{}.size() == 1", ".replace('a', 'aaaaaaaaaaaaaaaa')".repeat(20)))]
#[case::a_join_that_multiplies(&format!("{}.size() == 1", "self.list.map(x, 'aaaaaaaa').join(".to_owned() + "'" + &"b".repeat(2000) + "')"))]
#[case::a_large_value_compared_at_each_turn("self.list.all(x, self == self)")]
#[case::a_large_value_selected_at_each_turn("self.list.all(x, size(self.list) > 0)")]
#[case::a_pattern_at_each_turn(
    "self.list.all(x, self.list.all(y, 'aaaaaaaaaaaaaaaaaaaaaa'.matches('(a*)*b') == false))"
)]
#[case::a_pattern_that_multiplies("'a'.matches('((a{1000}){1000}){1000}')")]
fn what_would_take_too_long_is_ended(#[case] text: &str) {
    let object = json!({"list": (0..20_000).collect::<Vec<i64>>()});
    assert!(
        matches!(evaluate(text, &object), Err(EvaluateError::TooCostly { .. })),
        "{:?}",
        evaluate(text, &object)
    );
}

#[test]
fn usual_work_over_a_large_object_is_done() {
    let conditions: Vec<Value> = (0..200)
        .map(|n| json!({"type": format!("T{n}"), "status": "True", "message": "m".repeat(100)}))
        .collect();
    let object = json!({"status": {"conditions": conditions}});
    let text = "self.status.conditions.filter(c, c.type == 'T100').all(c, c.status == 'True') && self.status.conditions.exists(c, c.type.matches('^T1[0-9]{2}$'))";
    assert_eq!(evaluate(text, &object), Ok(true));
}

#[rstest]
#[case::parentheses("(", "1", ")")]
#[case::sums("1+", "1", "")]
#[case::negations("!", "true", "")]
#[case::minus("-", "1", "")]
#[case::lists("[", "", "]")]
#[case::fields("", "a", ".b")]
#[case::indices("a[", "0", "]")]
#[case::choices("true?1:", "1", "")]
#[case::calls("size(", "a", ")")]
#[case::or("a||", "a", "")]
#[case::macros("[1].all(x,", "true", ")")]
#[case::brackets("{1:", "1", "}")]
fn deep_nesting_is_refused_or_done(#[case] before: &str, #[case] middle: &str, #[case] after: &str) {
    let count = 4000 / (before.len() + after.len());
    for count in [20, 100, count] {
        let text = format!("{}{middle}{}", before.repeat(count), after.repeat(count));
        // A worker of the controller has 2 MiB.
        let thread = std::thread::Builder::new().stack_size(2 << 20);
        let run = thread
            .spawn(move || Expression::compile(&text).map(|expression| expression.evaluate_bool(&[])))
            .unwrap();
        let _whatever = run.join().expect("no panic");
    }
}

#[test]
fn a_long_text_is_refused() {
    let error = Expression::compile(&" ".repeat(5000)).unwrap_err();
    assert_eq!(error.to_string(), "the expression has 5000 bytes, 4096 are allowed");
    assert_eq!(Expression::compile(&format!("{}1", "-1 + ".repeat(100))).unwrap_err(), CompileError::TooDeep);
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z]{0,4}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[ab]", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Texts that look like CEL, so that many of them can be evaluated.
fn text() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("self".to_owned()),
        Just("null".to_owned()),
        Just("'a'".to_owned()),
        Just("b'a'".to_owned()),
        Just("true".to_owned()),
        any::<i64>().prop_map(|n| n.to_string()),
        any::<u64>().prop_map(|n| format!("{n}u")),
        Just("1e300".to_owned()),
        Just("-9223372036854775808".to_owned()),
    ];
    let unary = prop::sample::select(vec![
        "-({})",
        "!({})",
        "({}).a",
        "({}).?a",
        "has(({}).a)",
        "({})[0]",
        "({})[?'a']",
        "[{}]",
        "{'a': {}}",
        "size({})",
        "int({})",
        "uint({})",
        "double({})",
        "string({})",
        "bytes({})",
        "duration({})",
        "timestamp({})",
        "({}).all(x, x == x)",
        "({}).map(x, x)",
        "({}).reverse()",
        "({}).trim()",
        "({}).join(',')",
        "optional.of({})",
        "({}).hasValue()",
        "({}).value()",
        "({}).getHours()",
        "base64.decode({})",
        "base64.encode({})",
        "strings.quote({})",
        "({}).charAt(-1)",
        "({}).substring(3, 1)",
        "({}).format([1])",
    ]);
    let binary = prop::sample::select(vec![
        "({}) + ({})",
        "({}) - ({})",
        "({}) * ({})",
        "({}) / ({})",
        "({}) % ({})",
        "({}) == ({})",
        "({}) < ({})",
        "({}) in ({})",
        "({}) && ({})",
        "({}) ? ({}) : 1",
        "({})[{}]",
        "({}).replace(({}), 'b')",
        "({}).split({})",
        "({}).matches({})",
        "({}).indexOf({})",
        "({}).orValue({})",
        "sets.contains({}, {})",
        "({}).format({})",
        "({}).contains({})",
        "({}).substring({})",
    ]);
    leaf.prop_recursive(5, 24, 2, move |inner| {
        prop_oneof![
            (unary.clone(), inner.clone()).prop_map(|(form, a)| form.replacen("{}", &a, 1)),
            (binary.clone(), inner.clone(), inner).prop_map(|(form, a, b)| {
                let (before, after) = form.split_once("{}").unwrap_or_default();
                format!("{before}{a}{}", after.replacen("{}", &b, 1))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn no_text_ends_the_process(text in "\\PC{0,60}") {
        let _whatever = Expression::compile(&text);
    }

    #[test]
    fn no_evaluation_ends_the_process(text in text(), object in json()) {
        if let Ok(expression) = Expression::compile(&text) {
            let _whatever = expression.evaluate_bool(&[("self", &object)]);
        }
    }
}
