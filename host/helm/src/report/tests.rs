#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
use plumb_api::{ReleaseAction, ReleaseAttempt, ReleaseStatus, TestPhase};
use rstest::rstest;
use serde_json::{Map, Value, json};

use super::*;
use crate::decide::{Turn, Uninstall};
use crate::hooks::HookRun;
use crate::record::{NewRelease, Release};
use crate::rendered::RenderedRelease;
use crate::values::Values;

const TARGET: Target<'static> = Target { storage_namespace: "shop", namespace: "shop", name: "web" };

fn now() -> Timestamp {
    Timestamp::from_second(1).unwrap()
}

fn spec(given: &Value) -> HelmReleaseSpec {
    let mut spec = json!({"interval": "5m", "chartRef": {"kind": "HelmChart", "name": "web"}});
    spec.as_object_mut().unwrap().extend(given.as_object().unwrap().clone());
    serde_json::from_value(spec).unwrap()
}

fn desired() -> Desired {
    Desired { chart_name: "web".to_owned(), chart_version: "1.2.3".to_owned(), values: Values::default() }
}

fn record(version: i64, status: ReleaseStatus) -> Release {
    let rendered = RenderedRelease::read(json!({
        "kind": "RenderedRelease",
        "hooks": [{"name": "test", "kind": "Pod", "events": ["test"], "object": {}}],
        "chart": {"metadata": {"name": "web", "version": "1.2.3"}},
    }))
    .unwrap();
    let new = NewRelease {
        name: "web",
        namespace: "shop",
        version,
        status,
        description: "",
        first_deployed: now(),
        at: now(),
    };
    Release::new(&new, &rendered, &Map::new())
}

/// Ends an action, and gives what is told and the conditions as `TYPE=STATUS REASON: MESSAGE`.
fn ended(
    spec: &HelmReleaseSpec,
    status: &mut HelmReleaseStatus,
    action: Action,
    problem: Option<&str>,
    written: &[Release],
) -> (Option<Told>, String) {
    let mut report = Report { spec, generation: 2, status, now: now(), retry_by_default: false };
    let desired = desired();
    let took = Duration::from_millis(1500);
    let told = report.ended(&Ended { action, problem, written, took, desired: &desired, target: TARGET });
    (told, said(status))
}

fn said(status: &HelmReleaseStatus) -> String {
    let line = |c: &Condition| format!("{}={} {}: {}\n", c.type_, c.status, c.reason, c.message);
    status.conditions.iter().map(line).collect()
}

