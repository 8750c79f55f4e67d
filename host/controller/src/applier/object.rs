//! The objects that apply others. What differs between their kinds is here; all else is one course.

use std::sync::Arc;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Client, Resource as _};
use plumb_api::{
    ApplierKind, Condition, DependencyReference, HelmRelease, Inventory, KubeConfigReference, Kustomization,
    Pipeline,
};
use plumb_lint::{Finding, lint_kustomization};
use plumb_pipeline::Spec;
use serde_json::Value;

use super::{ApplierId, helm};
use crate::Key;
use crate::finalizers::{self, Finalizers};
use crate::sources::SourceId;

/// An applier as the watch brought it.
#[derive(Clone, Debug)]
pub(crate) enum Applier {
    Kustomization(Arc<Kustomization>),
    Pipeline(Arc<Pipeline>),
    HelmRelease(Arc<HelmRelease>),
}

impl Applier {
    pub(crate) fn kind(&self) -> ApplierKind {
        match self {
            Self::Kustomization(_) => ApplierKind::Kustomization,
            Self::Pipeline(_) => ApplierKind::Pipeline,
            Self::HelmRelease(_) => ApplierKind::HelmRelease,
        }
    }

    pub(crate) fn id(&self) -> ApplierId {
        let key = match self {
            Self::Kustomization(object) => Key::of(object.as_ref()),
            Self::Pipeline(object) => Key::of(object.as_ref()),
            Self::HelmRelease(object) => Key::of(object.as_ref()),
        };
        ApplierId { kind: self.kind(), key }
    }

    pub(crate) fn meta(&self) -> &ObjectMeta {
        match self {
            Self::Kustomization(object) => &object.metadata,
            Self::Pipeline(object) => &object.metadata,
            Self::HelmRelease(object) => &object.metadata,
        }
    }

    pub(crate) fn annotation(&self, name: &str) -> Option<&String> {
        self.meta().annotations.as_ref()?.get(name)
    }

    pub(crate) fn is_being_deleted(&self) -> bool {
        self.meta().deletion_timestamp.is_some()
    }

    /// The conditions, as the API server has them.
    pub(crate) fn conditions(&self) -> &[Condition] {
        let conditions = match self {
            Self::Kustomization(object) => object.status.as_ref().map(|status| &status.conditions),
            Self::Pipeline(object) => object.status.as_ref().map(|status| &status.conditions),
            Self::HelmRelease(object) => object.status.as_ref().map(|status| &status.conditions),
        };
        conditions.map(Vec::as_slice).unwrap_or_default()
    }

    /// The objects that it has applied, as the API server has them; none while there is no status.
    pub(crate) fn inventory(&self) -> Option<&Inventory> {
        match self {
            Self::Kustomization(object) => object.status.as_ref()?.inventory.as_ref(),
            Self::Pipeline(object) => object.status.as_ref()?.inventory.as_ref(),
            Self::HelmRelease(object) => object.status.as_ref()?.inventory.as_ref(),
        }
    }

    /// The generation that it was last looked at in.
    pub(crate) fn observed_generation(&self) -> Option<i64> {
        match self {
            Self::Kustomization(object) => object.status.as_ref()?.observed_generation,
            Self::Pipeline(object) => object.status.as_ref()?.observed_generation,
            Self::HelmRelease(object) => object.status.as_ref()?.observed_generation,
        }
    }

    /// The revision of its source that it has applied, where the status tells.
    pub(crate) fn applied_revision(&self) -> Option<&str> {
        match self {
            Self::Kustomization(object) => object.status.as_ref()?.last_applied_revision.as_deref(),
            Self::Pipeline(object) => object.status.as_ref()?.last_applied_revision.as_deref(),
            Self::HelmRelease(_) => None,
        }
    }

    /// The revision of its source that it tried last, of a HelmRelease the version of the chart.
    pub(crate) fn attempted_revision(&self) -> Option<&str> {
        match self {
            Self::Kustomization(object) => object.status.as_ref()?.last_attempted_revision.as_deref(),
            Self::Pipeline(object) => object.status.as_ref()?.last_attempted_revision.as_deref(),
            Self::HelmRelease(object) => object.status.as_ref()?.last_attempted_revision.as_deref(),
        }
    }

