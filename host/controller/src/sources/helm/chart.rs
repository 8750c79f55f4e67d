//! `HelmChart`: a chart, as a tree that has its directory at the root.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt as _;
use plumb_api::{
    Artifact as ArtifactStatus, ChartSourceKind, HelmChart, HelmChartStatus, HelmRepository,
    LocalObjectReference, Reason, ReconcileStrategy, Revision, SourceKind,
};
use plumb_source::helm::{
    Chart, ChartError, HelmLimits, Package, Packaged, is_chart_name, replacing_values, with_build_metadata,
};

use super::chosen::{Chosen, blocking};
use crate::Key;
use crate::artifacts::Artifact;
use crate::context::Context;
use crate::sources::failure::{Failure, Stage};
use crate::sources::kept::{self, Kept};
use crate::sources::{
    All, Fetch, Fetched, Recalled, Schedule, Signature, Source, SourceId, Sources, Standing, artifact_of,
};

/// How many hexadecimal digits of a revision become part of a version, as in Flux: a label has 63 characters.
const REVISION_DIGITS: usize = 12;

/// What the status tells of a chart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ChartFetched {
    /// The revision of the source that it was taken from.
    source_revision: Option<String>,
    /// The name that it has.
    name: String,
    /// Its version.
    version: String,
    /// The files that its values were put together from.
    values_files: Vec<String>,
    /// Whether it is another one than that of the repository.
    is_packaged: bool,
}

impl ChartFetched {
    /// What the conditions and the event say, as in Flux.
    pub(crate) fn told(&self) -> (Reason, String) {
        let Self { name, version, values_files, .. } = self;
        let (reason, action) = match self.is_packaged {
            true => (Reason::ChartPackageSucceeded, "packaged"),
            false => (Reason::ChartPullSucceeded, "pulled"),
        };
        let values = match values_files.as_slice() {
            [] => String::new(),
            files => format!(" and merged values files [{}]", files.join(" ")),
        };
        (reason, format!("{action} '{name}' chart with version '{version}'{values}"))
    }
}

impl Source for HelmChart {
    const KIND: SourceKind = SourceKind::HelmChart;
    type Status = HelmChartStatus;

    fn all(sources: &Sources) -> &All<Self> {
        &sources.helm_charts
    }

    fn status(&self) -> Option<&HelmChartStatus> {
        self.status.as_ref()
    }

    fn published(&self) -> Option<&ArtifactStatus> {
        self.status.as_ref()?.artifact.as_ref()
    }
}

impl Fetch for HelmChart {
    fn schedule(&self) -> Schedule {
        Schedule { interval: self.spec.interval.to_std(), is_suspended: self.spec.suspend }
    }

    fn secrets(&self) -> Vec<&LocalObjectReference> {
        let verify = self.spec.verify.as_ref();
        let named = [
            verify.and_then(|verify| verify.secret_ref.as_ref()),
            verify.and_then(|verify| verify.trusted_root_secret_ref.as_ref()),
        ];
        named.into_iter().flatten().collect()
    }

    fn standing(status: &mut HelmChartStatus) -> Standing<'_> {
        Standing {
            observed_generation: &mut status.observed_generation,
            conditions: &mut status.conditions,
            artifact: &mut status.artifact,
            last_handled_reconcile_at: &mut status.last_handled_reconcile_at,
            url: Some(&mut status.url),
        }
    }

    fn recall(&self, context: &Context) -> Option<Recalled> {
        // Whose signature is good may have changed meanwhile.
        if self.spec.verify.is_some() {
            return None;
        }
        let (stored, kept) = kept::recall(&context.sources.content, self, &place(self))?;
        let artifact =
            Artifact { revision: kept.revision, tree: stored.tree, digest: stored.digest, origin: None };
        Some(Recalled { artifact, generation: kept.generation })
    }

    async fn fetch(&self, context: &Arc<Context>, known: Option<Artifact>) -> Result<Fetched, Failure> {
        match self.spec.source_ref.kind {
            ChartSourceKind::HelmRepository => Box::pin(of_repository(self, context, known)).await,
            ChartSourceKind::GitRepository | ChartSourceKind::Bucket => {
                Box::pin(of_files(self, context, known)).await
            }
        }
    }

    fn note(&self, fetched: &Fetched, _: Timestamp, status: &mut HelmChartStatus) {
        let Some(chart) = &fetched.chart else { return };
        status.observed_source_artifact_revision = chart.source_revision.clone();
        status.observed_chart_name = Some(chart.name.clone());
        status.observed_values_files = match self.spec.ignore_missing_values_files {
            true => chart.values_files.clone(),
            false => Vec::new(),
        };
    }
}

