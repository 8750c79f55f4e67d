//! What a chart in a directory needs and does not have in `charts/`.

use std::collections::BTreeSet;

use plumb_tree::{NodeKind, TreeError, TreePath};

use crate::content::ContentStore;
use crate::helm::metadata::Dependency;
use crate::helm::{Chart, ChartError};
use crate::versions::{Range, loose_version};

/// Charts in `charts/` and beside the chart that are looked at.
const MOST: usize = 200;

/// A chart of a repository that another chart needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// Its name.
    pub name: String,
    /// The range of its version.
    pub version: String,
    /// The repository: `https://…`, or `oci://…`.
    pub repository: String,
}

/// What is missing.
#[derive(Debug, Default)]
pub(crate) struct Missing {
    /// Found in the same tree.
    pub(crate) local: Vec<Chart>,
    /// To be downloaded.
    pub(crate) remote: Vec<Remote>,
}

/// Looks for what a chart needs: in its `charts/`, then where `file://` says. Blocks on the disk.
pub(crate) fn missing(store: &ContentStore, chart: &Chart) -> Result<Missing, ChartError> {
    let needed = chart.dependencies()?;
    if needed.len() > MOST {
        let reason = format!("there are more than {MOST} dependencies");
        return Err(ChartError::Dependency { name: chart.metadata.name.clone(), reason });
    }
    let mut there = if needed.is_empty() { BTreeSet::new() } else { vendored(store, chart)? };
    let mut missing = Missing::default();
    for dependency in needed {
        // One that is needed under two names is needed once.
        if !there.insert(dependency.name.clone()) {
            continue;
        }
        let failed = |reason: String| ChartError::Dependency { name: dependency.name.clone(), reason };
        let repository = dependency.repository.clone().unwrap_or_default();
        match repository.split_once("://") {
            Some(("file", path)) => missing.local.push(beside(store, chart, &dependency, path)?),
            Some(("http" | "https" | "oci", _)) => missing.remote.push(Remote {
                name: dependency.name.clone(),
                version: dependency.version.clone(),
                repository,
            }),
            _ if repository.is_empty() => {
                return Err(failed("it is not in charts/, and names no repository; add it there".to_owned()));
            }
            _ => {
                let reason = format!(
                    "its repository {repository:?} is not a URL that begins with file://, https://, http:// or oci://; names of \
                     repositories are known to the helm command only"
                );
                return Err(failed(reason));
            }
        }
    }
    Ok(missing)
}

/// The names of the charts in `charts/`.
fn vendored(store: &ContentStore, chart: &Chart) -> Result<BTreeSet<String>, ChartError> {
    let (view, charts) = (chart.view(), format!("{}/charts", chart.directory));
    let entries = match view.list(&charts) {
        Err(TreeError::NotFound(_) | TreeError::NotADirectory(_)) => return Ok(BTreeSet::new()),
        entries => entries?,
    };
    let mut names = BTreeSet::new();
    // As Helm does, what begins with a dot or an underscore is passed over.
    let entries = entries.into_iter().filter(|entry| !entry.name.starts_with(['.', '_']));
    for entry in entries.take(MOST) {
        let path = format!("{charts}/{}", entry.name);
        let is_chart = match entry.kind {
            NodeKind::Directory => true,
            NodeKind::File => entry.name.ends_with(".tgz"),
            NodeKind::Opaque => false,
        };
        if is_chart {
            let found = Chart::of_tree(store, chart.tree.clone(), &path, chart.limits)?;
            names.insert(found.metadata.name);
        }
    }
    Ok(names)
}

/// A chart of the same tree, whose path is relative to the chart that needs it.
fn beside(
    store: &ContentStore,
    chart: &Chart,
    dependency: &Dependency,
    path: &str,
) -> Result<Chart, ChartError> {
    let failed = |reason: String| ChartError::Dependency { name: dependency.name.clone(), reason };
    let at = TreePath::new(&chart.directory).and_then(|directory| directory.join(path));
    let at = at.map_err(|error| failed(error.to_string()))?;
    let found = Chart::of_tree(store, chart.tree.clone(), at.as_str(), chart.limits)
        .map_err(|error| failed(error.to_string()))?;
    check(dependency.name.as_str(), &dependency.version, &found)?;
    Ok(found)
}

/// Whether a chart is the one that is needed.
pub(crate) fn check(name: &str, range: &str, found: &Chart) -> Result<(), ChartError> {
    let failed = |reason: String| ChartError::Dependency { name: name.to_owned(), reason };
    let wanted =
        Range::parse(range).ok_or_else(|| failed(format!("{range:?} is not a range of versions")))?;
    let (its_name, its_version) = (&found.metadata.name, &found.metadata.version);
    if its_name != name {
        return Err(failed(format!("what is there is the chart {its_name:?}")));
    }
    match loose_version(its_version) {
        Some(version) if wanted.holds(&version) || its_version == range => Ok(()),
        _ => Err(failed(format!("what is there has the version {its_version}, which is not in {range:?}"))),
    }
}
