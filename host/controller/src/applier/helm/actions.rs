//! What is done to a release: how an action goes on from its beginning to its end, and what the status says of it.

use std::time::{Duration, Instant};

use plumb_api::{Reason, ReleaseStatus};
use plumb_helm::decide::{Action as Deed, Drift, Step as Next};
use plumb_helm::record::Release;
use plumb_helm::report;

use super::step::{Ongoing, Progress, Stop, Waits};
use super::{End, Look, Turn, deployed, drift};
use crate::applier::apply;
use crate::applier::failure::{Failure, Retry};

/// When the API server does not answer, an action goes on after this time.
const TROUBLE: Duration = Duration::from_secs(2);

impl Turn<'_> {
    /// Does something to the release. `None` is to decide again.
    pub(super) async fn act(&mut self, deed: Deed, look: &Look) -> Result<Option<End>, Failure> {
        match deed {
            Deed::CorrectDrift => return self.correct_drift(look).await,
            Deed::Unlock => return self.unlock(look).await,
            _ => {}
        }
        let begun = Instant::now();
        match self.begin(deed, look).await {
            Ok(Some(ongoing)) => {
                self.announce().await?;
                self.resume(Box::new(ongoing), look).await
            }
            // There is nothing to uninstall, or to test.
            Ok(None) => self.conclude(deed, None, &[], begun, look).await,
            Err(Stop::Broken(problem)) => self.conclude(deed, Some(&problem), &[], begun, look).await,
            Err(Stop::Trouble(failure)) => Err(failure),
        }
    }

    /// Goes on with an action.
    pub(super) async fn resume(
        &mut self,
        mut ongoing: Box<Ongoing>,
        look: &Look,
    ) -> Result<Option<End>, Failure> {
        let is_another = ongoing.action.is_release() && !ongoing.attempt.is_of_the_same(&look.attempt);
        if ongoing.problem.is_none() && is_another && !ongoing.is_done() {
            ongoing.problem = Some("canceled, because something else is to be released by now".to_owned());
        }
        if ongoing.problem.is_none() {
            match ongoing.go_on(self, &look.actor, &look.checks).await {
                Ok(Progress::Done) => {}
                Ok(Progress::Waits(waits)) => {
                    self.memory.own.ongoing = Some(ongoing);
                    return Ok(Some(End::Waits(waits)));
                }
                Err(Stop::Broken(problem)) => ongoing.problem = Some(problem),
                Err(Stop::Trouble(failure)) => {
                    self.memory.own.ongoing = Some(ongoing);
                    return Ok(Some(End::Waits(Waits { what: failure.message, again: TROUBLE })));
                }
            }
        }
        match self.write_end(&mut ongoing, look).await {
            Ok(written) => {
                self.memory.followed.health_checks.clear();
                self.memory.followed.follow(&look.actor, &self.id);
                let problem = ongoing.problem.as_deref();
                self.conclude(ongoing.action, problem, &written, ongoing.begun, look).await
            }
            // What has happened has to be in the records before anything else is done.
            Err(failure) if failure.retry == Retry::Backoff => {
                self.memory.own.ongoing = Some(ongoing);
                Ok(Some(End::Waits(Waits { what: failure.message, again: TROUBLE })))
            }
            Err(failure) => {
                let problem = ongoing.problem.clone().unwrap_or(failure.message);
                self.conclude(ongoing.action, Some(&problem), &[], ongoing.begun, look).await
            }
        }
    }

    /// Notes in the status how an action has ended, tells of it, and says what follows.
    pub(super) async fn conclude(
        &mut self,
        deed: Deed,
        problem: Option<&str>,
        written: &[Release],
        begun: Instant,
        look: &Look,
    ) -> Result<Option<End>, Failure> {
        let ended = report::Ended {
            action: deed,
            problem,
            written,
            took: super::took(begun),
            desired: &look.desired,
            target: look.target(),
        };
        let told = self.told(look).ended(&ended);
        if let Some(told) = told {
            self.publish_told(&told, &look.desired.chart_version).await;
        }
        let mut turn = std::mem::take(&mut self.memory.own.turn);
        let situation = self.situation(look, &[], Drift::default(), false);
        let followed = turn.did(deed, &situation, problem.is_some(), !written.is_empty());
        self.memory.own.turn = turn;
        let Some(step) = followed else { return Ok(None) };
        self.told(look).followed(&step);
        Ok(match step {
            Next::Run(_) => None,
            Next::Done => Some(End::Kept),
            Next::RetryAfter(wait) => Some(End::After(wait)),
            Next::Again => Some(End::Again),
            Next::Await { until } => Some(End::Busy(until)),
            Next::Stalled { .. } => Some(End::Stalled),
        })
    }

    /// The status says what is about to be done, and lists what there may be, before anything is.
    async fn announce(&mut self) -> Result<(), Failure> {
        self.write_status().await.map_err(|error| {
            let message = format!(
                "nothing was done, because the status could not be written first: {}",
                crate::status::said(&error)
            );
            Failure::new(Reason::ReconciliationFailed, Retry::Backoff, message)
        })
    }

    async fn correct_drift(&mut self, look: &Look) -> Result<Option<End>, Failure> {
        let begun = Instant::now();
        let desired = self.deployed_objects(look).await?;
        let policy = drift::policy(self, deployed::mode(look));
        let problem = match apply::apply(self, &look.actor, &desired, &policy).await {
            Ok(()) => None,
            Err(failure) if failure.retry == Retry::Backoff => return Err(failure),
            Err(failure) => Some(failure.message),
        };
        self.conclude(Deed::CorrectDrift, problem.as_deref(), &[], begun, look).await
    }

    async fn unlock(&mut self, look: &Look) -> Result<Option<End>, Failure> {
        let begun = Instant::now();
        let storage = look.storage(&look.key);
        let Some(newest) = storage.list().await?.pop() else { return Ok(None) };
        let Some(mut release) = storage.get(newest.version).await? else { return Ok(None) };
        let description = format!("Release unlocked from stale '{}' state", release.status());
        release.set_status(ReleaseStatus::Failed, &description);
        storage.update(&release).await?;
        self.memory.own.deployed = None;
        self.conclude(Deed::Unlock, None, &[release], begun, look).await
    }
}