/// Has every HelmChart looked at that is taken from the source.
pub(in crate::sources) fn wake_users_of(sources: &Sources, source: &SourceId) {
    for object in sources.helm_charts.store.state() {
        if source_of(&object) == *source {
            sources.helm_charts.wakes.wake(Key::of(object.as_ref()));
        }
    }
}

fn source_of(object: &HelmChart) -> SourceId {
    let reference = &object.spec.source_ref;
    let key = Key { namespace: object.namespace().unwrap_or_default(), name: reference.name.clone() };
    SourceId { kind: reference.kind.into(), key }
}

/// Where the chart comes from.
fn place(object: &HelmChart) -> String {
    let spec = &object.spec;
    format!("{} {} {}", SourceKind::from(spec.source_ref.kind), spec.source_ref.name, spec.chart)
}

/// What tells builds of one version apart: the revision of the source where it is asked for, and the generation of the object where values are its own.
fn build_metadata(object: &HelmChart, source: Option<&Revision>) -> Option<String> {
    let revision = source.filter(|_| object.spec.reconcile_strategy == ReconcileStrategy::Revision);
    let revision = revision.map(|revision| {
        let hex = revision.hex();
        hex.get(..REVISION_DIGITS).unwrap_or(hex).to_owned()
    });
    let generation = (!replacing_values(&object.spec.values_files).is_empty())
        .then(|| object.metadata.generation.unwrap_or_default().to_string());
    let parts: Vec<String> = [revision, generation].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join("."))
}

async fn of_repository(
    object: &HelmChart,
    context: &Arc<Context>,
    known: Option<Artifact>,
) -> Result<Fetched, Failure> {
    let spec = &object.spec;
    if !is_chart_name(&spec.chart) {
        return Err(ChartError::InvalidName(spec.chart.clone()).into());
    }
    let source = source_of(object);
    let repository: Arc<HelmRepository> =
        context.sources.helm_repositories.get(&source.key).ok_or_else(|| unavailable(&source))?;
    let chosen = Chosen::of(context, &repository, &spec.chart, &spec.version, spec.verify.as_ref()).await?;
    let files = replacing_values(&spec.values_files).to_vec();
    let metadata = build_metadata(object, None);
    let version = match &metadata {
        Some(metadata) => with_build_metadata(&chosen.version, metadata)?,
        None => chosen.version.clone(),
    };
    let told = ChartFetched {
        source_revision: chosen.source_revision.clone(),
        name: spec.chart.clone(),
        version: version.clone(),
        values_files: files.clone(),
        is_packaged: !files.is_empty(),
    };
    if let Some(known) = known.filter(|known| known.revision.to_string() == version) {
        return Ok(unchanged(object, known, told));
    }
    let digest = chosen.digest.clone();
    let namespace = &source.key.namespace;
    let chart = chosen.pull(context, namespace).await?;
    let (content, ignores_missing) = (context.sources.content.clone(), spec.ignore_missing_values_files);
    let changed = metadata.is_some().then_some(version);
    let packaged = blocking(move || {
        let mut package = Package::new(chart);
        if let Some(version) = changed {
            package = package.with_version(version);
        }
        if !files.is_empty() {
            package = package.with_values_of_chart(&files, ignores_missing)?;
        }
        package.store(&content)
    });
    let packaged = packaged.await?;
    let told = ChartFetched { values_files: packaged.values_files.clone(), ..told };
    made(object, context, packaged, told, digest).await
}

