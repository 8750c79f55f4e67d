use plumb_api::Reason;
use plumb_tree::TreeError;

use crate::content::ContentError;
use crate::transport::{InvalidSecret, TransportError};

/// Why a repository of charts does not give what is asked for. No message holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RepositoryError {
    /// The address is not that of a repository.
    #[error("the URL {url:?} of the Helm repository cannot be used: {reason}")]
    InvalidUrl {
        /// What was given.
        url: String,
        /// What it should be.
        reason: &'static str,
    },
    /// The Secret does not hold what is needed.
    #[error("{0}")]
    Secret(#[from] InvalidSecret),
    /// The server must not or cannot be reached the way that was asked for.
    #[error("cannot reach {url}: {reason}")]
    Transport {
        /// What was asked for.
        url: String,
        /// What is wrong.
        reason: TransportError,
    },
    /// The server asks for other credentials than were given, or none were given.
    #[error("{url} answered with the status {status}: check the secret that spec.secretRef of the HelmRepository names{}", if *.withheld { "; this host is another one than the repository's, and gets the credentials only with spec.passCredentials" } else { "" })]
    Unauthorized {
        /// What was asked for.
        url: String,
        /// The status of HTTP.
        status: u16,
        /// There are credentials, but this host does not get them.
        withheld: bool,
    },
    /// The server answered with something else than what was asked for.
    #[error("{url} answered with the status {status}")]
    Status {
        /// What was asked for.
        url: String,
        /// The status of HTTP.
        status: u16,
    },
    /// The server cannot be reached, or the connection was lost.
    #[error("cannot fetch {url}: {reason}")]
    Unreachable {
        /// What was asked for.
        url: String,
        /// Why not.
        reason: String,
    },
    /// The server sends one elsewhere, which is not followed.
    #[error("{url} redirects {reason}")]
    Redirect {
        /// What was asked for.
        url: String,
        /// Where, or how often.
        reason: &'static str,
    },
    /// It was not over in time.
    #[error(
        "fetching {url} took longer than {seconds} s; raise spec.timeout of the HelmRepository if it is slow"
    )]
    TimedOut {
        /// What was asked for.
        url: String,
        /// The time it was given, in seconds.
        seconds: u64,
    },
    /// What was sent is not an index of charts.
    #[error("the index {url} cannot be read: {reason}")]
    Index {
        /// The index.
        url: String,
        /// What is wrong, and where.
        reason: String,
    },
    /// The index says nowhere where the chart is.
    #[error("the index of {repository} has no URL for {chart} {version}")]
    NoUrl {
        /// The repository.
        repository: String,
        /// The chart.
        chart: String,
        /// Its version.
        version: String,
    },
    /// What was downloaded is not what the index says it is. Somebody may be in between.
    #[error(
        "the chart {url} has the digest sha256:{found}, not {expected} as the index says; nothing of it is used"
    )]
    Digest {
        /// Where it came from.
        url: String,
        /// The digest of the index.
        expected: String,
        /// The digest of what was sent.
        found: String,
    },
    /// Nobody of those who may has signed it, or what they have signed is something else.
    #[error("the chart {url} is not signed as spec.verify asks: {reason}")]
    Provenance {
        /// Where the chart came from; its provenance file is beside it.
        url: String,
        /// What is missing or wrong.
        reason: String,
    },
    /// It could not be stored, or there is too much of it.
    #[error("cannot store {url}: {reason}")]
    Content {
        /// What was asked for.
        url: String,
        /// What is wrong.
        reason: ContentError,
    },
}

impl RepositoryError {
    /// The reason that the condition of a HelmRepository has for it in Flux.
    pub fn reason(&self) -> Reason {
        match self {
            Self::InvalidUrl { .. } => Reason::URLInvalid,
            Self::Secret(_) | Self::Unauthorized { .. } | Self::Transport { .. } => {
                Reason::AuthenticationFailed
            }
            Self::Index { .. } => Reason::IndexationFailed,
            Self::Provenance { .. } => Reason::ChartVerificationError,
            _ => Reason::Failed,
        }
    }

    /// Whether trying again changes nothing until somebody changes the object.
    pub fn needs_a_change(&self) -> bool {
        matches!(self, Self::InvalidUrl { .. })
    }
}

/// Why there is no such chart, or it cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChartError {
    /// No chart can have this name.
    #[error(
        "spec.chart {0:?} is not the name of a chart: it has lower-case letters, digits, '-', '.' and '/'"
    )]
    InvalidName(String),
    /// The range cannot be read.
    #[error(
        "spec.version {0:?} is not a version or a range of versions; write it, for example, as 1.2.3, 1.x or >=1.2.0 <2.0.0"
    )]
    InvalidRange(String),
    /// The repository has no chart of this name.
    #[error("the repository {repository} has no chart {chart:?}")]
    NoChart {
        /// The repository.
        repository: String,
        /// The name.
        chart: String,
    },
    /// No version of the chart is in the range.
    #[error("no '{chart}' chart with version matching '{range}' found in {repository}")]
    NoVersion {
        /// The repository.
        repository: String,
        /// The name.
        chart: String,
        /// The range.
        range: String,
    },
    /// There is no chart at this path of the source.
    #[error("there is no chart at {path:?}: {reason}")]
    NotAChart {
        /// The path in the source, or the archive.
        path: String,
        /// What is missing or wrong.
        reason: String,
    },
    /// The version of the chart cannot get what tells builds of it apart.
    #[error("the version of the chart cannot be changed: {0}")]
    Version(String),
    /// The files of values cannot be merged.
    #[error("the values file {path:?} {reason}")]
    Values {
        /// The path, as the spec has it.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// A dependency cannot be had.
    #[error("the dependency {name:?} of the chart cannot be had: {reason}")]
    Dependency {
        /// Its name.
        name: String,
        /// Why not.
        reason: String,
    },
    /// It cannot be unpacked or stored.
    #[error("the chart cannot be unpacked or stored: {0}")]
    Content(#[from] ContentError),
    /// The tree that it is in cannot be read.
    #[error("the chart cannot be read: {0}")]
    Tree(#[from] TreeError),
}

impl ChartError {
    /// The reason that the condition of a HelmChart has for it in Flux.
    pub fn reason(&self) -> Reason {
        match self {
            Self::InvalidName(_)
            | Self::InvalidRange(_)
            | Self::NoChart { .. }
            | Self::NoVersion { .. }
            | Self::NotAChart { .. } => Reason::InvalidChartReference,
            Self::Version(_) => Reason::MetadataPatchError,
            Self::Values { .. } => Reason::ValuesFilesError,
            Self::Dependency { .. } => Reason::DependencyBuildError,
            Self::Content(_) | Self::Tree(_) => Reason::ChartPackageError,
        }
    }

    /// Whether trying again changes nothing until somebody changes the object or its source.
    pub fn needs_a_change(&self) -> bool {
        matches!(
            self.reason(),
            Reason::InvalidChartReference | Reason::MetadataPatchError | Reason::ValuesFilesError
        )
    }
}
