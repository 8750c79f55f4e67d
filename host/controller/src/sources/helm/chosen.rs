//! A version of a chart that was chosen, and how it is had.

use std::sync::Arc;

use plumb_api::{
    HelmRepository, HelmRepositoryType, OciLayerSelector, OciReference, OciRepositoryVerification, Reason,
    SourceKind,
};
use plumb_source::content::{ContentError, ContentStore};
use plumb_source::git::verify::TrustedKeys;
use plumb_source::helm::{
    CHART_MEDIA_TYPE, Chart, ChartError, ChartFetch, ChartVersion, HelmLimits, Index, IndexFetch,
    IndexFetched, Remote, chart_reference, version_of_tag,
};
use plumb_source::oci::{OciError, OciFetch, OciFetched, OciUrl, Verification};
use plumb_tree::Tree;

use super::access;
use super::failure::{not_pulled, not_pulled_from_registry};
use crate::Key;
use crate::context::Context;
use crate::sources::failure::{Failure, Stage};
use crate::sources::{SourceId, artifact_of, oci, secrets};

/// A version of a chart that was chosen.
pub(super) struct Chosen {
    /// The version.
    pub(super) version: String,
    /// What identifies the archive, or the manifest, where that is known.
    pub(super) digest: Option<String>,
    /// The revision of the index that it was chosen from; a registry has none.
    pub(super) source_revision: Option<String>,
    from: From,
}

/// Where it is.
enum From {
    Repository { repository: ChartFetch, chart: String, version: ChartVersion },
    Registry(OciFetch),
}

impl Chosen {
    /// Chooses a version of a chart of a HelmRepository.
    pub(super) async fn of(
        context: &Arc<Context>,
        repository: &Arc<HelmRepository>,
        chart: &str,
        range: &str,
        verify: Option<&OciRepositoryVerification>,
    ) -> Result<Self, Failure> {
        let key = Key::of(repository.as_ref());
        if repository.spec.kind() == HelmRepositoryType::Oci {
            let url = chart_url(&repository.spec.url, chart)?;
            let mut fetch = access::registry(repository, url, context).await?;
            if let Some(verify) = verify {
                fetch.verifications = vec![verification(verify, &key.namespace, context).await?];
            }
            return of_registry(context, fetch, range).await;
        }
        let source = SourceId { kind: SourceKind::HelmRepository, key };
        let Some(index) = artifact_of(context, repository).await else {
            let why = match context.fetches(SourceKind::HelmRepository) {
                true => "",
                false => {
                    "; HelmCharts and the HelmRepositories that they name have to be reconciled by the same controller"
                }
            };
            let message = format!("no artifact available for {source}{why}");
            return Err(Failure::new(Stage::Fetch, Reason::NoSourceArtifact, message));
        };
        let mut repository = access::repository(repository, context).await?;
        if let Some(verify) = verify {
            repository.signers = Some(signers(verify, &source.key.namespace, context).await?);
        }
        let chosen = of_index(context, repository, index.tree, chart, range).await?;
        Ok(Self { source_revision: Some(index.revision.to_string()), ..chosen })
    }

    /// Chooses a version of what another chart needs: from the HelmRepository of the namespace that has its URL, or else from whoever is there.
    pub(super) async fn of_remote(
        context: &Arc<Context>,
        namespace: &str,
        owner: &str,
        remote: &Remote,
    ) -> Result<Self, Failure> {
        let Remote { name, version, repository } = remote;
        let is_it = |object: &&Arc<HelmRepository>| {
            object.metadata.namespace.as_deref() == Some(namespace)
                && normal(&object.spec.url) == normal(repository)
        };
        if let Some(object) = context.sources.helm_repositories.store.state().iter().find(is_it) {
            return Self::of(context, object, name, version, None).await;
        }
        if repository.starts_with("oci://") {
            let url = chart_url(repository, name)?;
            let fetch = access::anonymous_registry(namespace, url, context).await?;
            return of_registry(context, fetch, version).await;
        }
        let repository = access::anonymous(repository, context);
        let owner = format!("{owner} needs");
        let fetch = IndexFetch { owner, repository: repository.clone(), known: None };
        let fetching = context.sources.unless_called_off(fetch.fetch(&context.sources.content)).await;
        match fetching.ok_or_else(Failure::called_off)?.map_err(not_pulled)? {
            IndexFetched::New { stored, .. } => {
                of_index(context, repository, stored.tree, name, version).await
            }
            IndexFetched::Unchanged(revision) => {
                let message = format!("the index {revision} is not in the store");
                Err(Failure::new(Stage::Fetch, Reason::ChartPullError, message))
            }
        }
    }

