use plumb_tree::{Tree, TreePath};

use crate::content::{Builder, ContentStore, Stored};
use crate::helm::dependencies::{Missing, Remote, check, missing};
use crate::helm::metadata::with_version;
use crate::helm::values::{Merged, merge};
use crate::helm::{Chart, ChartError};

/// A chart on its way to be a tree of its own.
#[derive(Debug)]
pub struct Package {
    chart: Chart,
    version: String,
    is_changed: bool,
    values: Option<Merged>,
    missing: Missing,
}

/// A chart as a tree.
#[derive(Clone, Debug)]
pub struct Packaged {
    /// One directory, which has the name of the chart, and the chart in it.
    pub stored: Stored,
    /// The name of the chart.
    pub name: String,
    /// Its version, with the build metadata that it was given.
    pub version: String,
    /// The version of what it installs.
    pub app_version: Option<String>,
    /// The files of values that were put together; none where the chart has its own.
    pub values_files: Vec<String>,
    /// Whether it is another one than that of the repository.
    pub is_changed: bool,
}

impl Package {
    /// A chart as it is.
    pub fn new(chart: Chart) -> Self {
        let version = chart.metadata.version.clone();
        let is_changed = chart.is_directory;
        Self { chart, version, is_changed, values: None, missing: Missing::default() }
    }

    /// Gives it another version.
    #[must_use]
    pub fn with_version(self, version: String) -> Self {
        Self { version, is_changed: true, ..self }
    }

    /// The version that it will have.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The name of the chart.
    pub fn name(&self) -> &str {
        &self.chart.metadata.name
    }

    /// Whether it becomes another one than that of the repository: a directory does, as in Flux.
    pub fn is_changed(&self) -> bool {
        self.is_changed
    }

    /// Puts its values together from files of the chart. Blocks on the disk.
    pub fn with_values_of_chart(
        mut self,
        files: &[String],
        ignores_missing: bool,
    ) -> Result<Self, ChartError> {
        let merged = merge(&self.chart.view(), &self.chart.directory, files, ignores_missing)?;
        (self.values, self.is_changed) = (Some(merged), true);
        Ok(self)
    }

    /// Puts its values together from files of a tree. Blocks on the disk.
    pub fn with_values_of_tree(
        mut self,
        tree: std::sync::Arc<dyn Tree>,
        files: &[String],
        ignores_missing: bool,
    ) -> Result<Self, ChartError> {
        let view = plumb_tree::View::new(tree, self.chart.limits.chart.file_bytes);
        let merged = merge(&view, "", files, ignores_missing)?;
        (self.values, self.is_changed) = (Some(merged), true);
        Ok(self)
    }

    /// Looks for what a chart in a directory needs, in its `charts/` and beside it. An archive has what it needs. Blocks on the disk.
    pub fn with_dependencies(mut self, store: &ContentStore) -> Result<Self, ChartError> {
        if self.chart.is_directory {
            self.missing = missing(store, &self.chart)?;
        }
        Ok(self)
    }

    /// What has to be downloaded before it can be [stored](Self::store).
    pub fn remotes(&self) -> &[Remote] {
        &self.missing.remote
    }

    /// Puts in what was downloaded.
    pub fn with_remote(mut self, remote: &Remote, chart: Chart) -> Result<Self, ChartError> {
        check(&remote.name, &remote.version, &chart)?;
        self.missing.remote.retain(|missing| missing != remote);
        self.missing.local.push(chart);
        Ok(self)
    }

    /// Stores it. Blocks on the disk.
    pub fn store(self, store: &ContentStore) -> Result<Packaged, ChartError> {
        if let Some(Remote { name, repository, .. }) = self.missing.remote.first() {
            let reason = format!("{repository} was not asked for it");
            return Err(ChartError::Dependency { name: name.clone(), reason });
        }
        let name = self.chart.metadata.name.clone();
        let mut builder = store.with_limits(self.chart.limits.chart).builder();
        self.put(&name, &mut builder)?;
        for dependency in &self.missing.local {
            let directory = format!("{name}/charts/{}", dependency.metadata.name);
            put(dependency, &directory, &mut builder)?;
        }
        let stored = builder.finish()?;
        Ok(Packaged {
            stored,
            name,
            version: self.version,
            app_version: self.chart.metadata.app_version,
            values_files: self.values.map(|merged| merged.files).unwrap_or_default(),
            is_changed: self.is_changed,
        })
    }

    /// Its files, with the version and the values that it is given.
    fn put(&self, directory: &str, builder: &mut Builder) -> Result<(), ChartError> {
        let is_new_version = self.version != self.chart.metadata.version;
        self.chart.each_file(&mut |path, bytes| {
            let bytes = match (path, &self.values) {
                ("Chart.yaml", _) if is_new_version => with_version(&bytes, &self.version)?,
                ("values.yaml", Some(_)) => return Ok(()),
                _ => bytes,
            };
            Ok(builder.file(&format!("{directory}/{path}"), bytes.as_slice())?)
        })?;
        if let Some(merged) = &self.values {
            builder.file(&format!("{directory}/values.yaml"), merged.yaml.as_slice())?;
        }
        Ok(())
    }
}

fn put(chart: &Chart, directory: &str, builder: &mut Builder) -> Result<(), ChartError> {
    chart.each_file(&mut |path, bytes| Ok(builder.file(&format!("{directory}/{path}"), bytes.as_slice())?))
}

impl Packaged {
    /// What a tree was stored as, from the tree alone: its one directory.
    pub fn directory(tree: &dyn Tree) -> Option<String> {
        tree.list(&TreePath::root()).ok()?.into_iter().next().map(|entry| entry.name)
    }
}
