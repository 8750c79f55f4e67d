//! A HelmRelease in the terms of all appliers, as far as they are the same.

use plumb_api::{
    ChartReferenceKind, CrossNamespaceSourceReference, DependencyReference, Duration, HelmRelease,
    PipelineApply, PipelineHealth, SourceKind,
};
use plumb_pipeline::Spec;

use super::chart_object;
use crate::Key;
use crate::sources::SourceId;

/// What a release has in common with other appliers: who acts, where, what has to be ready first, and how to tell health. How it is rendered is
/// not in it.
pub(in crate::applier) fn spec_of(release: &HelmRelease) -> Spec {
    let spec = &release.spec;
    let source = source_of(release);
    Spec {
        source_ref: CrossNamespaceSourceReference {
            api_version: None,
            kind: source.kind,
            name: source.key.name,
            namespace: Some(source.key.namespace),
        },
        interval: spec.interval.clone(),
        retry_interval: None,
        timeout: spec.timeout.clone().or_else(default_timeout),
        depends_on: spec.depends_on.iter().map(with_kind).collect(),
        suspend: spec.suspend,
        steps: Vec::new(),
        apply: PipelineApply {
            prune: true,
            force: false,
            target_namespace: Some(release.release_namespace()),
            service_account_name: spec.service_account_name.clone(),
            kube_config: spec.kube_config.clone(),
            ignore: spec.drift_detection.as_ref().map(|drift| drift.ignore.clone()).unwrap_or_default(),
            deletion_policy: None,
            common_metadata: spec.common_metadata.clone(),
        },
        health: PipelineHealth {
            wait: true,
            exprs: spec.health_check_exprs.clone(),
            ..PipelineHealth::default()
        },
    }
}

/// Where the chart of a release comes from.
pub(in crate::applier) fn source_of(release: &HelmRelease) -> SourceId {
    let own = release.metadata.namespace.as_deref().unwrap_or_default();
    match (&release.spec.chart_ref, &release.spec.chart) {
        (Some(reference), _) => {
            let kind = match reference.kind {
                ChartReferenceKind::OciRepository => SourceKind::OciRepository,
                ChartReferenceKind::ExternalArtifact => SourceKind::ExternalArtifact,
                ChartReferenceKind::HelmChart => SourceKind::HelmChart,
            };
            let namespace = reference.namespace_or(own).to_owned();
            SourceId { kind, key: Key { namespace, name: reference.name.clone() } }
        }
        (None, Some(template)) => {
            SourceId { kind: SourceKind::HelmChart, key: chart_object::key(release, template) }
        }
        // The CRD refuses it; an older one may not have.
        (None, None) => {
            let key = Key { namespace: own.to_owned(), name: release.helm_chart_name() };
            SourceId { kind: SourceKind::HelmChart, key }
        }
    }
}

fn default_timeout() -> Option<Duration> {
    "5m".parse().ok()
}

/// A dependency with its kind: a HelmRelease, unless it says otherwise.
fn with_kind(dependency: &DependencyReference) -> DependencyReference {
    let mut dependency = dependency.clone();
    let kind = dependency.kind.get_or_insert_with(|| "HelmRelease".to_owned());
    if dependency.api_version.is_none() {
        dependency.api_version =
            kind.parse().ok().map(|kind: plumb_api::ApplierKind| kind.api_version().to_owned());
    }
    dependency
}
