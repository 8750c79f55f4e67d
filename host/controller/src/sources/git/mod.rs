//! `GitRepository`: a commit of a Git repository.

mod identity;
pub(super) mod include;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt as _;
use plumb_api::{
    Artifact as ArtifactStatus, GitRepository, GitRepositorySpec, GitRepositoryStatus, GitVerificationMode,
    LocalObjectReference, Reason, SourceKind,
};
use plumb_source::git::verify::{TrustedKeys, Verified, Verify};
use plumb_source::git::{self, Credentials, GitError, GitUrl, Known, Selection, Snapshot, Submodules};

use super::failure::{Failure, Stage};
use super::report::published;
use super::{All, Fetch, Fetched, Recalled, Schedule, Signature, Source, Sources, Standing, secrets};
use crate::artifacts::Artifact;
use crate::context::Context;
use include::Included;

impl Source for GitRepository {
    const KIND: SourceKind = SourceKind::GitRepository;
    type Status = GitRepositoryStatus;

    fn all(sources: &Sources) -> &All<Self> {
        &sources.git_repositories
    }

    fn status(&self) -> Option<&GitRepositoryStatus> {
        self.status.as_ref()
    }

    fn published(&self) -> Option<&ArtifactStatus> {
        self.status.as_ref()?.artifact.as_ref()
    }
}

impl Fetch for GitRepository {
    fn schedule(&self) -> Schedule {
        Schedule { interval: self.spec.interval.to_std(), is_suspended: self.spec.suspend }
    }

    fn lint(&self) -> Vec<plumb_lint::Finding> {
        plumb_lint::lint_git_repository(self)
    }

    fn secrets(&self) -> Vec<&LocalObjectReference> {
        let spec = &self.spec;
        let signers = spec.verify.as_ref().map(|verify| &verify.secret_ref);
        [spec.secret_ref.as_ref(), spec.proxy_secret_ref.as_ref(), signers].into_iter().flatten().collect()
    }

    fn standing(status: &mut GitRepositoryStatus) -> Standing<'_> {
        Standing {
            observed_generation: &mut status.observed_generation,
            conditions: &mut status.conditions,
            artifact: &mut status.artifact,
            last_handled_reconcile_at: &mut status.last_handled_reconcile_at,
            url: None,
        }
    }

    fn recall(&self, context: &Context) -> Option<Recalled> {
        // Whose signature is good may have changed meanwhile, and so may what was asked for when it was fetched.
        if self.spec.verify.is_some() {
            return None;
        }
        let (sources, url) = (&context.sources, &self.spec.url);
        let revision = sources.recall.revision(&self.uid().unwrap_or_default(), url)?;
        let selection = selection(&self.spec, &include::find(self, context).ok()?);
        let snapshot = sources.git.snapshot(&GitUrl::parse(url).ok()?, &revision, &selection)?;
        Some(Recalled { artifact: artifact(snapshot), generation: None })
    }

    async fn fetch(&self, context: &Arc<Context>, known: Option<Artifact>) -> Result<Fetched, Failure> {
        let included = include::find(self, context)?;
        let request = request(self, context, selection(&self.spec, &included), known.as_ref()).await?;
        let (artifact, signature) =
            fetch(request, context, &self.namespace().unwrap_or_default(), known).await?;
        let uid = self.uid().unwrap_or_default();
        context.sources.recall.remember(&uid, &self.spec.url, &artifact.revision);
        Ok(Fetched { artifact, included, signature, metadata: BTreeMap::new(), chart: None })
    }

    fn note(&self, fetched: &Fetched, now: Timestamp, status: &mut GitRepositoryStatus) {
        let spec = &self.spec;
        status.observed_ignore = spec.ignore.clone();
        status.observed_recurse_submodules = spec.recurse_submodules;
        status.observed_include = spec.include.clone();
        status.observed_sparse_checkout = spec.sparse_checkout.clone();
        status.source_verification_mode = spec.verify.as_ref().map(|verify| match verify.mode {
            GitVerificationMode::LegacyHead => GitVerificationMode::Head,
            mode => mode,
        });
        let before = std::mem::take(&mut status.included_artifacts);
        let included = fetched.included.iter().map(|included| {
            let now = published(&included.source, &included.artifact, BTreeMap::new(), now);
            let same = before.iter().find(|old| (&old.path, &old.digest) == (&now.path, &now.digest));
            same.cloned().unwrap_or(now)
        });
        status.included_artifacts = included.collect();
    }
}

/// What is to be seen of the commit, and besides it.
fn selection(spec: &GitRepositorySpec, included: &[Included]) -> Selection {
    Selection {
        submodules: if spec.recurse_submodules { Submodules::Recurse } else { Submodules::Opaque },
        sparse_checkout: spec.sparse_checkout.clone(),
        include: included.iter().map(Included::selection).collect(),
        ignore: spec.ignore.clone(),
    }
}

