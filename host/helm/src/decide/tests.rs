#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
use jiff::Timestamp;
use plumb_api::{ConditionType, ReleaseStatus, TestPhase, conditions};
use rstest::rstest;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::*;
use crate::hooks::HookRun;
use crate::record::NewRelease;
use crate::rendered::RenderedRelease;
use crate::report::{Ended, Report};

#[path = "tests/simulated.rs"]
mod simulated;

const TARGET: Target<'static> = Target { storage_namespace: "shop", namespace: "shop", name: "web" };

fn now() -> Timestamp {
    Timestamp::from_second(1).unwrap()
}

fn spec(given: &Value) -> HelmReleaseSpec {
    let mut spec = json!({"interval": "5m", "chartRef": {"kind": "HelmChart", "name": "web"}});
    spec.as_object_mut().unwrap().extend(given.as_object().unwrap().clone());
    serde_json::from_value(spec).unwrap()
}

fn desired(version: &str) -> Desired {
    Desired { chart_name: "web".to_owned(), chart_version: version.to_owned(), values: Values::default() }
}

fn record(version: i64, status: ReleaseStatus, chart: &str) -> Release {
    let rendered = RenderedRelease::read(json!({
        "kind": "RenderedRelease",
        "hooks": [{"name": "test", "kind": "Pod", "events": ["test"], "object": {}}],
        "chart": {"metadata": {"name": "web", "version": chart}},
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
    Release::new(&new, &rendered, &serde_json::Map::new())
}

/// A cluster with one release, and the status of its HelmRelease.
#[derive(Clone)]
struct World {
    spec: HelmReleaseSpec,
    status: HelmReleaseStatus,
    records: Vec<Release>,
    desired: Desired,
    drift: Drift,
    forced: bool,
    writer: Writer,
    now: Timestamp,
}

impl World {
    /// A world in which these records were made by the object: `(revision, status, version of the chart)`.
    fn new(spec: &Value, records: &[(i64, ReleaseStatus, &str)]) -> Self {
        let records: Vec<Release> =
            records.iter().map(|(version, status, chart)| record(*version, *status, chart)).collect();
        let mut status = HelmReleaseStatus { observed_generation: Some(1), ..HelmReleaseStatus::default() };
        for record in &records {
            snapshot::observe(&mut status.history, record, None, None);
        }
        if !records.is_empty() {
            status.storage_namespace = Some("shop".to_owned());
            let first = records.iter().map(Release::version).max() == Some(1);
            let attempt = if first { ReleaseAttempt::Install } else { ReleaseAttempt::Upgrade };
            status.last_attempted_release_action = Some(attempt);
        }
        let spec = self::spec(spec);
        Self {
            spec,
            status,
            records,
            desired: desired("1.0.0"),
            drift: Drift::default(),
            forced: false,
            writer: Writer::Ourselves,
            now: now(),
        }
    }

    fn situation(&self) -> Situation<'_> {
        Situation {
            spec: &self.spec,
            generation: 1,
            status: &self.status,
            target: TARGET,
            desired: &self.desired,
            records: &self.records,
            writer: self.writer,
            drift: self.drift,
            forced: self.forced,
            retry_by_default: false,
            now: self.now,
        }
    }

    fn decide(&self) -> Decision {
        Turn::default().decide(&self.situation())
    }

    fn report(&mut self) -> Report<'_> {
        Report {
            spec: &self.spec,
            generation: 1,
            status: &mut self.status,
            now: now(),
            retry_by_default: false,
        }
    }
}

fn run(action: Action) -> Step {
    Step::Run(action)
}

use ReleaseStatus::{
    Deployed, Failed, PendingRollback, PendingUpgrade, Superseded, Uninstalled, Uninstalling, Unknown,
};

#[rstest]
#[case::nothing_there(json!({}), &[], State::Absent, run(Action::Install))]
#[case::uninstalled(json!({}), &[(1, Uninstalled, "1.0.0")], State::Absent, run(Action::Install))]
#[case::in_sync(json!({}), &[(1, Deployed, "1.0.0")], State::InSync, Step::Done)]
#[case::other_chart(json!({}), &[(1, Deployed, "0.9.0")], State::OutOfSync, run(Action::Upgrade))]
#[case::interrupted(json!({}), &[(1, Deployed, "1.0.0"), (2, PendingUpgrade, "1.0.0")], State::Locked, run(Action::Unlock))]
#[case::uninstall_interrupted(json!({}), &[(1, Uninstalling, "1.0.0")], State::Interrupted, run(Action::Uninstall(Uninstall::Interrupted)))]
#[case::superseded_by_nothing(json!({}), &[(1, Superseded, "1.0.0")], State::OutOfSync, run(Action::Upgrade))]
#[case::unknown(json!({}), &[(1, Unknown, "1.0.0")], State::OutOfSync, run(Action::Upgrade))]
#[case::failed_before_a_change(json!({}), &[(1, Failed, "1.0.0")], State::Failed, run(Action::Upgrade))]
#[case::untested(json!({"test": {"enable": true}}), &[(1, Deployed, "1.0.0")], State::Untested, run(Action::Test))]
fn a_state_is_found_out_and_has_its_step(
    #[case] spec: Value,
    #[case] records: &[(i64, ReleaseStatus, &str)],
    #[case] state: State,
    #[case] step: Step,
) {
    let decision = World::new(&spec, records).decide();
    assert_eq!((decision.state, decision.step), (state, step), "{}", decision.why);
}

/// A timeout of five minutes, and a record that was begun in the first second.
#[rstest]
#[case::ours(PendingUpgrade, Writer::Ourselves, 2, false, run(Action::Unlock))]
#[case::somebody_is_at_it(PendingUpgrade, Writer::SomebodyElse, 2, false, left_alone())]
#[case::for_as_long_as_we_may_take(PendingUpgrade, Writer::SomebodyElse, 300, false, left_alone())]
#[case::and_no_longer(PendingUpgrade, Writer::SomebodyElse, 301, false, run(Action::Unlock))]
#[case::unless_it_is_forced(PendingUpgrade, Writer::SomebodyElse, 2, true, run(Action::Unlock))]
#[case::his_clock_is_fast(PendingUpgrade, Writer::SomebodyElse, -298, false, left_alone())]
#[case::his_clock_is_wrong(PendingUpgrade, Writer::SomebodyElse, -299, false, run(Action::Unlock))]
#[case::a_rollback(PendingRollback, Writer::SomebodyElse, 2, false, left_alone())]
#[case::an_uninstall(Uninstalling, Writer::SomebodyElse, 2, false, left_alone())]
#[case::an_uninstall_that_was_interrupted(
    Uninstalling,
    Writer::SomebodyElse,
    301,
    false,
    run(Action::Uninstall(Uninstall::Interrupted))
)]
#[case::an_uninstall_of_ours(
    Uninstalling,
    Writer::Ourselves,
    2,
    false,
    run(Action::Uninstall(Uninstall::Interrupted))
)]
#[case::it_is_done(Deployed, Writer::SomebodyElse, 2, false, run(Action::Upgrade))]
#[case::it_has_failed(Failed, Writer::SomebodyElse, 2, false, run(Action::Upgrade))]
fn what_somebody_else_does_is_left_to_him_for_a_while(
    #[case] status: ReleaseStatus,
    #[case] writer: Writer,
    #[case] second: i64,
    #[case] forced: bool,
    #[case] step: Step,
) {
    let mut world = World::new(&json!({}), &[(1, Deployed, "1.0.0")]);
    let mut theirs = record(2, status, "1.0.0");
    theirs.set_deleted(now());
    world.records.push(theirs);
    let second = Timestamp::from_second(second).unwrap();
    (world.writer, world.forced, world.now) = (writer, forced, second);
    assert_eq!(world.decide().step, step);
}

