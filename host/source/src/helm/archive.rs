use std::io::Read;
use std::sync::Arc;

use plumb_tree::{EntryKind, NodeKind, Tree, TreePath, View};

use crate::content::{ContentError, ContentStore, Format};
use crate::helm::metadata::{Dependency, Metadata, requirements};
use crate::helm::{ChartError, HelmLimits};

/// The media type of the layer of an OCI artifact that is the archive of a chart.
pub const CHART_MEDIA_TYPE: &str = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";

/// What is done with each file of a chart: its path in the chart, and its bytes.
type Take<'a> = &'a mut dyn FnMut(&str, Vec<u8>) -> Result<(), ChartError>;

/// A chart: a directory of a tree, with `Chart.yaml` in it.
#[derive(Clone, Debug)]
pub struct Chart {
    pub(crate) tree: Arc<dyn Tree>,
    /// Empty for the root.
    pub(crate) directory: String,
    pub(crate) metadata: Metadata,
    pub(crate) limits: HelmLimits,
    /// Whether it is a directory of somebody's source, rather than an archive.
    pub(crate) is_directory: bool,
}

impl Chart {
    /// Unpacks the archive of a chart into the store. Blocks on the disk.
    pub fn unpack(store: &ContentStore, archive: impl Read, limits: HelmLimits) -> Result<Self, ChartError> {
        let stored = store.with_limits(limits.chart).unpack(archive, Format::TarGz)?;
        Self::of_archive(stored.tree, limits)
    }

    /// What an archive was unpacked to: one directory, which is the chart. Blocks on the disk.
    pub fn of_archive(tree: Arc<dyn Tree>, limits: HelmLimits) -> Result<Self, ChartError> {
        let entries = tree.list(&TreePath::root())?;
        // Helm passes over what is beside it, such as what macOS puts there.
        let mut directories = entries.into_iter().filter(|entry| entry.kind == EntryKind::Directory);
        let not_one = |reason: &str| ChartError::NotAChart {
            path: "the archive".to_owned(),
            reason: reason.to_owned(),
        };
        match (directories.next(), directories.next()) {
            (Some(directory), None) => {
                let chart = Self::of_directory(tree, directory.name, limits)?;
                Ok(Self { is_directory: false, ..chart })
            }
            (None, _) => Err(not_one("it has no directory at its root")),
            (Some(_), Some(_)) => Err(not_one("it has more than one directory at its root")),
        }
    }

    /// The chart at a path of a tree: a directory, or an archive, which is unpacked into the store. Links are followed within the tree. Blocks on the disk.
    pub fn of_tree(
        store: &ContentStore,
        tree: Arc<dyn Tree>,
        path: &str,
        limits: HelmLimits,
    ) -> Result<Self, ChartError> {
        let not_a_chart = |reason: String| ChartError::NotAChart { path: path.to_owned(), reason };
        let at = TreePath::new(path).map_err(|error| not_a_chart(error.to_string()))?;
        let view = View::new(Arc::clone(&tree), limits.archive_bytes);
        match view.stat(at.as_str()).map_err(|error| not_a_chart(error.to_string()))?.kind {
            NodeKind::Directory => Self::of_directory(tree, at.as_str().to_owned(), limits),
            NodeKind::File => {
                let archive = view.read(at.as_str()).map_err(|error| not_a_chart(error.to_string()))?;
                Self::unpack(store, archive.as_slice(), limits)
            }
            NodeKind::Opaque => Err(not_a_chart("it leads nowhere, or out of the source".to_owned())),
        }
    }

    fn of_directory(tree: Arc<dyn Tree>, directory: String, limits: HelmLimits) -> Result<Self, ChartError> {
        let not_a_chart = |reason: String| ChartError::NotAChart { path: directory.clone(), reason };
        let view = View::new(Arc::clone(&tree), limits.chart.file_bytes);
        let chart_yaml = view.read(&format!("{directory}/Chart.yaml"));
        let chart_yaml = chart_yaml.map_err(|error| not_a_chart(error.to_string()))?;
        let metadata = Metadata::parse(&chart_yaml).map_err(not_a_chart)?;
        Ok(Self { tree, directory, metadata, limits, is_directory: true })
    }

    /// What the chart says of itself.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    pub(crate) fn view(&self) -> View {
        View::new(Arc::clone(&self.tree), self.limits.chart.file_bytes)
    }

    /// What it needs. As in Flux, what `Chart.lock` has settled on goes before what `Chart.yaml` asks for. A chart of the first API version has
    /// both in files of other names.
    pub(crate) fn dependencies(&self) -> Result<Vec<Dependency>, ChartError> {
        for lock in ["Chart.lock", "requirements.lock"] {
            if let Some(locked) = self.listed_in(lock)? {
                return Ok(locked);
            }
        }
        match &self.metadata.dependencies {
            Some(dependencies) => Ok(dependencies.clone()),
            None => Ok(self.listed_in("requirements.yaml")?.unwrap_or_default()),
        }
    }

    /// The dependencies that a file lists, if there is one.
    fn listed_in(&self, file: &str) -> Result<Option<Vec<Dependency>>, ChartError> {
        let not_a_chart = |reason| ChartError::NotAChart { path: self.directory.clone(), reason };
        match self.view().read(&format!("{}/{file}", self.directory)) {
            Ok(bytes) => Ok(Some(requirements(file, &bytes).map_err(not_a_chart)?)),
            Err(plumb_tree::TreeError::NotFound(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Visits all files of the chart, links followed, by their paths in it.
    pub(crate) fn each_file(&self, take: Take<'_>) -> Result<(), ChartError> {
        let mut left = self.limits.chart.entries;
        self.each_below("", 0, &self.view(), &mut left, take)
    }

    fn each_below(
        &self,
        below: &str,
        depth: usize,
        view: &View,
        left: &mut usize,
        take: Take<'_>,
    ) -> Result<(), ChartError> {
        let limits = self.limits.chart;
        if depth > limits.depth {
            return Err(ContentError::too_much("directories in a path", limits.depth).into());
        }
        for entry in view.list(&format!("{}/{below}", self.directory))? {
            *left = left
                .checked_sub(1)
                .ok_or_else(|| ContentError::too_much("files and directories", limits.entries))?;
            let path = if below.is_empty() { entry.name } else { format!("{below}/{}", entry.name) };
            let full = format!("{}/{path}", self.directory);
            match entry.kind {
                NodeKind::Directory => self.each_below(&path, depth + 1, view, left, take)?,
                NodeKind::File => take(&path, view.read(&full)?)?,
                NodeKind::Opaque => {
                    let reason = "it is a link that leads nowhere or out of the source".to_owned();
                    return Err(ChartError::NotAChart { path: full, reason });
                }
            }
        }
        Ok(())
    }
}
