//! `dependsOn[].readyExpr`.

use plumb_cel::{CompileError, ReadyExpression};
use serde_json::{Value, json};

/// The example of Flux's page.
const SAME_VERSION: &str = "
    dep.metadata.labels['app/version'] == self.metadata.labels['app/version'] &&
    dep.status.conditions.filter(e, e.type == 'Ready').all(e, e.status == 'True') &&
    dep.metadata.generation == dep.status.observedGeneration
";

fn object(version: &str, ready: &str, observed: i64) -> Value {
    json!({
        "metadata": {"generation": 2, "labels": {"app/version": version}},
        "status": {"observedGeneration": observed, "conditions": [{"type": "Ready", "status": ready}]},
    })
}

#[test]
fn the_example_of_flux_works() {
    let expression = ReadyExpression::compile(SAME_VERSION).unwrap();
    let this = object("v1.2.3", "Unknown", 1);
    assert_eq!(expression.evaluate(&object("v1.2.3", "True", 2), &this), Ok(true));
    assert_eq!(expression.evaluate(&object("v1.2.2", "True", 2), &this), Ok(false));
    assert_eq!(expression.evaluate(&object("v1.2.3", "False", 2), &this), Ok(false));
    assert_eq!(expression.evaluate(&object("v1.2.3", "True", 1), &this), Ok(false));
    assert!(expression.evaluate(&json!({"metadata": {}}), &this).unwrap_err().is_missing());
}

#[test]
fn other_variables_are_refused_when_it_is_read() {
    let error = ReadyExpression::compile("self.generation == deps.generation").unwrap_err();
    assert_eq!(error.to_string(), "there is no variable `deps`; there is dep and self");
    assert!(matches!(ReadyExpression::compile("status.ready"), Err(CompileError::UnknownVariable { .. })));
    ReadyExpression::compile("dep.spec.items.all(item, sets.contains([item], [item]))").unwrap();
}
