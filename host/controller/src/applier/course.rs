//! The course of a Kustomization and of a Pipeline.

use std::time::{Duration, Instant};

use plumb_api::annotations::REQUESTED_AT;
use plumb_api::{ConditionStatus, ConditionType, KustomizationStatus, Reason, conditions};

use super::failure::{Failure, Retry};
use super::report::Healthy;
use super::run::{Run, inputs_of};
use super::{actor, apply, finalize, health, judging, lint, render};
use crate::events::Severity;
use crate::notifications::metadata;
use crate::queue::Action;
use crate::status;

/// What people are told of a reconciliation.
struct News {
    severity: Severity,
    reason: Reason,
    note: String,
    /// Whether it is worth an event of the cluster. That a commit has changed nothing here is not: of a repository with a thousand
    /// applications every commit would cost a thousand events. The status has it, and the notification-controller is told.
    is_event: bool,
}

/// What a reconciliation that got to its end found.
struct Done {
    /// What was changed, as people read it; empty when nothing was.
    changes: Vec<String>,
    digest: String,
    healthy: Healthy,
    /// When to look at the health of the objects again, where no watch tells.
    look_again: Option<Duration>,
}

impl Run<'_, KustomizationStatus> {
    pub(super) async fn reconcile(&mut self) -> Action {
        if self.object.is_being_deleted() {
            return finalize::finalize(self).await;
        }
        self.context.metrics.suspended(self.id.kind.as_str(), &self.id.key, self.spec.suspend);
        if self.spec.suspend {
            tracing::debug!(object = %self.id, "suspended");
            return Action::await_change();
        }
        if let Some(action) = finalize::add_finalizer(self).await {
            return action;
        }
        if let Some(wait) = self.held() {
            return Action::requeue(wait);
        }
        let result = self.attempt().await;
        self.finish(result).await
    }

    async fn attempt(&mut self) -> Result<Done, Failure> {
        actor::refuse_cross_namespace(&self.spec, &self.id, &self.context.config.tenancy)?;
        let expressions = self.expressions()?;
        let inputs = inputs_of(&self.spec, &self.id.key.namespace, &self.context.config);
        self.context.inputs.follow(&self.id, &inputs);
        // What changes from here on makes another attempt, whether or not this one has seen it.
        self.context.inputs.answered(&inputs).await;
        self.inputs = self.context.inputs.versions(&self.id);
        self.warn_of_dropped_fields().await;
        let artifact = self.artifact()?;
        let revision = artifact.revision.to_string();
        self.revision = Some(revision.clone());
        self.origin.clone_from(&artifact.origin);
        self.digest.clone_from(&artifact.digest);
        // Rendered before the dependencies are looked at: mistakes are told early, and the others know what is wanted here.
        self.memory.held = None;
        let actor = actor::actor(self).await?;
        let rendered = render::render(self, &actor, &expressions, &artifact, &revision).await?;
        let checks = judging::checks(self, &actor, &expressions).await;
        self.await_dependencies(&actor, &expressions, &checks, &revision).await?;
        let attempt = self.attempt_at(&revision, &self.digest, self.inputs.clone());
        self.tell_of_canceled_wait(&revision).await;
        if self.memory.attempt.as_ref().is_none_or(|(last, _)| *last != attempt) {
            self.memory.attempt = Some((attempt, Instant::now()));
        }
        lint::warn(self, &rendered, &revision).await;
        let desired = render::prepare(self, &actor, rendered.objects, &rendered.digest).await?;
        let policy = apply::policy(self, &expressions)?;
        apply::apply(self, &actor, &desired, &policy).await?;
        let assessment = health::assess(self, &actor, &checks, &desired).await;
        let healthy = assessment.condition();
        self.report().health(&mut self.status, &healthy);
        self.is_assessed = true;
        health::expect(self, &assessment, &revision)?;
        Ok(Done {
            changes: std::mem::take(&mut self.memory.changes),
            digest: desired.digest.clone(),
            healthy,
            look_again: assessment.look_again().into_iter().chain(self.postponed).min(),
        })
    }

    /// A new revision ends the wait for the health of the one before.
    async fn tell_of_canceled_wait(&self, revision: &str) {
        let Some((last, _)) = &self.memory.attempt else { return };
        let is_healthy = conditions::is_true(&self.written.conditions, ConditionType::Healthy);
        if last.revision != revision && !is_healthy {
            let note = format!(
                "no longer waiting for the health of revision {}: revision {revision} has come",
                last.revision
            );
            self.publish(Severity::Normal, Reason::HealthCheckCanceled.as_str(), &note).await;
        }
    }

    /// Writes the status, tells users, and says when to look again.
    async fn finish(&mut self, result: Result<Done, Failure>) -> Action {
        if result.is_err() && self.context.is_called_off() {
            // What was interrupted by the end of this process is not a failure, and another replica may be at it already.
            return Action::await_change();
        }
        let spec_interval = self.spec.interval.to_std();
        if let Some(requested) = self.object.annotation(REQUESTED_AT) {
            self.status.last_handled_reconcile_at = Some(requested.clone());
        }
        if let (Err(Failure { retry: Retry::Backoff, .. }), Some(actor)) = (&result, &self.memory.actor) {
            actor.cluster.doubt();
        }
        self.context.metrics.ready(self.id.kind.as_str(), &self.id.key, result.is_ok());
        let (wait, news) = match &result {
            Ok(done) => {
                let is_event = !done.changes.is_empty()
                    || self.written.last_applied_revision.is_none()
                    || self.written.observed_generation != self.object.meta().generation;
                let is_new = is_event || self.written.last_applied_revision != self.revision;
                let report = self.report();
                let message = self.success_message(&done.healthy);
                report.succeed(&mut self.status, &message);
                if is_new {
                    report.record(
                        &mut self.status,
                        &done.digest,
                        Reason::ReconciliationSucceeded,
                        self.started.elapsed(),
                    );
                }
                let interval = self.context.jittered(spec_interval);
                let wait = done.look_again.map_or(interval, |look_again| look_again.min(interval));
                (
                    Some(wait),
                    is_new.then(|| News {
                        severity: Severity::Normal,
                        reason: Reason::ReconciliationSucceeded,
                        note: self.success_note(done),
                        is_event,
                    }),
                )
            }
            Err(failure) => {
                let wait = self.wait_after(failure);
                self.report().fail(&mut self.status, failure);
                if !self.is_assessed {
                    self.report().health_unknown(&mut self.status, failure);
                }
                let is_news = !failure.is_progress() && failure.retry != Retry::Source;
                (
                    wait,
                    is_news.then(|| News {
                        severity: Severity::Warning,
                        reason: failure.reason,
                        note: failure.message.clone(),
                        is_event: true,
                    }),
                )
            }
        };
        if let Err(error) = self.write_status().await {
            self.memory.failures = self.memory.failures.saturating_add(1);
            tracing::warn!(error = status::said(&error), object = %self.id, "could not write the status; trying again");
            return Action::requeue(self.context.backoff(self.memory.failures, spec_interval));
        }
        // Only now: an inventory that was written before the changes still lists what is let go.
        for heir in self.heirs.drain(..) {
            self.context.applier_wakes.wake(heir);
        }
        if result.is_ok() {
            self.memory.failures = 0;
            // What gets unwell later has its own time to recover.
            self.memory.attempt = None;
        }
        if let Some(news) = news {
            self.tell(&news).await;
        }
        wait.map_or_else(Action::await_change, Action::requeue)
    }

    async fn warn_of_dropped_fields(&self) {
        if self.object.has_dropped_fields() {
            let note = "spec.validation was dropped from Flux and has no effect: the API server validates every object \
                        before any is applied; remove the field";
            self.publish(Severity::Warning, Reason::DeprecatedField.as_str(), note).await;
        }
    }

    /// Tells what a reconciliation has come to.
    async fn tell(&self, news: &News) {
        let News { severity, reason, note, is_event } = news;
        match severity {
            Severity::Normal if *is_event => {
                tracing::info!(object = %self.id, revision = self.revision, "{note}");
            }
            Severity::Normal => tracing::debug!(object = %self.id, revision = self.revision, "{note}"),
            Severity::Warning => {
                tracing::warn!(object = %self.id, %reason, message = note, "not reconciled");
            }
        }
        if *is_event {
            self.publish(*severity, reason.as_str(), note).await;
        } else {
            let metadata = metadata(self.object.meta(), self.id.kind.group(), self.revision.as_deref());
            let about = self.object.reference();
            self.context.events.notify(&about, *severity, reason.as_str(), note, &metadata);
        }
    }

    /// What `kubectl get` shows: the revision, and what is not well although nobody asked to wait for it.
    fn success_message(&self, healthy: &Healthy) -> String {
        let revision = self.revision.as_deref().unwrap_or_default();
        let mut message = format!("Applied revision: {revision}");
        if healthy.status != ConditionStatus::True {
            message = format!("{message}; {}", healthy.message);
        }
        for object in self.terminating.iter().filter(|object| object.is_held()) {
            message = format!("{message}; {object}");
        }
        for id in &self.fought_over {
            message = format!("{message}; {} is not as applied: something keeps changing it", id.human());
        }
        message
    }

    fn success_note(&self, done: &Done) -> String {
        let revision = self.revision.as_deref().unwrap_or_default();
        match done.changes.as_slice() {
            [] => format!("Applied revision: {revision}; nothing had to change"),
            changes => format!("Applied revision: {revision}\n{}", changes.join("\n")),
        }
    }
}
