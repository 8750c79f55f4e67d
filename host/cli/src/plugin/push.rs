//! `plumb plugin push`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Args;
use oci_client::client::{Config, ImageLayer};
use plumb_plugin::Inspection;
use serde_json::json;

use super::project::Project;
use super::registry::{Connection, WASM_CONFIG, WASM_LAYER};
use super::runner;
use crate::output;

/// When everything was built that has no time of its own: pushing the same component again gives the same digest.
const CREATED: &str = "1970-01-01T00:00:00Z";

/// Pushes a plugin to an OCI registry, in the layout that the CNCF has settled for WebAssembly.
///
/// The plugin is loaded first: what no host would run is not pushed.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  plumb plugin push oci://ghcr.io/my-team/team-label:1.0\n  \
                  echo $TOKEN | plumb plugin push oci://ghcr.io/my-team/team-label:1.0 --username me --password-stdin")]
pub(crate) struct Push {
    /// Where to: oci://REGISTRY/REPOSITORY:TAG.
    to: String,
    /// The component, instead of the one that was built in the plugin's folder.
    #[arg(long)]
    component: Option<PathBuf>,
    /// The folder of the plugin.
    #[arg(long, default_value = ".")]
    directory: PathBuf,
    #[command(flatten)]
    connection: Connection,
}

impl Push {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let name = self.to.rsplit('/').next().unwrap_or_default();
        if !name.contains(':') || name.contains('@') {
            bail!("{} names no tag to push to; write it as oci://REGISTRY/REPOSITORY:TAG", self.to);
        }
        let (component, annotations) = match &self.component {
            Some(component) => (runner::read(component)?, BTreeMap::new()),
            None => of_project(&self.directory)?,
        };
        let host = runner::host()?;
        host.load("it", &component)?;
        let config = config(&host.inspect("it", &component)?)?;
        let layer = ImageLayer::new(component, WASM_LAYER.to_owned(), None);
        let (repository, digest) = self.connection.run(&self.to, async |registry| {
            let digest = registry.push(&[layer], config, annotations).await?;
            Ok((registry.repository(), digest))
        })?;
        output::line(format_args!("oci://{repository}@{digest}"))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The built component, and what its `plugin.yaml` says of it.
fn of_project(directory: &Path) -> anyhow::Result<(Vec<u8>, BTreeMap<String, String>)> {
    let project = Project::open(directory)?;
    let component = runner::read(&project.built()?)?;
    let manifest = project.manifest;
    let annotations = [
        ("org.opencontainers.image.title", Some(manifest.name)),
        ("org.opencontainers.image.version", manifest.version),
        ("org.opencontainers.image.description", manifest.description),
    ];
    let present = annotations.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Ok((component, present.collect()))
}

/// What the layout has beside the component.
fn config(component: &Inspection) -> anyhow::Result<Config> {
    let config = json!({
        "created": CREATED,
        "architecture": "wasm",
        "os": "wasip2",
        "layerDigests": [component.digest],
        "component": {"imports": component.imports, "exports": component.exports},
    });
    let bytes = serde_json::to_vec(&config).context("internal error: the configuration has no JSON")?;
    Ok(Config::new(bytes, WASM_CONFIG.to_owned(), None))
}
