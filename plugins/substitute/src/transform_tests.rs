#![allow(clippy::unwrap_used, reason = "tests")]

use serde_json::json;

use super::*;

/// What Flux does is compared with Flux itself, in `tests/conformance`. Here is what this plugin does besides.
fn run(object: &Value, variables: &Value) -> Result<Value, Vec<String>> {
    let changed = transform(&[object.to_string()], &json!({"variables": variables}).to_string());
    let told = |errors: Vec<Error>| errors.iter().map(Error::to_string).collect::<Vec<_>>();
    changed.map(|objects| serde_json::from_str(&objects[0]).unwrap()).map_err(told)
}

fn config_map(data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": data})
}

#[test]
fn large_numbers_keep_their_digits() {
    let spec = json!({"a": 18_446_744_073_709_551_615_u64, "b": -9_223_372_036_854_775_808_i64, "c": 12_345_678_901_234_567_i64, "d": 1.5});
    let object = json!({"apiVersion": "v1", "kind": "Thing", "metadata": {"name": "t"}, "spec": spec});
    assert_eq!(run(&object, &json!({})), Ok(object));
}

#[test]
fn an_annotation_that_becomes_empty_is_left_out_and_one_that_becomes_a_number_is_told() {
    let object = |value: &str| json!({"apiVersion": "v1", "kind": "Thing", "metadata": {"name": "t", "annotations": {"a": value, "b": "c"}}});
    let changed = run(&object("${a}"), &json!({"a": ""})).unwrap();
    assert_eq!(changed["metadata"]["annotations"], json!({"b": "c"}));
    let told = run(&object("${a}"), &json!({"a": "1"})).unwrap_err();
    assert_eq!(told, ["Thing/t: with its variables metadata.annotations.a is not text"]);
}

#[test]
fn what_is_no_object_any_more_is_told() {
    let object =
        |kind: &str, name: &str| json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}});
    let empty = json!({"a": ""});
    let told = run(&object("Thing", "${a}"), &empty).unwrap_err();
    assert_eq!(
        told,
        ["Thing/${a}: with its variables it lacks metadata.name, or has another value than text there"]
    );
    let told = run(&object("${a}", "t"), &empty).unwrap_err();
    assert_eq!(told, ["${a}/t: with its variables it lacks kind, or has another value than text there"]);
}

/// Attack 15 (Rendering): values that stand for many others, one in the other.
#[test]
fn aliases_do_not_multiply() {
    let mut variables = json!({"v00": "&v00 [x, x, x, x, x, x, x, x, x, x]"});
    let mut data = json!({"v00": "${v00}"});
    for level in 1..12 {
        let before = format!("*v{:02}", level - 1);
        let all = [before.as_str(); 10].join(", ");
        variables[format!("v{level:02}")] = format!("&v{level:02} [{all}]").into();
        data[format!("v{level:02}")] = format!("${{v{level:02}}}").into();
    }
    let told = run(&config_map(data), &variables).unwrap_err();
    assert!(told[0].contains("it has too many values"), "{told:?}");
}

/// Attack 15 (Rendering).
#[test]
fn deep_nesting_is_refused() {
    let told = run(&config_map(json!({"a": "${a}"})), &json!({"a": "[".repeat(1000) + &"]".repeat(1000)}))
        .unwrap_err();
    assert!(told[0].starts_with("ConfigMap/c: with its variables it cannot be read"), "{told:?}");
    let nested = "${a:=".repeat(100_000) + &"}".repeat(100_000);
    let told = run(&config_map(json!({"a": nested})), &json!({})).unwrap_err();
    assert_eq!(told, ["ConfigMap/c: data.a has too many expressions within each other"]);
}

/// Attack 15 (Rendering): a little text that asks for much.
#[test]
fn what_becomes_too_large_is_refused() {
    let variables = json!({"a": "x".repeat(100_000)});
    let told = run(&config_map(json!({"a": "${a}".repeat(1000)})), &variables).unwrap_err();
    assert_eq!(told, ["ConfigMap/c: with its variables it is larger than 16 MiB"]);
    let told = run(&config_map(json!({"a": "${a//x/${a}}"})), &variables).unwrap_err();
    assert_eq!(told, ["ConfigMap/c: with its variables it is larger than 16 MiB"]);
}

#[test]
fn many_escapes_are_done_in_time() {
    let changed = run(&config_map(json!({"a": "$$".repeat(500_000)})), &json!({})).unwrap();
    assert_eq!(changed["data"]["a"].as_str().unwrap().len(), 500_000);
}

#[test]
fn parameters_that_are_none_are_the_fault_of_the_host() {
    for parameters in ["", "{}", "[]", r#"{"variables": {"a": 1}}"#, r#"{"variables": {}, "more": 1}"#] {
        assert!(matches!(transform(&[], parameters).unwrap_err()[..], [Error::Host(_)]), "{parameters}");
    }
}
