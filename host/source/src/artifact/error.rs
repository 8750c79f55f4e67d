use plumb_api::Reason;

use crate::content::ContentError;
use crate::transport::TransportError;

/// Why an artifact could not be fetched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArtifactError {
    /// The address is not one that artifacts are fetched from.
    #[error(
        "the artifact has the URL {0:?}, which is not one of http or https; its controller has to write another"
    )]
    InvalidUrl(String),
    /// The digest is not one that can be verified.
    #[error("the artifact has the digest {0:?}, which is not one of sha256, sha384 or sha512")]
    InvalidDigest(String),
    /// The server must not or cannot be reached the way that was asked for.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The server cannot be reached, or the connection was lost.
    #[error("cannot fetch the artifact {url}: {reason}")]
    Unreachable {
        /// The artifact.
        url: String,
        /// Why not.
        reason: String,
    },
    /// The server does not have it any more. Its controller will write a new one into the status.
    #[error("there is no artifact at {url}; its controller may have replaced it by a newer one")]
    NotFound {
        /// The artifact.
        url: String,
    },
    /// The server answered with something else than the artifact.
    #[error("the server of the artifact {url} answered with status {status}")]
    Status {
        /// The artifact.
        url: String,
        /// The status of HTTP.
        status: u16,
    },
    /// What the server sent is not what its controller has made.
    #[error(
        "the artifact {url} has the digest {found}, not {expected} as its status says; nothing of it is used"
    )]
    WrongDigest {
        /// The artifact.
        url: String,
        /// The digest in the status.
        expected: String,
        /// The digest of what was sent.
        found: String,
    },
    /// It could not be unpacked or stored.
    #[error("cannot store the artifact: {0}")]
    Content(#[from] ContentError),
    /// The fetch was not over in time.
    #[error("fetching the artifact {url} took longer than {seconds} s")]
    TimedOut {
        /// The artifact.
        url: String,
        /// The time it was given, in seconds.
        seconds: u64,
    },
}

impl ArtifactError {
    /// The reason that Flux's conditions have for it.
    pub fn reason(&self) -> Reason {
        Reason::ArtifactFailed
    }

    /// Whether trying again changes nothing until somebody changes the object or its Secret.
    pub fn needs_a_change(&self) -> bool {
        matches!(self, Self::InvalidUrl(_) | Self::InvalidDigest(_) | Self::Transport(_))
    }

    /// Whether the same request may succeed a moment later. As in Flux, that is so for the connection, and where a server says that it is its own fault.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Status { status, .. } => *status == 429 || (*status >= 500 && *status != 501),
            _ => false,
        }
    }
}
