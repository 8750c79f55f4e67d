//! `OCIRepository`: a layer of an OCI artifact.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt as _;
use plumb_api::{
    Artifact as ArtifactStatus, LocalObjectReference, OciRepository, OciRepositoryRef, OciRepositoryStatus,
    OciRepositoryVerification, Reason, SourceKind,
};
use plumb_source::content::Stored;
use plumb_source::ignore::{self, Convention};
use plumb_source::oci::{OciArtifact, OciError, OciFetch, OciFetched, OciUrl, Verification};
use plumb_tree::ContentId;

use super::failure::{Failure, Stage};
use super::kept::{self, Kept};
use super::registry::Access;
use super::{All, Fetch, Fetched, Recalled, Schedule, Signature, Source, Sources, Standing, secrets};
use crate::artifacts::{Artifact, ORIGIN};
use crate::context::Context;

impl Source for OciRepository {
    const KIND: SourceKind = SourceKind::OciRepository;
    type Status = OciRepositoryStatus;

    fn all(sources: &Sources) -> &All<Self> {
        &sources.oci_repositories
    }

    fn status(&self) -> Option<&OciRepositoryStatus> {
        self.status.as_ref()
    }

    fn published(&self) -> Option<&ArtifactStatus> {
        self.status.as_ref()?.artifact.as_ref()
    }
}

impl Fetch for OciRepository {
    fn schedule(&self) -> Schedule {
        Schedule { interval: self.spec.interval.to_std(), is_suspended: self.spec.suspend }
    }

    fn secrets(&self) -> Vec<&LocalObjectReference> {
        let spec = &self.spec;
        let verify = spec.verify.as_ref();
        let named = [
            spec.secret_ref.as_ref(),
            spec.cert_secret_ref.as_ref(),
            spec.proxy_secret_ref.as_ref(),
            verify.and_then(|verify| verify.secret_ref.as_ref()),
            verify.and_then(|verify| verify.trusted_root_secret_ref.as_ref()),
        ];
        named.into_iter().flatten().collect()
    }

    fn standing(status: &mut OciRepositoryStatus) -> Standing<'_> {
        Standing {
            observed_generation: &mut status.observed_generation,
            conditions: &mut status.conditions,
            artifact: &mut status.artifact,
            last_handled_reconcile_at: &mut status.last_handled_reconcile_at,
            url: Some(&mut status.url),
        }
    }

    fn recall(&self, context: &Context) -> Option<Recalled> {
        // Whose signature is good may have changed meanwhile, and so may what was asked for when it was pulled.
        if self.spec.verify.is_some() {
            return None;
        }
        let (stored, kept) = kept::recall(&context.sources.content, self, &self.spec.url)?;
        let artifact = artifact(self, kept.revision.to_string().as_str(), stored, kept.origin).ok()?;
        Some(Recalled { artifact, generation: kept.generation })
    }

    async fn fetch(&self, context: &Arc<Context>, known: Option<Artifact>) -> Result<Fetched, Failure> {
        let request = request(self, context, known.as_ref()).await?;
        let (sources, content) = (&context.sources, &context.sources.content);
        let permit = sources.permits.acquire(&self.namespace().unwrap_or_default()).await;
        let fetched = sources.unless_called_off(request.run(content)).await;
        drop(permit);
        let verifies = self.spec.verify.is_some();
        let (artifact, signature, metadata) = match (fetched.ok_or_else(Failure::called_off)??, known) {
            (OciFetched::Unchanged, Some(known)) => (known, Signature::AsBefore, BTreeMap::new()),
            (OciFetched::Unchanged, None) => {
                let message = "the artifact is not in the store";
                return Err(Failure::new(Stage::Fetch, Reason::OCIArtifactPullFailed, message));
            }
            (OciFetched::New(OciArtifact { revision, stored, annotations, .. }), _) => {
                let made = artifact(self, &revision, stored.clone(), annotations.get(ORIGIN).cloned())?;
                let (generation, place) = (self.metadata.generation, self.spec.url.clone());
                let (origin, revision_made) = (made.origin.clone(), made.revision.clone());
                let kept = Kept { place, revision: revision_made, generation, digest: None, origin };
                kept::keep(content, self, &stored, kept).await;
                (made, Signature::Good(format!("verified signature of revision {revision}")), annotations)
            }
        };
        let signature = if verifies { signature } else { Signature::NotAskedFor };
        Ok(Fetched { artifact, included: Vec::new(), signature, metadata, chart: None })
    }

    fn note(&self, _: &Fetched, _: Timestamp, status: &mut OciRepositoryStatus) {
        status.observed_ignore = self.spec.ignore.clone();
        status.observed_layer_selector = self.spec.layer_selector.clone();
    }
}