fn left_alone() -> Step {
    Step::Await { until: Timestamp::from_second(301).unwrap() }
}

#[test]
fn who_is_left_alone_is_told_of() {
    let mut world = World::new(&json!({}), &[(1, Deployed, "1.0.0"), (2, PendingUpgrade, "1.0.0")]);
    world.writer = Writer::SomebodyElse;
    let decision = world.decide();
    assert_eq!(world.report().decided(&decision, ""), None);
    let said: Vec<String> = world
        .status
        .conditions
        .iter()
        .map(|c| format!("{}={} {}: {}", c.type_, c.status, c.reason, c.message))
        .collect();
    insta::assert_snapshot!(said.join("\n"), @r"
    Reconciling=True Progressing: somebody else is at work on release shop/web.v2, which has status 'pending-upgrade'; it is left alone until that has ended, or until 1970-01-01T00:05:01Z
    Ready=Unknown Progressing: somebody else is at work on release shop/web.v2, which has status 'pending-upgrade'; it is left alone until that has ended, or until 1970-01-01T00:05:01Z
    ");
}

const TWO: &[(i64, ReleaseStatus, &str)] = &[(1, Superseded, "0.9.0"), (2, Failed, "1.0.0")];

fn stalled(reason: Reason, message: &str) -> Step {
    Step::Stalled { reason, message: message.to_owned() }
}

#[rstest]
#[case::no_retries(json!({}), 1, stalled(Reason::RetriesExceeded, "Failed to upgrade after 1 attempt(s)"))]
#[case::retries_left(json!({"upgrade": {"remediation": {"retries": 1}}}), 1, run(Action::RollBack { to: 1 }))]
#[case::the_last_is_gone_back_from_too(json!({"upgrade": {"remediation": {"retries": 1}}}), 2, run(Action::RollBack { to: 1 }))]
#[case::unless_it_is_not_to_be(
    json!({"upgrade": {"remediation": {"retries": 1, "remediateLastFailure": false}}}), 2,
    stalled(Reason::RetriesExceeded, "Failed to upgrade after 2 attempt(s)"),
)]
#[case::without_retries_it_can_be(json!({"upgrade": {"remediation": {"remediateLastFailure": true}}}), 1, run(Action::RollBack { to: 1 }))]
#[case::for_ever(json!({"upgrade": {"remediation": {"retries": -1, "remediateLastFailure": true}}}), 99, run(Action::RollBack { to: 1 }))]
#[case::uninstall(
    json!({"upgrade": {"remediation": {"retries": 1, "strategy": "uninstall"}}}), 1, run(Action::Uninstall(Uninstall::Remediation)),
)]
#[case::retry(json!({"upgrade": {"strategy": {"name": "RetryOnFailure"}}}), 5, run(Action::Upgrade))]
#[case::no_failure_counts_after_a_change(json!({"upgrade": {"remediation": {"retries": 1}}}), 0, run(Action::Upgrade))]
fn a_failed_upgrade_is_answered_as_the_strategy_says(
    #[case] spec: Value,
    #[case] failures: i64,
    #[case] step: Step,
) {
    let mut world = World::new(&spec, TWO);
    world.status.upgrade_failures = failures;
    assert_eq!(world.decide().step, step);
}

