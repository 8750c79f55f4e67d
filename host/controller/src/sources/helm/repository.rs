//! `HelmRepository`: its index. One of `type: oci` has none, and is asked when a chart is wanted.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt as _;
use plumb_api::{
    Artifact as ArtifactStatus, HelmRepository, HelmRepositoryStatus, HelmRepositoryType,
    LocalObjectReference, Reason, SourceKind,
};
use plumb_source::helm::{IndexFetch, IndexFetched};

use super::access;
use crate::artifacts::Artifact;
use crate::context::Context;
use crate::sources::failure::{Failure, Stage};
use crate::sources::kept::{self, Kept};
use crate::sources::{All, Fetch, Fetched, Recalled, Schedule, Signature, Source, Sources, Standing};

impl Source for HelmRepository {
    const KIND: SourceKind = SourceKind::HelmRepository;
    type Status = HelmRepositoryStatus;

    fn all(sources: &Sources) -> &All<Self> {
        &sources.helm_repositories
    }

    fn status(&self) -> Option<&HelmRepositoryStatus> {
        self.status.as_ref()
    }

    /// What another controller publishes is an index as a file, which nobody here has a use for: charts are taken from those that are fetched here.
    fn published(&self) -> Option<&ArtifactStatus> {
        None
    }
}

impl Fetch for HelmRepository {
    fn schedule(&self) -> Schedule {
        Schedule { interval: self.spec.interval(), is_suspended: self.spec.suspend }
    }

    fn is_static(&self) -> bool {
        self.spec.kind() == HelmRepositoryType::Oci
    }

    fn secrets(&self) -> Vec<&LocalObjectReference> {
        [self.spec.secret_ref.as_ref(), self.spec.cert_secret_ref.as_ref()].into_iter().flatten().collect()
    }

    fn standing(status: &mut HelmRepositoryStatus) -> Standing<'_> {
        Standing {
            observed_generation: &mut status.observed_generation,
            conditions: &mut status.conditions,
            artifact: &mut status.artifact,
            last_handled_reconcile_at: &mut status.last_handled_reconcile_at,
            url: Some(&mut status.url),
        }
    }

    fn recall(&self, context: &Context) -> Option<Recalled> {
        let (stored, kept) = kept::recall(&context.sources.content, self, &self.spec.url)?;
        let digest = kept.revision.to_string();
        let artifact = Artifact { revision: kept.revision, tree: stored.tree, digest, origin: None };
        Some(Recalled { artifact, generation: kept.generation })
    }

    async fn fetch(&self, context: &Arc<Context>, known: Option<Artifact>) -> Result<Fetched, Failure> {
        let request = IndexFetch {
            owner: self.uid().unwrap_or_default(),
            repository: access::repository(self, context).await?,
            known: known.as_ref().map(|artifact| artifact.revision.clone()),
        };
        let (sources, content) = (&context.sources, &context.sources.content);
        let permit = sources.permits.acquire(&self.namespace().unwrap_or_default()).await;
        let fetched = sources.unless_called_off(request.fetch(content)).await;
        drop(permit);
        let artifact = match (fetched.ok_or_else(Failure::called_off)??, known) {
            (IndexFetched::Unchanged(_), Some(known)) => known,
            (IndexFetched::Unchanged(revision), None) => {
                let message = format!("the index {revision} is not in the store");
                return Err(Failure::new(Stage::Fetch, Reason::Failed, message));
            }
            (IndexFetched::New { revision, stored }, _) => {
                let (generation, place) = (self.metadata.generation, self.spec.url.clone());
                let kept = Kept { place, revision: revision.clone(), generation, digest: None, origin: None };
                kept::keep(content, self, &stored, kept).await;
                // As in Flux, it is the digest of what the server has sent.
                let digest = revision.to_string();
                Artifact { revision, tree: stored.tree, digest, origin: None }
            }
        };
        Ok(Fetched {
            artifact,
            included: Vec::new(),
            signature: Signature::NotAskedFor,
            metadata: BTreeMap::new(),
            chart: None,
        })
    }

    fn note(&self, _: &Fetched, _: Timestamp, _: &mut HelmRepositoryStatus) {}
}