async fn of_files(
    object: &HelmChart,
    context: &Arc<Context>,
    known: Option<Artifact>,
) -> Result<Fetched, Failure> {
    let (spec, source) = (&object.spec, source_of(object));
    let files = match spec.source_ref.kind {
        ChartSourceKind::Bucket => {
            files_of(context, context.sources.buckets.get(&source.key), &source).await?
        }
        _ => files_of(context, context.sources.git_repositories.get(&source.key), &source).await?,
    };
    let (content, tree, path) = (context.sources.content.clone(), files.tree.clone(), spec.chart.clone());
    let chart = blocking(move || Chart::of_tree(&content, tree, &path, HelmLimits::default())).await?;
    let version = match build_metadata(object, Some(&files.revision)) {
        Some(metadata) => Some(with_build_metadata(&chart.metadata().version, &metadata)?),
        None => None,
    };
    let mut package = Package::new(chart);
    if let Some(version) = version {
        package = package.with_version(version);
    }
    let values = replacing_values(&spec.values_files).to_vec();
    let told = ChartFetched {
        source_revision: Some(files.revision.to_string()),
        name: package.name().to_owned(),
        version: package.version().to_owned(),
        values_files: values.clone(),
        is_packaged: package.is_changed() || !values.is_empty(),
    };
    let is_known = |known: &Artifact| {
        known.revision.to_string() == told.version
            && Packaged::directory(known.tree.as_ref()).as_ref() == Some(&told.name)
    };
    if let Some(known) = known.filter(is_known) {
        return Ok(unchanged(object, known, told));
    }
    let (content, ignores_missing) = (context.sources.content.clone(), spec.ignore_missing_values_files);
    let tree = files.tree.clone();
    let prepared = blocking(move || {
        if !values.is_empty() {
            package = package.with_values_of_tree(tree, &values, ignores_missing)?;
        }
        package.with_dependencies(&content)
    });
    let mut package = prepared.await?;
    for remote in package.remotes().to_vec() {
        let failed = |failure: Failure| Failure {
            stage: Stage::Build,
            reason: Reason::DependencyBuildError,
            message: format!(
                "the dependency {:?} of the chart cannot be had: {}",
                remote.name, failure.message
            ),
            stalled: false,
        };
        let owner = object.uid().unwrap_or_default();
        let namespace = &source.key.namespace;
        let chosen = Chosen::of_remote(context, namespace, &owner, &remote).await.map_err(failed)?;
        let chart = chosen.pull(context, namespace).await.map_err(failed)?;
        package = package.with_remote(&remote, chart)?;
    }
    let content = context.sources.content.clone();
    let packaged = blocking(move || package.store(&content)).await?;
    let told = ChartFetched { values_files: packaged.values_files.clone(), ..told };
    made(object, context, packaged, told, None).await
}

/// The files of a source.
async fn files_of<K: Fetch>(
    context: &Arc<Context>,
    object: Option<Arc<K>>,
    source: &SourceId,
) -> Result<Artifact, Failure> {
    let object = object.ok_or_else(|| unavailable(source))?;
    artifact_of(context, &object).await.ok_or_else(|| {
        let message = format!("no artifact available for {source}");
        Failure::new(Stage::Fetch, Reason::NoSourceArtifact, message)
    })
}

fn unavailable(source: &SourceId) -> Failure {
    let message = format!("failed to get source: {source} does not exist");
    Failure::new(Stage::Fetch, Reason::SourceUnavailable, message)
}

