//! Artifacts that another controller makes and serves over HTTP: Flux's source-controller, or whoever writes an `ExternalArtifact`.
//!
//! In goes what the `status.artifact` of its object says; out comes the tree. What comes over the network is believed when its digest is the one that the status has, and
//! unpacked only then.

mod digest;
mod error;

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, Response, StatusCode};
use tokio::time::{sleep, timeout};
use url::Url;

use crate::content::{ContentStore, Format, Received, Stored};
use crate::download::{Interrupted, blocking, receive};
use crate::foreign::with_causes;
use crate::transport::Transport;

pub use error::ArtifactError;

use digest::Digest;

/// As Flux (`--http-retry`).
const RETRIES: u32 = 9;
/// The wait before the first retry; each one after it waits twice as long, up to [`LAST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LAST_WAIT: Duration = Duration::from_secs(30);

/// What to fetch: the fields of `status.artifact` of an object.
#[derive(Clone, Debug)]
pub struct ArtifactFetch {
    /// Where the archive is, a `tar` compressed by gzip.
    pub url: String,
    /// Its digest, `sha256:…`; also with `sha384` or `sha512`.
    pub digest: String,
    /// How its server is reached.
    pub transport: Transport,
    /// How long all of it may take.
    pub timeout: Duration,
    /// The digest of the artifact that the caller already has, if any.
    pub known: Option<String>,
}

/// What a fetch found.
#[derive(Clone, Debug)]
pub enum ArtifactFetched {
    /// The artifact is the one that the caller has, and its tree is still in the store. Nothing was asked for.
    Unchanged,
    /// The tree of another artifact, or of one that the store had lost.
    New(Stored),
}

impl ArtifactFetch {
    /// Fetches the artifact, unless it is in the store. Dropping the future ends it.
    ///
    /// A server that cannot be reached or fails is asked up to nine times more, within the timeout.
    pub async fn fetch(&self, store: &Arc<ContentStore>) -> Result<ArtifactFetched, ArtifactError> {
        let digest = Digest::parse(&self.digest)?;
        let name = format!("artifact {} {}", self.url, self.digest);
        let (recalled, store) = {
            let (name, store) = (name.clone(), Arc::clone(store));
            blocking(move || Ok((store.recall(&name), store))).await?
        };
        match recalled {
            Some(_) if self.known.as_deref() == Some(&self.digest) => return Ok(ArtifactFetched::Unchanged),
            Some(remembered) => return Ok(ArtifactFetched::New(remembered.stored)),
            None => {}
        }
        let late = |_| ArtifactError::TimedOut { url: self.url.clone(), seconds: self.timeout.as_secs() };
        let stored =
            timeout(self.timeout, self.download_and_unpack(digest, name, store)).await.map_err(late)??;
        Ok(ArtifactFetched::New(stored))
    }

    async fn download_and_unpack(
        &self,
        digest: Digest,
        name: String,
        store: Arc<ContentStore>,
    ) -> Result<Stored, ArtifactError> {
        let received = self.download(&store).await?;
        let (url, expected) = (self.url.clone(), self.digest.clone());
        let unpacked = blocking(move || {
            let found = digest.of(&received)?;
            if found != expected {
                return Ok(Err(ArtifactError::WrongDigest { url, expected, found }));
            }
            let stored = store.unpack(received.open()?, Format::TarGz)?;
            store.remember(&name, &stored.digest, "")?;
            Ok(Ok(stored))
        });
        unpacked.await?
    }

    async fn download(&self, store: &Arc<ContentStore>) -> Result<Received, ArtifactError> {
        let url = Url::parse(&self.url).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let url = url.ok_or_else(|| ArtifactError::InvalidUrl(self.url.clone()))?;
        self.transport.check(&url).map_err(crate::transport::TransportError::from)?;
        let client = self.transport.client()?;
        let mut wait = FIRST_WAIT;
        let mut retries = 0;
        loop {
            match self.try_once(&client, &url, store).await {
                Err(error) if retries < RETRIES && error.may_pass() => {
                    retries += 1;
                    tracing::debug!(%error, retries, "the artifact will be asked for once more");
                    sleep(wait).await;
                    wait = LAST_WAIT.min(wait * 2);
                }
                result => return result,
            }
        }
    }

    async fn try_once(
        &self,
        client: &Client,
        url: &Url,
        store: &Arc<ContentStore>,
    ) -> Result<Received, ArtifactError> {
        let failed = |error: reqwest::Error| self.unreachable(error);
        let response = client.get(url.clone()).send().await.map_err(failed)?;
        self.check_status(&response)?;
        let limit = store.limits().tree_bytes;
        let incoming = {
            let store = Arc::clone(store);
            blocking(move || store.incoming(limit)).await?
        };
        receive(incoming, response.bytes_stream()).await.map_err(|error| match error {
            Interrupted::Source(error) => self.unreachable(error),
            Interrupted::Content(error) => error.into(),
        })
    }

    fn check_status(&self, response: &Response) -> Result<(), ArtifactError> {
        let url = self.url.clone();
        match response.status() {
            status if status.is_success() => Ok(()),
            StatusCode::NOT_FOUND => Err(ArtifactError::NotFound { url }),
            status => Err(ArtifactError::Status { url, status: status.as_u16() }),
        }
    }

    fn unreachable(&self, error: reqwest::Error) -> ArtifactError {
        ArtifactError::Unreachable { url: self.url.clone(), reason: with_causes(&error.without_url()) }
    }
}