#[rstest]
#[case::no_retries(json!({}), 1, stalled(Reason::RetriesExceeded, "Failed to install after 1 attempt(s)"))]
#[case::retries_left(json!({"install": {"remediation": {"retries": 2}}}), 1, run(Action::Uninstall(Uninstall::Remediation)))]
#[case::the_last_stays(
    json!({"install": {"remediation": {"retries": 2}}}), 3, stalled(Reason::RetriesExceeded, "Failed to install after 3 attempt(s)"),
)]
#[case::unless_it_is_not_to(
    json!({"install": {"remediation": {"retries": 2, "remediateLastFailure": true}}}), 3, run(Action::Uninstall(Uninstall::Remediation)),
)]
#[case::retry(json!({"install": {"strategy": {"name": "RetryOnFailure"}}}), 5, run(Action::Upgrade))]
fn a_failed_install_is_answered_as_the_strategy_says(
    #[case] spec: Value,
    #[case] failures: i64,
    #[case] step: Step,
) {
    let mut world = World::new(&spec, &[(1, Failed, "1.0.0")]);
    world.status.install_failures = failures;
    assert_eq!(world.decide().step, step);
}

#[test]
fn where_there_is_nothing_to_go_back_to_it_stops_and_says_so() {
    let mut world = World::new(&json!({"upgrade": {"remediation": {"retries": 3}}}), &[(2, Failed, "1.0.0")]);
    world.status.upgrade_failures = 1;
    let Step::Stalled { reason, message } = world.decide().step else { panic!() };
    assert_eq!(reason, Reason::MissingRollbackTarget);
    assert!(message.contains("missing target release for rollback"), "{message}");
}

