use std::sync::Arc;

use plumb_api::annotations::force_enabled;
use plumb_api::{Object, ObjectId, SsaPolicy};

use super::{Action, Applied, Apply, ApplyReason, Change, Conflict, Fields, Live, Owner, Policy, as_sent};
use crate::managed_fields::{desired_digest, owned_as_desired, take_over};
use crate::terminating::{Terminating, would_release};

/// What to do about one desired object. [`plan`](super::plan) asks this for each; after [`Change::Look`], ask it again with what
/// was found.
pub fn plan_object(
    rendered: &Arc<Object>,
    live: Live,
    applied: Option<&Applied>,
    is_claimed: &dyn Fn(&Owner, &ObjectId) -> bool,
    policy: &Policy,
) -> Result<Action, Conflict> {
    let id = rendered.id();
    let desired = as_sent(rendered);
    let mut sent = Arc::clone(&desired);
    let change = match &live {
        _ if SsaPolicy::of(&desired) == SsaPolicy::Ignore => Change::LeftAlone(SsaPolicy::Ignore),
        Live::Unknown => Change::Look,
        Live::Absent => Change::Create,
        Live::Present(live) => {
            if SsaPolicy::of(live) == SsaPolicy::Ignore {
                Change::LeftAlone(SsaPolicy::Ignore)
            } else if let Some(holder) = other_holder(live, &id, is_claimed, policy) {
                return Err(Conflict { id, holder, claimant: policy.owner.clone() });
            } else if SsaPolicy::of(&desired) == SsaPolicy::IfNotPresent {
                Change::LeftAlone(SsaPolicy::IfNotPresent)
            } else {
                sent = policy.ignore.sent(&desired, live, &policy.manager, &policy.override_managers);
                match Terminating::of(live) {
                    Some(going) if !would_release(&sent, live, &policy.manager) => {
                        Change::BeingDeleted(going)
                    }
                    _ if policy.fields == Fields::Left => Change::Unchanged,
                    _ => compare(&desired, live, applied, policy),
                }
            }
        }
    };
    Ok(Action { id, desired, sent, live, change })
}

/// Who else an object belongs to. One that the labels name but that no longer lists the object has let go of
/// it: so objects move from one Kustomization to another.
fn other_holder(
    live: &Object,
    id: &ObjectId,
    is_claimed: &dyn Fn(&Owner, &ObjectId) -> bool,
    policy: &Policy,
) -> Option<Owner> {
    Owner::all_of(live).find(|holder| *holder != policy.owner && is_claimed(holder, id))
}

fn compare(desired: &Arc<Object>, live: &Arc<Object>, applied: Option<&Applied>, policy: &Policy) -> Change {
    let merges = [desired, live].into_iter().any(|object| SsaPolicy::of(object) == SsaPolicy::Merge);
    let take_over = if merges {
        Vec::new()
    } else {
        take_over(live, desired, &policy.manager, &policy.override_managers)
    };
    let (wanted, seen) = policy.ignore.compared(desired, live, &policy.manager);
    if take_over.is_empty() && owned_as_desired(&seen, &wanted, &policy.manager) {
        return Change::Unchanged;
    }
    let was_desired = applied.is_some_and(|applied| applied.desired == desired_digest(desired));
    let is_as_it_was = applied.is_some_and(|applied| policy.projection(live) == Some(applied.projection));
    if take_over.is_empty() && was_desired && is_as_it_was {
        return Change::Unchanged;
    }
    Change::Apply(Apply {
        reason: if was_desired { ApplyReason::Drifted } else { ApplyReason::Changed },
        replace_if_immutable: policy.force || [desired, live].into_iter().any(|object| force_enabled(object)),
        take_over,
    })
}
