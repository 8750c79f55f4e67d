use plumb_api::OnUnknown;
use plumb_apply::HealthStatus;
use plumb_health::Checker;
use rstest::rstest;
use serde_json::json;

use crate::guest::{INVALID, UNKNOWN, UNSUPPORTED, check, chosen, database, health, transformer};

// Attack 27 (plugins): a plugin that runs for ever, takes all memory or breaks down makes nothing healthy.
#[rstest]
#[case::unknown(UNKNOWN, "the plugin check cannot tell: so it says")]
#[case::an_error(INVALID, "the plugin check cannot tell: so it says")]
#[case::a_kind_that_it_does_not_know(UNSUPPORTED, "the plugin check cannot tell: so it says")]
#[case::it_breaks_down("unreachable", "the plugin check cannot tell: the plugin broke down")]
#[case::it_runs_for_ever(
    "(loop $again (br $again)) unreachable",
    "the plugin check cannot tell: the plugin went over its limit of wall time"
)]
#[case::it_takes_all_memory(
    "(drop (memory.grow (i32.const 60000))) unreachable",
    "the plugin check cannot tell: the plugin went over its limit of memory"
)]
#[case::it_answers_without_end(
    "(drop (memory.grow (i32.const 10))) (call $report (i32.const 0) (i32.const 0) (i32.const -1))",
    "the plugin check cannot tell: "
)]
fn policy_says_whether_it_is_waited_for(#[case] body: &str, #[case] message: &str) {
    for (on_unknown, expected) in
        [(OnUnknown::Wait, HealthStatus::Unknown), (OnUnknown::Fail, HealthStatus::Failed)]
    {
        let told =
            health(&Checker::default(), &chosen(Ok(check(body)), on_unknown), &database("1", json!({})));
        assert_eq!(told.status, expected, "{told:?}");
        assert!(told.message.starts_with(message), "{}", told.message);
    }
}

#[rstest]
#[case::not_there(Err("there is no such Plugin".to_owned()), "the plugin databases cannot be asked: there is no such Plugin")]
#[case::no_check(
    Ok(transformer()),
    "the plugin databases cannot be asked: it is a transformer, and only a health-check can tell how objects are"
)]
fn nor_is_what_cannot_be_asked(#[case] plugin: Result<plumb_plugin::Plugin, String>, #[case] message: &str) {
    let ready = json!({"conditions": [{"type": "Ready", "status": "True"}]});
    for (on_unknown, expected) in
        [(OnUnknown::Wait, HealthStatus::Unknown), (OnUnknown::Fail, HealthStatus::Failed)]
    {
        let checks = chosen(plugin.clone(), on_unknown);
        let told = health(&Checker::default(), &checks, &database("1", ready.clone()));
        assert_eq!((told.status, told.message.as_str()), (expected, message));
    }
}

#[test]
fn a_long_message_is_cut() {
    let body = "(drop (memory.grow (i32.const 4)))
        (memory.fill (i32.const 65536) (i32.const 97) (i32.const 100000))
        (call $report (i32.const 1) (i32.const 65536) (i32.const 100000))";
    let told =
        health(&Checker::default(), &chosen(Ok(check(body)), OnUnknown::Wait), &database("1", json!({})));
    assert_eq!(told.message.chars().count(), 1025);
}
