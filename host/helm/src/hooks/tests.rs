#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
use rstest::rstest;

use super::*;

fn hook(name: &str, kind: &str, weight: i64, events: &[&str], policies: &[&str]) -> Hook {
    let record =
        json!({"name": name, "kind": kind, "weight": weight, "events": events, "delete_policies": policies});
    Hook::from_record(&record).unwrap()
}

fn names(hooks: &[Hook], indices: &[usize]) -> Vec<String> {
    indices.iter().map(|index| format!("{}/{}", hooks[*index].kind, hooks[*index].name)).collect()
}

#[test]
fn they_run_by_weight_then_name_then_kind() {
    let hooks = [
        hook("b", "ConfigMap", 0, &["pre-install"], &[]),
        hook("a", "ConfigMap", 0, &["pre-install", "pre-upgrade"], &[]),
        hook("a", "Job", 0, &["pre-install"], &[]),
        hook("late", "Job", 5, &["pre-install"], &[]),
        hook("early", "Job", -5, &["pre-install"], &[]),
        hook("other", "Job", -9, &["post-install"], &[]),
    ];
    let running = at(&hooks, HookEvent::PreInstall);
    assert_eq!(names(&hooks, &running), ["Job/early", "ConfigMap/a", "Job/a", "ConfigMap/b", "Job/late"]);
    assert_eq!(names(&hooks, &at(&hooks, HookEvent::PreUpgrade)), ["ConfigMap/a"]);
}

#[rstest]
#[case::default_is_before_creation("Job", &[], DeletePolicy::BeforeHookCreation, true)]
#[case::default_is_nothing_else("Job", &[], DeletePolicy::HookSucceeded, false)]
#[case::given("Job", &["hook-failed"], DeletePolicy::HookFailed, true)]
#[case::given_takes_the_place_of_the_default("Job", &["hook-failed"], DeletePolicy::BeforeHookCreation, false)]
#[case::so_does_an_unknown_one("Job", &["hook-vanished"], DeletePolicy::BeforeHookCreation, false)]
#[case::definitions_stay("CustomResourceDefinition", &["before-hook-creation"], DeletePolicy::BeforeHookCreation, false)]
fn they_are_deleted_by_policy(
    #[case] kind: &str,
    #[case] policies: &[&str],
    #[case] when: DeletePolicy,
    #[case] expected: bool,
) {
    assert_eq!(hook("a", kind, 0, &["pre-install"], policies).is_deleted(when), expected);
}

#[rstest]
#[case::all_succeeded(None, &["Job/d", "Job/a"])]
#[case::the_first_failed(Some(0), &[])]
#[case::the_third_failed(Some(2), &["Job/c", "Job/a"])]
#[case::the_last_failed(Some(3), &["Job/a"])]
fn after_a_failure_those_before_it_are_deleted_too(#[case] failed: Option<usize>, #[case] expected: &[&str]) {
    let hooks = [
        hook("a", "Job", 0, &["test"], &["hook-succeeded"]),
        hook("b", "Job", 0, &["test"], &["before-hook-creation"]),
        hook("c", "Job", 0, &["test"], &["hook-failed"]),
        hook("d", "Job", 0, &["test"], &["hook-succeeded"]),
    ];
    let running = at(&hooks, HookEvent::Test);
    assert_eq!(names(&hooks, &to_delete(&hooks, &running, failed)), expected);
}

#[test]
fn a_record_is_written_as_it_was_read() {
    let record = json!({
        "name": "a", "kind": "Job", "path": "p", "manifest": "m", "events": ["post-install", "test"], "weight": 1,
        "delete_policies": ["hook-failed"], "output_log_policies": ["hook-succeeded"],
        "last_run": {"started_at": "2026-01-01T00:00:00.5Z", "completed_at": "2026-01-01T00:00:01Z", "phase": "Succeeded"},
    });
    assert_eq!(Hook::from_record(&record).unwrap().to_record(), record);
}

#[rstest]
#[case(json!({"events": null, "last_run": {"started_at": "", "completed_at": "", "phase": ""}}))]
#[case(json!({"events": ["crd-install"], "delete_policies": null}))]
#[case(json!({}))]
fn records_of_other_versions_of_helm_are_read(#[case] record: Value) {
    let hook = Hook::from_record(&record).unwrap();
    assert_eq!((hook.events, hook.last_run), (vec![], HookRun::default()));
}

#[test]
fn the_old_name_of_tests_counts() {
    assert!(hook("a", "Pod", 0, &["test-success"], &[]).runs_at(HookEvent::Test));
}