/// What the store is asked for, with all that the Secrets hold.
async fn request(
    object: &GitRepository,
    context: &Context,
    selection: Selection,
    known: Option<&Artifact>,
) -> Result<git::Fetch, Failure> {
    let spec = &object.spec;
    let stalled = |message| Failure::stalled(Stage::Fetch, Reason::GitOperationFailed, message);
    let reference = spec.reference().map_err(|error| stalled(error.to_string()))?;
    let url = GitUrl::parse(&spec.url).map_err(GitError::from)?;
    let namespace = object.namespace().unwrap_or_default();
    let data = secrets::find(context, &namespace, spec.secret_ref.as_ref(), &secrets::CREDENTIALS).await?;
    let data = data.unwrap_or_default();
    let mut credentials = Credentials::from_secret(&data, &url).map_err(|error| secrets::unusable(&error))?;
    credentials.transport.proxy = secrets::proxy(context, &namespace, spec.proxy_secret_ref.as_ref()).await?;
    credentials.transport.addresses = context.config.addresses.clone();
    if let Some(login) = identity::login(object, &url, &data, &credentials.transport, context).await? {
        credentials.login = login;
    }
    let known =
        known.map(|artifact| Known { revision: artifact.revision.clone(), digest: artifact.digest.clone() });
    let timeout = spec.timeout().min(context.config.longest_fetch);
    let verify = verification(object, context).await?;
    Ok(git::Fetch { url, reference, credentials, timeout, verify, selection, known })
}

/// The commit that is asked for. The store says when it is the one that is `known`.
async fn fetch(
    request: git::Fetch,
    context: &Arc<Context>,
    namespace: &str,
    known: Option<Artifact>,
) -> Result<(Artifact, Signature), Failure> {
    let verifies = request.verify.is_some();
    let permit = context.sources.permits.acquire(namespace).await;
    let working = context.clone();
    let fetched = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        working.sources.git.fetch(&request, &working.sources.cancel)
    });
    let failed = |message| Failure::new(Stage::Fetch, Reason::GitOperationFailed, message);
    match (fetched.await.map_err(|error| failed(format!("internal error: {error}")))??, known) {
        (git::Fetched::New(snapshot), _) if verifies => {
            let good = good(&snapshot.verified);
            Ok((artifact(snapshot), good))
        }
        (git::Fetched::New(snapshot), _) => Ok((artifact(snapshot), Signature::NotAskedFor)),
        (git::Fetched::Unchanged(_), Some(known)) if verifies => Ok((known, Signature::AsBefore)),
        (git::Fetched::Unchanged(_), Some(known)) => Ok((known, Signature::NotAskedFor)),
        (git::Fetched::Unchanged(revision), None) => {
            Err(failed(format!("the tree of {revision} is not in the store")))
        }
    }
}

/// Whose signatures there are, in Flux's words.
fn good(verified: &[Verified]) -> Signature {
    let signed: String = verified.iter().map(|verified| format!("\n\t- {verified}")).collect();
    Signature::Good(format!("verified signature of{signed}"))
}

/// Whose signature the commit must carry, or the tag.
async fn verification(object: &GitRepository, context: &Context) -> Result<Option<Verify>, Failure> {
    let Some(verify) = &object.spec.verify else { return Ok(None) };
    let namespace = object.namespace().unwrap_or_default();
    let failed = |message| Failure::new(Stage::Verify, Reason::VerificationError, message);
    let data = secrets::read(context, &namespace, &verify.secret_ref.name, &secrets::SIGNERS).await;
    let data = data.map_err(|failure| failed(failure.message))?;
    // A Secret can be mended without touching this object: it is looked at again.
    let keys = TrustedKeys::from_secret(&data).map_err(|error| failed(error.to_string()))?;
    Ok(Some(Verify { mode: verify.mode, keys }))
}

fn artifact(snapshot: Snapshot) -> Artifact {
    let Snapshot { revision, tree, digest, .. } = snapshot;
    Artifact { revision, tree, digest, origin: None }
}

/// Deletes the objects of repositories that no GitRepository names any longer. Blocks on the disk.
pub(super) fn sweep(sources: &Sources) {
    let all = sources.git_repositories.store.state();
    let urls: Vec<GitUrl> = all.iter().filter_map(|object| GitUrl::parse(&object.spec.url).ok()).collect();
    if let Err(error) = sources.git.retain(&urls) {
        tracing::warn!(%error, "could not delete the objects of repositories that are no longer used");
    }
}
