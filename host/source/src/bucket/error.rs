use plumb_api::Reason;

use crate::content::ContentError;
use crate::identity::IdentityError;
use crate::ignore::InvalidIgnore;
use crate::transport::{InvalidSecret, TransportError};

/// Why a bucket could not be fetched. Every message holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BucketError {
    /// The address is not one of an object store.
    #[error("spec.endpoint {endpoint:?} cannot be used: {reason}")]
    InvalidEndpoint {
        /// What was given.
        endpoint: String,
        /// What it should be.
        reason: &'static str,
    },
    /// The name is not one that a bucket can have.
    #[error(
        "spec.bucketName {0:?} is not the name of a bucket: it may have letters, digits, '.', '-', '_' and '$'"
    )]
    InvalidName(String),
    /// The Secret does not hold what the provider needs.
    #[error("{0}")]
    Secret(#[from] InvalidSecret),
    /// `spec.sts` asks for what there is not.
    #[error("spec.sts cannot be used: {0}")]
    Sts(&'static str),
    /// The provider cannot be used with these settings.
    #[error("the provider of bucket {bucket:?} cannot be used: {reason}")]
    Provider {
        /// The bucket.
        bucket: String,
        /// Why not.
        reason: String,
    },
    /// Nobody says who one is, towards the cloud or the token service of `spec.sts`.
    #[error("cannot sign in to bucket {bucket:?}: {error}")]
    Identity {
        /// The bucket.
        bucket: String,
        /// Why not.
        error: IdentityError,
    },
    /// `spec.ignore` cannot be used.
    #[error(transparent)]
    Ignore(#[from] InvalidIgnore),
    /// The server must not or cannot be reached the way that was asked for.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The server asks for other credentials than were given, or none were given.
    #[error("cannot sign in to bucket {bucket:?}: {reason}; check the secret that spec.secretRef names")]
    AuthenticationFailed {
        /// The bucket.
        bucket: String,
        /// What the server said.
        reason: String,
    },
    /// There is no such bucket.
    #[error("bucket {bucket:?} not found")]
    NotFound {
        /// The bucket.
        bucket: String,
    },
    /// The server cannot be reached, or failed.
    #[error("cannot fetch bucket {bucket:?}: {reason}")]
    Failed {
        /// The bucket.
        bucket: String,
        /// What the server or the network said.
        reason: String,
    },
    /// An object has a name that no file of a tree can have. Nothing of the bucket is used.
    #[error(
        "bucket {bucket:?} has an object that cannot be a file: {reason}; delete it, or leave it out by spec.prefix"
    )]
    InvalidKey {
        /// The bucket.
        bucket: String,
        /// Which one, and why.
        reason: String,
    },
    /// It could not be stored.
    #[error("cannot store the bucket: {0}")]
    Content(#[from] ContentError),
    /// The fetch was not over in time.
    #[error(
        "fetching bucket {bucket:?} took longer than {seconds} s; raise spec.timeout if the server is slow"
    )]
    TimedOut {
        /// The bucket.
        bucket: String,
        /// The time it was given, in seconds.
        seconds: u64,
    },
}

impl BucketError {
    /// The reason that Flux's conditions have for it.
    pub fn reason(&self) -> Reason {
        match self {
            Self::InvalidEndpoint { .. } => Reason::URLInvalid,
            Self::Secret(_)
            | Self::AuthenticationFailed { .. }
            | Self::Identity { .. }
            | Self::Transport(_) => Reason::AuthenticationFailed,
            Self::Sts(_) => Reason::InvalidSTSConfiguration,
            Self::Provider { .. } => Reason::InvalidProviderConfiguration,
            Self::Ignore(_) => Reason::SourceIgnoreError,
            _ => Reason::BucketOperationFailed,
        }
    }

    /// Whether trying again changes nothing until somebody changes the object or its Secret.
    pub fn needs_a_change(&self) -> bool {
        matches!(
            self,
            Self::InvalidEndpoint { .. }
                | Self::InvalidName(_)
                | Self::Secret(_)
                | Self::Sts(_)
                | Self::Provider { .. }
                | Self::Ignore(_)
        )
    }
}