#[rstest]
#[case::gone(|records: &mut Vec<Release>| records.retain(|record| record.version() != 1))]
#[case::changed(|records: &mut Vec<Release>| records[0].set_status(Superseded, "by somebody"))]
fn what_was_changed_is_not_gone_back_to(#[case] change: fn(&mut Vec<Release>)) {
    let mut world = World::new(&json!({"upgrade": {"remediation": {"retries": 3}}}), TWO);
    world.status.upgrade_failures = 1;
    change(&mut world.records);
    assert_eq!(world.decide().step, run(Action::Upgrade));
}

#[test]
fn a_release_that_somebody_else_changed_is_upgraded_and_its_history_forgotten() {
    let mut world = World::new(&json!({}), &[(1, Deployed, "1.0.0")]);
    world.records.push(record(2, Deployed, "1.0.0"));
    let decision = world.decide();
    assert_eq!(
        (decision.state, decision.step, decision.keep),
        (State::Unmanaged, run(Action::Upgrade), Keep::Nothing)
    );
    world.status.history.clear();
    assert_eq!(world.decide().state, State::Unmanaged, "nor is one that was there before");
}

#[rstest]
#[case::disabled("disabled", 0, 3, State::InSync, Step::Done)]
#[case::warn("warn", 0, 3, State::Drifted, Step::Done)]
#[case::enabled("enabled", 0, 3, State::Drifted, run(Action::CorrectDrift))]
#[case::what_is_gone_is_always_put_back("disabled", 1, 0, State::Drifted, run(Action::CorrectDrift))]
#[case::also_where_it_is_only_told("warn", 1, 2, State::Drifted, run(Action::CorrectDrift))]
fn drift_is_put_back_as_configured(
    #[case] mode: &str,
    #[case] missing: usize,
    #[case] changed: usize,
    #[case] state: State,
    #[case] step: Step,
) {
    let mut world = World::new(&json!({"driftDetection": {"mode": mode}}), &[(1, Deployed, "1.0.0")]);
    world.drift = Drift { missing, changed };
    let decision = world.decide();
    assert_eq!((decision.state, decision.step), (state, step));
}

#[rstest]
#[case::storage(Target { storage_namespace: "other", ..TARGET }, "web", None, Some(Retarget::StorageNamespace))]
#[case::namespace(Target { namespace: "other", ..TARGET }, "web", None, Some(Retarget::Namespace))]
#[case::name(Target { name: "other", ..TARGET }, "web", None, Some(Retarget::Name))]
#[case::chart(TARGET, "site", None, Some(Retarget::Chart))]
#[case::chart_in_place(TARGET, "site", Some("InPlaceUpdate"), None)]
#[case::nothing(TARGET, "web", None, None)]
fn a_release_that_is_to_be_another_goes_first(
    #[case] target: Target<'static>,
    #[case] chart: &str,
    #[case] strategy: Option<&str>,
    #[case] expected: Option<Retarget>,
) {
    let spec = json!({"upgrade": {"chartNameChangeStrategy": strategy}});
    let mut world = World::new(&spec, &[(1, Deployed, "1.0.0")]);
    world.desired.chart_name = chart.to_owned();
    let decision = Turn::default().decide(&Situation { target, ..world.situation() });
    match expected {
        Some(what) => {
            assert_eq!(decision.state, State::Retargeted(what));
            assert_eq!(decision.step, run(Action::Uninstall(Uninstall::Retargeted)));
        }
        None => assert!(!matches!(decision.state, State::Retargeted(_))),
    }
}

