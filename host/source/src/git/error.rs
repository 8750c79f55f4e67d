use plumb_api::Reason;

pub(crate) use crate::foreign::{printable, said, with_causes};
use crate::git::selection::InvalidSelection;
use crate::git::url::{GitUrl, InvalidUrl};
use crate::git::verify::VerifyError;
use crate::identity::IdentityError;
use crate::transport::{AddressRefused, InvalidSecret, TransportError};

/// Why a repository could not be fetched. Every message names the repository without user and password, and holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GitError {
    /// The address is not one that repositories are fetched from.
    #[error(transparent)]
    Url(#[from] InvalidUrl),
    /// The Secret does not hold what the address needs.
    #[error(transparent)]
    Credentials(#[from] InvalidSecret),
    /// The reference is not one that a repository can have.
    #[error("cannot fetch {url}: {reference:?} is not a valid {what}")]
    InvalidReference {
        /// The repository.
        url: String,
        /// What was asked for.
        reference: String,
        /// What it should have been.
        what: &'static str,
    },
    /// The server asks for other credentials than were given, or none were given.
    #[error("cannot sign in to {url}: {reason}; check the secret that spec.secretRef names")]
    AuthenticationFailed {
        /// The repository.
        url: String,
        /// What the server said.
        reason: String,
    },
    /// The host showed a key that is not among the known ones. Somebody may be in between.
    #[error(
        "the host of {url} is not the one in known_hosts: {reason}; if its key has changed, update known_hosts in the secret"
    )]
    UnknownHost {
        /// The repository.
        url: String,
        /// What `ssh` said.
        reason: String,
    },
    /// The server's certificate is not trusted.
    #[error(
        "the certificate of {url} is not trusted: {reason}; put the certificate of its authority into the secret as ca.crt"
    )]
    UntrustedCertificate {
        /// The repository.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The server wants a certificate and got none, or not one that it takes; or the one in the Secret cannot be used.
    #[error("cannot sign in to {url} with a certificate: {reason}; check tls.crt and tls.key of the secret")]
    ClientCertificate {
        /// The repository.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// `spec.provider` does not fit the URL or the Secret.
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
    /// The host, the proxy, or what a redirect leads to, is at an address that must not be reached.
    #[error("cannot fetch {url}: {refused}")]
    AddressRefused {
        /// The repository.
        url: String,
        /// Which host it is.
        refused: AddressRefused,
    },
    /// The proxy cannot be used for this.
    #[error("cannot reach {url} through the proxy {proxy}: {reason}")]
    Proxy {
        /// The repository.
        url: String,
        /// Where the proxy is, without user and password.
        proxy: String,
        /// Why not.
        reason: String,
    },
    /// The server has no such repository, or hides it from who signed in.
    #[error("there is no repository at {url}, or these credentials may not see it")]
    RepositoryNotFound {
        /// The repository.
        url: String,
    },
    /// The server cannot be reached.
    #[error("cannot reach {url}: {reason}")]
    Unreachable {
        /// The repository.
        url: String,
        /// Why not.
        reason: String,
    },
    /// The server answered with something that is not Git, or with an error of its own.
    #[error("the server of {url} failed: {reason}")]
    Server {
        /// The repository.
        url: String,
        /// What it answered.
        reason: String,
    },
    /// The server redirects to where nothing is sent: to plain HTTP, or to something that is not the same repository elsewhere.
    #[error(
        "the redirect of {url} to {target} was refused: {reason}; put the address it leads to into spec.url, if it is right"
    )]
    RedirectRefused {
        /// The repository.
        url: String,
        /// Where it leads, without user and password.
        target: String,
        /// Why it was refused.
        reason: &'static str,
    },
    /// The repository has no such branch, tag or reference.
    #[error("{url} has no {reference}; the revision that was fetched before remains in use")]
    ReferenceNotFound {
        /// The repository.
        url: String,
        /// What was asked for, for example `branch "main"`.
        reference: String,
    },
    /// No tag is a version in the range.
    #[error("{url} has no tag that is a version in the range {range:?}")]
    NoVersion {
        /// The repository.
        url: String,
        /// The range.
        range: String,
    },
    /// The server does not hand out this commit.
    #[error("{url} does not hand out the commit {commit}: {reason}")]
    CommitNotFound {
        /// The repository.
        url: String,
        /// The id of the commit.
        commit: String,
        /// What the server said.
        reason: String,
    },
    /// A commit and a branch were given, and the branch does not have the commit.
    #[error(
        "the branch {branch:?} of {url} does not have the commit {commit}; name the branch that has it, or remove spec.ref.branch"
    )]
    NotOnBranch {
        /// The repository.
        url: String,
        /// The id of the commit.
        commit: String,
        /// The branch.
        branch: String,
    },
    /// The repository is larger than is taken.
    #[error("{url} sent more than {limit} bytes of {what}; make the repository smaller, or raise the limit")]
    TooLarge {
        /// The repository.
        url: String,
        /// What there is too much of.
        what: &'static str,
        /// The limit in bytes.
        limit: u64,
    },
    /// A submodule is not one that is fetched: it could run a program, read this host's disk, or be put outside its place.
    #[error("the submodule {name:?} of {url} is refused: {reason}")]
    SubmoduleRefused {
        /// The repository that has it.
        url: String,
        /// Its name in `.gitmodules`.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A submodule cannot be fetched.
    #[error("the submodule {name:?} of {url} cannot be fetched: {error}")]
    Submodule {
        /// The repository that has it.
        url: String,
        /// Its name in `.gitmodules`.
        name: String,
        /// Why not.
        error: Box<GitError>,
    },
    /// The commit does not have what is to be seen of it.
    #[error(transparent)]
    Selection(#[from] InvalidSelection),
    /// The fetch was not over in time.
    #[error("fetching {url} took longer than {seconds} s; raise spec.timeout if the server is slow")]
    TimedOut {
        /// The repository.
        url: String,
        /// The time it was given, in seconds.
        seconds: u64,
    },
    /// Whoever asked for the fetch does not need it any more.
    #[error("fetching {url} was cancelled")]
    Cancelled {
        /// The repository.
        url: String,
    },
    /// The commit or its tag is not signed by somebody who may. What was fetched before remains in use.
    #[error("cannot verify {url}: {error}")]
    Unverified {
        /// The repository.
        url: String,
        /// What is wrong.
        error: VerifyError,
    },
    /// The disk of this host, or what is stored on it, is not as it should be. The next fetch starts from nothing.
    #[error("the store for {url} failed: {reason}")]
    Store {
        /// The repository.
        url: String,
        /// What happened.
        reason: String,
    },
    /// A program or a library of this host is not usable.
    #[error("cannot fetch {url}: {reason}")]
    Host {
        /// The repository.
        url: String,
        /// What is missing.
        reason: String,
    },
}

impl GitError {
    /// Why a server cannot be reached as the Secrets ask for.
    pub(crate) fn of_transport(url: &GitUrl, error: TransportError) -> Self {
        let url = url.to_string();
        match error {
            TransportError::Authority(reason) => {
                let reason = format!("ca.crt cannot be used: {}", printable(&reason));
                Self::UntrustedCertificate { url, reason }
            }
            TransportError::ClientCertificate(reason) => {
                Self::ClientCertificate { url, reason: printable(&reason) }
            }
            TransportError::Proxy { url: proxy, reason } => {
                Self::Proxy { url, proxy, reason: printable(&reason) }
            }
            TransportError::Refused(refused) => Self::AddressRefused { url, refused },
            TransportError::Host(reason) => Self::Host { url, reason: printable(&reason) },
        }
    }

    /// The reason that Flux's conditions have for it.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Url(_) => Reason::URLInvalid,
            Self::Unverified { error, .. } => error.reason(),
            Self::Credentials(_)
            | Self::AuthenticationFailed { .. }
            | Self::ClientCertificate { .. }
            | Self::Identity { .. } => Reason::AuthenticationFailed,
            Self::Provider { .. } => Reason::InvalidProviderConfiguration,
            Self::Submodule { error, .. } => error.reason(),
            _ => Reason::GitOperationFailed,
        }
    }

    /// Whether trying again changes nothing until somebody changes the object or its Secret.
    pub fn needs_a_change(&self) -> bool {
        match self {
            Self::Url(_) | Self::Credentials(_) | Self::InvalidReference { .. } | Self::Provider { .. } => {
                true
            }
            Self::Identity { error, .. } => error.needs_a_change(),
            Self::Unverified { error: VerifyError::NotATag, .. } => true,
            Self::Selection(error) => error.needs_a_change(),
            _ => false,
        }
    }
}
