use std::time::Duration;

use plumb_api::{Object, SsaPolicy};
use serde_json::Value;
use tokio::time::Instant;

use super::depends::Dependencies;
use super::{AppliedAction, AppliedObject, Context, Executor, Warning, place_of};
use crate::api_server::{Answer, Effect, Propagation};
use crate::discovery::Kind;
use crate::managed_fields::{desired_digest, take_over};
use crate::plan::{Action, Applied, Change, Deletion, Live};
use crate::refusal::{Failure, Refusal};

/// A CRD can be established a moment before its path is served, or served by its new schema.
const UNTIL_SERVED: Duration = Duration::from_secs(5);
/// Pause between two attempts at that.
const SERVED_PAUSE: Duration = Duration::from_millis(100);
/// How often taking over is tried while a controller keeps writing to the object.
const TAKE_OVER_ATTEMPTS: usize = 5;

/// An object that was applied, with the answer.
pub(super) struct Done {
    pub(super) applied: AppliedObject,
    pub(super) warnings: Vec<Warning>,
    pub(super) object: Object,
}

impl Executor {
    /// Applies one object.
    pub(super) async fn apply(
        &self,
        action: &Action,
        depends: &Dependencies,
        context: &Context<'_>,
    ) -> Result<Done, Failure> {
        let kind = self.kind_of(&action.id, &action.desired.gvk(), context.deadline).await?;
        let explain = |refusal: Refusal| refusal.explain(&action.id);
        let sent = match self.send(Effect::Real, action, &kind, depends, context).await {
            Err(refusal) if refusal.is_immutable() && may_replace(action) => {
                self.delete_and_wait(action, &kind, context).await?;
                // What others have set is gone with the object.
                let anew = Action { sent: action.desired.clone(), ..action.clone() };
                let answer =
                    self.send(Effect::Real, &anew, &kind, depends, context).await.map_err(explain)?;
                (answer, AppliedAction::Recreated)
            }
            Err(refusal) => return Err(explain(refusal)),
            Ok(answer) => {
                let effect = effect_of(action, &answer);
                (answer, effect)
            }
        };
        let (mut answer, mut effect) = sent;
        if let Some(cleaned) = self.take_over(action, &kind, &answer, context).await.map_err(explain)? {
            (answer.object, effect) = (cleaned, AppliedAction::Configured);
        }
        self.kinds.learn(&answer.object);
        self.live.observe(answer.object.clone());
        self.live.start(std::slice::from_ref(&kind), context.policy.owner.kind.labels());
        Ok(done(action, answer, effect, context))
    }

    /// Applies, with patience for what a CRD of this plan has only just brought.
    pub(super) async fn send(
        &self,
        effect: Effect,
        action: &Action,
        kind: &Kind,
        depends: &Dependencies,
        context: &Context<'_>,
    ) -> Result<Answer, Refusal> {
        let patience = context.deadline.min(Instant::now() + UNTIL_SERVED);
        let group_kind = &action.id.group_kind;
        let is_new = depends.brings_kind(group_kind) || self.kinds.is_fresh(group_kind);
        loop {
            let place = place_of(&action.id, kind);
            let result =
                self.api.apply(effect, place, &action.sent, &context.policy.manager, context.deadline).await;
            match result {
                Err(refusal) if is_new && refusal.is_of_old_schema() && Instant::now() < patience => {
                    tokio::time::sleep(SERVED_PAUSE).await;
                }
                result => return result,
            }
        }
    }

    async fn delete_and_wait(
        &self,
        action: &Action,
        kind: &Kind,
        context: &Context<'_>,
    ) -> Result<(), Failure> {
        let Live::Present(live) = &action.live else { return Ok(()) };
        let uid = live.pointer("/metadata/uid").and_then(Value::as_str).map(str::to_owned);
        let place = place_of(&action.id, kind);
        match self.api.delete(place, uid.as_deref(), Propagation::Background, context.deadline).await {
            Err(refusal) if !refusal.is_not_found() => return Err(refusal.explain(&action.id)),
            Ok(_) | Err(_) => {}
        }
        let deletion = Deletion { id: action.id.clone(), gvk: action.desired.gvk(), uid };
        match self.wait_gone(&[deletion], context.deadline).await.pop() {
            Some(failure) => Err(failure),
            None => Ok(()),
        }
    }

    /// Makes ours what kubectl has written into the object, so that what is not desired goes. The answer tells at no cost whether there is
    /// anything. Returns the object as it is then, or `None` when there was nothing to do.
    async fn take_over(
        &self,
        action: &Action,
        kind: &Kind,
        answer: &Answer,
        context: &Context<'_>,
    ) -> Result<Option<Object>, Refusal> {
        let Context { policy, deadline, .. } = context;
        let place = place_of(&action.id, kind);
        let mut current = answer.object.clone();
        for attempt in 1.. {
            let merges = [&*action.desired, &current]
                .into_iter()
                .any(|object| SsaPolicy::of(object) == SsaPolicy::Merge);
            let overridden = &policy.override_managers;
            let patch = if merges {
                Vec::new()
            } else {
                take_over(&current, &action.desired, &policy.manager, overridden)
            };
            if patch.is_empty() {
                break;
            }
            match self.api.json_patch(place, &patch, &policy.manager, *deadline).await {
                Ok(_) => {
                    let sent = policy.ignore.sent(&action.desired, &current, &policy.manager, overridden);
                    let applied =
                        self.api.apply(Effect::Real, place, &sent, &policy.manager, *deadline).await?;
                    return Ok(Some(applied.object));
                }
                Err(refusal) if refusal.code() == 409 && attempt < TAKE_OVER_ATTEMPTS => {
                    current = self.api.get(place, *deadline).await?.object;
                }
                Err(refusal) => return Err(refusal),
            }
        }
        Ok(None)
    }
}

fn may_replace(action: &Action) -> bool {
    matches!(&action.change, Change::Apply(apply) if apply.replace_if_immutable)
}

fn effect_of(action: &Action, answer: &Answer) -> AppliedAction {
    let version = |object: &Object| object.pointer("/metadata/resourceVersion").cloned();
    match &action.live {
        _ if answer.created => AppliedAction::Created,
        Live::Present(live) if version(live) == version(&answer.object) => AppliedAction::Unchanged,
        _ => AppliedAction::Configured,
    }
}

fn done(action: &Action, answer: Answer, effect: AppliedAction, context: &Context<'_>) -> Done {
    let Answer { object, warnings, .. } = answer;
    let projection = context.policy.projection(&object);
    let applied = AppliedObject {
        id: action.id.clone(),
        action: effect,
        resource_version: object
            .pointer("/metadata/resourceVersion")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned(),
        applied: projection
            .map(|projection| Applied { desired: desired_digest(&action.desired), projection }),
    };
    let warnings = warnings.into_iter().map(|text| Warning { id: action.id.clone(), text }).collect();
    Done { applied, warnings, object }
}
