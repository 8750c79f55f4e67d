use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::artifact::time_schema;
use crate::conditions::conditions_schema;
use crate::history::measured_duration_schema;
use crate::serde_rules::{is_zero, non_empty};
use crate::{Duration, Inventory};

/// How a HelmRelease is doing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HelmReleaseStatus {
    /// The generation of the object that the controller last looked at; -1 when it has not looked yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The digest of the post-renderers of the last reconciliation that worked.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub observed_post_renderers_digest: Option<String>,
    /// The digest of `commonMetadata` of the last reconciliation that worked.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub observed_common_metadata_digest: Option<String>,
    /// The generation that was last attempted to be released.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub last_attempted_generation: i64,
    /// How the release is doing, in words that `kubectl wait` and `flux get` understand.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions_schema")]
    pub conditions: Vec<Condition>,
    /// The HelmChart that was made for the release, as `NAMESPACE/NAME`.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub helm_chart: Option<String>,
    /// The namespace of the records of the release.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub storage_namespace: Option<String>,
    /// The releases that were made, the newest first, up to the last one that worked before it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<ReleaseSnapshot>,
    /// The objects that the release has applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inventory: Option<Inventory>,
    /// What was last attempted: `install` or `upgrade`. What to do about a failure depends on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ReleaseAttempt")]
    pub last_attempted_release_action: Option<ReleaseAttempt>,
    /// How long the last attempt took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "measured_duration_schema")]
    pub last_attempted_release_action_duration: Option<Duration>,
    /// How often the last attempts in a row failed. It starts again when something changes.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub failures: i64,
    /// How often installing failed in a row.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub install_failures: i64,
    /// How often upgrading failed in a row.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub upgrade_failures: i64,
    /// The version of the chart that was last attempted. Of an OCIRepository it has the first 12 characters of the digest, too:
    /// `1.2.3+1234567890ab`.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub last_attempted_revision: Option<String>,
    /// The digest of the OCI artifact that was last attempted.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub last_attempted_revision_digest: Option<String>,
    /// Deprecated: use `lastAttemptedConfigDigest`. It is not written, only kept.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub last_attempted_values_checksum: Option<String>,
    /// Deprecated: use `history`. It is not written, only kept.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub last_release_revision: i64,
    /// The digest of the values that were last attempted.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub last_attempted_config_digest: Option<String>,
    /// The value of the annotation `reconcile.fluxcd.io/resetAt` that was last looked at.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub last_handled_reset_at: Option<String>,
    /// The value of the annotation `reconcile.fluxcd.io/requestedAt` that was last looked at.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,
    /// The value of the annotation `reconcile.fluxcd.io/forceAt` that was last looked at.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub last_handled_force_at: Option<String>,
}

impl HelmReleaseStatus {
    /// The newest release that was made.
    pub fn latest(&self) -> Option<&ReleaseSnapshot> {
        self.history.iter().max_by_key(|snapshot| snapshot.version)
    }

    /// What of the inventory is deleted when the release no longer has it. Helm never deletes a definition of a chart's `crds` directory, and with
    /// a definition all its objects go: none is.
    pub fn pruned(&self) -> Inventory {
        let mut inventory = self.inventory.clone().unwrap_or_default();
        inventory.entries.retain(|entry| !entry.is_definition());
        inventory
    }

    /// Forgets the failures so far.
    pub fn clear_failures(&mut self) {
        self.failures = 0;
        self.install_failures = 0;
        self.upgrade_failures = 0;
    }
}

/// A release as it was when an action had ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseSnapshot {
    /// The version of the way in which `digest` is computed: `v2`.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    /// The digest of the record of the release, as `ALGORITHM:HEX`.
    pub digest: String,
    /// The name of the release.
    pub name: String,
    /// The namespace that the release is installed to.
    pub namespace: String,
    /// The revision of the release.
    pub version: i64,
    /// The status of the release in Helm's words, for example `deployed`.
    #[schemars(with = "String")]
    pub status: ReleaseStatus,
    /// What made it: `install`, `upgrade`, `rollback`, `uninstall` or `uninstall-remediation`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub action: Option<ReleaseAction>,
    /// The name of the chart.
    pub chart_name: String,
    /// The version of the chart.
    pub chart_version: String,
    /// The version of the application that is in the chart.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub app_version: Option<String>,
    /// The digest of the values, as `ALGORITHM:HEX`.
    pub config_digest: String,
    /// When the release was first installed.
    #[schemars(schema_with = "time_schema")]
    pub first_deployed: Time,
    /// When this revision was made.
    #[schemars(schema_with = "time_schema")]
    pub last_deployed: Time,
    /// When the release was uninstalled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "time_schema")]
    pub deleted: Option<Time>,
    /// How the tests of the chart ended. It is missing until they have been run; it is empty where the chart has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_hooks: Option<BTreeMap<String, TestHookStatus>>,
    /// The digest of the OCI artifact that the chart came from.
    #[serde(
        rename = "ociDigest",
        default,
        deserialize_with = "non_empty",
        skip_serializing_if = "Option::is_none"
    )]
    pub oci_digest: Option<String>,
}

