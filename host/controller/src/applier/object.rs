//! The objects that apply others. What differs between their kinds is here; all else is one course.

use std::sync::Arc;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::Api;
use kube::{Client, Resource as _};
use plumb_api::{
    ApplierKind, CrossNamespaceSourceReference, DependencyReference, KubeConfigReference, Kustomization,
    KustomizationStatus, Pipeline,
};
use plumb_lint::{Finding, lint_kustomization};
use plumb_pipeline::{Spec, kustomization};
use serde_json::Value;

use super::ApplierId;
use crate::Key;
use crate::finalizers::{self, Finalizers};
use crate::sources::SourceId;
use crate::status::{self, Written};

/// An applier as the watch brought it.
#[derive(Clone, Debug)]
pub(crate) enum Applier {
    Kustomization(Arc<Kustomization>),
    Pipeline(Arc<Pipeline>),
}

impl Applier {
    pub(crate) fn kind(&self) -> ApplierKind {
        match self {
            Self::Kustomization(_) => ApplierKind::Kustomization,
            Self::Pipeline(_) => ApplierKind::Pipeline,
        }
    }

    pub(crate) fn id(&self) -> ApplierId {
        let key = match self {
            Self::Kustomization(object) => Key::of(object.as_ref()),
            Self::Pipeline(object) => Key::of(object.as_ref()),
        };
        ApplierId { kind: self.kind(), key }
    }

    pub(crate) fn meta(&self) -> &ObjectMeta {
        match self {
            Self::Kustomization(object) => &object.metadata,
            Self::Pipeline(object) => &object.metadata,
        }
    }

    pub(crate) fn annotation(&self, name: &str) -> Option<&String> {
        self.meta().annotations.as_ref()?.get(name)
    }

    pub(crate) fn is_being_deleted(&self) -> bool {
        self.meta().deletion_timestamp.is_some()
    }

    /// The status as the API server has it.
    pub(crate) fn status(&self) -> Option<&KustomizationStatus> {
        match self {
            Self::Kustomization(object) => object.status.as_ref(),
            Self::Pipeline(object) => object.status.as_ref(),
        }
    }

    /// The newest status that is known.
    pub(super) fn newest_status(
        &self,
        written: Option<&Written<KustomizationStatus>>,
    ) -> KustomizationStatus {
        match self {
            Self::Kustomization(object) => Written::newest(written, object.as_ref(), self.status()),
            Self::Pipeline(object) => Written::newest(written, object.as_ref(), self.status()),
        }
    }

    pub(super) fn spec(&self) -> Spec {
        match self {
            Self::Kustomization(object) => Spec::from(&object.spec),
            Self::Pipeline(object) => Spec::from(&object.spec),
        }
    }

    fn source_ref(&self) -> &CrossNamespaceSourceReference {
        match self {
            Self::Kustomization(object) => &object.spec.source_ref,
            Self::Pipeline(object) => &object.spec.source_ref,
        }
    }

    /// The source that it renders.
    pub(crate) fn source(&self) -> SourceId {
        let reference = self.source_ref();
        let own = self.meta().namespace.as_deref().unwrap_or_default();
        let key = Key { namespace: reference.namespace_or(own).to_owned(), name: reference.name.clone() };
        SourceId { kind: reference.kind, key }
    }

    pub(crate) fn depends_on(&self) -> &[DependencyReference] {
        match self {
            Self::Kustomization(object) => &object.spec.depends_on,
            Self::Pipeline(object) => &object.spec.depends_on,
        }
    }

    pub(crate) fn kube_config(&self) -> Option<&KubeConfigReference> {
        match self {
            Self::Kustomization(object) => object.spec.kube_config.as_ref(),
            Self::Pipeline(object) => object.spec.apply.kube_config.as_ref(),
        }
    }

    /// Whether it will render the next revision of its source.
    pub(crate) fn is_active(&self) -> bool {
        let can_be_honoured = match self {
            Self::Kustomization(object) => {
                !object.spec.suspend && kustomization::not_honoured(&object.spec).is_empty()
            }
            Self::Pipeline(object) => !object.spec.suspend,
        };
        can_be_honoured && !self.is_being_deleted()
    }

    /// Whether the spec has fields that Flux has dropped.
    pub(super) fn has_dropped_fields(&self) -> bool {
        match self {
            Self::Kustomization(object) => object.spec.validation.is_some(),
            Self::Pipeline(_) => false,
        }
    }

    /// What is likely to hurt in the spec.
    pub(super) fn lint(&self) -> Vec<Finding> {
        match self {
            Self::Kustomization(object) => lint_kustomization(object),
            Self::Pipeline(_) => Vec::new(),
        }
    }

    /// The object as expressions see it.
    pub(super) fn to_value(&self) -> Value {
        let value = match self {
            Self::Kustomization(object) => serde_json::to_value(object.as_ref()),
            Self::Pipeline(object) => serde_json::to_value(object.as_ref()),
        };
        value.unwrap_or_default()
    }

    /// The object as events name it.
    pub(super) fn reference(&self) -> ObjectReference {
        match self {
            Self::Kustomization(object) => object.object_ref(&()),
            Self::Pipeline(object) => object.object_ref(&()),
        }
    }

    pub(super) fn has_finalizer(&self) -> bool {
        match self {
            Self::Kustomization(object) => finalizers::has(object.as_ref()),
            Self::Pipeline(object) => finalizers::has(object.as_ref()),
        }
    }

    pub(super) async fn add_finalizer(&self, client: &Client) -> kube::Result<Finalizers> {
        match self {
            Self::Kustomization(object) => finalizers::add(client, object.as_ref()).await,
            Self::Pipeline(object) => finalizers::add(client, object.as_ref()).await,
        }
    }

    pub(super) async fn remove_finalizer(&self, client: &Client) -> kube::Result<Finalizers> {
        match self {
            Self::Kustomization(object) => finalizers::remove(client, object.as_ref()).await,
            Self::Pipeline(object) => finalizers::remove(client, object.as_ref()).await,
        }
    }

    /// Patches the status from what it was to what it is; `None` when they are equal.
    pub(super) async fn write_status(
        &self,
        client: &Client,
        before: &KustomizationStatus,
        after: &KustomizationStatus,
    ) -> kube::Result<Option<Written<KustomizationStatus>>> {
        let Key { namespace, name } = self.id().key;
        let client = client.clone();
        match self {
            Self::Kustomization(_) => {
                let api: Api<Kustomization> = Api::namespaced(client, &namespace);
                status::write(&api, &name, before, after).await
            }
            Self::Pipeline(_) => {
                let api: Api<Pipeline> = Api::namespaced(client, &namespace);
                status::write(&api, &name, before, after).await
            }
        }
    }
}
