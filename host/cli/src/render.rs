use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{ArgGroup, Args, ValueEnum};
use plumb_api::{HelmRelease, Kustomization, KustomizationSpec, Object, Owner};
use serde_json::json;

use crate::applier::{self, Applier};
use crate::local::{PluginDir, Source};
use crate::output::{self, Format};
use crate::release::{self, ForChart, Release, Releasing};
use crate::renderer::Renderer;
use crate::setting::Setting;
use crate::substitution::Substitution;
use crate::workbench::{Chance, Laptop};

/// Renders a directory, a Kustomization, a Pipeline or a HelmRelease, and prints the objects. Needs no cluster.
///
/// With a PATH the directory is rendered as a Kustomization of that path would be. With --file the Kustomization, Pipeline or
/// HelmRelease in the file is rendered: its files are looked for in the Git work tree that holds the current directory, or in --root;
/// the chart of a HelmRelease can be given with --chart. A HelmRelease is rendered as it would be installed; its hooks are printed
/// after the other objects.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  plumb render clusters/production\n  plumb render -f apps.yaml --root ../k8s-manifests\n  \
                  plumb render clusters/production --set region=eu\n  plumb render -f helmrelease.yaml --chart charts/web"
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
    /// A file with a Kustomization, a Pipeline or a HelmRelease to render.
    #[arg(long, short, group = "subject")]
    file: Option<PathBuf>,
    /// The directory that stands for the root of the repository: nothing outside it can be read. Default: the Git work tree
    /// around PATH, or PATH itself where there is none.
    #[arg(long)]
    root: Option<PathBuf>,
    #[command(flatten)]
    substitution: Substitution,
    #[command(flatten)]
    laptop: Laptop,
    #[command(flatten)]
    chart: ForChart,
    #[command(flatten)]
    plugins: PluginDir,
}

/// Rendered objects, and what becomes of them in a cluster.
pub(crate) struct Local {
    pub(crate) objects: Vec<Object>,
    /// The namespace of objects that name none, where that is not the default.
    pub(crate) namespace: Option<String>,
    /// Who deletes what he has applied and what is no longer among the objects; nobody where a plain directory was rendered, or where pruning is off.
    pub(crate) pruned_by: Option<Owner>,
}

impl Render {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let objects = match self.what.release()? {
            None => self.what.render()?.objects,
            Some(release) => {
                let made = self.what.released(&release, &Setting::default())?;
                [made.definitions, made.objects, made.hooks].concat()
            }
        };
        match self.output {
            Output::Json => output::structured(&objects, Format::Json)?,
            Output::Yaml => {
                output::write(format_args!("{}", output::documents(&objects)?))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl What {
    /// The HelmRelease that is to be rendered, if it is one.
    pub(crate) fn release(&self) -> anyhow::Result<Option<HelmRelease>> {
        let found = self.file.as_deref().map(release::read).transpose()?;
        Ok(found.flatten())
    }

    /// Renders a HelmRelease in a setting.
    pub(crate) fn released(&self, release: &HelmRelease, setting: &Setting) -> anyhow::Result<Release> {
        let releasing = Releasing {
            renderer: &Renderer::new(&self.plugins)?,
            given: &self.substitution.read()?,
            chart: &self.chart,
            laptop: &self.laptop,
            root: self.root.as_deref(),
            chance: &Chance::of_this_machine(),
        };
        releasing.render(release, setting)
    }

    /// Renders what is no HelmRelease, with the ownership labels and common metadata of the Kustomization or Pipeline if there is one.
    pub(crate) fn render(&self) -> anyhow::Result<Local> {
        let given = self.substitution.read()?;
        let renderer = Renderer::new(&self.plugins)?;
        let chance = Chance::of_this_machine();
        match (&self.file, &self.path) {
            (Some(file), _) => {
                let applier = applier::read(file, &given)?;
                let start = self.root.clone().unwrap_or_else(|| PathBuf::from("."));
                let source = Source::open(&start, self.root.as_deref())?;
                let values = given.values(&applier.spec, applier.owner.kind);
                let objects = renderer.applier(&applier, &values, &self.laptop, chance, &source.tree)?;
                let Applier { owner, spec, .. } = applier;
                let pruned_by = spec.apply.prune.then_some(owner);
                Ok(Local { objects, namespace: spec.apply.target_namespace, pruned_by })
            }
            (None, Some(path)) => {
                let spec = given.decrypted(given.asked_of(spec_of_directory(path)?));
                let source = Source::open(path, self.root.as_deref())?;
                let spec = KustomizationSpec { path: Some(source.path), ..spec };
                let applier = Applier::kustomization(&Kustomization::new("local", spec));
                let values = given.values(&applier.spec, applier.owner.kind);
                let objects = renderer.objects(&applier, &values, &self.laptop, chance, &source.tree)?;
                Ok(Local { objects, namespace: None, pruned_by: None })
            }
            (None, None) => bail!("name a directory, or a file with --file"),
        }
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