impl ReleaseSnapshot {
    /// The release as Flux's messages name it: `NAMESPACE/NAME.vVERSION`.
    pub fn full_release_name(&self) -> String {
        format!("{}/{}.v{}", self.namespace, self.name, self.version)
    }

    /// The chart as Flux's messages name it: `NAME@VERSION`.
    pub fn versioned_chart_name(&self) -> String {
        format!("{}@{}", self.chart_name, self.chart_version)
    }

    /// Whether the tests have been run, or there are none.
    pub fn has_been_tested(&self) -> bool {
        let all_succeeded = |hooks: &BTreeMap<_, TestHookStatus>| {
            hooks.values().all(|hook| hook.phase == Some(TestPhase::Succeeded))
        };
        self.has_failed_test() || self.test_hooks.as_ref().is_some_and(all_succeeded)
    }

    /// Whether a test has failed.
    pub fn has_failed_test(&self) -> bool {
        self.test_hooks.iter().flat_map(BTreeMap::values).any(|hook| hook.phase == Some(TestPhase::Failed))
    }
}

/// How a test of a chart ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TestHookStatus {
    /// When the test was last started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "time_schema")]
    pub last_started: Option<Time>,
    /// When the test last ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "time_schema")]
    pub last_completed: Option<Time>,
    /// How it ended: `Succeeded` or `Failed`; `Running` and `Unknown` tell of a test that was interrupted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub phase: Option<TestPhase>,
}

/// Declares an enum of words that Helm has, of which a later version may have more: those count as `Unknown`.
macro_rules! helm_words {
    ($(#[$doc:meta])* pub enum $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $text)] $variant,)*
        }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The word, as Helm writes it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

helm_words! {
    /// The status of a release, in Helm's words.
    pub enum ReleaseStatus {
        /// It is the one that is installed.
        Deployed = "deployed",
        /// It was uninstalled, and its record was kept.
        Uninstalled = "uninstalled",
        /// A newer one took its place.
        Superseded = "superseded",
        /// It did not work.
        Failed = "failed",
        /// It is being uninstalled.
        Uninstalling = "uninstalling",
        /// It is being installed.
        PendingInstall = "pending-install",
        /// It is being made by an upgrade.
        PendingUpgrade = "pending-upgrade",
        /// It is being made by a rollback.
        PendingRollback = "pending-rollback",
        /// Nobody knows.
        #[serde(other)]
        Unknown = "unknown",
    }
}

impl ReleaseStatus {
    /// Whether an action is under way, or was when whoever did it was stopped.
    pub fn is_pending(self) -> bool {
        matches!(self, Self::PendingInstall | Self::PendingUpgrade | Self::PendingRollback)
    }
}

helm_words! {
    /// How a hook ended, in Helm's words.
    pub enum TestPhase {
        /// It is running.
        Running = "Running",
        /// It succeeded.
        Succeeded = "Succeeded",
        /// It failed.
        Failed = "Failed",
        /// Nobody knows.
        #[serde(other)]
        Unknown = "Unknown",
    }
}

helm_words! {
    /// What made a release what it is.
    pub enum ReleaseAction {
        /// An install.
        Install = "install",
        /// An upgrade.
        Upgrade = "upgrade",
        /// A rollback.
        Rollback = "rollback",
        /// An uninstall.
        Uninstall = "uninstall",
        /// An uninstall because something failed.
        UninstallRemediation = "uninstall-remediation",
    }
}

/// What was attempted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReleaseAttempt {
    /// An install.
    Install,
    /// An upgrade.
    Upgrade,
}

impl From<ReleaseAttempt> for ReleaseAction {
    fn from(attempt: ReleaseAttempt) -> Self {
        match attempt {
            ReleaseAttempt::Install => Self::Install,
            ReleaseAttempt::Upgrade => Self::Upgrade,
        }
    }
}
