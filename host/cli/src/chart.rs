//! The chart of a HelmRelease, put together on this machine from the same parts and by the same rules as a HelmChart.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use plumb_api::{ChartSourceKind, HelmChartTemplateSpec, HelmRelease, ReconcileStrategy};
use plumb_source::content::{ContentStore, Limits};
use plumb_source::helm::{
    Chart, HelmLimits, Package, Packaged, Remote, replacing_values, with_build_metadata,
};
use plumb_source::ignore::{self, Convention};
use plumb_tree::{Directory, EntryKind, Filter, Selected, Tree, TreeError, TreePath};
use tempfile::TempDir;

use crate::local::{Source, work_tree};

/// Where a chart is looked for.
pub(crate) struct Places<'a> {
    /// The chart itself, as a directory or an archive.
    pub(crate) chart: Option<&'a Path>,
    /// The root of the repository; without one, the work tree around this directory.
    pub(crate) root: Option<&'a Path>,
}

/// A chart in a directory of its own, which goes with it.
pub(crate) struct OwnChart {
    pub(crate) packaged: Packaged,
    _directory: TempDir,
}

impl Places<'_> {
    /// Puts the chart of a release together. `last` is the version of the chart of the newest revision.
    pub(crate) fn chart(&self, release: &HelmRelease, last: Option<&str>) -> anyhow::Result<OwnChart> {
        let directory = tempfile::tempdir().context("cannot make a directory for the chart")?;
        let store = ContentStore::open(directory.path(), Limits::default())?;
        let template = release.spec.chart.as_ref().map(|template| &template.spec);
        let chart = match self.chart {
            Some(path) => given(&store, path, self.root)?,
            None => Chart::of_tree(&store, self.files(template)?, path_of(template), HelmLimits::default())?,
        };
        let mut package = self.with_values(Package::new(chart), template)?.with_dependencies(&store)?;
        if let Some(version) = last.and_then(|last| build_of(package.version(), last, template)) {
            package = package.with_version(version);
        }
        if let Some(Remote { name, repository, .. }) = package.remotes().first() {
            bail!(
                "the dependency {name:?} of the chart {:?} comes from {repository}, which is not asked here: put it into charts/ with \
                 `helm dependency build`, or give a chart that has it with --chart PATH",
                package.name()
            );
        }
        Ok(OwnChart { packaged: package.store(&store)?, _directory: directory })
    }

    /// The files of the source of the chart.
    fn files(&self, template: Option<&HelmChartTemplateSpec>) -> anyhow::Result<Arc<dyn Tree>> {
        let Some(template) = template else {
            bail!("the chart comes from spec.chartRef, which is not asked here; give it with --chart PATH");
        };
        let convention = match template.source_ref.kind {
            ChartSourceKind::GitRepository => Convention::Repository,
            ChartSourceKind::Bucket => Convention::Bucket,
            ChartSourceKind::HelmRepository => bail!(
                "the chart {} comes from HelmRepository {}, which is not asked here; pull it, and give it with --chart PATH",
                template.chart,
                template.source_ref.name
            ),
        };
        let start = self.root.unwrap_or(Path::new("."));
        Ok(ignore::select(Source::open(start, self.root)?.tree, convention, None)?)
    }

    /// `valuesFiles` are in the chart where it comes from a HelmRepository, and anywhere in the source otherwise.
    fn with_values(
        &self,
        package: Package,
        template: Option<&HelmChartTemplateSpec>,
    ) -> anyhow::Result<Package> {
        let Some(template) = template else { return Ok(package) };
        let (files, ignores_missing) =
            (replacing_values(&template.values_files), template.ignore_missing_values_files);
        Ok(match template.source_ref.kind {
            _ if files.is_empty() => package,
            ChartSourceKind::HelmRepository => package.with_values_of_chart(files, ignores_missing)?,
            ChartSourceKind::GitRepository | ChartSourceKind::Bucket => {
                package.with_values_of_tree(self.files(Some(template))?, files, ignores_missing)?
            }
        })
    }
}

