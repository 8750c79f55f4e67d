use crate::transport::{AddressRefused, InvalidSecret, TransportError};

/// Why there is no token. The messages hold no secret, and nothing of what a server has answered but its status.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The Secret does not hold what is needed.
    #[error(transparent)]
    Secret(#[from] InvalidSecret),
    /// The way to the endpoint cannot be taken.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// A variable of the environment that the cloud sets is missing.
    #[error("the variable {variable} of the controller is not set; {hint}")]
    Environment {
        /// The variable.
        variable: &'static str,
        /// Who sets it.
        hint: &'static str,
    },
    /// A variable of the environment that says where an API is does not.
    #[error("the variable {variable} of the controller holds no URL with a host")]
    Url {
        /// The variable.
        variable: &'static str,
    },
    /// The file with the token of this controller cannot be read.
    #[error("the token of the controller, which {variable} names, cannot be read: {reason}")]
    TokenFile {
        /// The variable that names the file.
        variable: &'static str,
        /// Why not.
        reason: String,
    },
    /// The file that tells who this controller is cannot be used.
    #[error("the file that the variable {variable} of the controller names cannot be used: {reason}")]
    Configuration {
        /// The variable.
        variable: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Nothing tells who this machine is.
    #[error("the metadata service of {of} cannot be reached: {reason}; {hint}")]
    NoMetadata {
        /// Whose service it is.
        of: &'static str,
        /// Why not.
        reason: String,
        /// What to do.
        hint: &'static str,
    },
    /// The service account does not say which identity of the cloud it has.
    #[error(
        "the service account {account} has no usable annotation {annotation}, which names its identity in the cloud"
    )]
    Annotation {
        /// `NAMESPACE/NAME`.
        account: String,
        /// The annotation.
        annotation: &'static str,
    },
    /// Kubernetes gives no token for the service account.
    #[error("there is no token for the service account {account}: {reason}")]
    ServiceAccount {
        /// `NAMESPACE/NAME`.
        account: String,
        /// What was said.
        reason: String,
    },
    /// A value that is put into a URL is not one.
    #[error("{what} is not one: it has characters that it cannot have")]
    Malformed {
        /// What it should be.
        what: &'static str,
    },
    /// The name of a cluster is not as its cloud has them.
    #[error("the name of the cluster has to be {expected}")]
    Cluster {
        /// How it has to be.
        expected: &'static str,
    },
    /// The endpoint cannot be reached.
    #[error("{endpoint} cannot be reached: {reason}")]
    Unreachable {
        /// Whose host it is.
        endpoint: String,
        /// Why not.
        reason: String,
    },
    /// The endpoint does not take who one is.
    #[error("{endpoint} answers {status} to the request for {what}")]
    Denied {
        /// Whose host it is.
        endpoint: String,
        /// The status.
        status: u16,
        /// What was asked for.
        what: &'static str,
    },
    /// The endpoint answers with something else than was asked for.
    #[error("the answer of {endpoint} to the request for {what} cannot be understood")]
    Answer {
        /// Whose host it is.
        endpoint: String,
        /// What was asked for.
        what: &'static str,
    },
}

impl From<AddressRefused> for IdentityError {
    fn from(refused: AddressRefused) -> Self {
        Self::Transport(TransportError::Refused(refused))
    }
}

impl IdentityError {
    /// Whether trying again changes nothing until somebody changes the Secret, the service account or how the controller is run.
    pub fn needs_a_change(&self) -> bool {
        matches!(
            self,
            Self::Secret(_)
                | Self::Environment { .. }
                | Self::Url { .. }
                | Self::Annotation { .. }
                | Self::Malformed { .. }
                | Self::Cluster { .. }
        )
    }
}
