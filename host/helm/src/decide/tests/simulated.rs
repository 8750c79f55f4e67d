//! Releases in a simulated cluster, in which anything may fail.

use proptest::prelude::*;
// Not the strategies of releases.
use proptest::strategy::Strategy;

use super::*;
use crate::record::to_prune;

/// What becomes of an action in a simulated cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Works,
    Fails,
    /// It fails before a record is written.
    FailsAtOnce,
    /// The controller is stopped in the middle.
    Crashes,
}

impl World {
    /// Carries out an action as the controller would, and notes it in the status; `None` is a crash.
    fn carry_out(&mut self, action: Action, fate: Fate) -> Option<bool> {
        let newest = self.records.iter().map(Release::version).max().unwrap_or(0);
        let mut written = Vec::new();
        let ends_as = if fate == Fate::Works { Deployed } else { Failed };
        let make = |mut record: Release| {
            record.set_status(if fate == Fate::Crashes { PendingUpgrade } else { ends_as }, "made");
            record
        };
        match action {
            _ if fate == Fate::FailsAtOnce => {}
            Action::Install | Action::Upgrade => {
                written.push(make(record(newest + 1, Deployed, &self.desired.chart_version)))
            }
            Action::RollBack { to } => {
                let target = self.records.iter().find(|record| record.version() == to).unwrap();
                let current = self.records.iter().max_by_key(|record| record.version()).unwrap();
                written.push(make(target.rolled_back(current, now())));
            }
            Action::Uninstall(_) => {
                if let Some(mut record) = self.records.iter().max_by_key(|record| record.version()).cloned() {
                    let status = if fate == Fate::Works { Uninstalled } else { Uninstalling };
                    record.set_status(status, "uninstalled");
                    written.push(record);
                }
            }
            Action::Unlock => {
                let mut record = self.records.iter().max_by_key(|record| record.version()).unwrap().clone();
                record.set_status(Failed, "unlocked");
                written.push(record);
            }
            Action::Test => {
                let mut record = self.records.iter().max_by_key(|record| record.version()).unwrap().clone();
                let phase = if fate == Fate::Works { TestPhase::Succeeded } else { TestPhase::Failed };
                record.set_hook_run(0, &HookRun::started(now()).ended(now(), phase));
                written.push(record);
            }
            Action::CorrectDrift => {
                if fate == Fate::Works {
                    self.drift = Drift::default();
                }
            }
        }
        if action.is_release() || matches!(action, Action::RollBack { .. }) {
            if fate == Fate::Works {
                for record in self.records.iter_mut().filter(|record| record.status() == Deployed) {
                    record.supersede();
                    written.push(record.clone());
                }
            }
            let pruned: Vec<i64> =
                to_prune(&self.records, self.spec.max_history()).into_iter().map(Release::version).collect();
            self.records.retain(|record| !pruned.contains(&record.version()));
        }
        for new in &written {
            self.records.retain(|record| record.version() != new.version());
            self.records.push(new.clone());
        }
        let uninstalled = matches!(action, Action::Uninstall(_)) && fate == Fate::Works;
        if uninstalled {
            self.records.clear();
        }
        if fate == Fate::Crashes {
            return None;
        }
        let (desired, problem) = (self.desired.clone(), (fate != Fate::Works).then_some("it broke"));
        let took = Duration::from_secs(1);
        let ended = Ended { action, problem, written: &written, took, desired: &desired, target: TARGET };
        self.report().ended(&ended);
        Some(!written.is_empty())
    }

    /// One reconciliation. Gives the step that ended it, `None` after a crash.
    fn turn(&mut self, fates: &mut impl Iterator<Item = Fate>) -> Option<Step> {
        let desired = self.desired.clone();
        self.report().attempting(&desired, TARGET, None, false);
        let mut turn = Turn::default();
        for _ in 0..20 {
            let decision = turn.decide(&self.situation());
            self.report().decided(&decision, "");
            let Step::Run(action) = decision.step else { return Some(decision.step) };
            self.forced = false;
            let fate = fates.next().unwrap();
            let recorded = self.carry_out(action, fate)?;
            if let Some(step) = turn.did(action, &self.situation(), fate != Fate::Works, recorded) {
                self.report().followed(&step);
                return Some(step);
            }
        }
        panic!("a turn does not end: {:?}", self.status.history);
    }
}

