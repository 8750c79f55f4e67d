//! The sources' latest trees, shared with whoever renders them.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::RwLock;
use plumb_api::Revision;
use plumb_tree::Tree;

use crate::sources::SourceId;

/// The latest revision of a source.
#[derive(Clone)]
pub(crate) struct Artifact {
    pub(crate) revision: Revision,
    pub(crate) tree: Arc<dyn Tree>,
    /// What identifies the content, as `ALGORITHM:HEX`.
    pub(crate) digest: String,
    /// The revision that it was made from, where its maker says so: `org.opencontainers.image.revision` of an OCI artifact.
    pub(crate) origin: Option<String>,
}

/// The key of the metadata of an artifact under which its origin is. Source: OCI image specification, "Annotations".
pub(crate) const ORIGIN: &str = "org.opencontainers.image.revision";

impl fmt::Debug for Artifact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.revision)
    }
}

/// One artifact a source: as many as there are sources in the cluster.
#[derive(Debug, Default)]
pub(crate) struct Artifacts(RwLock<HashMap<SourceId, Made>>);

/// An artifact, and what it was made for.
#[derive(Debug)]
struct Made {
    artifact: Artifact,
    /// The generation of the source.
    generation: Option<i64>,
}

impl Artifacts {
    pub(crate) fn get(&self, source: &SourceId) -> Option<Artifact> {
        self.0.read().get(source).map(|made| made.artifact.clone())
    }

    /// The generation of the source for which its artifact was made, or found to be what is asked for.
    pub(crate) fn made_for(&self, source: &SourceId) -> Option<i64> {
        self.0.read().get(source)?.generation
    }

    /// Whether the artifact is of another revision than the one before, has other content, or is what another generation of the source asks for:
    /// somebody may be waiting for any of that.
    pub(crate) fn put(&self, source: SourceId, artifact: Artifact, generation: Option<i64>) -> bool {
        let (revision, digest) = (artifact.revision.clone(), artifact.digest.clone());
        let before = self.0.write().insert(source, Made { artifact, generation });
        before.is_none_or(|Made { artifact: before, generation: made_for }| {
            before.revision != revision || before.digest != digest || made_for != generation
        })
    }

    pub(crate) fn remove(&self, source: &SourceId) {
        self.0.write().remove(source);
    }
}
