//! The HelmRelease of a file, rendered without a cluster.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use plumb_api::{ApplierKind, ChartSourceKind, CrdsPolicy, HelmRelease, Object, Owner};
use plumb_helm::hooks::HookEvent;
use plumb_helm::name;
use plumb_helm::objects::Ownership;
use plumb_helm::render::{File, Rendering};
use plumb_helm::rendered::RenderedRelease;
use plumb_helm::values::compose;
use plumb_tree::{Memory, Tree, TreePath};
use serde::Deserialize as _;
use serde_json::{Map, Value, json};

use crate::applier::of_kind;
use crate::local::Source;
use crate::renderer::Renderer;
use crate::substitution::Given;
use crate::workbench::Chance;

/// What stands for a cluster and its sources when a HelmRelease is rendered.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct ForChart {
    /// The chart of the HelmRelease, as a directory or an archive. A chart of a GitRepository or Bucket is looked for in --root without it.
    #[arg(long, value_name = "PATH")]
    chart: Option<PathBuf>,
    /// The version of Kubernetes that charts are told, for example v1.34.0.
    #[arg(long, value_name = "VERSION")]
    kube_version: Option<String>,
    /// An API version, or a kind of one, that charts are told the cluster has besides those of Kubernetes: example.com/v1, example.com/v1/Database.
    #[arg(long = "api-version", value_name = "VERSION")]
    api_versions: Vec<String>,
}

/// What a HelmRelease makes of its chart.
pub(crate) struct Release {
    /// The objects that are applied, the definitions of kinds first.
    pub(crate) objects: Vec<Object>,
    /// The hooks, which run at their time and are not kept.
    pub(crate) hooks: Vec<Object>,
    /// The namespace of objects that name none.
    pub(crate) namespace: String,
    /// The HelmRelease.
    pub(crate) owner: Owner,
}

/// The one HelmRelease in a file, if there is one. With other things to render, it is none.
pub(crate) fn read(file: &Path) -> anyhow::Result<Option<HelmRelease>> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut documents = Vec::new();
    for document in serde_yaml::Deserializer::from_str(&text) {
        // What is no YAML is told by whoever reads the file for something else.
        let Ok(document) = Value::deserialize(document) else { return Ok(None) };
        documents.push(document);
    }
    let mut releases: Vec<HelmRelease> = of_kind(&documents, "helm.toolkit.fluxcd.io/v2", "HelmRelease")
        .with_context(|| format!("in {}", file.display()))?;
    let others = documents
        .iter()
        .any(|document| document["kind"] == "Kustomization" || document["kind"] == "Pipeline");
    match releases.len() {
        0 => Ok(None),
        1 if !others => Ok(releases.pop()),
        _ => bail!(
            "{} holds several objects to render; put the one to render into a file of its own",
            file.display()
        ),
    }
}

/// What a release is rendered with.
pub(crate) struct Releasing<'a> {
    pub(crate) renderer: &'a Renderer,
    /// ConfigMaps and Secrets.
    pub(crate) given: &'a Given,
    pub(crate) chart: &'a ForChart,
    pub(crate) chance: &'a Chance,
}

impl Releasing<'_> {
    /// Renders a release as the controller would install it.
    pub(crate) fn render(&self, release: &HelmRelease, root: Option<&Path>) -> anyhow::Result<Release> {
        let own = release.metadata.namespace.clone().unwrap_or_else(|| "default".to_owned());
        let mut release = release.clone();
        release.metadata.namespace = Some(own.clone());
        let release_name = name::of(&release)?;
        let namespace = release.release_namespace();
        let ownership = Ownership {
            release_name: &release_name,
            release_namespace: &namespace,
            name: release.metadata.name.as_deref().unwrap_or_default(),
            namespace: &own,
        };
        let values = compose(&own, &release.spec, |kind, name| self.given.data(kind, name))
            .map_err(|error| anyhow!("{error}\n(give ConfigMaps and Secrets with --values FILE)"))?;
        let source = source(&release, self.chart, root)?;
        let files = values_files(&release, self.chart);
        let rendering = Rendering {
            spec: &release.spec,
            ownership: ownership.clone(),
            path: &source.path,
            values_files: &files,
            values: &values,
            capabilities: self.chart.capabilities(),
            revision: 1,
            is_upgrade: false,
        };
        let rendered = self.renderer.plugin("helm", self.chance, &source.tree, rendering.parameters())?;
        let kustomize = |files| self.kustomize(files).map_err(|error| format!("{error:#}"));
        finished(rendering.finish(rendered, kustomize)?, &release, &ownership)
    }

    /// Builds the root of a tree of just these files.
    fn kustomize(&self, files: [File; 2]) -> anyhow::Result<Vec<Object>> {
        let mut tree = Memory::new();
        for File { path, text } in files {
            tree = tree.with_file(&TreePath::new(path)?, text);
        }
        let tree: Arc<dyn Tree> = Arc::new(tree);
        self.renderer.plugin("kustomize", self.chance, &tree, json!({"path": ""}))
    }
}

