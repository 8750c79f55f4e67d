use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use oci_client::manifest::OciDescriptor;
use plumb_api::{OciLayerOperation, OciLayerSelector, OciReference};

use crate::content::{ContentError, ContentStore, Format, Received, Stored};
use crate::oci::OciLimits;
use crate::oci::digest::OciDigest;
use crate::oci::error::OciError;
use crate::oci::login::OciLogin;
use crate::oci::manifest::{Artifact, Manifest, entry_of};
use crate::oci::reference::Wanted;
use crate::oci::registry::Registry;
use crate::oci::url::OciUrl;
use crate::oci::verify::{self, Verification};
use crate::transport::Transport;

/// Chunks of a layer between the network and the disk.
const CHUNKS_AHEAD: usize = 8;

/// What to fetch, and how.
#[derive(Clone)]
pub struct OciFetch {
    /// The repository.
    pub url: OciUrl,
    /// Which manifest of it.
    pub reference: OciReference,
    /// Which layer of it, and whether to unpack it.
    pub layer: OciLayerSelector,
    /// How to sign in.
    pub login: OciLogin,
    /// Whom to trust, and where not to go.
    pub transport: Transport,
    /// Whether plain HTTP, and certificates of anybody, will do.
    pub insecure: bool,
    /// Whose signatures the artifact must carry: all of these, none for no signature.
    pub verifications: Vec<Verification>,
    /// The revision that the caller has, which was verified as is asked for here: it is not fetched again.
    pub known: Option<String>,
    /// How long it may take.
    pub timeout: Duration,
    /// How much may be received.
    pub limits: OciLimits,
}

/// Where a reference leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OciResolved {
    /// The revision as Flux writes it: `TAG@sha256:HEX`, or `sha256:HEX` where a digest was asked for.
    pub revision: String,
    /// The digest of the manifest, or of the list of manifests.
    pub digest: OciDigest,
}

/// What came of a fetch.
#[derive(Debug)]
pub enum OciFetched {
    /// The revision that the caller has is still what the reference leads to. Nothing was pulled or verified.
    Unchanged,
    /// It leads to another one.
    New(OciArtifact),
}

/// An artifact that was pulled.
#[derive(Clone, Debug)]
pub struct OciArtifact {
    /// The revision as Flux writes it: `TAG@sha256:HEX`, or `sha256:HEX` where a digest was asked for.
    pub revision: String,
    /// The digest of the manifest, or of the list of manifests, that the reference led to.
    pub digest: OciDigest,
    /// The files: those of the layer, or the layer itself as the one file `sha256:HEX.tgz`, named for `digest` as in Flux.
    pub stored: Stored,
    /// The annotations of the manifest. Anybody can write anything there.
    pub annotations: BTreeMap<String, String>,
}

impl OciFetch {
    /// Fetches. Dropping the future ends it; nothing stays behind.
    pub async fn run(&self, store: &Arc<ContentStore>) -> Result<OciFetched, OciError> {
        match tokio::time::timeout(self.timeout, self.fetch(store)).await {
            Ok(fetched) => fetched,
            Err(_) => Err(OciError::TimedOut { url: self.url.to_string(), seconds: self.timeout.as_secs() }),
        }
    }

    /// Asks where the reference leads now, and pulls and verifies nothing.
    pub async fn resolve(&self) -> Result<OciResolved, OciError> {
        let resolving = async { Ok(self.connect().await?.1) };
        match tokio::time::timeout(self.timeout, resolving).await {
            Ok(resolved) => resolved,
            Err(_) => Err(OciError::TimedOut { url: self.url.to_string(), seconds: self.timeout.as_secs() }),
        }
    }

    async fn connect(&self) -> Result<(Registry, OciResolved), OciError> {
        let media_type = self.layer.media_type.as_deref();
        let wanted = Wanted::new(&self.reference, media_type).map_err(|invalid| {
            let url = self.url.to_string();
            OciError::InvalidReference { url, reference: invalid.text, what: invalid.what }
        })?;
        let (transport, login) = (self.transport.clone(), self.login.clone());
        let registry =
            Registry::connect(&self.url, self.insecure, transport, login, self.limits.clone()).await?;
        let resolved = self.look_up(&registry, wanted).await?;
        Ok((registry, resolved))
    }

    async fn fetch(&self, store: &Arc<ContentStore>) -> Result<OciFetched, OciError> {
        let (registry, OciResolved { revision, digest }) = self.connect().await?;
        if self.known.as_ref() == Some(&revision) {
            return Ok(OciFetched::Unchanged);
        }
        for verification in &self.verifications {
            verify::verify(&registry, &digest, verification).await?;
        }
        let (of, artifact) = artifact(&registry, digest).await?;
        let layer = self.select(&registry, &of, &artifact)?;
        let received = receive(&registry, layer, store).await?;
        let stored = self.store(received, layer, digest, store).await?;
        Ok(OciFetched::New(OciArtifact { revision, digest, stored, annotations: artifact.annotations }))
    }

