use std::sync::Arc;

use super::depends::Dependencies;
use super::{Context, Executor, place_of};
use crate::api_server::{Answer, Effect};
use crate::discovery::Kind;
use crate::plan::{Action, Change, Conflict, Live, plan_object};
use crate::refusal::{Failure, Refusal};

/// What was found out about an object without changing it.
pub(super) enum Rehearsed {
    /// This is to be done, and the API server will accept it.
    Go(Action),
    /// It belongs to somebody else.
    Conflict(Conflict),
}

impl Executor {
    /// Applies an object without effect, and decides about it if the planner could not. An object that is refused although it
    /// is not to be applied at all does no harm.
    pub(super) async fn rehearse(
        &self,
        action: &Action,
        depends: &Dependencies,
        context: &Context<'_>,
    ) -> Result<Rehearsed, Failure> {
        let kind = self.kind_of(&action.id, &action.desired.gvk(), context.deadline).await?;
        if action.change == Change::Look && context.policy.ignore.are_for(&action.desired) {
            // What is to be sent is known only when the fields that others may change are.
            let live = self.look(action, &kind, context).await?;
            return match self.decide(action, live, context) {
                Rehearsed::Go(decided) if decided.is_change() => {
                    Box::pin(self.rehearse(&decided, depends, context)).await
                }
                decided => Ok(decided),
            };
        }
        let tried = self.send(Effect::DryRun, action, &kind, depends, context).await;
        if matches!(&tried, Err(refusal) if refusal.is_not_served()) {
            self.kinds.forget(&action.desired.gvk());
        }
        let decided = match (&action.change, &tried) {
            // Known to be absent; no need to look.
            (Change::Look, Ok(Answer { created: true, .. })) => self.decide(action, Live::Absent, context),
            (Change::Look, _) => {
                let live = self.look(action, &kind, context).await?;
                self.decide(action, live, context)
            }
            _ => Rehearsed::Go(action.clone()),
        };
        match (decided, tried) {
            (Rehearsed::Go(action), Err(refusal)) if !is_no_obstacle(&action, &refusal, depends) => {
                Err(refusal.explain(&action.id))
            }
            (decided, _) => Ok(decided),
        }
    }

    fn decide(&self, action: &Action, live: Live, context: &Context<'_>) -> Rehearsed {
        let applied = context.applied.get(&action.id);
        match plan_object(&action.desired, live, applied, &context.is_claimed, context.policy) {
            Ok(action) => Rehearsed::Go(action),
            Err(conflict) => Rehearsed::Conflict(conflict),
        }
    }

    async fn look(&self, action: &Action, kind: &Kind, context: &Context<'_>) -> Result<Live, Failure> {
        match self.api.get(place_of(&action.id, kind), context.deadline).await {
            Ok(answer) => Ok(Live::Present(Arc::new(answer.object))),
            Err(refusal) if refusal.is_not_found() => Ok(Live::Absent),
            Err(refusal) => Err(refusal.explain(&action.id)),
        }
    }
}

/// Whether a refused dry run is no reason not to go on.
fn is_no_obstacle(action: &Action, refusal: &Refusal, depends: &Dependencies) -> bool {
    let says =
        |is_so: &dyn Fn(&str) -> bool| matches!(refusal, Refusal::Status(status) if is_so(&status.message));
    let may_be_refused = match &action.change {
        Change::Look | Change::Create => false,
        Change::Apply(apply) => apply.replace_if_immutable && refusal.is_immutable(),
        Change::Unchanged | Change::LeftAlone(_) | Change::BeingDeleted(_) => true,
    };
    may_be_refused
        || says(&|message| depends.will_satisfy(&action.id, message))
        || says(&|message| message.contains("does not support dry run"))
}
