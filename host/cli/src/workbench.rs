//! Plugins, and what they may ask for, on a machine without a cluster.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use async_trait::async_trait;
use clap::Args;
use plumb_api::{Capability, ClusterReadGrant, GrantedNamespaces, Object, Plugin, PluginLimits, Sensitive};
use plumb_apply::{label_selector, labels_match};
use plumb_pipeline::{Builtins, Code, KRM, PluginName, Plugins, Provided, StepSpec, Unavailable};
use plumb_plugin::{
    Clock, ClusterReader, Grants, HttpClient, HttpError, HttpRequest, HttpResponse, ObjectKind, Random,
    ReadError, Secrets, SystemClock, SystemRandom,
};

use crate::objects;

/// What stands for a cluster.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Laptop {
    /// A plugin that is not built in: its name in `spec.steps`, and its component.
    #[arg(long = "plugin", value_name = "NAME=FILE", value_parser = named_file)]
    pub(crate) plugins: Vec<(String, PathBuf)>,
    /// A file of objects that plugins with the capability `clusterRead`, and charts, find in the cluster.
    #[arg(long, value_name = "FILE")]
    pub(crate) cluster_objects: Vec<PathBuf>,
    /// The revision that is rendered, for `when`: for example main@sha1:9f2c41d0.
    #[arg(long, value_name = "REVISION")]
    pub(crate) revision: Option<String>,
}

impl Laptop {
    /// The objects that stand for a cluster; none where no file was given.
    fn objects(&self) -> anyhow::Result<Option<Arc<Vec<Object>>>> {
        let mut objects = Vec::new();
        for file in &self.cluster_objects {
            objects.extend(objects_of(file).with_context(|| format!("in {}", file.display()))?);
        }
        Ok((!self.cluster_objects.is_empty()).then(|| Arc::new(objects)))
    }

    /// Reads them all, for whoever is granted everything; none where no file was given.
    pub(crate) fn reader(&self) -> anyhow::Result<Option<Arc<dyn ClusterReader>>> {
        let everything = ClusterReadGrant {
            api_version: "*".to_owned(),
            kind: "*".to_owned(),
            namespaces: vec!["*".to_owned()],
        };
        let reader = |objects| -> Arc<dyn ClusterReader> {
            Arc::new(Objects { objects: Some(objects), grants: vec![everything], namespace: String::new() })
        };
        Ok(self.objects()?.map(reader))
    }
}

/// `NAME=FILE`.
pub(crate) fn named_file(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, file)) if !name.is_empty() && !file.is_empty() => Ok((name.to_owned(), file.into())),
        _ => Err("write NAME=FILE".to_owned()),
    }
}

/// What plugins may be told that is another one each time.
#[derive(Clone)]
pub(crate) struct Chance {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
}

impl Chance {
    /// The clock and the randomness of this machine.
    pub(crate) fn of_this_machine() -> Self {
        Self { clock: Arc::new(SystemClock), random: Arc::new(SystemRandom) }
    }
}

/// Provides the plugins of a pipeline. Whatever a step hands over is granted: who may do what is for the policies of a cluster.
pub(crate) struct Workbench<'a> {
    builtins: &'a Builtins,
    files: &'a [(String, PathBuf)],
    declared: &'a [Plugin],
    namespace: &'a str,
    objects: Option<Arc<Vec<Object>>>,
    chance: Chance,
}

impl<'a> Workbench<'a> {
    /// Reads the files that stand for a cluster. `declared` are the Plugins of `namespace`, which is that of the pipeline.
    pub(crate) fn new(
        builtins: &'a Builtins,
        laptop: &'a Laptop,
        declared: &'a [Plugin],
        namespace: &'a str,
        chance: Chance,
    ) -> anyhow::Result<Self> {
        let objects = laptop.objects()?;
        Ok(Self { builtins, files: &laptop.plugins, declared, namespace, objects, chance })
    }

