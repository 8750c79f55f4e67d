use plumb_api::Reason;

use crate::content::ContentError;
use crate::identity::IdentityError;
use crate::oci::login::InvalidLogin;
use crate::oci::url::InvalidUrl;
use crate::oci::verify::InvalidVerification;
use crate::transport::{AddressRefused, TransportError};

/// Why an artifact could not be fetched. Every message names the repository, and none holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OciError {
    /// The address is not that of a repository.
    #[error(transparent)]
    Url(#[from] InvalidUrl),
    /// The Secret holds no logins.
    #[error(transparent)]
    Login(#[from] InvalidLogin),
    /// `spec.provider` does not fit the URL, or how the registry is reached.
    #[error("cannot sign in to {url}: {reason}")]
    Provider {
        /// The repository.
        url: String,
        /// What does not fit.
        reason: &'static str,
    },
    /// The provider gives no token.
    #[error("cannot sign in to {url}: {error}")]
    Identity {
        /// The repository.
        url: String,
        /// Why not.
        error: IdentityError,
    },
    /// The certificates or the proxy cannot be used.
    #[error("cannot reach {url}: {reason}")]
    Transport {
        /// The repository.
        url: String,
        /// What is wrong.
        reason: TransportError,
    },
    /// The registry, or where it sends one, must not be reached.
    #[error("cannot fetch {url}: {reason}")]
    AddressRefused {
        /// The repository.
        url: String,
        /// What is refused.
        reason: AddressRefused,
    },
    /// The reference is not one that an artifact can have.
    #[error("cannot fetch {url}: {reference:?} is not a valid {what}")]
    InvalidReference {
        /// The repository.
        url: String,
        /// What was asked for.
        reference: String,
        /// What it should have been.
        what: &'static str,
    },
    /// The tags could not be listed, which a range of versions needs.
    #[error("cannot choose a tag: {0}")]
    Tags(Box<OciError>),
    /// No tag is a version in the range.
    #[error("{url} has no tag that is a version in the range {range:?}{}", filter.as_ref().map(|filter| format!(" and matches {filter:?}")).unwrap_or_default())]
    NoVersion {
        /// The repository.
        url: String,
        /// The range.
        range: String,
        /// What tags have to match besides.
        filter: Option<String>,
    },
    /// The registry asks for other credentials than were given, or none were given.
    #[error("cannot sign in to {url}: {reason}; check the secret that spec.secretRef names")]
    Unauthorized {
        /// The repository.
        url: String,
        /// What the registry said.
        reason: String,
    },
    /// The registry has no such repository, tag or manifest, or hides it from who signed in.
    #[error("{url} has no {what}, or these credentials may not see it")]
    NotFound {
        /// The repository.
        url: String,
        /// What was asked for.
        what: String,
    },
    /// The registry cannot be reached.
    #[error("cannot reach {url}: {reason}")]
    Unreachable {
        /// The repository.
        url: String,
        /// Why not.
        reason: String,
    },
    /// The registry answered with something that is not of its protocol, or with an error of its own.
    #[error("the registry of {url} failed: {reason}")]
    Registry {
        /// The repository.
        url: String,
        /// What it answered.
        reason: String,
    },
    /// What was received is not what the digest names. Somebody may be in between.
    #[error("the registry of {url} sent something else for the {what} {digest}; nothing of it is used")]
    DigestMismatch {
        /// The repository.
        url: String,
        /// `manifest` or `layer`.
        what: &'static str,
        /// What was asked for.
        digest: String,
    },
    /// There is more of something than is taken.
    #[error("{url} has more than {limit} {what}; make the artifact smaller")]
    TooMuch {
        /// The repository.
        url: String,
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// The manifest is not one of an artifact.
    #[error("the manifest {digest} of {url} cannot be used: {reason}")]
    Manifest {
        /// The repository.
        url: String,
        /// The digest of the manifest.
        digest: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The artifact has no layer that was asked for.
    #[error("the artifact {digest} of {url} has no layer{}", media_type.as_ref().map(|type_| format!(" of the media type {type_:?}; check spec.layerSelector")).unwrap_or_default())]
    NoLayer {
        /// The repository.
        url: String,
        /// The digest of the manifest.
        digest: String,
        /// The media type that was asked for.
        media_type: Option<String>,
    },
    /// The layer cannot be unpacked or stored.
    #[error("the layer {digest} of {url} cannot be used: {reason}")]
    Layer {
        /// The repository.
        url: String,
        /// The digest of the layer.
        digest: String,
        /// What is wrong with it.
        reason: ContentError,
    },
    /// What signatures are verified with is missing or wrong.
    #[error(transparent)]
    InvalidVerification(#[from] InvalidVerification),
    /// No signature of the artifact is by whom it should be.
    #[error("the artifact {digest} of {url} is not signed as spec.verify asks: {reason}")]
    NotVerified {
        /// The repository.
        url: String,
        /// The digest that was verified.
        digest: String,
        /// Why each signature was refused, or that there is none.
        reason: String,
    },
    /// The public authorities of Sigstore could not be had.
    #[error(
        "the trusted root of the public Sigstore cannot be had: {reason}; put a trusted_root.json into the secret that spec.verify.trustedRootSecretRef names to need no network"
    )]
    TrustedRoot {
        /// Why not.
        reason: String,
    },
    /// The fetch was not over in time.
    #[error("fetching {url} took longer than {seconds} s; raise spec.timeout if the registry is slow")]
    TimedOut {
        /// The repository.
        url: String,
        /// The time it was given, in seconds.
        seconds: u64,
    },
    /// Something on this host failed.
    #[error("cannot fetch {url}: {reason}")]
    Host {
        /// The repository.
        url: String,
        /// What failed.
        reason: String,
    },
}

impl OciError {
    /// The reason that Flux's conditions have for it.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Url(_) => Reason::URLInvalid,
            Self::Login(_) | Self::Transport { .. } | Self::Provider { .. } | Self::Identity { .. } => {
                Reason::AuthenticationFailed
            }
            Self::Tags(_) | Self::NoVersion { .. } => Reason::ReadOperationFailed,
            Self::InvalidVerification(_) | Self::NotVerified { .. } | Self::TrustedRoot { .. } => {
                Reason::VerificationError
            }
            Self::Manifest { .. } | Self::NoLayer { .. } | Self::Layer { .. } => {
                Reason::OCIArtifactLayerOperationFailed
            }
            _ => Reason::OCIArtifactPullFailed,
        }
    }

    /// Whether trying again changes nothing until somebody changes the object or its Secrets.
    pub fn needs_a_change(&self) -> bool {
        match self {
            Self::Tags(error) => error.needs_a_change(),
            Self::Url(_)
            | Self::Login(_)
            | Self::InvalidReference { .. }
            | Self::InvalidVerification(_)
            | Self::Provider { .. } => true,
            _ => false,
        }
    }

    /// Whether the signature is what is wrong: then the condition SourceVerified is false.
    pub fn is_about_the_signature(&self) -> bool {
        self.reason() == Reason::VerificationError
    }
}
