#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
use plumb_api::TestPhase;
use rstest::rstest;
use serde_json::json;

use super::*;
use crate::hooks::HookRun;
use crate::record::{NewRelease, Write, decode, encode};
use crate::rendered::RenderedRelease;

fn release(version: i64) -> Release {
    let rendered = RenderedRelease::read(json!({
        "kind": "RenderedRelease",
        "manifest": "a: <b> & c\u{2028}",
        "hooks": [{"name": "test", "kind": "Pod", "events": ["test"], "object": {}}, {"name": "job", "kind": "Job", "events": ["pre-install"], "object": {}}],
        "chart": {"metadata": {"name": "web", "version": "1.2.3", "appVersion": "4", "dependencies": [{"name": "db"}]}},
    }))
    .unwrap();
    let at = Timestamp::from_second(10).unwrap();
    let new = NewRelease {
        name: "web",
        namespace: "shop",
        version,
        status: ReleaseStatus::Deployed,
        description: "Install complete",
        first_deployed: at,
        at,
    };
    Release::new(&new, &rendered, json!({"a": 1.0}).as_object().unwrap())
}

fn entry(version: i64, status: ReleaseStatus, failed_test: bool) -> ReleaseSnapshot {
    let mut snapshot = of(&release(version), None, None);
    snapshot.status = status;
    let phase = if failed_test { TestPhase::Failed } else { TestPhase::Succeeded };
    snapshot.test_hooks =
        Some([("t".to_owned(), TestHookStatus { phase: Some(phase), ..TestHookStatus::default() })].into());
    snapshot
}

/// What Go would write; the tests against upstream compare whole digests.
#[test]
fn what_is_observed_is_written_as_go_does() {
    insta::assert_snapshot!(observation(&release(2), Some("sha256:ab")), @r#"{"name":"web","version":2,"info":{"first_deployed":"1970-01-01T00:00:10Z","last_deployed":"1970-01-01T00:00:10Z","description":"Install complete","status":"deployed"},"chartMetadata":{"name":"web","version":"1.2.3","appVersion":"4","dependencies":[{"name":"db","repository":""}]},"config":{"a":1},"manifest":"a: \u003cb\u003e \u0026 c\u2028","hooks":[{"name":"job","kind":"Job","events":["pre-install"],"last_run":{"phase":""}}],"namespace":"shop","ociDigest":"sha256:ab"}"#);
}

#[rstest]
#[case(json!("2026-01-01T00:00:00Z"), Some("2026-01-01T00:00:00Z"))]
#[case(json!("2026-01-01T00:00:00.120Z"), Some("2026-01-01T00:00:00.12Z"))]
#[case(json!("2026-01-01T00:00:00.000+02:00"), Some("2026-01-01T00:00:00+02:00"))]
#[case(json!("2026-01-01T00:00:00+00:00"), Some("2026-01-01T00:00:00Z"))]
#[case(json!("0001-01-01T00:00:00Z"), None)]
#[case(json!(""), None)]
#[case(json!(null), None)]
fn times_are_written_as_go_does(#[case] read: Value, #[case] expected: Option<&str>) {
    assert_eq!(time(Some(&read)), expected.map(Value::from));
}

#[test]
fn a_snapshot_knows_its_record_also_after_it_was_stored() {
    let release = release(1);
    let snapshot = of(&release, Some(ReleaseAction::Install), Some("sha256:ab"));
    let at = Timestamp::from_second(11).unwrap();
    let stored = decode(&encode(&release, Write::Create, at).unwrap()).unwrap();
    assert!(is_of(&snapshot, &stored) && targets(&snapshot, &stored));

    let mut tested = stored.clone();
    let run = HookRun::started(at).ended(at, TestPhase::Succeeded);
    tested.set_hook_run(0, &run);
    assert!(is_of(&snapshot, &tested), "running tests is no change");
    let mut changed = stored.clone();
    changed.set_hook_run(1, &run);
    assert!(!is_of(&snapshot, &changed), "running another hook is");
    let mut changed = stored;
    changed.set_status(ReleaseStatus::Failed, "");
    assert!(!is_of(&snapshot, &changed));
    let old = ReleaseSnapshot { api_version: None, ..snapshot.clone() };
    assert!(is_of(&old, &changed), "Flux believes the snapshots of its older versions");
    assert!(!is_of(&ReleaseSnapshot { digest: "blake3:00".to_owned(), ..snapshot }, &release));
}

#[rstest]
#[case::none(&[], false, None)]
#[case::one(&[entry(1, ReleaseStatus::Deployed, false)], false, None)]
#[case::the_one_before(&[entry(1, ReleaseStatus::Superseded, false), entry(2, ReleaseStatus::Failed, false)], false, Some(1))]
#[case::not_a_failed_one(&[entry(1, ReleaseStatus::Superseded, false), entry(2, ReleaseStatus::Failed, false), entry(3, ReleaseStatus::Failed, false)], false, Some(1))]
#[case::not_one_whose_test_failed(&[entry(1, ReleaseStatus::Superseded, false), entry(2, ReleaseStatus::Superseded, true), entry(3, ReleaseStatus::Failed, false)], false, Some(1))]
#[case::unless_tests_do_not_count(&[entry(1, ReleaseStatus::Superseded, false), entry(2, ReleaseStatus::Superseded, true), entry(3, ReleaseStatus::Failed, false)], true, Some(2))]
#[case::not_an_uninstalled_one(&[entry(1, ReleaseStatus::Uninstalled, false), entry(2, ReleaseStatus::Failed, false)], false, None)]
fn it_is_gone_back_to_the_last_that_worked(
    #[case] history: &[ReleaseSnapshot],
    #[case] ignore_tests: bool,
    #[case] expected: Option<i64>,
) {
    assert_eq!(previous(history, ignore_tests).map(|snapshot| snapshot.version), expected);
}

#[test]
fn what_is_older_than_that_is_dropped() {
    let versions = |history: &[ReleaseSnapshot]| history.iter().map(|s| s.version).collect::<Vec<_>>();
    let mut history: Vec<_> =
        (1..=4).map(|version| entry(version, ReleaseStatus::Superseded, version == 3)).collect();
    truncate(&mut history, false);
    assert_eq!(versions(&history), [4, 3, 2]);
    let mut history: Vec<_> = (1..=8).map(|version| entry(version, ReleaseStatus::Failed, false)).collect();
    truncate(&mut history, false);
    assert_eq!(versions(&history), [8, 7, 6, 5, 4], "where there is nothing to go back to, five are kept");
}

#[test]
fn a_revision_is_noted_once_and_keeps_its_tests() {
    let mut history = vec![entry(1, ReleaseStatus::Deployed, true)];
    let mut changed = release(1);
    changed.set_status(ReleaseStatus::Superseded, "Install complete");
    observe(&mut history, &release(2), Some(ReleaseAction::Upgrade), None);
    observe(&mut history, &changed, None, None);
    let told: Vec<_> = history.iter().map(|s| (s.version, s.status, s.has_failed_test())).collect();
    assert_eq!(told, [(2, ReleaseStatus::Deployed, false), (1, ReleaseStatus::Superseded, true)]);
}

#[test]
fn tests_are_told_of_as_they_were_selected() {
    let test = Test {
        filters: vec![plumb_api::TestFilter { name: "other".to_owned(), exclude: false }],
        ..Test::default()
    };
    assert_eq!(tests(&release(1), &Test::default()).into_keys().collect::<Vec<_>>(), ["test"]);
    assert!(tests(&release(1), &test).is_empty());
}