    /// Downloads and unpacks it.
    pub(super) async fn pull(self, context: &Arc<Context>, namespace: &str) -> Result<Chart, Failure> {
        let (sources, content) = (&context.sources, &context.sources.content);
        let permit = sources.permits.acquire(namespace).await;
        let limits = HelmLimits::default();
        let pulled = match self.from {
            From::Repository { repository, chart, version } => {
                let fetching = sources.unless_called_off(repository.fetch(&chart, &version, content)).await;
                let received = fetching.ok_or_else(Failure::called_off)?.map_err(not_pulled)?;
                let content = Arc::clone(content);
                blocking(move || Chart::unpack(&content, received.open()?, limits)).await
            }
            From::Registry(fetch) => {
                let content: Arc<ContentStore> = Arc::new(content.with_limits(limits.chart));
                let fetching = sources.unless_called_off(fetch.run(&content)).await;
                match fetching.ok_or_else(Failure::called_off)?.map_err(not_pulled_from_registry)? {
                    OciFetched::New(artifact) => {
                        blocking(move || Chart::of_archive(artifact.stored.tree, limits)).await
                    }
                    OciFetched::Unchanged => Err(Failure::new(
                        Stage::Fetch,
                        Reason::ChartPullError,
                        "the chart is not in the store",
                    )),
                }
            }
        };
        drop(permit);
        pulled
    }
}

async fn of_index(
    context: &Arc<Context>,
    repository: ChartFetch,
    tree: Arc<dyn Tree>,
    chart: &str,
    range: &str,
) -> Result<Chosen, Failure> {
    let (content, url) = (Arc::clone(&context.sources.content), repository.url.clone());
    let (name, range) = (chart.to_owned(), range.to_owned());
    let version = blocking(move || Index::open(&content, tree.as_ref(), &url)?.find(&name, &range)).await?;
    Ok(Chosen {
        version: version.version.clone(),
        digest: version.digest.clone(),
        source_revision: None,
        from: From::Repository { repository, chart: chart.to_owned(), version },
    })
}

async fn of_registry(context: &Arc<Context>, fetch: OciFetch, range: &str) -> Result<Chosen, Failure> {
    let layer = OciLayerSelector { media_type: Some(CHART_MEDIA_TYPE.to_owned()), operation: None };
    let mut fetch = OciFetch { layer, reference: chart_reference(range)?, known: None, ..fetch };
    let resolving = context.sources.unless_called_off(fetch.resolve()).await;
    let resolved = resolving.ok_or_else(Failure::called_off)?.map_err(not_pulled_from_registry)?;
    let tag = resolved.revision.split('@').next().unwrap_or_default();
    let version = version_of_tag(tag).ok_or_else(|| {
        let message = format!("the tag {tag:?} of {} is not the version of a chart", fetch.url);
        Failure::new(Stage::Fetch, Reason::InvalidChartReference, message)
    })?;
    // What is pulled is what was chosen, wherever the tag leads meanwhile.
    fetch.reference = OciReference::Digest(resolved.digest.to_string());
    Ok(Chosen {
        version,
        digest: Some(resolved.digest.to_string()),
        source_revision: None,
        from: From::Registry(fetch),
    })
}

fn chart_url(repository: &str, chart: &str) -> Result<OciUrl, Failure> {
    let url = format!("{}/{chart}", repository.trim_end_matches('/'));
    Ok(OciUrl::parse(&url).map_err(OciError::from)?)
}

async fn verification(
    verify: &OciRepositoryVerification,
    namespace: &str,
    context: &Context,
) -> Result<Verification, Failure> {
    let verification = oci::verification(verify, namespace, context).await;
    verification.map_err(|failure| Failure { reason: Reason::ChartVerificationError, ..failure })
}

/// Whose provenance file a chart of a repository with an index must have. The definition has no provider for that; charts of an index have no other signatures.
async fn signers(
    verify: &OciRepositoryVerification,
    namespace: &str,
    context: &Context,
) -> Result<TrustedKeys, Failure> {
    let failed = |message: String| Failure::new(Stage::Verify, Reason::ChartVerificationError, message);
    if verify.secret_ref.is_none() || !verify.match_oidc_identity.is_empty() {
        let message = "charts of a repository with an index are verified by their provenance files: spec.verify.secretRef has to name \
                       the Secret with the PGP keys of those who may sign, and spec.verify.matchOIDCIdentity is for registries";
        return Err(Failure::stalled(Stage::Verify, Reason::UnsupportedField, message));
    }
    let data = secrets::find(context, namespace, verify.secret_ref.as_ref(), &secrets::SIGNERS).await;
    let data = data.map_err(|failure| failed(failure.message))?.unwrap_or_default();
    TrustedKeys::from_secret(&data).map_err(|error| failed(error.to_string()))
}

/// URLs that differ in a slash at the end are the same, as in Flux.
fn normal(url: &str) -> &str {
    url.trim_end_matches('/')
}

/// Does what blocks on the disk where that is allowed.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ChartError> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Ok(done?),
        // It panicked, or the runtime ends.
        Err(error) => Err(ChartError::from(ContentError::Store(error.to_string())).into()),
    }
}
