use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use oci_client::manifest::{ImageIndexEntry, OciDescriptor};

use crate::oci::digest::OciDigest;
use crate::oci::error::OciError;
use crate::oci::manifest::Manifest;
use crate::oci::reference::Tag;
use crate::oci::registry::Registry;
use crate::oci::verify::simple_signing::SimpleSigning;

/// The types of the bundles of Sigstore, of all versions.
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle";
/// Some registries tell this in the place of the type of an artifact without a configuration.
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// Signatures that are pulled at the same time.
const AT_ONCE: usize = 4;

/// What may be a signature. Its digest is that under which it was found; who made it and what for is not known.
pub(super) enum Candidate {
    /// A bundle of Sigstore, as JSON.
    Bundle(Vec<u8>),
    /// A payload with its signature.
    SimpleSigning(Box<SimpleSigning>),
}

/// The bundles that refer to a manifest.
pub(super) async fn bundles(registry: &Registry, digest: &OciDigest) -> Result<Vec<Candidate>, OciError> {
    let may_be_one = |entry: &ImageIndexEntry| {
        entry.artifact_type.as_ref().is_none_or(|type_| type_.starts_with(BUNDLE) || type_ == EMPTY)
    };
    let entries: Vec<_> = registry.referrers(digest).await?.into_iter().filter(may_be_one).collect();
    check_number(registry, entries.len())?;
    let manifests = stream::iter(entries).map(|entry| async move {
        let digest: OciDigest = entry.digest.parse().map_err(|_| registry.too_much("kinds of digests", 1))?;
        layers(registry, registry.manifest(&digest).await?.parse(registry.url())?)
    });
    let layers: Vec<Vec<OciDescriptor>> = manifests.buffered(AT_ONCE).try_collect().await?;
    let bundles = layers.into_iter().flatten().filter(|layer| layer.media_type.starts_with(BUNDLE));
    pull(registry, bundles.collect(), |_, bytes| Some(Candidate::Bundle(bytes))).await
}

/// The payloads under the tag for the signatures of a manifest.
pub(super) async fn tagged(registry: &Registry, digest: &OciDigest) -> Result<Vec<Candidate>, OciError> {
    let manifest = match registry.tagged(&Tag::of_digest(digest, ".sig")).await {
        Ok(sent) => sent.parse(registry.url())?,
        Err(OciError::NotFound { .. }) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let payloads = layers(registry, manifest)?.into_iter().filter(|layer| layer.media_type == SIMPLE_SIGNING);
    pull(registry, payloads.collect(), |layer, payload| {
        let signed = SimpleSigning::new(payload, &layer.annotations.unwrap_or_default())?;
        Some(Candidate::SimpleSigning(Box::new(signed)))
    })
    .await
}

fn layers(registry: &Registry, manifest: Manifest) -> Result<Vec<OciDescriptor>, OciError> {
    let layers = match manifest {
        Manifest::Artifact(artifact) => artifact.layers,
        Manifest::Index(_) => Vec::new(),
    };
    check_number(registry, layers.len()).map(|()| layers)
}

async fn pull(
    registry: &Registry,
    layers: Vec<OciDescriptor>,
    read: impl Fn(OciDescriptor, Vec<u8>) -> Option<Candidate>,
) -> Result<Vec<Candidate>, OciError> {
    check_number(registry, layers.len())?;
    let pulled = stream::iter(layers).map(|layer| async move {
        let bytes = registry.small_blob(&layer, registry.limits().signature_bytes).await?;
        Ok::<_, OciError>((layer, bytes))
    });
    let pulled: Vec<_> = pulled.buffered(AT_ONCE).try_collect().await?;
    Ok(pulled.into_iter().filter_map(|(layer, bytes)| read(layer, bytes)).collect())
}

fn check_number(registry: &Registry, signatures: usize) -> Result<(), OciError> {
    let limit = registry.limits().signatures;
    if signatures > limit { Err(registry.too_much("signatures", limit as u64)) } else { Ok(()) }
}
