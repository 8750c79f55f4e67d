//! The Flux API and our own kinds as Rust types, and the vocabulary that the other crates share. No I/O.
//!
//! In goes what people write: YAML and JSON of Kubernetes objects. Out come types whose constructors validate:
//! [`Object`], [`ObjectId`], [`Inventory`], [`Revision`], the custom resources, and their conditions.
//!
//! Whoever lists custom resources from a cluster should wrap them in `kube::core::DeserializeGuard`: a definition of another
//! version of Flux may let values in that the enums here do not know, and one such object must not hide all others.
#![forbid(unsafe_code)]

pub mod annotations;
mod artifact;
mod bucket;
mod byte_size;
mod capabilities;
pub mod conditions;
mod crds;
mod duration;
mod external_artifact;
mod git_reference;
mod git_repository;
mod group_kind;
mod health_check;
mod helm_chart;
mod helm_release;
mod helm_repository;
mod history;
mod inventory;
mod kustomization;
mod kustomize;
mod object;
mod oci_repository;
mod owner;
mod pipeline;
mod plugin;
mod plugin_policy;
mod post_build;
mod reference;
mod revision;
mod sensitive;
mod serde_rules;

pub use annotations::SsaPolicy;
pub use artifact::Artifact;
pub use bucket::{Bucket, BucketSpec, BucketStatus, BucketSts, BucketStsProvider};
pub use byte_size::{ByteSize, InvalidByteSize};
pub use capabilities::{
    Capabilities, Capability, ClusterReadGrant, GrantedNamespaces, HttpGrant, NamedSecret, PluginLimits,
};
pub use conditions::{ConditionStatus, ConditionType, Reason, set_condition};
pub use crds::crds;
pub use duration::{Duration, InvalidDuration};
pub use external_artifact::{ExternalArtifact, ExternalArtifactSpec, ExternalArtifactStatus};
pub use git_reference::{GitReference, GitRepositoryRef, InvalidReference};
pub use git_repository::{
    GitProvider, GitRepository, GitRepositoryInclude, GitRepositorySpec, GitRepositoryStatus,
    GitRepositoryVerification, GitVerificationMode,
};
pub use group_kind::{GroupKind, GroupVersionKind};
pub use health_check::{HealthCheckKind, HealthPlugin, OnUnknown, PluginHealthCheck};
pub use helm_chart::{
    ChartSourceKind, HelmChart, HelmChartSpec, HelmChartStatus, LocalHelmChartSourceReference,
    ReconcileStrategy,
};
pub use helm_release::{
    ActionStrategy, ChartNameChangeStrategy, ChartReference, ChartReferenceKind, ChartSourceReference,
    CrdsPolicy, DeletionPropagation, DriftDetection, DriftMode, HelmChartTemplate, HelmChartTemplateMetadata,
    HelmChartTemplateSpec, HelmChartTemplateVerification, HelmRelease, HelmReleaseSpec, HelmReleaseStatus,
    Install, InstallRemediation, KustomizePostRenderer, PostRenderStrategy, PostRenderer, ReleaseAction,
    ReleaseAttempt, ReleaseSnapshot, ReleaseStatus, RemediationStrategy, Rollback, ServerSideApply,
    StrategyName, Test, TestFilter, TestHookStatus, TestPhase, Uninstall, Upgrade, UpgradeRemediation,
    ValuesReference, WaitStrategy, WaitStrategyName,
};
pub use helm_repository::{
    AccessFrom, HelmRepository, HelmRepositorySpec, HelmRepositoryStatus, HelmRepositoryType,
    NamespaceSelector,
};
pub use history::{History, Reconciliation, Snapshot};
pub use inventory::{Inventory, InventoryEntry};
pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
pub use kustomization::{
    BuildMetadataOption, CommonMetadata, Decryption, DecryptionProvider, DeletionPolicy, Kustomization,
    KustomizationSpec, KustomizationStatus, OnDeletion, Validation,
};
pub use kustomize::{CustomHealthCheck, IgnoreRule, Image, Patch, Selector};
pub use object::{InvalidObject, Object, ObjectId};
pub use oci_repository::{
    CloudProvider, OciLayerOperation, OciLayerSelector, OciReference, OciRepository, OciRepositoryRef,
    OciRepositorySpec, OciRepositoryStatus, OciRepositoryVerification, OciVerificationProvider,
    OidcIdentityMatch,
};
pub use owner::{ApplierKind, Owner, OwnerLabels, UnknownApplierKind};
pub use pipeline::{ParameterSource, Pipeline, PipelineApply, PipelineHealth, PipelineSpec, PipelineStep};
pub use plugin::{AvailablePlugin, Plugin, PluginSpec, PluginStatus, PluginUpgrade};
pub use plugin_policy::{AllowedCapabilities, PluginPolicy, PluginPolicySpec, PluginRule};
pub use post_build::{PostBuild, SubstituteReference, SubstituteStrategy, ValuesKind};
pub use reference::{
    CrossNamespaceSourceReference, DependencyReference, KubeConfigReference, LocalObjectReference,
    NamespacedObjectKindReference, SecretKeyReference, SourceKind, is_object_name,
};
pub use revision::{InvalidRevision, Revision};
pub use sensitive::Sensitive;
