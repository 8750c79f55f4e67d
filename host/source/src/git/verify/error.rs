use std::fmt;

use plumb_api::Reason;

/// What has to be signed. Its `Display` is Flux's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signed {
    /// A commit.
    Commit {
        /// Its id.
        id: String,
    },
    /// An annotated tag.
    Tag {
        /// Its name, without `refs/tags/`.
        name: String,
        /// The id of its object.
        id: String,
    },
}

impl fmt::Display for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Commit { id } => write!(f, "commit '{id}'"),
            Self::Tag { name, id } => write!(f, "tag '{name}@{id}'"),
        }
    }
}

/// Why a revision is not trusted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The signature of a tag is asked for, but `spec.ref` does not lead to a tag.
    #[error(
        "the signature of a tag is asked for, but spec.ref names no tag; set spec.ref.tag or spec.ref.semver, or spec.verify.mode to HEAD"
    )]
    NotATag,
    /// The tag is just a name of a commit, and has no object that could be signed.
    #[error("the tag {0:?} has no signature: it is not an annotated tag; make it with git tag -s")]
    Lightweight(String),
    /// The object is there, but it is not signed as it should be.
    #[error("{signed} is not trusted: {flaw}")]
    Flawed {
        /// Which object.
        signed: Signed,
        /// What is wrong.
        flaw: Flaw,
    },
}

impl VerifyError {
    /// The reason that Flux's conditions have for it.
    pub fn reason(&self) -> Reason {
        match self {
            Self::NotATag => Reason::VerificationError,
            Self::Lightweight(_) | Self::Flawed { flaw: Flaw::Unsigned, signed: Signed::Tag { .. } } => {
                Reason::InvalidGitObject
            }
            Self::Flawed { signed: Signed::Commit { .. }, .. } => Reason::InvalidCommitSignature,
            Self::Flawed { signed: Signed::Tag { .. }, .. } => Reason::InvalidTagSignature,
        }
    }
}

/// What is wrong with an object or its signature.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// There is no signature.
    #[error("it has no signature")]
    Unsigned,
    /// There is more than one, and it would have to be guessed which one counts.
    #[error("it has more than one signature")]
    Several,
    /// The signature is neither of PGP nor of SSH.
    #[error("its signature is neither one of PGP nor one of SSH")]
    UnknownFormat,
    /// The object or the signature cannot be understood.
    #[error("it cannot be understood: {0}")]
    Malformed(String),
    /// Nobody in the Secret has this key.
    #[error("it was signed with the key {0}, which is not in the secret")]
    UnknownKey(String),
    /// A key of the Secret is named, but did not sign this.
    #[error("its signature names the key {0}, but that key did not sign it")]
    NotSigned(String),
    /// The signature is over a digest that can be forged.
    #[error("its signature is over a {0} digest, which can be forged; sign with SHA-256 or better")]
    WeakDigest(String),
    /// The signature is for something else than Git.
    #[error("its signature was made for {0:?}, not for \"git\"")]
    Namespace(String),
    /// The owner of the key took it back.
    #[error("the key {0} was revoked")]
    Revoked(String),
    /// The key was good for some time that is over.
    #[error("the key {0} has expired; put the key as its owner has prolonged it into the secret")]
    Expired(String),
    /// The key is not one to sign with, or nothing says that it belongs to the one in the Secret.
    #[error("the key {0} is not one to sign with")]
    NotForSigning(String),
    /// The signature itself says that it is not valid now, or it is older than its key.
    #[error("its signature is not valid at this time")]
    OutOfTime,
    /// The tag object is that of another tag.
    #[error("it is the object of the tag {0:?}")]
    OtherTag(String),
    /// The tag object tags something else than the commit that was fetched.
    #[error("it does not tag the commit that was fetched, but the {0}")]
    OtherTarget(String),
}
