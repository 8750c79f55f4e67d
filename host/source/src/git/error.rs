use plumb_api::Reason;

use crate::git::credentials::InvalidCredentials;
use crate::git::url::InvalidUrl;

/// Why a repository could not be fetched. Every message names the repository without user and password, and holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GitError {
    /// The address is not one that repositories are fetched from.
    #[error(transparent)]
    Url(#[from] InvalidUrl),
    /// The Secret does not hold what the address needs.
    #[error(transparent)]
    Credentials(#[from] InvalidCredentials),
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
    /// The reason that Flux's conditions have for it.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Url(_) => Reason::URLInvalid,
            Self::Credentials(_) | Self::AuthenticationFailed { .. } => Reason::AuthenticationFailed,
            _ => Reason::GitOperationFailed,
        }
    }

    /// Whether trying again changes nothing until somebody changes the object or its Secret.
    pub fn needs_a_change(&self) -> bool {
        matches!(self, Self::Url(_) | Self::Credentials(_) | Self::InvalidReference { .. })
    }
}

/// What a server or a library said, as one line of printable text of at most 400 characters.
pub(crate) fn printable(text: &str) -> String {
    const MOST: usize = 400;
    let one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut printable: String = one_line.chars().filter(|char| !char.is_control()).take(MOST).collect();
    if one_line.chars().nth(MOST).is_some() {
        printable.push('…');
    }
    printable
}

/// An error and what caused it, each said once.
pub(crate) fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    said(std::iter::successors(Some(error), |error| error.source()))
}

/// What some errors say, each once.
pub(crate) fn said<'a>(errors: impl Iterator<Item = &'a (dyn std::error::Error + 'static)>) -> String {
    let mut said: Vec<String> = Vec::new();
    for error in errors {
        let text = error.to_string();
        if !text.is_empty() && !said.iter().any(|before| before.contains(&text)) {
            said.push(text);
        }
    }
    printable(&said.join(": "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_one_short_printable_line() {
        assert_eq!(printable("a\r\n\x1b[31mb\tc"), "a [31mb c");
        assert_eq!(printable(&"x".repeat(500)).chars().count(), 401);
    }
}
