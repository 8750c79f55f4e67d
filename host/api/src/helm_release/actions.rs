use std::time::Duration as StdDuration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Duration;
use crate::serde_rules::{is_false, is_zero};

/// How to install.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Install {
    /// How long a single operation of an install may take. It defaults to `spec.timeout`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// What to do when it fails: to uninstall and try again as `remediation` says, or to try again over what is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = [{
        "rule": "!has(self.retryInterval) || self.name != 'RemediateOnFailure'",
        "message": ".retryInterval cannot be set when .name is 'RemediateOnFailure'",
    }]))]
    pub strategy: Option<ActionStrategy>,
    /// How often to uninstall and try again when it fails. By default it is not tried again until something changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remediation: Option<InstallRemediation>,
    /// Whether to refuse objects that exist already and do not belong to this release, instead of taking them over. It defaults to `false`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub disable_take_ownership: bool,
    /// Whether not to wait for the objects to be ready. It defaults to `false`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub disable_wait: bool,
    /// Whether not to wait for Jobs to complete. It defaults to `false`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub disable_wait_for_jobs: bool,
    /// Whether to run no hooks. It defaults to `false`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub disable_hooks: bool,
    /// Whether Helm is not to validate the objects against the OpenAPI schema. Here the API server validates in a dry run in any case. It
    /// defaults to `false`.
    #[serde(default, rename = "disableOpenAPIValidation", skip_serializing_if = "is_false")]
    pub disable_open_api_validation: bool,
    /// Whether not to check the values against the schema of the chart. It defaults to `false`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub disable_schema_validation: bool,
    /// Whether to use the name of a release again that was uninstalled and whose history was kept. It defaults to `false`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub replace: bool,
    /// Deprecated: use `crds: Skip`. Whether to leave out the CustomResourceDefinitions of the chart's `crds` directory.
    #[serde(default, rename = "skipCRDs", skip_serializing_if = "is_false")]
    pub skip_crds: bool,
    /// What to do with the CustomResourceDefinitions of the chart's `crds` directory: `Skip` leaves them out, `Create` (the default) creates
    /// those that do not exist, `CreateReplace` also updates those that do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "CrdsPolicy")]
    pub crds: Option<CrdsPolicy>,
    /// Whether to create the target namespace. It is not deleted when the release is uninstalled. It defaults to `false`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub create_namespace: bool,
    /// Whether to apply on the server's side. Here it always is. It defaults to `true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_side_apply: Option<bool>,
}

impl Install {
    /// What to do with the chart's CustomResourceDefinitions.
    pub fn crds(&self) -> CrdsPolicy {
        if self.skip_crds { CrdsPolicy::Skip } else { self.crds.unwrap_or(CrdsPolicy::Create) }
    }
}

