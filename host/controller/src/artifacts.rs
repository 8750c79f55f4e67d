//! The sources' latest trees, shared with whoever renders them.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::RwLock;
use plumb_api::{Revision, SourceKind};
use plumb_tree::Tree;

use crate::Key;

/// The latest revision of a source.
#[derive(Clone)]
pub(crate) struct Artifact {
    pub(crate) revision: Revision,
    pub(crate) tree: Arc<dyn Tree>,
    /// What identifies the content, as `ALGORITHM:HEX`.
    pub(crate) digest: String,
}

impl fmt::Debug for Artifact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.revision)
    }
}

/// One artifact a source, by the kind and the name of the source: as many as there are sources in the cluster.
#[derive(Debug, Default)]
pub(crate) struct Artifacts(RwLock<HashMap<(SourceKind, Key), Artifact>>);

impl Artifacts {
    pub(crate) fn get(&self, kind: SourceKind, key: &Key) -> Option<Artifact> {
        self.0.read().get(&(kind, key.clone())).cloned()
    }

    /// Whether the artifact is of another revision than the one before.
    pub(crate) fn put(&self, kind: SourceKind, key: Key, artifact: Artifact) -> bool {
        let revision = artifact.revision.clone();
        let before = self.0.write().insert((kind, key), artifact);
        before.is_none_or(|before| before.revision != revision)
    }

    pub(crate) fn remove(&self, kind: SourceKind, key: &Key) {
        self.0.write().remove(&(kind, key.clone()));
    }
}
