#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use plumbline_plugin::{Errors, Finding, Object, Severity};
use serde_json::{Value, json};

use crate::{Parameters, validate};

fn deployment(name: &str, replicas: Value) -> Object {
    Object::new(
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": "shop"},
        "spec": {"replicas": replicas, "template": {"spec": {"containers": [
            {"name": "a", "image": "registry/app:latest", "resources": {"limits": {"memory": "512Mi"}}},
        ]}}}}),
    )
    .unwrap()
}

fn run(objects: &[Object], parameters: Value) -> Result<Vec<Finding>, Errors> {
    let parameters: Parameters = serde_json::from_value(parameters).unwrap();
    validate(objects, parameters)
}

fn found(expression: &str) -> Vec<Finding> {
    run(&[deployment("web", json!(3))], json!({"rules": [{"name": "rule", "expression": expression}]}))
        .unwrap()
}

fn refused(parameters: Value) -> Vec<String> {
    run(&[], parameters).unwrap_err().into_iter().map(|error| error.to_string()).collect()
}

#[test]
fn broken_rules_are_found_with_their_messages() {
    let objects = [deployment("web", json!(9)), deployment("api", json!(2))];
    let findings = run(
        &objects,
        json!({"params": {"most": 5}, "rules": [
            {"name": "most", "expression": "object.spec.replicas <= params.most", "field": "/spec/replicas",
             "messageExpression": "'at most ' + string(params.most) + ' replicas, not ' + string(object.spec.replicas)"},
            {"name": "no-latest", "severity": "warning", "message": "name a version",
             "match": {"kinds": ["Deployment.apps"], "namespaces": ["sh*"], "names": ["api"]},
             "expression": "object.spec.template.spec.containers.all(c, !c.image.endsWith(':latest'))"},
            {"name": "others", "match": {"kinds": ["Service"]}, "expression": "false"},
        ]}),
    )
    .unwrap();
    assert_eq!(
        findings,
        [
            Finding::error(0, "most", "at most 5 replicas, not 9").field("/spec/replicas"),
            Finding::warning(1, "no-latest", "name a version"),
        ]
    );
}

#[test]
fn functions_of_kubernetes_are_there() {
    for holds in [
        "quantity(object.spec.template.spec.containers[0].resources.limits.memory).isLessThan(quantity('1Gi'))",
        "object.spec.template.spec.containers.all(c, c.image.find('^[a-z]+') == 'registry')",
        "isURL('https://example.com') && url('https://example.com/a').getHost() == 'example.com'",
        "cidr('10.0.0.0/8').containsIP('10.1.2.3')",
        "[1, 2, 3].sum() == 6 && [1, 2].isSorted()",
        "!has(object.spec.paused) || object.spec.paused",
        "'team' in params || !('team' in object.metadata)",
    ] {
        assert_eq!(found(holds), [], "{holds}");
    }
}

// Attack 16 (Rendering): an expression that reads a field that is missing is told at once, and is no pass.
#[test]
fn a_missing_field_is_an_error_that_names_the_rule() {
    let finding = &run(
        &[deployment("web", json!(1))],
        json!({"rules": [{"name": "paused", "severity": "warning", "expression": "object.spec.paused"}]}),
    )
    .unwrap()[0];
    assert_eq!((finding.severity, finding.rule.as_str()), (Severity::Error, "paused"));
    assert!(finding.message.contains("there is no `paused`; guard it with has()"), "{}", finding.message);
}

#[test]
fn what_gives_no_truth_value_is_no_pass() {
    assert!(found("object.spec.replicas")[0].message.contains("gives a int, not true or false"));
}

#[test]
fn a_message_that_cannot_be_made_is_replaced() {
    for expression in ["object.nothing", "object.spec.replicas", "' '"] {
        let findings = run(
            &[deployment("web", json!(1))],
            json!({"rules": [{"name": "a", "expression": "false", "message": "no", "messageExpression": expression}]}),
        );
        assert_eq!(findings.unwrap(), [Finding::error(0, "a", "no")], "{expression}");
    }
    assert_eq!(found("false")[0].message, "it does not fulfil `false`");
}

#[test]
fn everything_that_is_wrong_with_rules_is_told_before_any_object_is_looked_at() {
    let told = refused(json!({"rules": [
        {"name": "a", "expression": "object.spec.replicas >"},
        {"name": "b", "expression": "system('id') == ''", "messageExpression": "oldObject.kind"},
        {"name": "b", "expression": "true", "field": "spec"},
    ]}));
    assert_eq!(told.len(), 5, "{told:#?}");
    assert!(told[0].contains("the expression of the rule \"a\" cannot be used: line 1"), "{}", told[0]);
    assert!(told[1].contains("there is no function `system`"), "{}", told[1]);
    assert!(
        told[2].contains(
            "the messageExpression of the rule \"b\" cannot be used: there is no variable `oldObject`"
        ),
        "{}",
        told[2]
    );
}

// Attack 16 (Rendering): an expression that multiplies, and a pattern that does.
#[test]
fn what_costs_too_much_ends() {
    let many = json!((0..2000).collect::<Vec<_>>());
    let object = deployment("web", many);
    for expression in [
        "object.spec.replicas.all(a, object.spec.replicas.all(b, object.spec.replicas.all(c, a + b + c >= 0)))",
        "object.metadata.name.matches('((a{99}){99}){99}')",
        "object.metadata.name.find('((a{99}){99}){99}') == ''",
    ] {
        let findings = run(
            std::slice::from_ref(&object),
            json!({"rules": [{"name": "costly", "expression": expression}]}),
        )
        .unwrap();
        assert!(
            findings[0].message.contains("takes too many steps"),
            "{expression}: {}",
            findings[0].message
        );
    }
}

// Attack 16 (Rendering): nesting that would exhaust the stack of the parser.
#[test]
fn deep_nesting_is_refused() {
    for expression in ["(".repeat(2000) + &")".repeat(2000), "[".repeat(4000), "!".repeat(4000) + "true"] {
        assert_eq!(refused(json!({"rules": [{"name": "deep", "expression": expression}]})).len(), 1);
    }
}