/// How to upgrade.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Upgrade {
    /// How long a single operation of an upgrade may take. It defaults to `spec.timeout`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// What to do when it fails: to go back and try again as `remediation` says, or to try again over what is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = [{
        "rule": "!has(self.retryInterval) || self.name == 'RetryOnFailure'",
        "message": ".retryInterval can only be set when .name is 'RetryOnFailure'",
    }]))]
    pub strategy: Option<ActionStrategy>,
    /// How often to go back and try again when it fails. By default it is not tried again until something changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remediation: Option<UpgradeRemediation>,
    /// Whether to refuse objects that exist already and do not belong to this release, instead of taking them over. It defaults to `false`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub disable_take_ownership: bool,
    /// Whether not to wait for the objects to be ready. It defaults to `false`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub disable_wait: bool,
    /// Whether not to wait for Jobs to complete. It defaults to `false`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub disable_wait_for_jobs: bool,
    /// Whether to run no hooks. It defaults to `false`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub disable_hooks: bool,
    /// Whether Helm is not to validate the objects against the OpenAPI schema. Here the API server validates in a dry run in any case. It
    /// defaults to `false`.
    #[serde(default, rename = "disableOpenAPIValidation", skip_serializing_if = "is_false")]
    pub disable_open_api_validation: bool,
    /// Whether not to check the values against the schema of the chart. It defaults to `false`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub disable_schema_validation: bool,
    /// Whether to delete and create objects anew that cannot be changed, because a field is immutable. It defaults to `false`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub force: bool,
    /// Whether to keep the values of the last release and put those of the spec over them. The release then depends on what was there before.
    /// It defaults to `false`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub preserve_values: bool,
    /// Whether to delete the objects that a failed upgrade has created. It defaults to `false`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub cleanup_on_fail: bool,
    /// What to do with the CustomResourceDefinitions of the chart's `crds` directory: `Skip` (the default) leaves them out, `Create` creates
    /// those that do not exist, `CreateReplace` also updates those that do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "CrdsPolicy")]
    pub crds: Option<CrdsPolicy>,
    /// Whether to apply on the server's side: `enabled`, `disabled`, or `auto` (the default) for what the release did before. Here it
    /// always is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ServerSideApply")]
    pub server_side_apply: Option<ServerSideApply>,
    /// What to do when the chart has another name than the one that is installed: `Reinstall` (the default) uninstalls that one first,
    /// `InPlaceUpdate` upgrades it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ChartNameChangeStrategy")]
    pub chart_name_change_strategy: Option<ChartNameChangeStrategy>,
}

impl Upgrade {
    /// What to do with the chart's CustomResourceDefinitions.
    pub fn crds(&self) -> CrdsPolicy {
        self.crds.unwrap_or(CrdsPolicy::Skip)
    }

    /// What to do when the chart has another name than the one that is installed.
    pub fn chart_name_change_strategy(&self) -> ChartNameChangeStrategy {
        self.chart_name_change_strategy.unwrap_or_default()
    }
}

/// What to do when an install or an upgrade fails.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ActionStrategy {
    /// `RemediateOnFailure` goes back to what was there before, and tries again as often as `remediation` says. `RetryOnFailure` goes nowhere
    /// back and tries again after `retryInterval`, for ever.
    pub name: StrategyName,
    /// How long to wait before it is tried again with `RetryOnFailure`. It defaults to `5m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_interval: Option<Duration>,
}

/// How long to wait before a failed action is tried again when nothing is said.
const DEFAULT_RETRY_INTERVAL: StdDuration = StdDuration::from_secs(300);

impl ActionStrategy {
    /// How long to wait before the action is tried again; `None` where it is remediated instead.
    pub fn retry_interval(&self) -> Option<StdDuration> {
        let given = || self.retry_interval.as_ref().map_or(DEFAULT_RETRY_INTERVAL, Duration::to_std);
        (self.name == StrategyName::RetryOnFailure).then(given)
    }
}

/// What to do when an action fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum StrategyName {
    /// Go back, and try again as often as the remediation says.
    #[default]
    RemediateOnFailure,
    /// Try again after an interval.
    RetryOnFailure,
}

/// How often to uninstall and try again when an install fails.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InstallRemediation {
    /// How often to try again; a negative number is for ever. Between two attempts the release is uninstalled. It defaults to `0`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub retries: i64,
    /// Whether the release stays when its tests fail. It defaults to `test.ignoreFailures`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ignore_test_failures: Option<bool>,
    /// Whether the last attempt is uninstalled too. It defaults to `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remediate_last_failure: Option<bool>,
}

/// How often to go back and try again when an upgrade fails.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpgradeRemediation {
    /// How often to try again; a negative number is for ever. Between two attempts it is gone back as `strategy` says. It defaults to `0`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub retries: i64,
    /// Whether the release stays when its tests fail. It defaults to `test.ignoreFailures`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ignore_test_failures: Option<bool>,
    /// Whether to go back after the last attempt too. It defaults to `true` where `retries` is greater than `0`, and to `false` otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remediate_last_failure: Option<bool>,
    /// How to go back: `rollback` (the default) to the last release that worked, or `uninstall`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "RemediationStrategy")]
    pub strategy: Option<RemediationStrategy>,
}

