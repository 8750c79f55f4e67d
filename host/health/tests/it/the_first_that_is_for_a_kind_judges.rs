use std::sync::Arc;

use plumb_api::OnUnknown;
use plumb_apply::HealthStatus;
use plumb_cel::HealthExpressions;
use plumb_health::{Check, Checker, Checks};
use rstest::rstest;
use serde_json::json;

use crate::guest::{CURRENT, FAILED, IN_PROGRESS, check, choose, chosen, database, health, nobody, object};

/// An expression says that it is current, a plugin that it has failed, the rules that it is in progress, and kstatus that it is current.
#[rstest]
#[case::everybody(true, true, true, HealthStatus::Current, "")]
#[case::no_expression(false, true, true, HealthStatus::Failed, "so it says")]
#[case::no_plugin(false, false, true, HealthStatus::InProgress, "so it says")]
#[case::nobody(false, false, false, HealthStatus::Current, "Ready is True")]
fn expressions_then_plugins_then_rules_then_kstatus(
    #[case] expression: bool,
    #[case] plugin: bool,
    #[case] rules: bool,
    #[case] status: HealthStatus,
    #[case] message: &str,
) {
    let entry = json!([{"apiVersion": "example.com/v1", "kind": "Database", "current": "true"}]);
    let entries = if expression { entry } else { json!([]) };
    let expressions =
        HealthExpressions::compile(&serde_json::from_value::<Vec<_>>(entries).unwrap()).unwrap();
    let pack = || Arc::new(Check::rules(check(IN_PROGRESS), plumb_health::limits(1 << 30)).unwrap());
    let mut checks = Checks::new(Arc::new(expressions), rules.then(pack));
    if plugin {
        choose(&mut checks, "Database", Ok(check(FAILED)), OnUnknown::Wait);
    }
    let ready = database("1", json!({"conditions": [{"type": "Ready", "status": "True"}]}));
    let told = health(&Checker::default(), &checks, &ready);
    assert_eq!((told.status, told.message.as_str()), (status, message));
}

#[test]
fn of_two_plugins_it_is_the_first() {
    let mut checks = nobody();
    choose(&mut checks, "Cache", Ok(check(FAILED)), OnUnknown::Wait);
    choose(&mut checks, "*", Ok(check(CURRENT)), OnUnknown::Wait);
    choose(&mut checks, "Database", Ok(check(FAILED)), OnUnknown::Wait);
    assert_eq!(health(&Checker::default(), &checks, &database("1", json!({}))).status, HealthStatus::Current);
}

/// Whoever judges it.
#[rstest]
#[case::deleted(json!({"deletionTimestamp": "2026-01-01T00:00:00Z"}), HealthStatus::Terminating)]
#[case::not_observed(json!({"generation": 3}), HealthStatus::InProgress)]
fn what_is_deleted_or_not_observed_is_not_current(
    #[case] metadata: serde_json::Value,
    #[case] expected: HealthStatus,
) {
    let mut value = json!({"apiVersion": "example.com/v1", "kind": "Database", "metadata": {"name": "a"}, "status": {"observedGeneration": 2}});
    value["metadata"].as_object_mut().unwrap().extend(metadata.as_object().unwrap().clone());
    for plugin in [Ok(check(CURRENT)), Err("it is not there".to_owned())] {
        let told = health(&Checker::default(), &chosen(plugin, OnUnknown::Wait), &object(value.clone()));
        assert_eq!(told.status, expected);
    }
}

/// The kinds of Kubernetes and of Flux are what kstatus was made for.
#[rstest]
#[case("v1", "ConfigMap")]
#[case("apps/v1", "Deployment")]
#[case("rbac.authorization.k8s.io/v1", "Role")]
#[case("source.toolkit.fluxcd.io/v1", "GitRepository")]
#[case("plumbline.dev/v1alpha1", "Plugin")]
fn rules_are_not_asked_about_kinds_of_kubernetes(#[case] api_version: &str, #[case] kind: &str) {
    let pack = Check::rules(check(FAILED), plumb_health::limits(1 << 30)).unwrap();
    let checks = Checks::new(Arc::default(), Some(Arc::new(pack)));
    let of_kind = object(json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "a"}}));
    assert_ne!(health(&Checker::default(), &checks, &of_kind).status, HealthStatus::Failed);
}
