use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{ArgGroup, Args, ValueEnum};
use plumb_api::{Kustomization, KustomizationSpec, Object};
use serde_json::json;

use crate::local::{PluginDir, Source};
use crate::output::{self, Format};
use crate::renderer::Renderer;
use crate::substitution::Substitution;

/// Renders a directory, or a Kustomization, and prints the objects. Needs no cluster.
///
/// With a PATH the directory is rendered as a Kustomization of that path would be. With --file the Kustomization in
/// the file is rendered: its spec.path is looked for in the Git work tree that holds the current directory, or in --root.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  plumb render clusters/production\n  plumb render -f apps.yaml --root ../k8s-manifests\n  \
                  plumb render clusters/production --set region=eu"
)]
pub(crate) struct Render {
    #[command(flatten)]
    pub(crate) what: What,
    /// How the objects are printed.
    #[arg(long, short, value_enum, default_value_t = Output::Yaml)]
    output: Output,
}

/// How rendered objects are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// One document an object, as kubectl takes them.
    Yaml,
    /// One list.
    Json,
}

/// What to render.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("subject").required(true))]
pub(crate) struct What {
    /// The directory to render.
    #[arg(group = "subject")]
    path: Option<PathBuf>,
    /// A file with a Kustomization to render.
    #[arg(long, short, group = "subject")]
    file: Option<PathBuf>,
    /// The directory that stands for the root of the repository: nothing outside it can be read. Default: the Git work tree
    /// around PATH, or PATH itself where there is none.
    #[arg(long)]
    root: Option<PathBuf>,
    #[command(flatten)]
    substitution: Substitution,
    #[command(flatten)]
    plugins: PluginDir,
}

/// Rendered objects, and the Kustomization that they belong to.
pub(crate) struct Local {
    pub(crate) objects: Vec<Object>,
    /// Name, namespace and spec; none when a plain directory was rendered.
    pub(crate) kustomization: Option<Kustomization>,
}

impl Render {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let rendered = self.what.render()?;
        match self.output {
            Output::Json => output::structured(&rendered.objects, Format::Json)?,
            Output::Yaml => {
                for (index, object) in rendered.objects.iter().enumerate() {
                    let separator = if index == 0 { "" } else { "---\n" };
                    output::write(format_args!("{separator}{}", serde_yaml::to_string(object)?))?;
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl What {
    /// Renders, with the ownership labels and common metadata of the Kustomization if there is one.
    pub(crate) fn render(&self) -> anyhow::Result<Local> {
        match (&self.file, &self.path) {
            (Some(file), _) => self.render_file(file),
            (None, Some(path)) => {
                let spec = self.substitution.asked_of(spec_of_directory(path)?);
                let source = Source::open(path, self.root.as_deref())?;
                let spec = KustomizationSpec { path: Some(source.path), ..spec };
                let variables = self.substitution.variables(&spec)?;
                let objects = Renderer::new(&self.plugins)?.spec(&spec, &variables, &source.tree)?;
                Ok(Local { objects, kustomization: None })
            }
            (None, None) => bail!("name a directory, or a file with --file"),
        }
    }

    fn render_file(&self, file: &Path) -> anyhow::Result<Local> {
        let kustomization = read_kustomization(file)?;
        let kustomization =
            Kustomization { spec: self.substitution.asked_of(kustomization.spec.clone()), ..kustomization };
        let start = self.root.clone().unwrap_or_else(|| PathBuf::from("."));
        let source = Source::open(&start, self.root.as_deref())?;
        let variables = self.substitution.variables(&kustomization.spec)?;
        let objects =
            Renderer::new(&self.plugins)?.kustomization(&kustomization, &variables, &source.tree)?;
        Ok(Local { objects, kustomization: Some(kustomization) })
    }
}

/// The spec of a Kustomization that does nothing but render its path.
fn spec_of_directory(path: &Path) -> anyhow::Result<KustomizationSpec> {
    let found = std::fs::metadata(path).with_context(|| format!("cannot open {}", path.display()))?;
    if !found.is_dir() {
        bail!("{} is not a directory; to render the Kustomization in a file, use --file", path.display());
    }
    let spec =
        json!({"interval": "1h", "prune": false, "sourceRef": {"kind": "GitRepository", "name": "local"}});
    serde_json::from_value(spec).context("internal error: the spec of a plain directory is wrong")
}

/// The one Kustomization in a file that may hold other objects as well.
fn read_kustomization(file: &Path) -> anyhow::Result<Kustomization> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let found = crate::objects::kustomizations(&text).with_context(|| format!("in {}", file.display()))?;
    match found.as_slice() {
        [one] => Ok(one.clone()),
        [] => bail!("{} holds no Kustomization of kustomize.toolkit.fluxcd.io/v1", file.display()),
        many => bail!(
            "{} holds {} Kustomizations; put the one to render into a file of its own",
            file.display(),
            many.len()
        ),
    }
}