fn any_spec() -> impl Strategy<Value = Value> {
    let mode = prop::sample::select(vec!["enabled", "warn", "disabled"]);
    let retry = prop_oneof![
        Just(json!(null)),
        Just(json!({"name": "RetryOnFailure"})),
        Just(json!({"name": "RemediateOnFailure"}))
    ];
    let remediation = (
        0..3_i64,
        any::<Option<bool>>(),
        any::<Option<bool>>(),
        prop_oneof![Just("rollback"), Just("uninstall")],
    );
    (retry.clone(), retry, remediation.clone(), remediation, any::<bool>(), any::<bool>(), 0..4_i64, mode).prop_map(
        |(install, upgrade, first, then, test, ignore, history, mode)| {
            json!({
                "maxHistory": history,
                "driftDetection": {"mode": mode},
                "install": {"strategy": install, "remediation": {"retries": first.0, "ignoreTestFailures": first.1, "remediateLastFailure": first.2}},
                "upgrade": {"strategy": upgrade, "remediation": {
                    "retries": then.0, "ignoreTestFailures": then.1, "remediateLastFailure": then.2, "strategy": then.3,
                }},
                "test": {"enable": test, "ignoreFailures": ignore},
            })
        },
    )
}

fn any_fates() -> impl Strategy<Value = Vec<Fate>> {
    let fate = prop_oneof![3 => Just(Fate::Works), 3 => Just(Fate::Fails), 1 => Just(Fate::FailsAtOnce), 1 => Just(Fate::Crashes)];
    prop::collection::vec(fate, 0..12)
}

fn any_records() -> impl Strategy<Value = Vec<(i64, ReleaseStatus, &'static str)>> {
    let status = prop::sample::select(ReleaseStatus::ALL.to_vec());
    let chart = prop_oneof![Just("1.0.0"), Just("0.9.0")];
    prop::collection::vec((status, chart), 0..4).prop_map(|found| {
        found.into_iter().zip(1..).map(|((status, chart), version)| (version, status, chart)).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// From any state, whatever fails and however often the controller is stopped: as soon as things work, the release comes to rest, either
    /// deployed as desired or stopped by its strategy, and in the second case a change gets it going again.
    #[test]
    fn no_release_is_ever_stuck(
        spec in any_spec(), records in any_records(), known in any::<bool>(), fates in any_fates(), missing in 0..2_usize, forced in any::<bool>(),
        theirs in any::<bool>(),
    ) {
        let mut world = World::new(&spec, &records);
        // Also whatever is written later: it is waited for, and no longer than it may take.
        if theirs {
            world.writer = Writer::SomebodyElse;
        }
        if !known {
            world.status.history.clear();
        }
        world.drift = Drift { missing, changed: missing };
        world.forced = forced;
        let mut fates = fates.into_iter().chain(std::iter::repeat(Fate::Works));
        let mut ended = None;
        for _ in 0..40 {
            match world.turn(&mut fates) {
                Some(step @ (Step::Done | Step::Stalled { .. })) => {
                    ended = Some(step);
                    break;
                }
                Some(Step::Await { until }) => world.now = until,
                _ => {}
            }
        }
        let ended = ended.unwrap_or_else(|| panic!("it does not come to rest: {:#?}", world.status));
        if ended == Step::Done {
            let latest = world.status.latest().unwrap();
            let told = latest.status == Deployed || conditions::find(&world.status.conditions, ConditionType::Ready).is_some_and(|ready| ready.status == "False");
            prop_assert!(told, "{:#?}", world.status);
        } else {
            // Somebody changes the chart: the failures are over.
            world.desired = desired("2.0.0");
            let mut last = None;
            for _ in 0..10 {
                last = world.turn(&mut std::iter::repeat(Fate::Works));
                if last == Some(Step::Done) {
                    break;
                }
            }
            prop_assert_eq!(last, Some(Step::Done), "{:#?}", &world.status);
            prop_assert_eq!(world.status.latest().unwrap().status, Deployed);
            prop_assert!(conditions::is_true(&world.status.conditions, ConditionType::Ready), "{:#?}", world.status.conditions);
            prop_assert!(conditions::find(&world.status.conditions, ConditionType::Stalled).is_none());
        }
    }

    /// Deciding is a function: nothing else than what it is given counts, and nothing is forgotten in between.
    #[test]
    fn the_same_situation_has_the_same_decision(spec in any_spec(), records in any_records()) {
        let world = World::new(&spec, &records);
        prop_assert_eq!(world.decide(), world.decide());
    }
}
