//! What Flux's source-controller serves inside the cluster, fetched through the API server: so the files are just those that Flux has applied.

use std::io::Cursor;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use futures::AsyncReadExt as _;
use kube::Client;
use plumb_api::Object;
use plumb_source::content::{ContentStore, Format, Limits};
use plumb_tree::Tree;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tokio::time::timeout;

/// An archive may have this many bytes.
const MAX_BYTES: u64 = 256 << 20;
/// How long one may take to arrive.
const DEADLINE: Duration = Duration::from_secs(60);

/// Fetches artifacts, and keeps them for as long as it lives.
pub(super) struct Artifacts {
    client: Client,
    store: Arc<ContentStore>,
    _directory: TempDir,
}

impl Artifacts {
    pub(super) fn new(client: Client) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir().context("cannot make a directory for artifacts")?;
        let store = ContentStore::open(directory.path(), Limits::default())?;
        Ok(Self { client, store: Arc::new(store), _directory: directory })
    }

    /// The files of a source's artifact.
    pub(super) async fn tree(&self, source: &Object) -> anyhow::Result<Arc<dyn Tree>> {
        let text = |pointer: &str| source.pointer(pointer).and_then(Value::as_str);
        let url = text("/status/artifact/url").context("the source has no artifact")?;
        let fetched = timeout(DEADLINE, self.fetch(&proxy_path(url)?)).await;
        let bytes = fetched
            .unwrap_or_else(|_| bail!("no answer within {DEADLINE:?}"))
            .with_context(|| format!("cannot fetch {url} through the API server"))?;
        verify(&bytes, text("/status/artifact/digest").unwrap_or_default())?;
        let store = self.store.clone();
        let stored =
            tokio::task::spawn_blocking(move || store.unpack(Cursor::new(bytes), Format::TarGz)).await??;
        Ok(stored.tree)
    }

    async fn fetch(&self, path: &str) -> anyhow::Result<Vec<u8>> {
        let request = http::Request::get(path).body(Vec::new())?;
        let answer = self.client.request_stream(request).await.map_err(crate::cluster::plain)?;
        let mut bytes = Vec::new();
        // One more than the limit: what is larger is noticed.
        std::pin::pin!(answer).take(MAX_BYTES + 1).read_to_end(&mut bytes).await?;
        ensure!(bytes.len() as u64 <= MAX_BYTES, "it has more than {MAX_BYTES} bytes");
        Ok(bytes)
    }
}

/// The path by which the API server hands on to a service of the cluster: Flux's addresses are
/// `http://SERVICE.NAMESPACE.svc.cluster.local./PATH`.
fn proxy_path(url: &str) -> anyhow::Result<String> {
    let parts = url.strip_prefix("http://").and_then(|rest| rest.split_once('/'));
    let (server, path) = parts.with_context(|| format!("{url:?} is not served inside the cluster"))?;
    let (host, port) = server.split_once(':').unwrap_or((server, "80"));
    let is_name =
        |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    let mut labels = host.split('.');
    let (Some(service), Some(namespace), Some("svc")) = (labels.next(), labels.next(), labels.next()) else {
        bail!("{url:?} is not served inside the cluster");
    };
    // What a status says must not lead to another path of the API server.
    let is_plain =
        path.split('/').all(|part| part != ".." && part != "." && !part.contains(['?', '#', '%', '\\']));
    ensure!(
        is_name(service) && is_name(namespace) && is_name(port) && is_plain,
        "{url:?} is not an address of Flux"
    );
    Ok(format!("/api/v1/namespaces/{namespace}/services/{service}:{port}/proxy/{path}"))
}

fn verify(bytes: &[u8], digest: &str) -> anyhow::Result<()> {
    let Some(expected) = digest.strip_prefix("sha256:") else {
        bail!("the digest {digest:?} is not a SHA-256")
    };
    let found = format!("{:x}", Sha256::digest(bytes));
    ensure!(
        found == expected,
        "what was fetched is not the artifact: its SHA-256 is {found} and not {expected}"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use rstest::rstest;

    use super::*;

    #[test]
    fn an_address_of_flux_is_reached_through_the_api_server() {
        let path = |url: &str| proxy_path(url).unwrap();
        let url =
            "http://source-controller.flux-system.svc.cluster.local./gitrepository/flux-system/repo/a.tar.gz";
        let expected = "/api/v1/namespaces/flux-system/services/source-controller:80/proxy/gitrepository/flux-system/repo/a.tar.gz";
        assert_eq!(path(url), expected);
        assert_eq!(path("http://a.b.svc:9090/c"), "/api/v1/namespaces/b/services/a:9090/proxy/c");
    }

    // Attack 6 (Sources): an address in a status leads to a service of the cluster, through the API server, or nowhere.
    #[rstest]
    #[case("http://169.254.169.254/latest")]
    #[case("https://example.com/a")]
    #[case("http://localhost/a")]
    #[case("http://a.b.svc/../../../secrets")]
    #[case("http://a.b.svc/%2e%2e/secrets")]
    #[case("http://a.b.svc/a?b=c")]
    #[case("http://a.b.svc")]
    #[case("http://a:80:80.b.svc/c")]
    fn other_addresses_are_refused(#[case] url: &str) {
        assert!(proxy_path(url).is_err(), "{url}");
    }

    #[test]
    fn what_is_not_the_artifact_is_refused() {
        let digest = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
        assert!(verify(b"hello", digest).is_ok());
        assert!(verify(b"hullo", digest).is_err() && verify(b"hello", "").is_err());
    }
}
