//! What was fetched last into the content store for each source, so that a restart does not have to wait for a server.
//!
//! It is noted in the store, under the UID of the object. The status of the object says so too, but others may be allowed to write statuses, and what is in
//! the store was fetched with somebody's credentials.

use std::sync::Arc;

use kube::ResourceExt as _;
use plumb_api::Revision;
use plumb_source::content::{ContentStore, Stored};
use serde::{Deserialize, Serialize};

use super::{Source, Sources};

/// What is known of a tree of the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    /// Where it came from. The tree is not taken up for a source that has another place since.
    pub(super) place: String,
    /// Its revision.
    pub(super) revision: Revision,
    /// The generation of the object for which it was fetched.
    pub(super) generation: Option<i64>,
    /// What its controller says identifies it, where that is another one.
    pub(super) digest: Option<String>,
    /// The revision that it was made from, where its maker says so.
    #[serde(default)]
    pub(super) origin: Option<String>,
}

/// Notes what was fetched. What cannot be noted is fetched again.
pub(super) async fn keep<K: Source>(store: &Arc<ContentStore>, object: &K, stored: &Stored, kept: Kept) {
    let (store, name, digest) = (store.clone(), name(object), stored.digest.clone());
    let noting = tokio::task::spawn_blocking(move || {
        let note = serde_json::to_string(&kept).map_err(|error| error.to_string())?;
        store.remember(&name, &digest, &note).map_err(|error| error.to_string())
    });
    if let Ok(Err(error)) = noting.await {
        tracing::debug!(error, "could not note what was fetched");
    }
}

/// What was fetched for the object from this place. Blocks on the disk.
pub(super) fn recall<K: Source>(store: &ContentStore, object: &K, place: &str) -> Option<(Stored, Kept)> {
    let remembered = store.recall(&name(object))?;
    let kept: Kept = serde_json::from_str(&remembered.note).ok()?;
    (kept.place == place).then_some((remembered.stored, kept))
}

/// Deletes what no source has fetched last. Blocks on the disk.
pub(super) fn sweep(sources: &Sources) {
    let mut names = names(&sources.git_repositories);
    names.extend(self::names(&sources.oci_repositories));
    names.extend(self::names(&sources.buckets));
    names.extend(self::names(&sources.helm_repositories));
    names.extend(self::names(&sources.helm_charts));
    names.extend(self::names(&sources.external_artifacts));
    let digests: Vec<String> =
        names.iter().filter_map(|name| Some(sources.content.recall(name)?.stored.digest)).collect();
    if let Err(error) = sources.content.retain(&digests) {
        tracing::warn!(%error, "could not delete what sources have fetched and do not use any longer");
    }
}

fn names<K: Source>(all: &super::All<K>) -> Vec<String> {
    all.store.state().iter().map(|object| name(object.as_ref())).collect()
}

fn name<K: Source>(object: &K) -> String {
    format!("source {}", object.uid().unwrap_or_default())
}