/// The objects with Helm's labels and annotations, and the hooks that would run.
fn finished(
    rendered: RenderedRelease,
    release: &HelmRelease,
    ownership: &Ownership<'_>,
) -> anyhow::Result<Release> {
    let spec = &release.spec;
    let install = spec.install.clone().unwrap_or_default();
    let with_crds = install.crds() != CrdsPolicy::Skip;
    let tests = spec.test.as_ref().is_some_and(|test| test.enable);
    let mut objects = Vec::new();
    for definition in rendered.definitions()?.iter().filter(|_| with_crds) {
        objects.push(with(definition, |definition| ownership.label(definition))?);
    }
    for object in rendered.to_apply()? {
        objects.push(with(&object, |object| ownership.mark(object))?);
    }
    let is_run = |hook: &plumb_helm::hooks::Hook| {
        let is_test = hook.events.iter().all(|event| *event == HookEvent::Test);
        if is_test { tests } else { !install.disable_hooks }
    };
    let hooks = rendered.hooks.into_iter().filter(|hook| is_run(&hook.hook));
    let hooks: Result<Vec<Object>, _> = hooks.map(|hook| Object::new(hook.object)).collect();
    let (namespace, name) = (ownership.namespace.to_owned(), ownership.name.to_owned());
    Ok(Release {
        objects,
        hooks: hooks?,
        namespace: ownership.release_namespace.to_owned(),
        owner: Owner { kind: ApplierKind::HelmRelease, namespace, name },
    })
}

/// An object that was changed.
fn with(object: &Object, change: impl FnOnce(&mut Value)) -> anyhow::Result<Object> {
    let mut fields = Value::Object(object.fields().clone());
    change(&mut fields);
    Ok(Object::new(fields)?)
}

/// Where the chart is on this machine.
fn source(release: &HelmRelease, given: &ForChart, root: Option<&Path>) -> anyhow::Result<Source> {
    if let Some(chart) = &given.chart {
        // An archive is a file in the directory that holds it, and so is a directory.
        let chart = chart.canonicalize().with_context(|| format!("cannot open {}", chart.display()))?;
        let parent = chart.parent().unwrap_or(&chart).to_owned();
        let path = chart.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let tree = Source::open(&parent, Some(&parent))?.tree;
        return Ok(Source { tree, path });
    }
    let template = release.spec.chart.as_ref().map(|template| &template.spec);
    match template.map(|template| (template.source_ref.kind, template)) {
        Some((ChartSourceKind::GitRepository | ChartSourceKind::Bucket, template)) => {
            let start = root.map_or_else(|| PathBuf::from("."), Path::to_owned);
            let tree = Source::open(&start, root)?.tree;
            let path = template.chart.trim_start_matches("./").trim_end_matches('/').to_owned();
            Ok(Source { tree, path })
        }
        Some((ChartSourceKind::HelmRepository, template)) => bail!(
            "the chart {} comes from HelmRepository {}, which is not asked here; pull it, and give it with --chart PATH",
            template.chart,
            template.source_ref.name
        ),
        None => {
            bail!("the chart comes from spec.chartRef, which is not asked here; give it with --chart PATH")
        }
    }
}

/// The files with values of a chart that is looked for in a work tree.
fn values_files(release: &HelmRelease, given: &ForChart) -> Vec<String> {
    let template = release.spec.chart.as_ref().filter(|_| given.chart.is_none());
    let files = template.into_iter().flat_map(|template| &template.spec.values_files);
    files.map(|file| file.trim_start_matches("./").to_owned()).collect()
}

impl ForChart {
    fn capabilities(&self) -> Option<Value> {
        let mut capabilities = Map::new();
        capabilities
            .extend(self.kube_version.clone().map(|version| ("kubeVersion".to_owned(), version.into())));
        if !self.api_versions.is_empty() {
            // Besides those that Helm knows of itself; `apiVersions` would take their place.
            capabilities.insert("additionalAPIVersions".to_owned(), self.api_versions.clone().into());
        }
        (!capabilities.is_empty()).then_some(Value::Object(capabilities))
    }
}
