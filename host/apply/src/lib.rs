//! Plans and carries out changes to a cluster.
//!
//! In go rendered objects, and what the watches know of the cluster ([`LiveCache`]). The planner ([`plan()`]), which is pure, compares
//! them and says what has to be done; the [`Executor`] does it by server-side apply and reports every failure. Out come the objects as they
//! are, with their [`Health`], and the changes that others make to them, as they happen.
#![forbid(unsafe_code)]

mod api_server;
mod discovery;
mod execute;
mod health;
mod live;
mod managed_fields;
mod order;
mod plan;
mod references;
mod refusal;
mod throttle;

pub use api_server::{ApiServer, CountRequests, Verb};
pub use discovery::{Kind, KindError, Kinds, defined_kinds};
pub use execute::{AppliedAction, AppliedObject, Context, Executor, Outcome, Pruned, Warning};
pub use health::{Health, HealthStatus, health, summarise, with_pods};
pub use live::{LiveCache, LiveChange, LiveChangeKind, LiveChanges, LiveView, NotWatched, WhyNotWatched};
pub use managed_fields::{Digest, desired_digest, owned_as_desired, projection_digest, take_over};
pub use order::{Stage, compare_for_apply, sort_for_apply, stage_of};
pub use plan::{
    Action, Applied, Apply, ApplyReason, Change, Conflict, Deletion, FieldChange, Inputs, Keep, Kept, Live,
    LiveState, Owner, Plan, PlanError, PlannedStage, Policy, as_sent, diff_fields, may_prune, plan,
    plan_deletion, plan_object,
};
pub use references::References;
pub use refusal::{Failure, FailureKind, Refusal};

/// The field manager of every server-side apply: Flux's own, so that moving from Flux and back makes no conflict and leaves no field
/// without an owner.
pub const FIELD_MANAGER: &str = "kustomize-controller";