/// How to go back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RemediationStrategy {
    /// To the last release that worked.
    #[default]
    Rollback,
    /// By uninstalling.
    Uninstall,
}

/// What to do with the CustomResourceDefinitions of a chart's `crds` directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum CrdsPolicy {
    /// Leave them out.
    Skip,
    /// Create those that do not exist.
    Create,
    /// Create those that do not exist, and update those that do.
    CreateReplace,
}

/// Whether to apply on the server's side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ServerSideApply {
    /// It is.
    Enabled,
    /// It is not.
    Disabled,
    /// As the release did before.
    #[default]
    Auto,
}

/// What to do when the chart has another name than the one that is installed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ChartNameChangeStrategy {
    /// Upgrade it.
    InPlaceUpdate,
    /// Uninstall that one first.
    #[default]
    Reinstall,
}

/// Whether and how to run the tests of a chart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Test {
    /// Whether to run the tests of the chart after each install and upgrade. It defaults to `false`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub enable: bool,
    /// How long a single test may take. It defaults to `spec.timeout`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// Whether a failed test is no reason to go back. `install.remediation` and `upgrade.remediation` may say otherwise with
    /// `ignoreTestFailures`. It defaults to `false`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub ignore_failures: bool,
    /// Which tests to run, or not to run. By default all are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<TestFilter>,
}

impl Test {
    /// Whether the test of this name is to be run: it is not excluded, and it is named where any test is.
    pub fn selects(&self, name: &str) -> bool {
        let named = |exclude| self.filters.iter().any(|f| f.exclude == exclude && f.name == name);
        !named(true) && (named(false) || self.filters.iter().all(|filter| filter.exclude))
    }
}

/// Names a test of a chart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TestFilter {
    /// The name of the test.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Whether it is left out, instead of being one of those that are run. It defaults to `false`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub exclude: bool,
}

/// How to roll back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rollback {
    /// How long a single operation of a rollback may take. It defaults to `spec.timeout`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// Whether not to wait for the objects to be ready. It defaults to `false`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub disable_wait: bool,
    /// Whether not to wait for Jobs to complete. It defaults to `false`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub disable_wait_for_jobs: bool,
    /// Whether to run no hooks. It defaults to `false`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub disable_hooks: bool,
    /// Deprecated: it has no effect since Helm 4, and is answered with a warning.
    #[serde(default, skip_serializing_if = "is_false")]
    pub recreate: bool,
    /// Whether to delete and create objects anew that cannot be changed, because a field is immutable. It defaults to `false`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub force: bool,
    /// Whether to delete the objects that a failed rollback has created. It defaults to `false`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub cleanup_on_fail: bool,
    /// Whether to apply on the server's side: `enabled`, `disabled`, or `auto` (the default) for what the release did before. Here it
    /// always is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ServerSideApply")]
    pub server_side_apply: Option<ServerSideApply>,
}

/// How to uninstall.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Uninstall {
    /// How long a single operation of an uninstall may take. It defaults to `spec.timeout`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// Whether to run no hooks. It defaults to `false`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub disable_hooks: bool,
    /// Whether to keep the records of the release, marked as uninstalled. It defaults to `false`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub keep_history: bool,
    /// Whether not to wait until all objects are gone. It defaults to `false`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub disable_wait: bool,
    /// What happens to objects that belong to deleted ones: `background` (the default) deletes them afterwards, `foreground` before,
    /// `orphan` leaves them.
    #[serde(default)]
    pub deletion_propagation: DeletionPropagation,
}

/// What happens to objects that belong to deleted ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeletionPropagation {
    /// They are deleted afterwards.
    #[default]
    Background,
    /// They are deleted before.
    Foreground,
    /// They are left.
    Orphan,
}
