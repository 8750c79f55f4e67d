//! The order and the failures of Flux's `healthCheckExprs`.

use plumb_api::CustomHealthCheck;
use plumb_cel::{EvaluateError, Health, HealthExpressionError, HealthExpressions};
use rstest::rstest;
use serde_json::{Value, json};

fn entry(api_version: &str, kind: Option<&str>, current: &str) -> CustomHealthCheck {
    CustomHealthCheck {
        api_version: api_version.to_owned(),
        kind: kind.map(str::to_owned),
        current: current.to_owned(),
        in_progress: None,
        failed: None,
    }
}

/// `[inProgress, failed, current]`, an empty text for none.
fn health([in_progress, failed, current]: [&str; 3], object: &Value) -> Result<Health, EvaluateError> {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let check = CustomHealthCheck {
        in_progress: some(in_progress),
        failed: some(failed),
        ..entry("example.com/v1", None, current)
    };
    HealthExpressions::compile(&[check]).unwrap().of("example.com", "Thing").unwrap().evaluate(object)
}

const DATA: [&str; 3] = ["data.inProgress", "data.failed", "data.current"];

fn data(in_progress: bool, failed: bool, current: bool) -> Value {
    json!({"data": {"inProgress": in_progress, "failed": failed, "current": current}})
}

/// The expressions of the page of `SealedSecret`.
const SEALED: [&str; 3] = [
    "",
    "status.conditions.filter(e, e.type == 'Synced').all(e, e.status == 'False')",
    "status.conditions.filter(e, e.type == 'Synced').all(e, e.status == 'True')",
];

const GENERATION: [&str; 3] = [
    "has(status.observedGeneration) && metadata.generation != status.observedGeneration",
    "status.conditions.filter(e, e.type == 'Ready').all(e, e.status == 'False')",
    "status.conditions.filter(e, e.type == 'Ready').all(e, e.status == 'True')",
];

#[rstest]
#[case::none_is_true(DATA, data(false, false, false), Health::InProgress)]
#[case::all_are_true(DATA, data(true, true, true), Health::InProgress)]
#[case::failed_goes_before_current(DATA, data(false, true, true), Health::Failed)]
#[case::current(DATA, data(false, false, true), Health::Current)]
#[case::only_current_is_given(["", "", "data.current"], data(true, true, true), Health::Current)]
#[case::synced(SEALED, json!({"status": {"conditions": [{"type": "Synced", "status": "True"}]}}), Health::Current)]
#[case::not_synced(SEALED, json!({"status": {"conditions": [{"type": "Synced", "status": "False"}]}}), Health::Failed)]
#[case::unknown(SEALED, json!({"status": {"conditions": [{"type": "Synced", "status": "Unknown"}]}}), Health::InProgress)]
#[case::all_of_nothing_is_true(GENERATION, json!({"status": {"conditions": []}}), Health::Failed)]
#[case::an_old_generation_counts_before_the_expressions(
    ["", "", "true"], json!({"metadata": {"generation": 2}, "status": {"observedGeneration": 1}}), Health::InProgress
)]
#[case::a_generation_that_is_a_string_is_left_to_the_expressions(
    ["", "", "status.observedGeneration == '2'"],
    json!({"metadata": {"generation": 2}, "status": {"observedGeneration": "2"}}),
    Health::Current
)]
#[case::numbers_of_different_types_are_equal(["", "", "status.share == 1 && status.ready == 2.0"], json!({"status": {"share": 1.0, "ready": 2}}), Health::Current)]
#[case::optional_fields(["", "", "status.?phase.orValue('') == 'Ready'"], json!({"status": {"phase": "Ready"}}), Health::Current)]
#[case::optional_fields_that_are_missing(
    ["", "", "status.phase == 'a' && status.?missing.orValue('none') == 'none' && status.?missing.?deeper.orValue(1) == 1"],
    json!({"status": {"phase": "a"}}),
    Health::Current
)]
#[case::strings(["", "", "status.phase.lowerAscii().startsWith('run')"], json!({"status": {"phase": "Running"}}), Health::Current)]
#[case::sets(["", "", "sets.contains(status.conditions.map(c, c.type), ['Ready'])"], json!({"status": {"conditions": [{"type": "Ready"}]}}), Health::Current)]
#[case::an_error_beside_what_is_true(["", "", "status.missing == 1 || status.phase == 'a'"], json!({"status": {"phase": "a"}}), Health::Current)]
fn the_first_that_is_true_counts(
    #[case] expressions: [&str; 3],
    #[case] object: Value,
    #[case] expected: Health,
) {
    assert_eq!(health(expressions, &object), Ok(expected));
}

#[rstest]
#[case::in_progress(["data.inProgresss", "data.failed", "data.current"], data(false, false, true), "inProgresss")]
#[case::failed(["data.inProgress", "data.failedd", "data.current"], data(false, false, true), "failedd")]
#[case::current(["data.inProgress", "data.failed", "data.currentt"], data(false, false, true), "currentt")]
#[case::no_status(GENERATION, json!({"metadata": {"generation": 1}}), "status")]
#[case::no_status_and_no_guard(SEALED, json!({}), "status")]
#[case::no_conditions(GENERATION, json!({"status": {}}), "conditions")]
fn a_missing_field_is_an_error(#[case] expressions: [&str; 3], #[case] object: Value, #[case] field: &str) {
    let error = health(expressions, &object).unwrap_err();
    assert!(error.is_missing(), "{error:?}");
    assert!(
        error
            .to_string()
            .ends_with(&format!("there is no `{field}`; guard it with has() if it may be missing")),
        "{error}"
    );
}

/// The interpreter takes a field of a text for `false`; that would turn `!status.phase.failed` into health.
#[test]
fn a_field_of_what_has_no_fields_is_an_error() {
    let error = health(["", "", "!status.phase.failed"], &json!({"status": {"phase": "Ready"}})).unwrap_err();
    assert!(!error.is_missing(), "{error:?}");
}

#[test]
fn an_entry_is_for_all_versions_of_its_group_and_one_with_a_kind_goes_first() {
    let checks = [
        entry("example.com/v1", None, "true"),
        entry("example.com/v1alpha1", Some("Job"), "false"),
        entry("v1", Some("Pod"), "true"),
    ];
    let expressions = HealthExpressions::compile(&checks).unwrap();
    let health = |group: &str, kind: &str| {
        expressions.of(group, kind).map(|found| found.evaluate(&json!({})).unwrap())
    };
    assert_eq!(health("example.com", "Thing"), Some(Health::Current));
    assert_eq!(health("example.com", "Job"), Some(Health::InProgress));
    assert_eq!(health("", "Pod"), Some(Health::Current));
    assert_eq!(health("", "ConfigMap"), None);
    assert_eq!(health("apps", "Deployment"), None);
}

#[test]
fn every_mistake_is_told() {
    let broken = CustomHealthCheck {
        in_progress: Some("data.".to_owned()),
        failed: Some("nosuch(data)".to_owned()),
        ..entry("example.com/v1", None, "'a".repeat(3000).as_str())
    };
    let errors =
        HealthExpressions::compile(&[broken, entry("a/v1", None, "true"), entry("a/v2", None, "true")])
            .unwrap_err();
    assert!(matches!(errors.last(), Some(HealthExpressionError::Duplicate { index: 2, .. })), "{errors:?}");
    let fields: Vec<&str> = errors
        .iter()
        .filter_map(|error| match error {
            HealthExpressionError::Compile { index: 0, field, .. } => Some(*field),
            _ => None,
        })
        .collect();
    assert_eq!(fields, ["inProgress", "failed", "current"]);
}
