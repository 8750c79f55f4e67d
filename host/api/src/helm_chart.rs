use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::conditions::conditions_schema;
use crate::serde_rules::{is_false, non_empty};
use crate::{Artifact, Duration, OciRepositoryVerification, SourceKind};

/// Which Helm chart to take, and from where.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "source.toolkit.fluxcd.io",
    version = "v1",
    kind = "HelmChart",
    plural = "helmcharts",
    singular = "helmchart",
    shortname = "hc",
    category = "all",
    category = "fluxcd",
    category = "fluxcd-sources",
    namespaced,
    status = "HelmChartStatus",
    derive = "PartialEq",
    doc = "A HelmChart follows a Helm chart of a HelmRepository, a GitRepository or a Bucket, for HelmReleases to install.",
    annotation("kustomize.toolkit.fluxcd.io/substitute", "disabled"),
    printcolumn = r#"{"name": "Chart", "type": "string", "jsonPath": ".spec.chart"}"#,
    printcolumn = r#"{"name": "Version", "type": "string", "jsonPath": ".spec.version"}"#,
    printcolumn = r#"{"name": "Source Kind", "type": "string", "jsonPath": ".spec.sourceRef.kind"}"#,
    printcolumn = r#"{"name": "Source Name", "type": "string", "jsonPath": ".spec.sourceRef.name"}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name": "Status", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].message"}"#
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {
        "rule": "!has(self.verify) || self.sourceRef.kind == 'HelmRepository'",
        "message": "spec.verify is only supported when spec.sourceRef.kind is 'HelmRepository'",
    },
]))]
pub struct HelmChartSpec {
    /// The name of the chart in the HelmRepository; or its path in the GitRepository or Bucket, of a directory or of an archive.
    pub chart: String,
    /// The range of versions of which the highest is taken, for example `1.x`. It defaults to `*`. A chart of a GitRepository or Bucket has the
    /// version that it has.
    #[serde(default = "any_version", deserialize_with = "version")]
    pub version: String,
    /// Where the chart is.
    pub source_ref: LocalHelmChartSourceReference,
    /// How often to look for a new version, for example `5m`. The controller spreads the charts out a little, so that they are not all looked
    /// for at once.
    pub interval: Duration,
    /// What makes a new artifact: with `ChartVersion` (the default) another version of the chart, with `Revision` another revision of the source, too.
    #[serde(default)]
    pub reconcile_strategy: ReconcileStrategy,
    /// The files of values that take the place of the chart's own `values.yaml`, each over the one before: their paths in the source for a chart
    /// of a GitRepository or Bucket, their paths in the chart for one of a HelmRepository. By default the chart's own are used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values_files: Vec<String>,
    /// Whether files of `valuesFiles` that do not exist are left out, instead of failing. It defaults to `false`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub ignore_missing_values_files: bool,
    /// Whether to stop looking for new versions. What was fetched stays available. It defaults to `false`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub suspend: bool,
    /// Whose signature the chart must carry; with a HelmRepository that has an index, whose provenance file, by the PGP keys of `secretRef`. It can
    /// be used with a HelmRepository only. Dependencies are not verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<OciRepositoryVerification>,
}

fn any_version() -> String {
    "*".to_owned()
}

/// An empty text is what none at all is, as in Go.
fn version<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(non_empty(deserializer)?.unwrap_or_else(any_version))
}

/// Names the source of a chart, in the chart's namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LocalHelmChartSourceReference {
    /// The API version of the source, for example `source.toolkit.fluxcd.io/v1`. It need not be given.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    /// The kind of the source: `HelmRepository`, `GitRepository` or `Bucket`.
    pub kind: ChartSourceKind,
    /// The name of the source, for example `charts`.
    pub name: String,
}

/// The kinds of sources that have charts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ChartSourceKind {
    /// A repository of charts.
    HelmRepository,
    /// A Git repository.
    GitRepository,
    /// A bucket of an object store.
    Bucket,
}

impl From<ChartSourceKind> for SourceKind {
    fn from(kind: ChartSourceKind) -> Self {
        match kind {
            ChartSourceKind::HelmRepository => Self::HelmRepository,
            ChartSourceKind::GitRepository => Self::GitRepository,
            ChartSourceKind::Bucket => Self::Bucket,
        }
    }
}