fn path_of(template: Option<&HelmChartTemplateSpec>) -> &str {
    template.map(|template| template.chart.as_str()).unwrap_or_default()
}

/// A chart that is named on the command line. What a directory needs may be beside it: in the root of the repository, or in the work tree
/// that holds it, or else in the directory above.
fn given(store: &ContentStore, path: &Path, root: Option<&Path>) -> anyhow::Result<Chart> {
    let path = path.canonicalize().with_context(|| format!("cannot open {}", path.display()))?;
    let failed = || format!("{} is not a chart that can be used", path.display());
    if path.is_file() {
        let archive = File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
        return Chart::unpack(store, archive, HelmLimits::default()).with_context(failed);
    }
    let root = root.and_then(|root| root.canonicalize().ok()).filter(|root| path.starts_with(root));
    let above = root.as_deref().or(work_tree(&path)).or(path.parent()).unwrap_or(&path);
    let inside = path.strip_prefix(above).unwrap_or(Path::new(""));
    let inside = inside.to_str().with_context(|| format!("{} is not UTF-8", inside.display()))?;
    let directory = Directory::open(above).with_context(|| format!("cannot open {}", above.display()))?;
    let tree = Arc::new(Selected::new(Arc::new(directory), WithoutGit));
    Chart::of_tree(store, tree, inside, HelmLimits::default()).with_context(failed)
}

/// What Git keeps in a work tree is no part of a chart.
#[derive(Debug)]
struct WithoutGit;

impl Filter for WithoutGit {
    fn shows(&self, _: &dyn Tree, path: &TreePath, _: EntryKind) -> Result<bool, TreeError> {
        Ok(path.parts().all(|part| part != ".git"))
    }
}

/// What the controller adds to a version tells builds of it apart: a commit, a generation, a digest. Which it will be is not known here: it
/// stays what it was, so that it is no difference, as long as the version is the same.
fn build_of(version: &str, last: &str, template: Option<&HelmChartTemplateSpec>) -> Option<String> {
    let is_added = template.is_none_or(|template| {
        template.reconcile_strategy == ReconcileStrategy::Revision
            || !replacing_values(&template.values_files).is_empty()
    });
    let (_, metadata) = last.split_once('+').filter(|_| is_added)?;
    let build = with_build_metadata(version, metadata).ok()?;
    (build == last && build != version).then_some(build)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case::the_same_version("1.2.3", "1.2.3+5", Some("1.2.3+5"))]
    #[case::a_short_one("v1.2", "1.2.0+5", Some("1.2.0+5"))]
    #[case::with_metadata_of_its_own("1.2.3+a", "1.2.3+5", Some("1.2.3+5"))]
    #[case::another_version("1.2.4", "1.2.3+5", None)]
    #[case::nothing_added("1.2.3", "1.2.3", None)]
    #[case::the_same_build("1.2.3+5", "1.2.3+5", None)]
    fn what_was_added_to_a_version_stays(
        #[case] version: &str,
        #[case] last: &str,
        #[case] expected: Option<&str>,
    ) {
        let template = |more: serde_json::Value| -> HelmChartTemplateSpec {
            let mut spec = json!({"chart": "web", "sourceRef": {"kind": "HelmRepository", "name": "charts"}});
            spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            serde_json::from_value(spec).unwrap()
        };
        let merged = template(json!({"valuesFiles": ["values.yaml", "prod.yaml"]}));
        let revised = template(json!({"reconcileStrategy": "Revision"}));
        for template in [None, Some(&merged), Some(&revised)] {
            assert_eq!(build_of(version, last, template).as_deref(), expected);
        }
        let plain = template(json!({}));
        assert_eq!(build_of(version, last, Some(&plain)), None, "nothing is added to it");
    }
}