/// The files of a layer, without those that are to be left out.
fn artifact(
    object: &OciRepository,
    revision: &str,
    stored: Stored,
    origin: Option<String>,
) -> Result<Artifact, Failure> {
    let failed =
        |message: String| Failure::new(Stage::Store, Reason::OCIArtifactLayerOperationFailed, message);
    let revision = revision.parse().map_err(|error| failed(format!("{error}")))?;
    let ignore = object.spec.ignore.as_deref();
    let tree = ignore::select(stored.tree, Convention::Repository, ignore)
        .map_err(|error| Failure::stalled(Stage::Store, Reason::SourceIgnoreError, error.to_string()))?;
    let digest = match ignore {
        None => stored.digest,
        Some(ignore) => {
            let both = format!("{}\n{ignore}", stored.digest);
            ContentId::of_bytes(both.as_bytes()).as_str().to_owned()
        }
    };
    Ok(Artifact { revision, tree, digest, origin })
}

/// What the registry is asked for, with all that the Secrets hold.
async fn request(
    object: &OciRepository,
    context: &Context,
    known: Option<&Artifact>,
) -> Result<OciFetch, Failure> {
    let (spec, namespace) = (&object.spec, object.namespace().unwrap_or_default());
    let access = Access {
        namespace: &namespace,
        provider: spec.provider,
        secret_ref: spec.secret_ref.as_ref(),
        service_account_name: spec.service_account_name.as_deref(),
        cert_secret_ref: spec.cert_secret_ref.as_ref(),
        proxy_secret_ref: spec.proxy_secret_ref.as_ref(),
        insecure: spec.insecure,
        timeout: spec.timeout.to_std(),
    };
    let verifications = match &spec.verify {
        Some(verify) => vec![verification(verify, &namespace, context).await?],
        None => Vec::new(),
    };
    let url = OciUrl::parse(&spec.url).map_err(OciError::from)?;
    let fetch = access.fetch(url, context).await?;
    Ok(OciFetch {
        reference: spec.reference.as_ref().map(OciRepositoryRef::resolve).unwrap_or_default(),
        layer: spec.layer_selector.clone().unwrap_or_default(),
        verifications,
        known: known.map(|artifact| artifact.revision.to_string()),
        ..fetch
    })
}

/// Whose signature the artifact must carry.
pub(super) async fn verification(
    verify: &OciRepositoryVerification,
    namespace: &str,
    context: &Context,
) -> Result<Verification, Failure> {
    let failed =
        |failure: Failure| Failure { stage: Stage::Verify, reason: Reason::VerificationError, ..failure };
    let keys = secrets::find(context, namespace, verify.secret_ref.as_ref(), &secrets::SIGNERS).await;
    let keys = keys.map_err(failed)?;
    let root = verify.trusted_root_secret_ref.as_ref();
    let root = secrets::find(context, namespace, root, &secrets::TRUSTED_ROOT).await.map_err(failed)?;
    let verification = Verification::new(verify, keys.as_ref(), root.as_ref());
    verification.map_err(|error| OciError::from(error).into())
}
