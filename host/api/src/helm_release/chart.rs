use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::serde_rules::{is_false, non_empty};
use crate::{ChartSourceKind, Duration, LocalObjectReference, OciVerificationProvider, ReconcileStrategy};

/// The HelmChart that is made for a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HelmChartTemplate {
    /// The labels and annotations of the HelmChart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<HelmChartTemplateMetadata>,
    /// Which chart it is.
    pub spec: HelmChartTemplateSpec,
}

/// The labels and annotations of the HelmChart that is made for a release.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HelmChartTemplateMetadata {
    /// The labels, for example `{team: a}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The annotations, for example `{contact: team-a@example.com}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// Which chart the HelmChart has that is made for a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HelmChartTemplateSpec {
    /// The name of the chart in a HelmRepository, or its path in a GitRepository or Bucket: `podinfo`, `./charts/podinfo`.
    #[schemars(length(min = 1, max = 2048))]
    pub chart: String,
    /// The range of versions of which the highest is taken, for example `6.x` or `>=1.2.0 <2.0.0`. It defaults to `*`. It counts for charts
    /// of a HelmRepository only.
    #[serde(default = "any_version")]
    pub version: String,
    /// The source of the chart, for example `{kind: HelmRepository, name: podinfo}`.
    pub source_ref: ChartSourceReference,
    /// How often to look for a new version. It defaults to the interval of the HelmRelease.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Duration>,
    /// When a chart counts as new: with `ChartVersion` (the default) when its version changes, with `Revision` when the revision of its
    /// source does.
    #[serde(default)]
    pub reconcile_strategy: ReconcileStrategy,
    /// The files with the chart's values, each over those before it, as paths in the source. Without them it is `values.yaml` of the chart.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values_files: Vec<String>,
    /// Whether to leave out the files of `valuesFiles` that the source does not have instead of failing. It defaults to `false`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub ignore_missing_values_files: bool,
    /// Whose signature the chart must carry. It is for charts of OCI registries only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<HelmChartTemplateVerification>,
}

/// Written as Flux's CRD has it, since the API server writes this text into the objects.
fn any_version() -> String {
    "*".to_owned()
}

/// Whose signature a chart must carry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HelmChartTemplateVerification {
    /// What the chart was signed with: `cosign` (the default) or `notation`.
    #[serde(default)]
    pub provider: OciVerificationProvider,
    /// The Secret with the public keys of those who may sign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<LocalObjectReference>,
}

/// Names the source of a chart.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChartSourceReference {
    /// The API version of the source, for example `source.toolkit.fluxcd.io/v1`. It need not be given.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    /// The kind of the source: `HelmRepository`, `GitRepository` or `Bucket`.
    pub kind: ChartSourceKind,
    /// The name of the source, for example `podinfo`.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The namespace of the source. It defaults to the namespace of the HelmRelease.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
}

impl ChartSourceReference {
    /// The namespace of the source, when the object that refers to it is in `own`.
    pub fn namespace_or<'a>(&'a self, own: &'a str) -> &'a str {
        self.namespace.as_deref().unwrap_or(own)
    }
}

/// Names the object that has the chart of a release.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChartReference {
    /// The API version of the object, for example `source.toolkit.fluxcd.io/v1`. It need not be given.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    /// The kind of the object: `OCIRepository`, `HelmChart` or `ExternalArtifact`.
    pub kind: ChartReferenceKind,
    /// The name of the object, for example `podinfo`.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The namespace of the object. It defaults to the namespace of the HelmRelease.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
}

impl ChartReference {
    /// The namespace of the object, when the HelmRelease is in `own`.
    pub fn namespace_or<'a>(&'a self, own: &'a str) -> &'a str {
        self.namespace.as_deref().unwrap_or(own)
    }
}

/// The kinds that can have the chart of a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ChartReferenceKind {
    /// An OCI artifact that is a chart.
    #[serde(rename = "OCIRepository")]
    OciRepository,
    /// A chart of a source.
    HelmChart,
    /// An artifact that a controller of somebody else made.
    ExternalArtifact,
}

impl fmt::Display for ChartReferenceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OciRepository => "OCIRepository",
            Self::HelmChart => "HelmChart",
            Self::ExternalArtifact => "ExternalArtifact",
        })
    }
}