    /// The one time that a tag is looked at.
    async fn look_up(&self, registry: &Registry, wanted: Wanted) -> Result<OciResolved, OciError> {
        let tag = match wanted {
            Wanted::Digest(digest) => return Ok(OciResolved { revision: digest.to_string(), digest }),
            Wanted::Tag(tag) => tag,
            Wanted::Version(versions) => {
                let tags = registry.tags().await.map_err(|error| OciError::Tags(Box::new(error)))?;
                versions.newest(&tags).ok_or_else(|| self.no_version())?
            }
        };
        let digest = registry.resolve(&tag).await?;
        Ok(OciResolved { revision: format!("{}@{digest}", tag.as_str()), digest })
    }

    fn no_version(&self) -> OciError {
        let (range, filter) = match &self.reference {
            OciReference::Semver { range, filter } => (range.clone(), filter.clone()),
            OciReference::Digest(text) | OciReference::Tag(text) => (text.clone(), None),
        };
        OciError::NoVersion { url: self.url.to_string(), range, filter }
    }

    /// The first layer, or the first of the media type that is asked for.
    fn select<'a>(
        &self,
        registry: &Registry,
        digest: &OciDigest,
        artifact: &'a Artifact,
    ) -> Result<&'a OciDescriptor, OciError> {
        let limits = registry.limits();
        if artifact.layers.len() > limits.layers {
            return Err(registry.too_much("layers", limits.layers as u64));
        }
        let bytes: usize = artifact.annotations.iter().map(|(key, value)| key.len() + value.len()).sum();
        if bytes as u64 > limits.annotation_bytes {
            return Err(registry.too_much("bytes of annotations", limits.annotation_bytes));
        }
        let media_type = self.layer.media_type.as_ref();
        let fits =
            |layer: &&OciDescriptor| media_type.is_none_or(|media_type| layer.media_type == *media_type);
        artifact.layers.iter().find(fits).ok_or_else(|| OciError::NoLayer {
            url: self.url.to_string(),
            digest: digest.to_string(),
            media_type: media_type.cloned(),
        })
    }

    async fn store(
        &self,
        received: Received,
        layer: &OciDescriptor,
        digest: OciDigest,
        store: &Arc<ContentStore>,
    ) -> Result<Stored, OciError> {
        let (operation, store) = (self.layer.operation(), Arc::clone(store));
        let storing = move || match operation {
            OciLayerOperation::Extract => store.unpack(received.open()?, Format::TarGz),
            OciLayerOperation::Copy => {
                let mut tree = store.builder();
                tree.received(&format!("{digest}.tgz"), received)?;
                tree.finish()
            }
        };
        blocking(&self.url, &layer.digest, storing).await
    }
}

/// Goes through lists to the manifest of an artifact. Every step is by digest, so a list cannot contain itself; that it is long does not help either.
async fn artifact(registry: &Registry, digest: OciDigest) -> Result<(OciDigest, Artifact), OciError> {
    let mut digest = digest;
    for _ in 0..=registry.limits().lists {
        match registry.manifest(&digest).await?.parse(registry.url())? {
            Manifest::Artifact(artifact) => return Ok((digest, artifact)),
            Manifest::Index(entries) => {
                let url = registry.url().to_string();
                let unusable = |reason| OciError::Manifest { url, digest: digest.to_string(), reason };
                digest = entry_of(&entries).map_err(unusable)?;
            }
        }
    }
    Err(registry.too_much("lists that lead to a manifest", registry.limits().lists as u64))
}

/// Pulls a layer into the store, where it has no name yet.
async fn receive(
    registry: &Registry,
    layer: &OciDescriptor,
    store: &Arc<ContentStore>,
) -> Result<Received, OciError> {
    let limit = registry.limits().layer_bytes;
    let size = u64::try_from(layer.size).ok().filter(|size| *size <= limit);
    let size = size.ok_or_else(|| registry.too_much("bytes in a layer", limit))?;
    let (digest, mut chunks) = registry.blob_stream(layer).await?;
    let (to_disk, mut from_network) = tokio::sync::mpsc::channel::<bytes::Bytes>(CHUNKS_AHEAD);
    let store = Arc::clone(store);
    let writing = blocking(registry.url(), &layer.digest, move || {
        let mut incoming = store.incoming(size)?;
        while let Some(chunk) = from_network.blocking_recv() {
            incoming.write(&chunk)?;
        }
        incoming.finish()
    });
    let reading = async move {
        while let Some(chunk) = chunks.next().await {
            // Whoever does not take it says why.
            if to_disk.send(chunk?).await.is_err() {
                break;
            }
        }
        Ok::<_, OciError>(())
    };
    let (read, written) = futures::join!(reading, writing);
    read?;
    match written {
        Ok(received) if received.size() == size && received.id().to_string() == digest.hex() => Ok(received),
        // Of the wrong size is of the wrong digest.
        Ok(_) | Err(OciError::Layer { reason: ContentError::TooMuch { .. }, .. }) => {
            Err(registry.mismatch("layer", &digest))
        }
        Err(error) => Err(error),
    }
}

/// Does what blocks on the disk where that holds nobody up.
async fn blocking<T: Send + 'static>(
    url: &OciUrl,
    layer: &str,
    work: impl FnOnce() -> Result<T, ContentError> + Send + 'static,
) -> Result<T, OciError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => {
            done.map_err(|reason| OciError::Layer { url: url.to_string(), digest: layer.to_owned(), reason })
        }
        Err(error) => Err(OciError::Host { url: url.to_string(), reason: error.to_string() }),
    }
}