#[rstest]
#[case::in_sync(&[(1, Deployed, "1.0.0")], 0, Action::Upgrade)]
#[case::out_of_retries(TWO, 9, Action::Upgrade)]
#[case::absent_and_out_of_retries(&[(1, Uninstalled, "1.0.0")], 9, Action::Install)]
fn what_is_forced_is_done_in_any_state(
    #[case] records: &[(i64, ReleaseStatus, &str)],
    #[case] failures: i64,
    #[case] action: Action,
) {
    let mut world = World::new(&json!({}), records);
    world.status.upgrade_failures = failures;
    world.status.install_failures = failures;
    world.forced = true;
    assert_eq!(world.decide().step, run(action));
}

#[test]
fn post_renderers_and_metadata_count_in_a_new_generation() {
    let spec = json!({
        "postRenderers": [{"kustomize": {"patches": [{"patch": "a: <b>"}]}}],
        "commonMetadata": {"labels": {"a": "b"}},
    });
    let mut world = World::new(&spec, &[(1, Deployed, "1.0.0")]);
    assert_eq!(world.decide().state, State::InSync, "the generation was looked at");
    world.status.observed_generation = Some(0);
    assert_eq!(world.decide().why, "postrenderers digest has changed");
    world.status.observed_post_renderers_digest = post_renderers_digest(&world.spec.post_renderers);
    assert_eq!(world.decide().why, "common metadata digest has changed");
    world.status.observed_common_metadata_digest =
        common_metadata_digest(world.spec.common_metadata.as_ref());
    assert_eq!(world.decide().state, State::InSync);
}

/// The digests of `[{"kustomize":{"patches":[{"patch":"a: \u003cb\u003e"}]}}]` and `{"labels":{"a":"b"}}`, each with a line break, by sha256sum.
#[test]
fn digests_of_the_spec_are_those_of_flux() {
    let spec = spec(&json!({
        "postRenderers": [{"kustomize": {"patches": [{"patch": "a: <b>"}]}}],
        "commonMetadata": {"labels": {"a": "b"}},
    }));
    let digest = |json: &str| Some(format!("sha256:{}", hex::encode(Sha256::digest(json))));
    let renderers = "[{\"kustomize\":{\"patches\":[{\"patch\":\"a: \\u003cb\\u003e\"}]}}]\n";
    assert_eq!(post_renderers_digest(&spec.post_renderers), digest(renderers));
    assert_eq!(common_metadata_digest(spec.common_metadata.as_ref()), digest("{\"labels\":{\"a\":\"b\"}}\n"));
    assert_eq!(post_renderers_digest(&[]), None);
}

#[rstest]
#[case::failed_test_counts(json!({"test": {"enable": true}, "upgrade": {"remediation": {"retries": 1}}}), State::Failed)]
#[case::unless_it_is_ignored(json!({"test": {"enable": true, "ignoreFailures": true}}), State::InSync)]
#[case::for_upgrades(
    json!({"test": {"enable": true}, "upgrade": {"remediation": {"retries": 1, "ignoreTestFailures": true}}}), State::InSync,
)]
#[case::or_with_retries(json!({"test": {"enable": true}, "upgrade": {"strategy": {"name": "RetryOnFailure"}}}), State::InSync)]
fn a_failed_test_is_a_failure_as_configured(#[case] spec: Value, #[case] state: State) {
    let mut world = World::new(&spec, &[(1, Superseded, "0.9.0"), (2, Deployed, "1.0.0")]);
    let failed =
        plumb_api::TestHookStatus { phase: Some(TestPhase::Failed), ..plumb_api::TestHookStatus::default() };
    world.status.history[0].test_hooks = Some([("test".to_owned(), failed)].into());
    assert_eq!(world.decide().state, state);
}

#[test]
fn what_is_deleted_is_uninstalled_if_there_is_anything() {
    assert_eq!(on_deletion(&HelmReleaseStatus::default()), Step::Done);
    let world = World::new(&json!({}), &[(1, Deployed, "1.0.0")]);
    assert_eq!(on_deletion(&world.status), run(Action::Uninstall(Uninstall::Deleted)));
}
