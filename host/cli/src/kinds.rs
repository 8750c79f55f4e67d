//! The kinds that are reconciled, and what commands need to know of each.

use std::fmt::Debug;

use kube::Resource;
use kube::core::NamespaceResourceScope;
use plumb_api::{
    Bucket, Condition, ExternalArtifact, GitRepository, HelmChart, HelmRelease, HelmRepository,
    HelmRepositoryType, Kustomization, OciRepository, Pipeline,
};
use serde::de::DeserializeOwned;

/// An object that is reconciled.
pub(crate) trait Reconciled:
    Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug + Send + 'static
{
    /// How it is doing.
    fn conditions(&self) -> &[Condition];

    /// The revision that it has fetched or applied.
    fn revision(&self) -> Option<&str>;

    /// The last request for a reconciliation that was answered.
    fn last_handled(&self) -> Option<&str>;

    /// Whether it is left alone.
    fn is_suspended(&self) -> bool;

    /// Whether there is nothing to do for it, and it has no status: it only says where something is.
    fn is_static(&self) -> bool {
        false
    }
}

/// A source that is fetched: all of them have the same fields for it.
macro_rules! fetched {
    ($($kind:ty),*) => {$(
        impl Reconciled for $kind {
            fn conditions(&self) -> &[Condition] {
                self.status.as_ref().map_or(&[], |status| &status.conditions)
            }

            fn revision(&self) -> Option<&str> {
                Some(&self.status.as_ref()?.artifact.as_ref()?.revision)
            }

            fn last_handled(&self) -> Option<&str> {
                self.status.as_ref()?.last_handled_reconcile_at.as_deref()
            }

            fn is_suspended(&self) -> bool {
                self.spec.suspend
            }
        }
    )*};
}

fetched!(GitRepository, OciRepository, Bucket, HelmChart);

impl Reconciled for HelmRepository {
    fn conditions(&self) -> &[Condition] {
        self.status.as_ref().map_or(&[], |status| &status.conditions)
    }

    fn revision(&self) -> Option<&str> {
        Some(&self.status.as_ref()?.artifact.as_ref()?.revision)
    }

    fn last_handled(&self) -> Option<&str> {
        self.status.as_ref()?.last_handled_reconcile_at.as_deref()
    }

    fn is_suspended(&self) -> bool {
        self.spec.suspend
    }

    fn is_static(&self) -> bool {
        self.spec.kind() == HelmRepositoryType::Oci
    }
}

/// Its own controller looks after it: nobody can ask for a reconciliation, or suspend it.
impl Reconciled for ExternalArtifact {
    fn conditions(&self) -> &[Condition] {
        self.status.as_ref().map_or(&[], |status| &status.conditions)
    }

    fn revision(&self) -> Option<&str> {
        Some(&self.status.as_ref()?.artifact.as_ref()?.revision)
    }

    fn last_handled(&self) -> Option<&str> {
        None
    }

    fn is_suspended(&self) -> bool {
        false
    }
}

/// What applies objects: both kinds have the same status.
macro_rules! appliers {
    ($($kind:ty),*) => {$(
        impl Reconciled for $kind {
            fn conditions(&self) -> &[Condition] {
                self.status.as_ref().map_or(&[], |status| &status.conditions)
            }

            fn revision(&self) -> Option<&str> {
                self.status.as_ref()?.last_applied_revision.as_deref()
            }

            fn last_handled(&self) -> Option<&str> {
                self.status.as_ref()?.last_handled_reconcile_at.as_deref()
            }

            fn is_suspended(&self) -> bool {
                self.spec.suspend
            }
        }
    )*};
}

appliers!(Kustomization, Pipeline);

impl Reconciled for HelmRelease {
    fn conditions(&self) -> &[Condition] {
        self.status.as_ref().map_or(&[], |status| &status.conditions)
    }

    /// The version of the chart, as Flux shows it.
    fn revision(&self) -> Option<&str> {
        self.status.as_ref()?.last_attempted_revision.as_deref()
    }

    fn last_handled(&self) -> Option<&str> {
        self.status.as_ref()?.last_handled_reconcile_at.as_deref()
    }

    fn is_suspended(&self) -> bool {
        self.spec.suspend
    }
}
