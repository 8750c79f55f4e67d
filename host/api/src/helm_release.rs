use std::time::Duration as StdDuration;

use kube::{CustomResource, ResourceExt};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::serde_rules::{is_false, non_empty};
use crate::{
    CommonMetadata, CustomHealthCheck, DependencyReference, Duration, IgnoreRule, Image, KubeConfigReference,
    Patch, ValuesKind,
};

mod actions;
mod chart;
mod status;
#[cfg(test)]
mod tests;

pub use actions::{
    ActionStrategy, ChartNameChangeStrategy, CrdsPolicy, DeletionPropagation, Install, InstallRemediation,
    RemediationStrategy, Rollback, ServerSideApply, StrategyName, Test, TestFilter, Uninstall, Upgrade,
    UpgradeRemediation,
};
pub use chart::{
    ChartReference, ChartReferenceKind, ChartSourceReference, HelmChartTemplate, HelmChartTemplateMetadata,
    HelmChartTemplateSpec, HelmChartTemplateVerification,
};
pub use status::{
    HelmReleaseStatus, ReleaseAction, ReleaseAttempt, ReleaseSnapshot, ReleaseStatus, TestHookStatus,
    TestPhase,
};

/// Which chart to release, with which values, and what to do when that fails.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "helm.toolkit.fluxcd.io",
    version = "v2",
    kind = "HelmRelease",
    plural = "helmreleases",
    singular = "helmrelease",
    shortname = "hr",
    category = "all",
    category = "fluxcd",
    category = "fluxcd-appliers",
    namespaced,
    status = "HelmReleaseStatus",
    derive = "PartialEq",
    doc = "A HelmRelease installs a Helm chart and keeps the cluster as the chart says.",
    annotation("kustomize.toolkit.fluxcd.io/substitute", "disabled"),
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name": "Status", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].message"}"#
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "(has(self.chart) && !has(self.chartRef)) || (!has(self.chart) && has(self.chartRef))",
    "message": "either chart or chartRef must be set",
}]))]
pub struct HelmReleaseSpec {
    /// The chart, as a HelmChart that is made for this release: in the namespace of its source, with the name `NAMESPACE-NAME` of the
    /// HelmRelease. Either it or `chartRef` has to be given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chart: Option<HelmChartTemplate>,
    /// The chart, as an object that has it already, for example `{kind: OCIRepository, name: podinfo}`. Either it or `chart` has to be given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chart_ref: Option<ChartReference>,
    /// How often to check that the cluster is as the release says, for example `10m`. New charts, changes of values and of objects do not
    /// wait for it.
    pub interval: Duration,
    /// The cluster to release to, when it is not the one that the HelmRelease is in. Together with `serviceAccountName`, it is the service
    /// account of that name in the other cluster that acts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kube_config: Option<KubeConfigReference>,
    /// Whether to leave the release alone until further notice. What is under way is not stopped. It defaults to `false`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub suspend: bool,
    /// The name of the Helm release. It defaults to `TARGET_NAMESPACE-NAME` where `targetNamespace` is given, and to the name of the
    /// HelmRelease otherwise. A default of more than 53 characters is cut to 40 and gets a hash.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 53))]
    pub release_name: Option<String>,
    /// The namespace to install to: `.Release.Namespace` of the chart, and where objects go that name none. It defaults to the namespace of
    /// the HelmRelease.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub target_namespace: Option<String>,
    /// The namespace of the Secrets in which Helm keeps its releases. It defaults to the namespace of the HelmRelease.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub storage_namespace: Option<String>,
    /// What has to be ready first: other HelmReleases, for example `[{name: database}]`, or any other objects.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<DependencyReference>,
    /// How long a single operation may take, such as a hook or waiting for health. It defaults to `5m0s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// How many revisions of the release Helm keeps; `0` is all of them. It defaults to `5`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_history: Option<i64>,
    /// The service account of this namespace to act as: what it may not do, the HelmRelease cannot do. It defaults to the one that the
    /// controller was started with, and without that to the controller's own.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub service_account_name: Option<String>,
    /// Whether Flux keeps one client for all steps of a reconciliation. Here it has no effect: which kinds there are is always known anew
    /// after a CustomResourceDefinition was applied. It defaults to `true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistent_client: Option<bool>,
    /// What to do when others change the objects of the release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift_detection: Option<DriftDetection>,
    /// How to install.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub install: Option<Install>,
    /// How to upgrade.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upgrade: Option<Upgrade>,
    /// Whether and how to run the tests of the chart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<Test>,
    /// How to roll back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<Rollback>,
    /// How to uninstall.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uninstall: Option<Uninstall>,
    /// ConfigMaps and Secrets of this namespace with values, each over those before it. A change of one is rolled out at once where it has
    /// the label `reconcile.fluxcd.io/watch: Enabled`, and at the next interval otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values_from: Vec<ValuesReference>,
    /// The values of the release, over those of `valuesFrom`; only those of a `targetPath` go before them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "any_value")]
    pub values: Option<Value>,
    /// Labels and annotations that all objects are given. They go before those of the same key in the chart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub common_metadata: Option<CommonMetadata>,
    /// What to change in the rendered chart, one after the other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub post_renderers: Vec<PostRenderer>,
    /// Whether hooks go through the post-renderers: `nohooks` leaves them out, `combined` (the default) sends them together with the other
    /// objects, `separate` sends them by themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "PostRenderStrategy")]
    pub post_render_strategy: Option<PostRenderStrategy>,
    /// How to tell whether the objects are ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_strategy: Option<WaitStrategy>,
    /// How to tell the health of custom resources, in CEL. It is waited for unless `disableWait` is true or the `legacy` strategy is used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub health_check_exprs: Vec<CustomHealthCheck>,
}

