//! The HelmRelease of a file, rendered on this machine.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use plumb_api::{ApplierKind, ChartSourceKind, CrdsPolicy, HelmRelease, Object, Owner, ReconcileStrategy};
use plumb_helm::hooks::HookEvent;
use plumb_helm::name;
use plumb_helm::objects::Ownership;
use plumb_helm::record::Release as Record;
use plumb_helm::render::{Capabilities, File, Occasion, Rendering};
use plumb_helm::rendered::RenderedRelease;
use plumb_helm::values::compose;
use plumb_plugin::{ClusterReader, Grants};
use plumb_tree::{Memory, Tree, TreePath};
use serde::Deserialize as _;
use serde_json::{Value, json};

use crate::applier::of_kind;
use crate::chart::Places;
use crate::output;
use crate::renderer::Renderer;
use crate::setting::Setting;
use crate::substitution::Given;
use crate::workbench::{Chance, Laptop};

/// What stands for a cluster and its sources when a HelmRelease is rendered.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct ForChart {
    /// The chart of the HelmRelease, as a directory or an archive. A chart of a GitRepository or Bucket is looked for in --root without it.
    #[arg(long, value_name = "PATH")]
    chart: Option<PathBuf>,
    /// The version of Kubernetes that charts are told, for example v1.34.0. Default: that of the cluster in `plumb diff`, and the one
    /// that Helm was made for in `plumb render`.
    #[arg(long, value_name = "VERSION")]
    kube_version: Option<String>,
    /// An API version, or a kind of one, that charts are told the cluster has besides its own in `plumb diff`, and besides those of
    /// Kubernetes in `plumb render`: example.com/v1, example.com/v1/Database.
    #[arg(long = "api-version", value_name = "VERSION")]
    api_versions: Vec<String>,
}

/// What a HelmRelease makes of its chart.
pub(crate) struct Release {
    /// The definitions of the chart's `crds` directory, which are applied first, as far as the policy has it.
    pub(crate) definitions: Vec<Object>,
    pub(crate) crds: CrdsPolicy,
    /// The objects that are applied.
    pub(crate) objects: Vec<Object>,
    /// The hooks, which run at their time and are not kept.
    pub(crate) hooks: Vec<Object>,
    /// The namespace of objects that name none.
    pub(crate) namespace: String,
    /// The HelmRelease.
    pub(crate) owner: Owner,
}

/// The one HelmRelease in a file, if there is one, in its namespace. With other things to render, it is none.
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
        1 if !others => Ok(releases.pop().map(in_its_namespace)),
        _ => bail!(
            "{} holds several objects to render; put the one to render into a file of its own",
            file.display()
        ),
    }
}

fn in_its_namespace(mut release: HelmRelease) -> HelmRelease {
    release.metadata.namespace.get_or_insert_with(|| "default".to_owned());
    release
}

/// What a release is rendered with.
pub(crate) struct Releasing<'a> {
    pub(crate) renderer: &'a Renderer,
    /// ConfigMaps and Secrets.
    pub(crate) given: &'a Given,
    pub(crate) chart: &'a ForChart,
    pub(crate) laptop: &'a Laptop,
    pub(crate) root: Option<&'a Path>,
    pub(crate) chance: &'a Chance,
}