#[test]
fn an_install_is_told_as_flux_does() {
    let mut status = HelmReleaseStatus::default();
    let (told, said) =
        ended(&spec(&json!({})), &mut status, Action::Install, None, &[record(1, ReleaseStatus::Deployed)]);
    insta::assert_snapshot!(said, @r"
    Ready=True InstallSucceeded: Helm install succeeded for release shop/web.v1 with chart web@1.2.3
    Released=True InstallSucceeded: Helm install succeeded for release shop/web.v1 with chart web@1.2.3
    ");
    let told = told.unwrap();
    assert_eq!((told.warning, told.reason), (false, Reason::InstallSucceeded));
    assert_eq!(status.last_attempted_release_action, Some(ReleaseAttempt::Install));
    assert_eq!(status.history[0].action, Some(ReleaseAction::Install));
    assert_eq!(serde_json::to_value(&status.last_attempted_release_action_duration).unwrap(), "1.5s");
}

#[test]
fn a_failed_upgrade_counts_and_its_rollback_is_no_success() {
    let spec = spec(&json!({"upgrade": {"remediation": {"retries": 1}}}));
    let mut status = HelmReleaseStatus::default();
    ended(&spec, &mut status, Action::Install, None, &[record(1, ReleaseStatus::Deployed)]);
    let problem = Some("context deadline exceeded\n");
    let (told, said) =
        ended(&spec, &mut status, Action::Upgrade, problem, &[record(2, ReleaseStatus::Failed)]);
    insta::assert_snapshot!(said, @r"
    Ready=False UpgradeFailed: Helm upgrade failed for release shop/web with chart web@1.2.3: context deadline exceeded
    Released=False UpgradeFailed: Helm upgrade failed for release shop/web with chart web@1.2.3: context deadline exceeded
    ");
    assert!(told.unwrap().warning);
    assert_eq!((status.failures, status.install_failures, status.upgrade_failures), (1, 0, 1));

    let superseded = record(1, ReleaseStatus::Superseded);
    let rolled_back = [superseded, record(3, ReleaseStatus::Deployed)];
    let (_, said) = ended(&spec, &mut status, Action::RollBack { to: 1 }, None, &rolled_back);
    insta::assert_snapshot!(said, @r"
    Ready=False RollbackSucceeded: Helm rollback to previous release shop/web.v1 with chart web@1.2.3 succeeded
    Released=False UpgradeFailed: Helm upgrade failed for release shop/web with chart web@1.2.3: context deadline exceeded
    Remediated=True RollbackSucceeded: Helm rollback to previous release shop/web.v1 with chart web@1.2.3 succeeded
    ");
    let history: Vec<_> = status.history.iter().map(|s| (s.version, s.status, s.action)).collect();
    let expected = [
        (3, ReleaseStatus::Deployed, Some(ReleaseAction::Rollback)),
        (2, ReleaseStatus::Failed, Some(ReleaseAction::Upgrade)),
        (1, ReleaseStatus::Superseded, Some(ReleaseAction::Rollback)),
    ];
    assert_eq!(history, expected);
}

#[test]
fn a_failure_that_left_nothing_behind_does_not_count_against_the_retries() {
    let mut status = HelmReleaseStatus::default();
    ended(&spec(&json!({})), &mut status, Action::Install, Some("no such image"), &[]);
    assert_eq!((status.failures, status.install_failures), (1, 0));
}

#[rstest]
#[case::failed(json!({"test": {"enable": true}}), TestPhase::Failed, "Ready=False TestFailed", 1)]
#[case::ignored(json!({"test": {"enable": true, "ignoreFailures": true}}), TestPhase::Failed, "Ready=True InstallSucceeded", 0)]
#[case::succeeded(json!({"test": {"enable": true}}), TestPhase::Succeeded, "Ready=True TestSucceeded", 0)]
fn tests_decide_whether_it_is_ready(
    #[case] given: Value,
    #[case] phase: TestPhase,
    #[case] ready: &str,
    #[case] failures: i64,
) {
    let spec = spec(&given);
    let mut status = HelmReleaseStatus::default();
    let (_, said) = ended(&spec, &mut status, Action::Install, None, &[record(1, ReleaseStatus::Deployed)]);
    assert!(said.contains("TestSuccess=Unknown AwaitingTests: Helm release shop/web.v1 with chart web@1.2.3 is awaiting tests"), "{said}");
    let mut tested = record(1, ReleaseStatus::Deployed);
    tested.set_hook_run(0, &HookRun::started(now()).ended(now(), phase));
    let problem = (phase == TestPhase::Failed).then_some("pod test failed");
    let (_, said) = ended(&spec, &mut status, Action::Test, problem, &[tested]);
    assert!(said.starts_with(ready), "{said}");
    assert_eq!(status.install_failures, failures);
    assert_eq!(status.history[0].test_hooks.as_ref().unwrap()["test"].phase, Some(phase));
    assert_eq!(status.history[0].action, Some(ReleaseAction::Install));
}

#[test]
fn the_count_of_tests_is_told() {
    let mut status = HelmReleaseStatus::default();
    let spec = spec(&json!({"test": {"enable": true}}));
    ended(&spec, &mut status, Action::Install, None, &[record(1, ReleaseStatus::Deployed)]);
    let mut tested = record(1, ReleaseStatus::Deployed);
    tested.set_hook_run(0, &HookRun::started(now()).ended(now(), TestPhase::Succeeded));
    let (told, _) = ended(&spec, &mut status, Action::Test, None, &[tested]);
    assert_eq!(
        told.unwrap().message,
        "Helm test succeeded for release shop/web.v1 with chart web@1.2.3: 1 test hook completed successfully"
    );
}

#[test]
fn an_uninstall_forgets_what_was_applied() {
    let mut status = HelmReleaseStatus::default();
    let spec = spec(&json!({}));
    ended(&spec, &mut status, Action::Install, None, &[record(1, ReleaseStatus::Deployed)]);
    status.inventory = Some(plumb_api::Inventory::default());
    let (_, said) = ended(
        &spec,
        &mut status,
        Action::Uninstall(Uninstall::Deleted),
        None,
        &[record(1, ReleaseStatus::Uninstalled)],
    );
    insta::assert_snapshot!(said, @r"
    Ready=False UninstallSucceeded: Helm uninstall succeeded for release shop/web.v1 with chart web@1.2.3
    Released=False UninstallSucceeded: Helm uninstall succeeded for release shop/web.v1 with chart web@1.2.3
    ");
    assert_eq!(status.inventory, None);
    status.storage_namespace = Some("shop".to_owned());
    ended(
        &spec,
        &mut status,
        Action::Uninstall(Uninstall::Retargeted),
        None,
        &[record(1, ReleaseStatus::Uninstalled)],
    );
    assert_eq!(
        (status.history.len(), status.storage_namespace),
        (0, None),
        "another release starts from nothing"
    );
}

#[test]
fn an_action_is_told_of_before_it_starts() {
    let spec = spec(&json!({"install": {"timeout": "90s"}}));
    let mut status = HelmReleaseStatus::default();
    let mut report =
        Report { spec: &spec, generation: 2, status: &mut status, now: now(), retry_by_default: false };
    let desired = desired();
    report.attempting(&desired, TARGET, Some("sha256:ab"), false);
    let situation = crate::decide::Situation {
        spec: &spec,
        generation: 2,
        status: &report.status.clone(),
        target: TARGET,
        desired: &desired,
        records: &[],
        writer: crate::decide::Writer::Ourselves,
        drift: crate::decide::Drift::default(),
        forced: false,
        now: now(),
        retry_by_default: false,
    };
    report.decided(&Turn::default().decide(&situation), "");
    insta::assert_snapshot!(said(&status), @r"
    Reconciling=True Progressing: Running 'install' action with timeout of 1m30s
    Ready=Unknown Progressing: Running 'install' action with timeout of 1m30s
    ");
    assert_eq!(status.last_attempted_revision.as_deref(), Some("1.2.3"));
    assert_eq!(status.last_attempted_revision_digest.as_deref(), Some("sha256:ab"));
    assert_eq!(status.last_attempted_config_digest, Some(Values::default().digest()));
    assert_eq!((status.last_attempted_generation, status.storage_namespace.as_deref()), (2, Some("shop")));
}

#[rstest]
#[case::nothing_changed(2, "1.2.3", false, 3)]
#[case::other_generation(1, "1.2.3", false, 0)]
#[case::other_chart(2, "1.2.2", false, 0)]
#[case::asked_for(2, "1.2.3", true, 0)]
fn failures_are_forgotten_when_something_changes(
    #[case] generation: i64,
    #[case] version: &str,
    #[case] reset: bool,
    #[case] left: i64,
) {
    let mut status = HelmReleaseStatus {
        last_attempted_generation: generation,
        last_attempted_revision: Some(version.to_owned()),
        last_attempted_config_digest: Some(Values::default().digest()),
        upgrade_failures: 3,
        ..HelmReleaseStatus::default()
    };
    let spec = spec(&json!({}));
    let mut report =
        Report { spec: &spec, generation: 2, status: &mut status, now: now(), retry_by_default: false };
    report.attempting(&desired(), TARGET, None, reset);
    assert_eq!(status.upgrade_failures, left);
}

#[rstest]
#[case::both(Some("t"), Some("t"), Some("t"), None, true, true)]
#[case::of_an_earlier_request(Some("t"), Some("s"), None, None, false, false)]
#[case::no_request(None, Some("t"), Some("t"), None, false, false)]
#[case::handled_before(Some("t"), Some("t"), Some("t"), Some("t"), false, false)]
fn what_is_asked_for_counts_once(
    #[case] requested: Option<&str>,
    #[case] force: Option<&str>,
    #[case] reset: Option<&str>,
    #[case] handled: Option<&str>,
    #[case] forced: bool,
    #[case] reset_asked: bool,
) {
    let mut status = HelmReleaseStatus {
        last_handled_reconcile_at: handled.map(ToOwned::to_owned),
        ..HelmReleaseStatus::default()
    };
    let first = asked(&mut status, requested, force, reset);
    assert_eq!(first, Asked { force: forced, reset: reset_asked });
    assert_eq!(status.last_handled_force_at.as_deref(), force);
    assert_eq!(
        asked(&mut status, requested, force, reset),
        Asked::default(),
        "a second look finds nothing new"
    );
}