    pub(super) fn spec(&self) -> Spec {
        match self {
            Self::Kustomization(object) => Spec::from(&object.spec),
            Self::Pipeline(object) => Spec::from(&object.spec),
            Self::HelmRelease(object) => helm::spec_of(object),
        }
    }

    /// The source that it renders.
    pub(crate) fn source(&self) -> SourceId {
        let reference = match self {
            Self::Kustomization(object) => &object.spec.source_ref,
            Self::Pipeline(object) => &object.spec.source_ref,
            Self::HelmRelease(object) => return helm::source_of(object),
        };
        let own = self.meta().namespace.as_deref().unwrap_or_default();
        let key = Key { namespace: reference.namespace_or(own).to_owned(), name: reference.name.clone() };
        SourceId { kind: reference.kind, key }
    }

    pub(crate) fn depends_on(&self) -> &[DependencyReference] {
        match self {
            Self::Kustomization(object) => &object.spec.depends_on,
            Self::Pipeline(object) => &object.spec.depends_on,
            Self::HelmRelease(object) => &object.spec.depends_on,
        }
    }

    pub(crate) fn kube_config(&self) -> Option<&KubeConfigReference> {
        match self {
            Self::Kustomization(object) => object.spec.kube_config.as_ref(),
            Self::Pipeline(object) => object.spec.apply.kube_config.as_ref(),
            Self::HelmRelease(object) => object.spec.kube_config.as_ref(),
        }
    }

    /// Whether it will render the next revision of its source.
    pub(crate) fn is_active(&self) -> bool {
        let is_suspended = match self {
            Self::Kustomization(object) => object.spec.suspend,
            Self::Pipeline(object) => object.spec.suspend,
            Self::HelmRelease(object) => object.spec.suspend,
        };
        !is_suspended && !self.is_being_deleted()
    }

    /// Whether the spec has fields that Flux has dropped.
    pub(super) fn has_dropped_fields(&self) -> bool {
        match self {
            Self::Kustomization(object) => object.spec.validation.is_some(),
            Self::Pipeline(_) | Self::HelmRelease(_) => false,
        }
    }

    /// What is likely to hurt in the spec.
    pub(super) fn lint(&self) -> Vec<Finding> {
        match self {
            Self::Kustomization(object) => lint_kustomization(object),
            Self::Pipeline(_) | Self::HelmRelease(_) => Vec::new(),
        }
    }

    /// The object as expressions see it.
    pub(super) fn to_value(&self) -> Value {
        let value = match self {
            Self::Kustomization(object) => serde_json::to_value(object.as_ref()),
            Self::Pipeline(object) => serde_json::to_value(object.as_ref()),
            Self::HelmRelease(object) => serde_json::to_value(object.as_ref()),
        };
        value.unwrap_or_default()
    }

    /// The object as events name it.
    pub(super) fn reference(&self) -> ObjectReference {
        match self {
            Self::Kustomization(object) => object.object_ref(&()),
            Self::Pipeline(object) => object.object_ref(&()),
            Self::HelmRelease(object) => object.object_ref(&()),
        }
    }

    pub(super) fn has_finalizer(&self) -> bool {
        match self {
            Self::Kustomization(object) => finalizers::has(object.as_ref()),
            Self::Pipeline(object) => finalizers::has(object.as_ref()),
            Self::HelmRelease(object) => finalizers::has(object.as_ref()),
        }
    }

    pub(super) async fn add_finalizer(&self, client: &Client) -> kube::Result<Finalizers> {
        match self {
            Self::Kustomization(object) => finalizers::add(client, object.as_ref()).await,
            Self::Pipeline(object) => finalizers::add(client, object.as_ref()).await,
            Self::HelmRelease(object) => finalizers::add(client, object.as_ref()).await,
        }
    }

    pub(super) async fn remove_finalizer(&self, client: &Client) -> kube::Result<Finalizers> {
        match self {
            Self::Kustomization(object) => finalizers::remove(client, object.as_ref()).await,
            Self::Pipeline(object) => finalizers::remove(client, object.as_ref()).await,
            Self::HelmRelease(object) => finalizers::remove(client, object.as_ref()).await,
        }
    }
}