    fn code(&self, name: &PluginName) -> Result<(Code, PluginLimits), Unavailable> {
        let builtin = |name: &str| {
            let plugin = self.builtins.plugin(name);
            plugin.map(Code::Plugin).map_err(|error| Unavailable::Refused(said(&error)))
        };
        let name = match name {
            PluginName::Builtin(name) => return Ok((builtin(name)?, PluginLimits::default())),
            PluginName::Any(name) if name == KRM => {
                return Ok((Code::InSource(self.builtins.host().clone()), PluginLimits::default()));
            }
            PluginName::Any(name) => name,
        };
        let declared = self.declared.iter().find(|plugin| plugin.metadata.name.as_deref() == Some(name));
        let limits = declared.map(|plugin| plugin.spec.limits.clone()).unwrap_or_default();
        if let Some((_, file)) = self.files.iter().find(|(given, _)| given == name) {
            let plugin = self.builtins.host().open(name, file);
            let plugin = plugin.map_err(|error| Unavailable::Refused(said(&error)))?;
            return Ok((Code::Plugin(plugin), limits));
        }
        let spec = declared.map(|plugin| &plugin.spec);
        if let Some(image) = spec.and_then(|spec| spec.image.as_ref()) {
            let message = format!(
                "the Plugin {name} is {image}, which is not pulled here; give its component with --plugin {name}=FILE"
            );
            return Err(Unavailable::Refused(message));
        }
        match spec.and_then(|spec| spec.builtin.as_ref()) {
            Some(name) => Ok((builtin(name)?, limits)),
            None => {
                let plugin = builtin(name).map_err(|error| {
                    Unavailable::Refused(format!(
                        "{error}; give one that is not built in with --plugin {name}=FILE"
                    ))
                })?;
                Ok((plugin, limits))
            }
        }
    }
}

impl Plugins for Workbench<'_> {
    fn provide(
        &self,
        step: &StepSpec,
        secrets: BTreeMap<String, Sensitive<Vec<u8>>>,
    ) -> Result<Provided, Unavailable> {
        let (plugin, limits) = self.code(&step.plugin)?;
        let asked = &step.capabilities;
        let reader = || -> Arc<dyn ClusterReader> {
            Arc::new(Objects {
                objects: self.objects.clone(),
                grants: asked.cluster_read.clone(),
                namespace: self.namespace.to_owned(),
            })
        };
        let grants = Grants {
            secrets: (asked.has(Capability::Secrets) || step.decryption.is_some())
                .then(|| Secrets::from_iter(secrets)),
            cluster: asked.has(Capability::ClusterRead).then(reader),
            http: asked.has(Capability::Http).then(|| Arc::new(NoRequests) as Arc<dyn HttpClient>),
            clock: asked.has(Capability::Clock).then(|| self.chance.clock.clone()),
            random: asked.has(Capability::Random).then(|| self.chance.random.clone()),
        };
        Ok(Provided { plugin, limits, grants })
    }
}