/// What makes a new artifact of a chart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ReconcileStrategy {
    /// Another version of the chart.
    #[default]
    ChartVersion,
    /// Another revision of the source, too.
    Revision,
}

/// What the controller has found out about a chart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HelmChartStatus {
    /// The generation of the object that the controller last looked at; -1 when it has not looked yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The revision of the source that the chart was last taken from.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub observed_source_artifact_revision: Option<String>,
    /// The name that the chart has.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub observed_chart_name: Option<String>,
    /// The files of values that the artifact was made with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub observed_values_files: Vec<String>,
    /// How the chart is doing: Ready, and where they apply Reconciling, Stalled, ArtifactInStorage, ArtifactOutdated, BuildFailed, FetchFailed,
    /// SourceVerified and StorageOperationFailed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions_schema")]
    pub conditions: Vec<Condition>,
    /// Where the last artifact can be had. The field `artifact` says more.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The chart that was last fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<Artifact>,
    /// The value that the annotation `reconcile.fluxcd.io/requestedAt` had when it was last acted upon.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;
    use crate::crds::every_field;

    #[rstest]
    #[case(json!({}))]
    #[case(json!({"version": ""}))]
    fn what_is_not_given_is_as_in_flux(#[case] more: Value) {
        let mut spec =
            json!({"chart": "web", "interval": "1m", "sourceRef": {"kind": "Bucket", "name": "a"}});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let spec: HelmChartSpec = serde_json::from_value(spec).unwrap();
        assert_eq!((spec.version.as_str(), spec.reconcile_strategy), ("*", ReconcileStrategy::ChartVersion));
        assert_eq!(SourceKind::from(spec.source_ref.kind), SourceKind::Bucket);
    }

    #[test]
    fn a_chart_is_taken_from_a_source_that_has_charts() {
        let reference = json!({"kind": "OCIRepository", "name": "a"});
        let error = serde_json::from_value::<LocalHelmChartSourceReference>(reference).unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown variant `OCIRepository`, expected one of `HelmRepository`, `GitRepository`, `Bucket`"
        );
    }

    /// Every field of the definition, in the form in which Flux writes it.
    fn object() -> Value {
        json!({
            "apiVersion": "source.toolkit.fluxcd.io/v1",
            "kind": "HelmChart",
            "metadata": {"name": "web", "namespace": "flux-system"},
            "spec": {
                "chart": "web",
                "version": "1.x",
                "sourceRef": {
                    "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "HelmRepository", "name": "charts",
                },
                "interval": "5m0s",
                "reconcileStrategy": "Revision",
                "valuesFiles": ["values.yaml", "values-prod.yaml"],
                "ignoreMissingValuesFiles": true,
                "suspend": true,
                "verify": {"provider": "cosign", "secretRef": {"name": "keys"}},
            },
            "status": {
                "observedGeneration": 3,
                "observedSourceArtifactRevision": "sha256:ab",
                "observedChartName": "web",
                "observedValuesFiles": ["values.yaml"],
                "conditions": [{
                    "type": "Ready", "status": "True", "reason": "ChartPullSucceeded", "message": "pulled",
                    "observedGeneration": 3, "lastTransitionTime": "2026-01-01T00:00:00Z",
                }],
                "url": "http://source/latest.tar.gz",
                "artifact": {
                    "digest": "sha256:ab", "path": "helmchart/flux-system/web/web-1.2.3.tgz", "url": "http://source/web-1.2.3.tgz",
                    "revision": "1.2.3", "lastUpdateTime": "2026-01-01T00:00:00Z", "size": 10,
                },
                "lastHandledReconcileAt": "token",
            },
        })
    }

    #[test]
    fn an_object_with_every_field_is_written_as_it_was_read() {
        let read: HelmChart = serde_json::from_value(object()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), object());
    }

    /// Guards the test above: a field that is added to the type has to be added there.
    #[test]
    fn the_object_with_every_field_has_every_field() {
        every_field::<HelmChart>(&object());
    }
}
