use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use plumb_api::OnUnknown;
use plumb_apply::HealthStatus;
use plumb_health::{Answer, Check, Checker, Checks};
use plumb_plugin::Cancelled;
use serde_json::json;

use crate::guest::{QUOTES, UNSUPPORTED, check, chosen, database, health, object};

fn is_known(checker: &Checker, checks: &Checks, object: &Arc<plumb_api::Object>) -> bool {
    matches!(checker.look(checks, object, Timestamp::UNIX_EPOCH), Answer::Known(_))
}

#[test]
fn what_it_has_said_is_kept_until_the_object_changes() {
    let checker = Checker::default();
    let checks = chosen(Ok(check(QUOTES)), OnUnknown::Wait);
    let first = database("1", json!({"state": "first"}));
    assert!(!is_known(&checker, &checks, &first));
    assert!(health(&checker, &checks, &first).message.contains("first"));
    assert!(is_known(&checker, &checks, &first));
    // Of the same version there is but one object: that it is another one here shows that nobody was asked.
    assert!(health(&checker, &checks, &database("1", json!({"state": "second"}))).message.contains("first"));
    assert!(health(&checker, &checks, &database("2", json!({"state": "second"}))).message.contains("second"));
}

#[test]
fn another_plugin_and_other_parameters_are_asked_anew() {
    let checker = Checker::default();
    let of_one = database("1", json!({"state": "first"}));
    health(&checker, &chosen(Ok(check(QUOTES)), OnUnknown::Wait), &of_one);
    let other = chosen(
        Ok(check("(call $report (i32.const 2) (local.get $object) (local.get $size))")),
        OnUnknown::Wait,
    );
    assert!(!is_known(&checker, &other, &of_one));
}

#[test]
fn an_object_without_a_version_is_never_kept() {
    let checker = Checker::default();
    let checks = chosen(Ok(check(QUOTES)), OnUnknown::Wait);
    let of_file =
        object(json!({"apiVersion": "example.com/v1", "kind": "Database", "metadata": {"name": "a"}}));
    health(&checker, &checks, &of_file);
    assert!(!is_known(&checker, &checks, &of_file));
}

#[test]
fn rules_are_asked_once_about_a_kind_that_they_do_not_know() {
    let checker = Checker::default();
    let rules = Check::rules(check(UNSUPPORTED), plumb_health::limits(1 << 30)).unwrap();
    let checks = Checks::new(Arc::default(), Some(Arc::new(rules)));
    let first =
        database("1", json!({"conditions": [{"type": "Ready", "status": "False", "message": "no disk"}]}));
    assert!(!is_known(&checker, &checks, &first));
    let told = health(&checker, &checks, &first);
    assert_eq!(
        (told.status, told.message.as_str()),
        (HealthStatus::InProgress, "no disk"),
        "as kstatus has it"
    );
    assert!(is_known(&checker, &checks, &database("2", json!({}))), "nor about any other of the kind");
}

#[test]
fn all_together_take_no_longer_than_they_may() {
    let checker = Checker::default();
    let checks = chosen(Ok(check(QUOTES)), OnUnknown::Fail);
    let Answer::Ask(question) = checker.look(&checks, &database("1", json!({})), Timestamp::UNIX_EPOCH)
    else {
        panic!("nobody was asked")
    };
    let answers = checker.ask(&[question], Duration::ZERO, Timestamp::UNIX_EPOCH, &Cancelled::new());
    assert_eq!(answers[0].status, HealthStatus::Unknown, "that it was not asked yet is no failure");
    assert!(!is_known(&checker, &checks, &database("1", json!({}))), "it is asked the next time");
}
