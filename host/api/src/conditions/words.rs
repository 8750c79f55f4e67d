use std::fmt;

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
