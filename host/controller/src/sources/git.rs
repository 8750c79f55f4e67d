//! `GitRepository`: a commit of a Git repository.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::ResourceExt as _;
use plumb_api::{GitProvider, GitRepository, GitRepositorySpec, GitRepositoryStatus, Reason, SourceKind};
use plumb_source::git::{self, Credentials, GitError, GitUrl, Selection, Snapshot};

use super::failure::Failure;
use super::{All, Fetch, Fetched, Schedule, Source, Sources, Standing, secrets};
use crate::artifacts::Artifact;
use crate::context::Context;

impl Source for GitRepository {
    const KIND: SourceKind = SourceKind::GitRepository;
    type Status = GitRepositoryStatus;

    fn all(sources: &Sources) -> &All<Self> {
        &sources.git_repositories
    }

    fn status(&self) -> Option<&GitRepositoryStatus> {
        self.status.as_ref()
    }
}

impl Fetch for GitRepository {
    fn schedule(&self) -> Schedule {
        Schedule { interval: self.spec.interval.to_std(), is_suspended: self.spec.suspend }
    }

    fn standing(status: &mut GitRepositoryStatus) -> Standing<'_> {
        Standing {
            observed_generation: &mut status.observed_generation,
            conditions: &mut status.conditions,
            artifact: &mut status.artifact,
            last_handled_reconcile_at: &mut status.last_handled_reconcile_at,
        }
    }

    fn recall(&self, context: &Context) -> Option<Artifact> {
        let (sources, url) = (&context.sources, &self.spec.url);
        let revision = sources.recall.revision(&self.uid().unwrap_or_default(), url)?;
        sources.git.snapshot(&GitUrl::parse(url).ok()?, &revision, &Selection::default()).map(artifact)
    }

    async fn fetch(&self, context: &Arc<Context>, known: Option<Artifact>) -> Result<Fetched, Failure> {
        let artifact = fetch(self, context, known).await?;
        Ok(Fetched { artifact, metadata: BTreeMap::new() })
    }

    fn note(&self, _: &Fetched, _: &mut GitRepositoryStatus) {}
}

async fn fetch(
    object: &GitRepository,
    context: &Arc<Context>,
    known: Option<Artifact>,
) -> Result<Artifact, Failure> {
    let spec = &object.spec;
    if let Some(field) = not_honoured(spec) {
        let message = format!(
            "{field} is not supported yet; remove it, or let Flux's source-controller reconcile this object"
        );
        return Err(Failure::stalled(Reason::UnsupportedField, message));
    }
    let reference =
        spec.reference().map_err(|error| Failure::stalled(Reason::GitOperationFailed, error.to_string()))?;
    let namespace = object.namespace().unwrap_or_default();
    let secret = spec.secret_ref.as_ref();
    let data = secrets::read(context, &namespace, secret, "spec.secretRef", "the credentials").await?;
    let url = GitUrl::parse(&spec.url).map_err(GitError::from)?;
    // A Secret can be mended without touching this object: it is looked at again.
    let credentials = Credentials::from_secret(&data, &url)
        .map_err(|error| Failure::new(Reason::AuthenticationFailed, error.to_string()))?;
    let request = git::Fetch {
        url,
        reference,
        credentials,
        timeout: spec.timeout(),
        selection: Selection::default(),
        known: known.as_ref().map(|artifact| git::Known {
            revision: artifact.revision.clone(),
            digest: artifact.digest.clone(),
        }),
    };
    let permit = context.sources.permits.clone().acquire_owned().await;
    let working = context.clone();
    let fetched = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        working.sources.git.fetch(&request, &working.sources.cancel)
    });
    let broke_down = |error| Failure::new(Reason::GitOperationFailed, format!("internal error: {error}"));
    match (fetched.await.map_err(broke_down)??, known) {
        (git::Fetched::Unchanged(_), Some(known)) => Ok(known),
        (git::Fetched::Unchanged(revision), None) => {
            let message = format!("the tree of {revision} is not in the store");
            Err(Failure::new(Reason::GitOperationFailed, message))
        }
        (git::Fetched::New(snapshot), _) => {
            let uid = object.uid().unwrap_or_default();
            context.sources.recall.remember(&uid, &spec.url, &snapshot.revision);
            Ok(artifact(snapshot))
        }
    }
}

fn artifact(snapshot: Snapshot) -> Artifact {
    let Snapshot { revision, tree, digest, .. } = snapshot;
    Artifact { revision, tree, digest }
}

/// The first field that asks for something that is not done yet. It is never silently ignored.
fn not_honoured(spec: &GitRepositorySpec) -> Option<&'static str> {
    let asked = [
        ("spec.provider", spec.provider() != GitProvider::Generic),
        ("spec.serviceAccountName", spec.service_account_name.is_some()),
        ("spec.verify", spec.verify.is_some()),
        ("spec.proxySecretRef", spec.proxy_secret_ref.is_some()),
        ("spec.ignore", spec.ignore.is_some()),
        ("spec.recurseSubmodules", spec.recurse_submodules),
        ("spec.include", !spec.include.is_empty()),
        ("spec.sparseCheckout", !spec.sparse_checkout.is_empty()),
    ];
    asked.into_iter().find_map(|(field, is_asked)| is_asked.then_some(field))
}

/// Deletes the objects of repositories that no GitRepository names any longer. Blocks on the disk.
pub(super) fn sweep(sources: &Sources) {
    let all = sources.git_repositories.store.state();
    let urls: Vec<GitUrl> = all.iter().filter_map(|object| GitUrl::parse(&object.spec.url).ok()).collect();
    if let Err(error) = sources.git.retain(&urls) {
        tracing::warn!(%error, "could not delete the objects of repositories that are no longer used");
    }
}
