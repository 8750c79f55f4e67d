//! Expressions compared with the schema of a CRD.

use plumb_api::CustomHealthCheck;
use plumb_cel::{Expression, Finding, HealthExpressions, check};
use rstest::rstest;
use serde_json::{Value, json};

fn schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": {"type": "object", "properties": {
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {"a": {"type": "string"}}},
                "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                "apps": {"type": "object", "additionalProperties": {"type": "object", "properties": {"size": {"type": "integer"}}}},
                "port": {"x-kubernetes-int-or-string": true},
                "opaque": {"type": "object"},
            }},
            "status": {"type": "object", "properties": {
                "phase": {"type": "string"},
                "observedGeneration": {"type": "integer"},
                "conditions": {"type": "array", "items": {"type": "object", "properties": {
                    "type": {"type": "string"}, "status": {"type": "string"}, "reason": {"type": "string"},
                }}},
            }},
        },
    })
}

fn told(text: &str) -> Vec<String> {
    let schema = schema();
    let fields = schema["properties"].as_object().unwrap();
    let variables: Vec<(&str, &Value)> =
        fields.iter().map(|(name, schema)| (name.as_str(), schema)).collect();
    check(&Expression::compile(text).unwrap(), &variables).iter().map(Finding::to_string).collect()
}

#[rstest]
#[case::misspelt(
    "status.conditons.all(c, true)",
    "there is no field `status.conditons`; is `status.conditions` meant?"
)]
#[case::in_another_case("status.Phase == 'a'", "there is no field `status.Phase`; is `status.phase` meant?")]
#[case::nothing_near("status.ready", "there is no field `status.ready`")]
#[case::of_the_items(
    "status.conditions.exists(c, c.typ == 'Ready')",
    "there is no field `status.conditions.typ`; is `status.conditions.type` meant?"
)]
#[case::behind_a_filter(
    "status.conditions.filter(c, c.type == 'Ready')[0].state == 'True'",
    "there is no field `status.conditions.state`; is `status.conditions.status` meant?"
)]
#[case::by_index("status['phas'] == 'a'", "there is no field `status.phas`; is `status.phase` meant?")]
#[case::of_the_object("stauts.phase == 'a'", "there is no field `stauts`; is `status` meant?")]
#[case::of_a_text(
    "status.phase.name == 'a'",
    "there is no field `status.phase.name`: what has it is of type string"
)]
#[case::of_a_list(
    "status.conditions.type == 'a'",
    "there is no field `status.conditions.type`: what has it is of type array"
)]
#[case::of_a_free_key(
    "spec.apps['web'].sizes == 1",
    "there is no field `spec.apps.web.sizes`; is `spec.apps.web.size` meant?"
)]
#[case::in_an_argument(
    "'a'.startsWith(status.phases)",
    "there is no field `status.phases`; is `status.phase` meant?"
)]
#[case::guarded_is_another_field("has(status.ready) && status.reddy", "there is no field `status.reddy`")]
fn what_the_schema_does_not_have_is_told(#[case] text: &str, #[case] expected: &str) {
    assert_eq!(told(text), [expected]);
}

#[rstest]
#[case::all_there(
    "status.observedGeneration == metadata.generation && status.conditions.exists(c, c.type == 'Ready' && c.status == 'True')"
)]
#[case::free_form("spec.free.what.ever == 1")]
#[case::free_keys("spec.labels['app/version'] == 'a' && spec.labels.team == 'b' && spec.apps.web.size == 1")]
#[case::nothing_is_known_of_it("spec.opaque.a.b == 1 && metadata.labels.a == 'b'")]
#[case::asked_for("has(status.ready) && status.ready.since == 'a'")]
#[case::optional("status.?ready.orValue(true)")]
#[case::of_a_function(
    "sets.contains(status.conditions.map(c, c.type), ['a']) && size(status.conditions) > 0"
)]
#[case::a_variable_of_a_macro_hides("[{'x': 1}].all(status, status.x == 1)")]
fn what_may_be_there_is_not_told(#[case] text: &str) {
    assert_eq!(told(text), [""; 0]);
}

#[test]
fn all_expressions_of_an_entry_are_compared() {
    let entry = CustomHealthCheck {
        api_version: "example.com/v1".to_owned(),
        kind: None,
        current: "status.phase == 'Ready' && metadata.generation == 1".to_owned(),
        in_progress: Some("status.phace == 'Busy'".to_owned()),
        failed: Some("state.phase == 'Failed'".to_owned()),
    };
    let expressions = HealthExpressions::compile(&[entry]).unwrap();
    let found: Vec<String> = expressions
        .of("example.com", "Thing")
        .unwrap()
        .check(&schema())
        .iter()
        .map(Finding::to_string)
        .collect();
    assert_eq!(
        found,
        [
            "there is no field `status.phace`; is `status.phase` meant?",
            "there is no field `state`; is `status` meant?"
        ]
    );
}
