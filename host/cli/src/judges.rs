//! Who judges objects on this machine: as in the controller, with the plugins that are here.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use plumb_api::{
    ApplierKind, GroupKind, HelmReleaseSpec, KustomizationSpec, Object, ObjectId, Owner, PipelineHealth,
    PipelineSpec, Plugin,
};
use plumb_apply::{Health, health};
use plumb_cel::HealthExpressions;
use plumb_health::{Check, Checker, Checks, Choice};
use plumb_pipeline::{Builtins, Spec};
use plumb_plugin::Limits;
use serde::Deserialize as _;

use crate::local::PluginDir;
use crate::output;
use crate::reader::{Read, Reader, applier_kind};
use crate::workbench::named_file;

/// How long a plugin may take for one object.
const ONE: Duration = Duration::from_secs(10);

/// The plugins of this machine that judge objects.
#[derive(Clone, Debug, Args)]
pub(crate) struct JudgingPlugins {
    /// A health check that is not built in: its name in `health.plugins` or that of its Plugin, and its component. Nothing is pulled.
    #[arg(long = "plugin", value_name = "NAME=FILE", value_parser = named_file)]
    given: Vec<(String, PathBuf)>,
    #[command(flatten)]
    builtin: PluginDir,
}

/// Judges objects.
pub(crate) struct Judges {
    checker: Checker,
    /// None when there are no plugins on this machine.
    builtins: Option<Builtins>,
    /// Those that are not built in, by their names.
    given: BTreeMap<String, plumb_plugin::Plugin>,
    rules: Option<Arc<Check>>,
}

/// A Kustomization or Pipeline as far as it says how its objects are judged, and the Plugins of its namespace.
pub(crate) struct Judged {
    health: PipelineHealth,
    plugins: Vec<Plugin>,
}

impl Judges {
    /// Loads the rules that come with Plumbline, and what was given. Without rules it is kstatus that judges, which is told.
    ///
    /// # Errors
    ///
    /// When something that was given is no plugin.
    pub(crate) fn load(plugins: &JudgingPlugins) -> anyhow::Result<Arc<Self>> {
        let (checker, given) = (Checker::default(), BTreeMap::new());
        let mut judges = match loaded(&plugins.builtin) {
            Ok((builtins, rules)) => Self { checker, builtins: Some(builtins), given, rules: Some(rules) },
            Err(error) if plugins.given.is_empty() => {
                output::note(format_args!("how custom resources are is told by kstatus alone: {error:#}"));
                Self { checker, builtins: None, given, rules: None }
            }
            Err(error) => return Err(error),
        };
        if let Some(builtins) = &judges.builtins {
            for (name, file) in &plugins.given {
                judges.given.insert(name.clone(), builtins.host().open(name, file)?);
            }
        }
        Ok(Arc::new(judges))
    }

    /// How objects are that somebody has applied, or nobody. Asks plugins beside the runtime.
    pub(crate) async fn healths(
        self: &Arc<Self>,
        judged: Option<Judged>,
        objects: Vec<Object>,
        now: Timestamp,
    ) -> BTreeMap<ObjectId, Health> {
        let judges = self.clone();
        let ids: Vec<ObjectId> = objects.iter().map(Object::id).collect();
        let judging = tokio::task::spawn_blocking(move || {
            let checks = judges.checks(judged);
            let objects = objects.into_iter().map(Arc::new);
            objects.map(|object| judges.checker.health(&checks, &object, now, ONE)).collect::<Vec<_>>()
        });
        // One that broke down leaves it to whoever asks.
        ids.into_iter().zip(judging.await.unwrap_or_default()).collect()
    }

    fn checks(&self, judged: Option<Judged>) -> Checks {
        let Some(Judged { health, plugins }) = judged else {
            return Checks::new(Arc::default(), self.rules.clone());
        };
        // What is wrong with them, the controller tells: it applies nothing then.
        let expressions = HealthExpressions::compile(&health.exprs).unwrap_or_default();
        let mut checks = Checks::new(Arc::new(expressions), self.rules.clone());
        let chosen =
            health.plugins.iter().map(Choice::of).chain(plugins.iter().filter_map(Choice::of_plugin));
        for choice in chosen {
            let plugin = self.plugin(choice.name, &plugins);
            checks.choose(choice, plugin, most());
        }
        checks
    }

    /// A plugin by its name: what was given goes before a Plugin of the namespace, and that before one that is built in.
    fn plugin(&self, name: &str, plugins: &[Plugin]) -> Result<plumb_plugin::Plugin, String> {
        if let Some(given) = self.given.get(name) {
            return Ok(given.clone());
        }
        let declared = plugins.iter().find(|plugin| plugin.metadata.name.as_deref() == Some(name));
        let spec = declared.map(|plugin| &plugin.spec);
        if let Some(image) = spec.and_then(|spec| spec.image.as_deref()) {
            return Err(format!(
                "it is {image}, which is not pulled to this machine; give its component with --plugin {name}=FILE"
            ));
        }
        let builtin = spec.and_then(|spec| spec.builtin.as_deref()).unwrap_or(name);
        let builtins = self.builtins.as_ref().ok_or("there are no plugins on this machine")?;
        builtins.plugin(builtin).map_err(|error| error.to_string())
    }
}

fn loaded(plugins: &PluginDir) -> anyhow::Result<(Builtins, Arc<Check>)> {
    let builtins = plugins.load()?;
    let rules = Check::rules(builtins.plugin("health-cel")?, most())?;
    Ok((builtins, Arc::new(rules)))
}

fn most() -> Limits {
    plumb_health::limits(Limits::default().memory_bytes)
}

impl Judged {
    /// What a Kustomization, a Pipeline or a HelmRelease says; none for another object, or one that cannot be read.
    pub(crate) async fn of(reader: &Reader, applier: &Object) -> Option<Self> {
        let spec = applier.pointer("/spec")?;
        let health = match applier_kind(&applier.gvk().group_kind())? {
            ApplierKind::Kustomization => Spec::from(&KustomizationSpec::deserialize(spec).ok()?).health,
            ApplierKind::Pipeline => Spec::from(&PipelineSpec::deserialize(spec).ok()?).health,
            ApplierKind::HelmRelease => PipelineHealth {
                exprs: HelmReleaseSpec::deserialize(spec).ok()?.health_check_exprs,
                ..PipelineHealth::default()
            },
        };
        // Who may not list them sees what the spec itself says.
        let plugins =
            reader.list_kind("plumbline.dev", "Plugin", applier.namespace()).await.unwrap_or_default();
        let plugin = |object: Object| serde_json::from_value(object.into_value()).ok();
        let mut plugins: Vec<Plugin> = plugins.into_iter().filter_map(plugin).collect();
        plugins.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
        Some(Self { health, plugins })
    }

    /// What the Kustomization, Pipeline or HelmRelease says that an object belongs to.
    pub(crate) async fn of_owner(reader: &Reader, object: &Object) -> Option<Self> {
        let Owner { kind, namespace, name } = Owner::of(object)?;
        let group_kind = GroupKind::new(kind.group(), kind.as_str());
        match reader.get(&ObjectId { namespace, name, group_kind }).await {
            Read::Found(applier) => Self::of(reader, &applier).await,
            Read::Missing | Read::Refused(_) => None,
        }
    }
}

/// How an object is by what was found out, or else by kstatus.
pub(crate) fn health_of(healths: &BTreeMap<ObjectId, Health>, object: &Object, now: Timestamp) -> Health {
    healths.get(&object.id()).cloned().unwrap_or_else(|| health(object, now))
}
