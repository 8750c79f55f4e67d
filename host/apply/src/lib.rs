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
mod ignore;
mod live;
mod managed_fields;
mod news;
mod order;
mod plan;
mod references;
mod refusal;
mod supervise;
mod terminating;
mod throttle;

use plumb_api::ApplierKind;

pub use api_server::{ApiServer, CountRequests, Propagation, Verb};
pub use discovery::{Deferred, Kind, KindChanges, KindError, Kinds, Placed};
pub use execute::{AppliedAction, AppliedObject, Context, Executor, Outcome, Pruned, Warning};
pub use health::{Health, HealthStatus, ending, health, summarise, unsettled, with_pods};
pub use ignore::{
    IgnoreRuleError, IgnoreRules, InvalidPointer, InvalidSelector, label_selector, labels_match,
};
pub use live::{LiveCache, LiveChange, LiveChangeKind, LiveChanges, LiveView, NotWatched, WhyNotWatched};
pub use managed_fields::{
    Digest, InvalidManager, OverrideManagers, desired_digest, owned_as_desired, projection_digest, take_over,
};
pub use order::{InvalidStageKinds, Stage, Stages};
pub use plan::{
    Action, Applied, Apply, ApplyReason, Change, Conflict, Deletion, FieldChange, Fields, Inputs,
    InvalidPruneLimit, Keep, Kept, Live, LiveState, Owner, Plan, PlanError, PlannedStage, Policy, PruneLimit,
    Withheld, as_sent, diff_fields, may_prune, plan, plan_deletion, plan_object,
};
pub use references::References;
pub use refusal::{Failure, FailureKind, Refusal};
pub use terminating::Terminating;

/// The field manager of every server-side apply for a Kustomization or Pipeline: Flux's own, so that moving from Flux and back makes no conflict
/// and leaves no field without an owner.
pub const FIELD_MANAGER: &str = "kustomize-controller";
/// As [`FIELD_MANAGER`], for a HelmRelease.
pub const RELEASE_FIELD_MANAGER: &str = "helm-controller";

/// The field manager of what is applied for an applier of the kind.
pub const fn field_manager(kind: ApplierKind) -> &'static str {
    match kind {
        ApplierKind::Kustomization | ApplierKind::Pipeline => FIELD_MANAGER,
        ApplierKind::HelmRelease => RELEASE_FIELD_MANAGER,
    }
}