/// An error with all that it says of its causes.
fn said(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn objects_of(file: &Path) -> anyhow::Result<Vec<Object>> {
    let text = std::fs::read_to_string(file)?;
    let mut found = Vec::new();
    for document in objects::documents(&text)? {
        found.push(Object::new(document)?);
    }
    if found.is_empty() {
        bail!("it holds no object");
    }
    Ok(found)
}

/// Objects of files in place of a cluster.
struct Objects {
    /// None where no file was given.
    objects: Option<Arc<Vec<Object>>>,
    grants: Vec<ClusterReadGrant>,
    /// That of the pipeline.
    namespace: String,
}

impl Objects {
    /// The objects of a kind that the step may read, in a namespace or in all that were granted.
    fn granted(
        &self,
        kind: &ObjectKind,
        namespace: Option<&str>,
    ) -> Result<impl Iterator<Item = &Object>, ReadError> {
        let granted =
            ClusterReadGrant::namespaces(&self.grants, &kind.api_version, &kind.kind, &self.namespace);
        let is_granted =
            |granted: &GrantedNamespaces<'_>| namespace.is_none_or(|namespace| granted.have(namespace));
        let Some(granted) = granted.filter(is_granted) else {
            let place = namespace.map(|namespace| format!(" in namespace {namespace}")).unwrap_or_default();
            return Err(ReadError::Denied(format!(
                "the step does not hand over {kind}{place}; add it to its capabilities.clusterRead"
            )));
        };
        let objects = self.objects.as_ref().ok_or_else(|| {
            ReadError::NoCluster("there is no cluster; give objects with --cluster-objects FILE".to_owned())
        })?;
        let (kind, namespace) = (kind.clone(), namespace.map(str::to_owned));
        Ok(objects.iter().filter(move |object| {
            let place = object.namespace();
            let is_there = namespace.is_none() || place == namespace.as_deref();
            object.api_version() == kind.api_version
                && object.kind() == kind.kind
                && is_there
                && place.is_none_or(|place| granted.have(place))
        }))
    }
}

#[async_trait]
impl ClusterReader for Objects {
    async fn get(
        &self,
        kind: &ObjectKind,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<Option<Object>, ReadError> {
        let mut objects = self.granted(kind, namespace)?;
        Ok(objects.find(|object| object.name() == name && object.namespace() == namespace).cloned())
    }

    async fn list(
        &self,
        kind: &ObjectKind,
        namespace: Option<&str>,
        label_selector: Option<&str>,
    ) -> Result<Vec<Object>, ReadError> {
        selected(self.granted(kind, namespace)?, label_selector)
    }
}

/// The objects whose labels are as a selector wants them, as an API server would choose.
pub(crate) fn selected<'a>(
    objects: impl Iterator<Item = &'a Object>,
    selector: Option<&str>,
) -> Result<Vec<Object>, ReadError> {
    let selector = label_selector("the label selector", selector.unwrap_or_default());
    let selector = selector.map_err(|error| ReadError::Failed(error.to_string()))?;
    Ok(objects.filter(|object| labels_match(&selector, object)).cloned().collect())
}

/// Sends nothing: what a laptop can reach is not what a cluster can.
struct NoRequests;

#[async_trait]
impl HttpClient for NoRequests {
    async fn send(&self, _: HttpRequest) -> Result<HttpResponse, HttpError> {
        Err(HttpError::Failed("no requests are sent without a cluster".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn objects(has_files: bool) -> Objects {
        let object = |namespace: &str, name: &str, labels: serde_json::Value| {
            let metadata = json!({"name": name, "namespace": namespace, "labels": labels});
            Object::new(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})).unwrap()
        };
        let all = vec![
            object("team-a", "x", json!({"tier": "web"})),
            object("team-a", "y", json!({})),
            object("team-b", "x", json!({})),
        ];
        let grant = ClusterReadGrant {
            api_version: "v1".to_owned(),
            kind: "ConfigMap".to_owned(),
            namespaces: Vec::new(),
        };
        let objects = has_files.then(|| Arc::new(all));
        Objects { objects, grants: vec![grant], namespace: "team-a".to_owned() }
    }

    fn kind(kind: &str) -> ObjectKind {
        ObjectKind { api_version: "v1".to_owned(), kind: kind.to_owned() }
    }

    #[rstest]
    #[case(None, &["x", "y"])]
    #[case(Some("tier=web"), &["x"])]
    #[case(Some("tier==web,tier"), &["x"])]
    #[case(Some("tier!=web"), &["y"])]
    #[case(Some("!tier"), &["y"])]
    #[case(Some("tier in (web, db)"), &["x"])]
    #[case(Some("tier notin (web)"), &["y"])]
    fn objects_are_selected_by_their_labels(#[case] selector: Option<&str>, #[case] expected: &[&str]) {
        let found =
            futures::executor::block_on(objects(true).list(&kind("ConfigMap"), None, selector)).unwrap();
        assert_eq!(found.iter().map(Object::name).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_is_no_selector_is_told() {
        let listing = objects(true);
        let found = futures::executor::block_on(listing.list(&kind("ConfigMap"), None, Some("tier in web")));
        let Err(ReadError::Failed(why)) = found else { panic!("it was taken") };
        assert!(why.starts_with("the label selector: \"tier in web\" is not a requirement"), "{why}");
    }

    // Attack 28 (Plugins): a plugin asks for more of the cluster than its step hands over.
    #[test]
    fn what_is_not_handed_over_is_not_read() {
        let objects = objects(true);
        let get = |kind: ObjectKind, namespace: &str| {
            futures::executor::block_on(objects.get(&kind, Some(namespace), "x")).map(|found| found.is_some())
        };
        assert_eq!(get(kind("ConfigMap"), "team-a"), Ok(true));
        assert!(matches!(get(kind("ConfigMap"), "team-b"), Err(ReadError::Denied(_))));
        assert!(matches!(get(kind("Secret"), "team-a"), Err(ReadError::Denied(_))));
    }

    #[test]
    fn without_files_there_is_no_cluster() {
        let found = futures::executor::block_on(objects(false).list(&kind("ConfigMap"), None, None));
        assert!(matches!(found, Err(ReadError::NoCluster(_))));
    }
}
