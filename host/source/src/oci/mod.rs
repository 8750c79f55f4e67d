//! OCI artifacts as trees.
//!
//! In goes an [`OciFetch`]: a URL, a reference, a login, and whose signature the artifact must carry. Out comes an [`OciArtifact`]: a revision and the tree of one of
//! its layers. A tag is resolved once; all that follows is asked for by its digest, and nothing is used whose digest is another one. What is signed is what is pulled.

mod challenge;
mod digest;
mod error;
mod fetch;
mod login;
mod manifest;
mod reference;
mod registry;
mod sign_in;
mod url;
mod verify;

pub use digest::{InvalidDigest, OciDigest};
pub use error::OciError;
pub use fetch::{OciArtifact, OciFetch, OciFetched, OciResolved};
pub use login::{InvalidLogin, OciLogin, OciLogins};
pub use url::{InvalidUrl, OciUrl};
pub use verify::{InvalidVerification, Verification};

/// How much a registry may send. Whoever exceeds one of them is told which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OciLimits {
    /// The size of a manifest in bytes. By default 4 MiB, as in the distribution specification.
    pub manifest_bytes: u64,
    /// The size of all annotations of a manifest in bytes: they become part of a status. By default 64 KiB.
    pub annotation_bytes: u64,
    /// The layers of a manifest. By default 256.
    pub layers: usize,
    /// The size of the layer that is pulled in bytes. By default 512 MiB.
    pub layer_bytes: u64,
    /// The tags of a repository, when there is to choose from them. By default 50 000.
    pub tags: usize,
    /// How many lists may lead to a manifest. By default 4.
    pub lists: usize,
    /// The signatures of an artifact that are looked at. By default 64.
    pub signatures: usize,
    /// The size of a signature in bytes. By default 1 MiB.
    pub signature_bytes: u64,
}

impl Default for OciLimits {
    fn default() -> Self {
        Self {
            manifest_bytes: 4 * 1024 * 1024,
            annotation_bytes: 64 * 1024,
            layers: 256,
            layer_bytes: 512 * 1024 * 1024,
            tags: 50_000,
            lists: 4,
            signatures: 64,
            signature_bytes: 1024 * 1024,
        }
    }
}