/// How long a single operation may take when nothing is said.
const DEFAULT_TIMEOUT: StdDuration = StdDuration::from_secs(300);
/// How many revisions are kept when nothing is said, and snapshots of them in the status at most.
pub(crate) const DEFAULT_MAX_HISTORY: usize = 5;

impl HelmReleaseSpec {
    /// How long a single operation may take where the action does not say otherwise.
    pub fn timeout(&self) -> StdDuration {
        self.timeout.as_ref().map_or(DEFAULT_TIMEOUT, Duration::to_std)
    }

    /// How many revisions Helm keeps; `None` is all of them. Helm takes a negative number as zero.
    pub fn max_history(&self) -> Option<usize> {
        match self.max_history {
            None => Some(DEFAULT_MAX_HISTORY),
            Some(given) => usize::try_from(given).ok().filter(|given| *given > 0),
        }
    }

    /// `spec.values`. What is not an object has no values, as in Flux.
    pub fn values(&self) -> Map<String, Value> {
        self.values.as_ref().and_then(Value::as_object).cloned().unwrap_or_default()
    }

    /// What to do about drift.
    pub fn drift_mode(&self) -> DriftMode {
        self.drift_detection.as_ref().and_then(|drift| drift.mode).unwrap_or_default()
    }

    /// How hooks go through the post-renderers.
    pub fn post_render_strategy(&self) -> PostRenderStrategy {
        self.post_render_strategy.unwrap_or_default()
    }

    /// How to tell whether the objects are ready.
    pub fn wait_strategy(&self) -> WaitStrategyName {
        self.wait_strategy.as_ref().map_or_else(WaitStrategyName::default, |strategy| strategy.name)
    }
}

impl HelmRelease {
    /// The namespace that the chart is installed to.
    pub fn release_namespace(&self) -> String {
        self.spec.target_namespace.clone().unwrap_or_else(|| self.namespace().unwrap_or_default())
    }

    /// The namespace of the records of the release.
    pub fn storage_namespace(&self) -> String {
        self.spec.storage_namespace.clone().unwrap_or_else(|| self.namespace().unwrap_or_default())
    }

    /// The name of the HelmChart that is made for `spec.chart`.
    pub fn helm_chart_name(&self) -> String {
        format!("{}-{}", self.namespace().unwrap_or_default(), self.name_any())
    }
}

fn any_value(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"x-kubernetes-preserve-unknown-fields": true})
}

/// A ConfigMap or Secret with values.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ValuesReference {
    /// `Secret` or `ConfigMap`.
    pub kind: ValuesKind,
    /// Its name. It has to be in the namespace of the HelmRelease.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key with the values. It defaults to `values.yaml`.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), regex(pattern = r"^[\-._a-zA-Z0-9]+$"))]
    pub values_key: Option<String>,
    /// Where in the values to put what the key holds, in the way of `helm --set`: `image.tag`, `hosts[0].name`, `annotations.example\.com/a`.
    /// The key then holds a single value. By default it holds YAML that is merged at the root.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 250), regex(pattern = r"^([a-zA-Z0-9_\-.\\\/]|\[[0-9]{1,5}\])+$"))]
    pub target_path: Option<String>,
    /// Whether the release works without it: when the object or the key does not exist, it is left out. It defaults to `false`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub optional: bool,
    /// Whether what the key holds is a text to put at `targetPath` as it is, as with `helm --set-literal`: commas, braces and backslashes mean
    /// nothing, and no number or boolean is made of it. Without a `targetPath` it has no effect. It defaults to `false`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub literal: bool,
}

impl ValuesReference {
    /// The key with the values.
    pub fn values_key(&self) -> &str {
        self.values_key.as_deref().unwrap_or("values.yaml")
    }
}

/// What to do when others change the objects of a release.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DriftDetection {
    /// `enabled` puts changed fields back, `warn` only tells of them, `disabled` (the default) leaves them alone. Objects that were deleted
    /// are created again in any case, which Flux does with `enabled` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "DriftMode")]
    pub mode: Option<DriftMode>,
    /// Fields that others may change, such as `/spec/replicas` where an autoscaler is at work.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignore: Vec<IgnoreRule>,
}

/// What to do about fields that others have changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DriftMode {
    /// Put them back.
    Enabled,
    /// Tell of them.
    Warn,
    /// Leave them alone.
    #[default]
    Disabled,
}

/// One change of the rendered chart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PostRenderer {
    /// A change by kustomize.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kustomize: Option<KustomizePostRenderer>,
}

/// What kustomize changes in a rendered chart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KustomizePostRenderer {
    /// Patches for the rendered objects: strategic merge or JSON Patch (RFC 6902).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub patches: Vec<Patch>,
    /// Images whose name, tag or digest is to be replaced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<Image>,
}

/// How hooks go through the post-renderers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PostRenderStrategy {
    /// Not at all, as in Helm 3.
    NoHooks,
    /// Together with the other objects, as in Helm 4.
    #[default]
    Combined,
    /// By themselves.
    Separate,
}

/// How to tell whether the objects are ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WaitStrategy {
    /// `poller` (the default) is by kstatus, `legacy` by the rules of Helm 3.
    pub name: WaitStrategyName,
}

/// How to tell whether objects are ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WaitStrategyName {
    /// By kstatus.
    #[default]
    Poller,
    /// By the rules of Helm 3.
    Legacy,
}
