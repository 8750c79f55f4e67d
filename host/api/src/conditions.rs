//! The conditions of a status: how an object is doing, in words that `kubectl wait`, `flux get` and kstatus understand.

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use schemars::{Schema, SchemaGenerator, json_schema};

/// Declares an enum whose variants are spelled as Kubernetes has them, so that name and text cannot differ.
macro_rules! words {
    ($(#[$doc:meta])* pub enum $name:ident { $($(#[$variant_doc:meta])* $variant:ident,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The word, as it stands in a status.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => stringify!($variant),)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words! {
    /// The types of conditions, in the order in which a status lists them. Those that tell of trouble or work are only there
    /// while they are true.
    pub enum ConditionType {
        /// The controller cannot go on until somebody changes something. Only there while true.
        Stalled,
        /// The controller is at work, or will try again. Only there while true.
        Reconciling,
        /// The object is as its spec says.
        Ready,
        /// The artifact of a source is available.
        ArtifactInStorage,
        /// The artifact of a source is older than what the source has. Only there while true.
        ArtifactOutdated,
        /// The artifact of a source could not be made. Only there while true.
        BuildFailed,
        /// The source could not be fetched. Only there while true.
        FetchFailed,
        /// The applied objects are healthy.
        Healthy,
        /// Another source that is to be included is not available. Only there while true.
        IncludeUnavailable,
        /// The signature of the source is good.
        SourceVerified,
        /// The source could not be stored. Only there while true.
        StorageOperationFailed,
        /// The objects of a Helm release were changed by others.
        Drifted,
        /// A Helm release was installed or upgraded.
        Released,
        /// A Helm release that failed was rolled back or uninstalled. Only there after a failure.
        Remediated,
        /// The tests of a Helm release succeeded.
        TestSuccess,
    }
}

words! {
    /// The reasons of conditions and events.
    pub enum Reason {
        /// It worked.
        Succeeded,
        /// It did not work.
        Failed,
        /// It is under way.
        Progressing,
        /// It failed and will be tried again.
        ProgressingWithRetry,
        /// The object is suspended, or what it depends on is.
        Suspended,
        /// All objects were applied, and are healthy where that was asked for.
        ReconciliationSucceeded,
        /// Applying failed.
        ReconciliationFailed,
        /// Another object has to be ready first.
        DependencyNotReady,
        /// The source has no artifact, or it could not be read.
        ArtifactFailed,
        /// Rendering failed.
        BuildFailed,
        /// A plugin of a step is not there yet, or may not run here. Not in Flux.
        PluginNotReady,
        /// An object is not healthy, or was not in time.
        HealthCheckFailed,
        /// Waiting for health was given up in favour of a newer revision.
        HealthCheckCanceled,
        /// Objects could not be deleted.
        PruneFailed,
        /// A Helm chart was installed.
        InstallSucceeded,
        /// Installing a Helm chart failed.
        InstallFailed,
        /// A Helm release was upgraded.
        UpgradeSucceeded,
        /// Upgrading a Helm release failed.
        UpgradeFailed,
        /// The tests of a Helm release succeeded.
        TestSucceeded,
        /// A test of a Helm release failed.
        TestFailed,
        /// A Helm release was rolled back.
        RollbackSucceeded,
        /// Rolling back a Helm release failed.
        RollbackFailed,
        /// A Helm release was uninstalled.
        UninstallSucceeded,
        /// Uninstalling a Helm release failed.
        UninstallFailed,
        /// The objects of a Helm release were changed by others.
        DriftDetected,
        /// The objects of a Helm release are as it says.
        NoDriftDetected,
        /// Objects that others had changed were put back.
        DriftCorrected,
        /// Objects that others had changed could not be put back.
        DriftCorrectionFailed,
        /// A release whose action was interrupted was marked as failed.
        PendingRelease,
        /// The tests of a Helm release are about to be run.
        AwaitingTests,
        /// The source of a chart is not ready.
        SourceNotReady,
        /// The ConfigMaps and Secrets with values could not be read or put together.
        ValuesError,
        /// The objects of a Helm release could not be listed in its status.
        InventoryBuildFailed,
        /// Whether an object of a Helm release has a namespace could not be found out.
        NamespaceCheckSkipped,
        /// A release needs another action that its strategy does not allow, such as a rollback with nothing to roll back to.
        MissingRollbackTarget,
        /// The action that the release would need was tried as often as its strategy allows.
        RetriesExceeded,
        /// A CEL expression of the spec is wrong.
        InvalidCELExpression,
        /// The feature that the spec asks for is switched off.
        FeatureGateDisabled,
        /// The object refers to one of another namespace, which is not allowed here.
        AccessDenied,
        /// The spec asks for something that is not implemented; the message names the field. Not in Flux.
        UnsupportedField,
        /// The spec has a field that is no longer of any effect; the message names it. Not in Flux.
        DeprecatedField,
        /// The source has a revision that was not fetched yet.
        NewRevision,
        /// An artifact was made.
        NewArtifact,
        /// There is no artifact, or it has gone.
        NoArtifact,
        /// A Git operation worked.
        GitOperationSucceeded,
        /// A Git operation failed.
        GitOperationFailed,
        /// An OCI artifact could not be pulled.
        OCIArtifactPullFailed,
        /// A layer of an OCI artifact could not be read, or there is none that was asked for.
        OCIArtifactLayerOperationFailed,
        /// The objects of a bucket were listed and fetched.
        BucketOperationSucceeded,
        /// The objects of a bucket could not be listed or fetched.
        BucketOperationFailed,
        /// The address is wrong.
        URLInvalid,
        /// The address is wrong.
        InvalidURL,
        /// The Secret lacks something, or the server refused what it has.
        AuthenticationFailed,
        /// The signature is missing or wrong.
        VerificationError,
        /// A signature does not fit the commit, or none of the keys.
        InvalidCommitSignature,
        /// A signature does not fit the tag, or none of the keys.
        InvalidTagSignature,
        /// What was fetched is not what has to be verified, such as a tag without a message.
        InvalidGitObject,
        /// The repository has no commit.
        EmptyGitRepository,
        /// An object that is referred to does not exist.
        NotFound,
        /// The patterns of files to leave out could not be read.
        SourceIgnoreError,
        /// The files of another source could not be put in.
        CopyFailure,
        /// Another source that is included has changed.
        IncludeChange,
        /// A path of an included source leads out of its root.
        IllegalPath,
        /// A source includes itself, directly or through others. Not in Flux.
        IncludeCycle,
        /// The signature of a tag is asked for, but no tag is followed.
        InvalidVerificationMode,
        /// A directory could not be made.
        DirectoryCreationFailed,
        /// A file could not be looked up.
        StatOperationFailed,
        /// A file could not be read.
        ReadOperationFailed,
        /// A lock could not be had.
        AcquireLockFailed,
        /// A path does not exist or leads out of its root.
        InvalidPath,
        /// The artifact could not be written.
        ArchiveOperationFailed,
        /// A link could not be changed.
        SymlinkUpdateFailed,
        /// The artifact is that of the newest revision.
        ArtifactUpToDate,
        /// A cache failed.
        CacheOperationFailed,
        /// An object could not be changed in the cluster.
        PatchOperationFailed,
        /// The settings of the token service are wrong.
        InvalidSTSConfiguration,
        /// The settings of the provider are wrong.
        InvalidProviderConfiguration,
        /// Plain HTTP is not allowed here.
        InsecureConnectionsDisallowed,
        /// The protocol is not supported.
        UnsupportedConnectionType,
        /// The index of a HelmRepository could not be read.
        IndexationFailed,
        /// A chart was taken as its repository has it.
        ChartPullSucceeded,
        /// A chart was put together from a directory, or with other values than its own.
        ChartPackageSucceeded,
        /// There is no such chart, or no such version of it.
        InvalidChartReference,
        /// A chart could not be pulled.
        ChartPullError,
        /// The version of a chart could not be changed.
        MetadataPatchError,
        /// The files of values could not be merged.
        ValuesFilesError,
        /// A dependency of a chart could not be had.
        DependencyBuildError,
        /// A chart could not be put together.
        ChartPackageError,
        /// The signature of a chart is missing or wrong.
        ChartVerificationError,
        /// The source of a chart does not exist.
        SourceUnavailable,
        /// The source of a chart has nothing yet.
        NoSourceArtifact,
    }
}

/// The status of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// Nobody can tell, or not yet.
    Unknown,
}

impl ConditionStatus {
    /// The status as text.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// The longest message that Kubernetes allows, counted as the API server does, in characters.
pub const MAX_MESSAGE_LENGTH: usize = 32768;

/// Sets a condition: puts it in, or changes the one of the same type. `lastTransitionTime` becomes `now` only when the status
/// changes. A message that is too long is cut and ends in `...`.
pub fn set_condition(
    conditions: &mut Vec<Condition>,
    type_: ConditionType,
    status: ConditionStatus,
    reason: Reason,
    message: &str,
    observed_generation: Option<i64>,
    now: Timestamp,
) {
    let unchanged = find(conditions, type_).filter(|before| before.status == status.as_str());
    // A Time is written in whole seconds; a condition must equal itself after it was written and read.
    let since =
        unchanged.map_or_else(|| Time(whole_seconds(now)), |before| before.last_transition_time.clone());
    let condition = Condition {
        type_: type_.as_str().to_owned(),
        status: status.as_str().to_owned(),
        reason: reason.as_str().to_owned(),
        message: truncated(message),
        observed_generation,
        last_transition_time: since,
    };
    remove(conditions, type_);
    conditions.push(condition);
    conditions.sort_by(|a, b| order(a).cmp(&order(b)));
}

/// The condition of a type.
pub fn find(conditions: &[Condition], type_: ConditionType) -> Option<&Condition> {
    conditions.iter().find(|condition| condition.type_ == type_.as_str())
}

/// Whether the condition of a type is there and true.
pub fn is_true(conditions: &[Condition], type_: ConditionType) -> bool {
    find(conditions, type_).is_some_and(|condition| condition.status == "True")
}

/// Takes the condition of a type out, if it is there.
pub fn remove(conditions: &mut Vec<Condition>, type_: ConditionType) {
    conditions.retain(|condition| condition.type_ != type_.as_str());
}

/// Stalled, Reconciling and Ready first, as Flux does for those who read the first line, then the others by name.
fn order(condition: &Condition) -> (usize, &str) {
    let first = [ConditionType::Stalled, ConditionType::Reconciling, ConditionType::Ready];
    let place = first.iter().position(|type_| type_.as_str() == condition.type_);
    (place.unwrap_or(first.len()), &condition.type_)
}

fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

fn truncated(message: &str) -> String {
    const END: &str = "...";
    match message.char_indices().nth(MAX_MESSAGE_LENGTH) {
        None => message.to_owned(),
        Some(_) => message.chars().take(MAX_MESSAGE_LENGTH - END.len()).chain(END.chars()).collect(),
    }
}

/// The schema of a list of conditions, as `k8s.io/apimachinery` has it. (k8s-openapi's own would come without the limits.)
pub(crate) fn conditions_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "items": {
            "description": "One aspect of the state of an object.",
            "type": "object",
            "required": ["lastTransitionTime", "message", "reason", "status", "type"],
            "properties": {
                "lastTransitionTime": {
                    "description": "When the status last changed from one value to another.",
                    "type": "string",
                    "format": "date-time",
                },
                "message": {
                    "description": "What people should know about it. It may be empty.",
                    "type": "string",
                    "maxLength": MAX_MESSAGE_LENGTH,
                },
                "observedGeneration": {
                    "description": "The generation of the object that the condition is about. When it is lower than metadata.generation, the condition is out of date.",
                    "type": "integer",
                    "format": "int64",
                    "minimum": 0,
                },
                "reason": {
                    "description": "The reason for the status, as one word for programs.",
                    "type": "string",
                    "minLength": 1,
                    "maxLength": 1024,
                    "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
                },
                "status": {
                    "description": "Whether it holds: True, False or Unknown.",
                    "type": "string",
                    "enum": ["True", "False", "Unknown"],
                },
                "type": {
                    "description": "Which aspect it is, for example Ready.",
                    "type": "string",
                    "maxLength": 316,
                    "pattern": r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$",
                },
            },
        },
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use ConditionStatus::{False, True, Unknown};
    use rstest::rstest;

    use super::*;

    fn second(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn set(
        conditions: &mut Vec<Condition>,
        type_: ConditionType,
        status: ConditionStatus,
        message: &str,
        at: i64,
    ) {
        set_condition(conditions, type_, status, Reason::Progressing, message, Some(1), second(at));
    }

    #[rstest]
    #[case::same_status(True, True, 1)]
    #[case::other_status(True, False, 2)]
    #[case::unknown_is_a_status(Unknown, True, 2)]
    fn the_time_changes_with_the_status_only(
        #[case] before: ConditionStatus,
        #[case] after: ConditionStatus,
        #[case] since: i64,
    ) {
        let mut conditions = Vec::new();
        set(&mut conditions, ConditionType::Ready, before, "before", 1);
        set_condition(
            &mut conditions,
            ConditionType::Ready,
            after,
            Reason::ReconciliationSucceeded,
            "after",
            Some(7),
            second(2),
        );
        let expected = Condition {
            type_: "Ready".into(),
            status: after.as_str().into(),
            reason: "ReconciliationSucceeded".into(),
            message: "after".into(),
            observed_generation: Some(7),
            last_transition_time: Time(second(since)),
        };
        assert_eq!(conditions, [expected]);
    }

    #[test]
    fn they_are_listed_in_the_order_of_flux() {
        let mut conditions = Vec::new();
        for type_ in ConditionType::ALL.iter().rev() {
            set(&mut conditions, *type_, True, "", 1);
        }
        let listed: Vec<&str> = conditions.iter().map(|condition| condition.type_.as_str()).collect();
        assert_eq!(
            listed,
            [
                "Stalled",
                "Reconciling",
                "Ready",
                "ArtifactInStorage",
                "ArtifactOutdated",
                "BuildFailed",
                "Drifted",
                "FetchFailed",
                "Healthy",
                "IncludeUnavailable",
                "Released",
                "Remediated",
                "SourceVerified",
                "StorageOperationFailed",
                "TestSuccess",
            ]
        );
    }

    #[test]
    fn they_are_found_and_removed_by_type() {
        let mut conditions = Vec::new();
        set(&mut conditions, ConditionType::Ready, False, "", 1);
        set(&mut conditions, ConditionType::Reconciling, True, "", 1);
        assert!(is_true(&conditions, ConditionType::Reconciling));
        assert!(!is_true(&conditions, ConditionType::Ready), "it is there, but false");
        assert!(!is_true(&conditions, ConditionType::Stalled), "it is not there");
        remove(&mut conditions, ConditionType::Reconciling);
        assert_eq!(find(&conditions, ConditionType::Reconciling), None);
        assert_eq!(find(&conditions, ConditionType::Ready).unwrap().status, "False");
    }

    #[rstest]
    #[case::fits("ä".repeat(MAX_MESSAGE_LENGTH), "ä".repeat(MAX_MESSAGE_LENGTH))]
    #[case::one_too_many("ä".repeat(MAX_MESSAGE_LENGTH + 1), format!("{}...", "ä".repeat(MAX_MESSAGE_LENGTH - 3)))]
    #[case::empty(String::new(), String::new())]
    fn a_long_message_is_cut_between_characters(#[case] message: String, #[case] kept: String) {
        let mut conditions = Vec::new();
        set(&mut conditions, ConditionType::Ready, False, &message, 1);
        assert!(conditions[0].message == kept);
    }

    #[test]
    fn a_condition_equals_itself_after_it_was_stored() {
        let mut conditions = Vec::new();
        let now = Timestamp::new(1, 999_999_999).unwrap();
        set_condition(&mut conditions, ConditionType::Ready, True, Reason::Succeeded, "", Some(1), now);
        let stored: Vec<Condition> =
            serde_json::from_str(&serde_json::to_string(&conditions).unwrap()).unwrap();
        assert_eq!(stored, conditions);
    }

    #[test]
    fn every_reason_is_one_that_kubernetes_allows() {
        for reason in Reason::ALL {
            assert!(reason.as_str().bytes().all(|byte| byte.is_ascii_alphanumeric()), "{reason}");
        }
    }
}