impl Releasing<'_> {
    /// Renders a release as the controller would in this setting: for what follows the newest revision, or as that is where nothing
    /// would be released, because it is of the same chart and values.
    pub(crate) fn render(&self, release: &HelmRelease, setting: &Setting) -> anyhow::Result<Release> {
        let own = release.metadata.namespace.as_deref().unwrap_or_default();
        let (release_name, namespace) = (name::of(release)?, release.release_namespace());
        let ownership = Ownership {
            release_name: &release_name,
            release_namespace: &namespace,
            name: release.metadata.name.as_deref().unwrap_or_default(),
            namespace: own,
        };
        let values = compose(own, &release.spec, |kind, name| self.given.data(kind, name))
            .map_err(|error| anyhow!("{error}\n(give ConfigMaps and Secrets with --values FILE)"))?;
        let values = setting.values(release, values)?;
        let places = Places { chart: self.chart.chart.as_deref(), root: self.root };
        let chart = places.chart(release, setting.chart_version())?;
        let capabilities = self.chart.besides(&setting.capabilities);
        let reader = self.laptop.reader()?.or_else(|| setting.reader.clone());
        let rendered = |occasion| {
            let rendering = Rendering {
                spec: &release.spec,
                ownership: ownership.clone(),
                path: &chart.packaged.name,
                values: &values,
                capabilities: &capabilities,
                occasion,
            };
            self.rendered(&rendering, &chart.packaged.stored.tree, reader.clone())
        };
        let as_it_is = setting.deployed().and_then(|record| {
            let again = rendered(Occasion::of(record.version())).ok()?;
            again.is_recorded(record, &values).then_some(again)
        });
        if let Some(as_it_is) = as_it_is {
            return finished(as_it_is, &ownership, &Course::NOTHING);
        }
        let occasion = setting.occasion(release);
        let rendered = rendered(occasion)?;
        if setting.deployed().is_some_and(|record| is_left_in_its_source(release, &rendered, record)) {
            output::note(format_args!(
                "warning: the chart {} has changed and is still version {}: with reconcileStrategy ChartVersion nothing of that is released \
                 before it has another version",
                rendered.chart_field("name"),
                rendered.chart_field("version")
            ));
        }
        finished(rendered, &ownership, &Course::of(occasion, release))
    }

    fn rendered(
        &self,
        rendering: &Rendering<'_>,
        chart: &Arc<dyn Tree>,
        reader: Option<Arc<dyn ClusterReader>>,
    ) -> anyhow::Result<RenderedRelease> {
        let Chance { clock, random } = self.chance.clone();
        let grants =
            Grants { clock: Some(clock), random: Some(random), cluster: reader, ..Grants::default() };
        let rendered = self.renderer.plugin("helm", grants, chart, rendering.parameters())?;
        let kustomize = |files| self.kustomize(files).map_err(|error| format!("{error:#}"));
        Ok(rendering.finish(rendered, kustomize)?)
    }

    /// Builds the root of a tree of just these files.
    fn kustomize(&self, files: [File; 2]) -> anyhow::Result<Vec<Object>> {
        let mut tree = Memory::new();
        for File { path, text } in files {
            tree = tree.with_file(&TreePath::new(path)?, text);
        }
        let tree: Arc<dyn Tree> = Arc::new(tree);
        self.renderer.plugin("kustomize", Grants::default(), &tree, json!({"path": ""}))
    }
}

/// Whether a chart has changed, and its source gives no new one of it: the version is the same, and that is what counts. With `valuesFiles`
/// the generation of the HelmChart counts too, which is not known here.
fn is_left_in_its_source(release: &HelmRelease, rendered: &RenderedRelease, record: &Record) -> bool {
    let template = release.spec.chart.as_ref().map(|template| &template.spec);
    let counts_version_only = template.is_some_and(|template| {
        template.source_ref.kind != ChartSourceKind::HelmRepository
            && template.reconcile_strategy == ReconcileStrategy::ChartVersion
            && template.values_files.is_empty()
    });
    counts_version_only
        && ["name", "version"].iter().all(|field| rendered.chart_field(field) == record.chart_field(field))
        && !rendered.has_chart_of(record)
}

/// What is done besides applying the objects.
struct Course {
    crds: CrdsPolicy,
    runs_hooks: bool,
    runs_tests: bool,
}

impl Course {
    const NOTHING: Self = Self { crds: CrdsPolicy::Skip, runs_hooks: false, runs_tests: false };

    fn of(occasion: Occasion, release: &HelmRelease) -> Self {
        let spec = &release.spec;
        Self {
            crds: occasion.crds(spec),
            runs_hooks: occasion.runs_hooks(spec),
            runs_tests: spec.test.as_ref().is_some_and(|test| test.enable),
        }
    }

    fn runs(&self, events: &[HookEvent]) -> bool {
        let is_test = events.iter().all(|event| *event == HookEvent::Test);
        if is_test { self.runs_tests } else { self.runs_hooks }
    }
}

/// The objects with Helm's labels and annotations, and the hooks that would run.
fn finished(
    rendered: RenderedRelease,
    ownership: &Ownership<'_>,
    course: &Course,
) -> anyhow::Result<Release> {
    let (mut definitions, mut objects) = (Vec::new(), Vec::new());
    for definition in rendered.definitions()?.iter().filter(|_| course.crds != CrdsPolicy::Skip) {
        definitions.push(with(definition, |definition| ownership.label(definition))?);
    }
    for object in rendered.to_apply()? {
        objects.push(with(&object, |object| ownership.mark(object))?);
    }
    let hooks = rendered.hooks.into_iter().filter(|hook| course.runs(&hook.hook.events));
    let hooks: Result<Vec<Object>, _> = hooks.map(|hook| Object::new(hook.object)).collect();
    let (namespace, name) = (ownership.namespace.to_owned(), ownership.name.to_owned());
    Ok(Release {
        definitions,
        crds: course.crds,
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

impl ForChart {
    /// What charts are told of a cluster, with what the command line says of it.
    fn besides(&self, cluster: &Capabilities) -> Capabilities {
        Capabilities {
            kube_version: self.kube_version.clone().or_else(|| cluster.kube_version.clone()),
            api_versions: cluster.api_versions.clone(),
            additional_api_versions: self.api_versions.clone(),
        }
    }
}
