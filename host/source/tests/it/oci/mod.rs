//! OCI artifacts from registries on loopback.

mod artifacts_are_pulled_by_their_digest;
mod artifacts_are_signed_by_whom_they_should_be;
mod fake;
mod real_registries_understand_us;
mod registries_are_signed_in_to;
mod registries_of_clouds_are_signed_in_to;
mod signer;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use plumb_api::OciReference;
use plumb_source::content::{ContentStore, Limits, Stored};
use plumb_source::oci::{OciArtifact, OciError, OciFetch, OciFetched, OciLimits, OciLogin, OciUrl};
use plumb_source::transport::Transport;
use plumb_tree::View;
use tempfile::TempDir;

/// A store that is gone after the test.
struct Store {
    store: Arc<ContentStore>,
    dir: TempDir,
}

impl Store {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let store = Arc::new(ContentStore::open(dir.path(), Limits::default()).unwrap());
        Self { store, dir }
    }

    async fn fetch(&self, fetch: &OciFetch) -> Result<OciFetched, OciError> {
        fetch.run(&self.store).await
    }

    async fn new_artifact(&self, fetch: &OciFetch) -> OciArtifact {
        match self.fetch(fetch).await.unwrap() {
            OciFetched::New(artifact) => artifact,
            OciFetched::Unchanged => panic!("it was not known before"),
        }
    }

    async fn error(&self, fetch: &OciFetch) -> OciError {
        self.fetch(fetch).await.expect_err("it cannot be fetched")
    }

    /// Whether something of a fetch that failed is still there.
    fn is_empty(&self) -> bool {
        ["incoming", "trees"]
            .iter()
            .all(|name| std::fs::read_dir(self.dir.path().join(name)).unwrap().next().is_none())
    }
}

fn fetch_of(url: &str, reference: OciReference) -> OciFetch {
    OciFetch {
        url: OciUrl::parse(url).unwrap(),
        reference,
        layer: plumb_api::OciLayerSelector::default(),
        login: OciLogin::Anonymous,
        transport: Transport::default(),
        insecure: true,
        verifications: Vec::new(),
        known: None,
        timeout: Duration::from_secs(60),
        limits: OciLimits::default(),
    }
}

fn latest(url: &str) -> OciFetch {
    fetch_of(url, OciReference::default())
}

fn read(stored: &Stored, path: &str) -> String {
    let view = View::new(Arc::clone(&stored.tree), 1024 * 1024);
    String::from_utf8(view.read(path).unwrap()).unwrap()
}

type SecretData = BTreeMap<String, Vec<u8>>;