/// The version is the one that was fetched before.
fn unchanged(object: &HelmChart, known: Artifact, told: ChartFetched) -> Fetched {
    let before = object.status.as_ref().map(|status| status.observed_values_files.clone());
    let told = match before {
        Some(values_files) if object.spec.ignore_missing_values_files => {
            ChartFetched { values_files, ..told }
        }
        _ => told,
    };
    let signature = signature(object, Signature::AsBefore);
    Fetched { artifact: known, included: Vec::new(), signature, metadata: BTreeMap::new(), chart: Some(told) }
}

/// It is another one, and is kept for the next start.
async fn made(
    object: &HelmChart,
    context: &Context,
    packaged: Packaged,
    told: ChartFetched,
    digest: Option<String>,
) -> Result<Fetched, Failure> {
    let revision = Revision::version(&told.version)
        .map_err(|error| Failure::new(Stage::Build, Reason::ChartPackageError, error.to_string()))?;
    let (generation, place) = (object.metadata.generation, place(object));
    let kept = Kept { place, revision: revision.clone(), generation, digest: None, origin: None };
    kept::keep(&context.sources.content, object, &packaged.stored, kept).await;
    let Packaged { stored, name, app_version, .. } = packaged;
    let known = [
        ("name", Some(name)),
        ("version", Some(told.version.clone())),
        ("appVersion", app_version),
        ("digest", digest),
    ];
    let metadata = known.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect();
    let signature =
        signature(object, Signature::Good(format!("verified signature of version {}", told.version)));
    let artifact = Artifact { revision, tree: stored.tree, digest: stored.digest, origin: None };
    Ok(Fetched { artifact, included: Vec::new(), signature, metadata, chart: Some(told) })
}

fn signature(object: &HelmChart, known: Signature) -> Signature {
    if object.spec.verify.is_some() { known } else { Signature::NotAskedFor }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn chart(strategy: &str, values_files: &[&str]) -> HelmChart {
        serde_json::from_value(json!({
            "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "HelmChart",
            "metadata": {"name": "web", "namespace": "apps", "generation": 4},
            "spec": {
                "chart": "web", "interval": "1m", "reconcileStrategy": strategy, "valuesFiles": values_files,
                "sourceRef": {"kind": "GitRepository", "name": "apps"},
            },
        }))
        .unwrap()
    }

    #[rstest]
    #[case("ChartVersion", &[], None)]
    #[case("ChartVersion", &["values.yaml"], None)]
    #[case("ChartVersion", &["a.yaml"], Some("4"))]
    #[case("ChartVersion", &["values.yaml", "a.yaml"], Some("4"))]
    #[case("Revision", &[], Some("05074534925b"))]
    #[case("Revision", &["a.yaml"], Some("05074534925b.4"))]
    fn builds_of_a_version_are_told_apart_as_in_flux(
        #[case] strategy: &str,
        #[case] values_files: &[&str],
        #[case] expected: Option<&str>,
    ) {
        let revision = Revision::git(Some("main"), "05074534925bc8baf6d5d6fc2935e5abdeb27b76");
        let found = build_metadata(&chart(strategy, values_files), Some(&revision));
        assert_eq!(found.as_deref(), expected);
    }

    #[rstest]
    #[case(&[], false, Reason::ChartPullSucceeded, "pulled 'web' chart with version '1.2.3'")]
    #[case(&["a.yaml", "b.yaml"], true, Reason::ChartPackageSucceeded, "packaged 'web' chart with version '1.2.3' and merged values files [a.yaml b.yaml]")]
    fn it_is_told_in_the_words_of_flux(
        #[case] files: &[&str],
        #[case] is_packaged: bool,
        #[case] reason: Reason,
        #[case] message: &str,
    ) {
        let told = ChartFetched {
            source_revision: None,
            name: "web".to_owned(),
            version: "1.2.3".to_owned(),
            values_files: files.iter().map(|file| (*file).to_owned()).collect(),
            is_packaged,
        };
        assert_eq!(told.told(), (reason, message.to_owned()));
    }
}
