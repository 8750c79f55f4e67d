//! Renders on this machine what the controller would render in a cluster.

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use indicatif::{ProgressBar, ProgressStyle};
use plumb_api::Object;
use plumb_pipeline::{
    Builtins, Engine, PlanError, Request, Situation, Step, Steps, ValueError, Values, Why, stamp,
};
use plumb_plugin::{Call, Grants};
use plumb_tree::Tree;

use crate::applier::Applier;
use crate::local::{self, PluginDir};
use crate::output;
use crate::workbench::{Chance, Laptop, Workbench};

/// The built-in plugins, found once for all that a command renders.
pub(crate) struct Renderer {
    builtins: Builtins,
    engine: Engine,
    /// What is rendered twice warns once.
    warned: RefCell<HashSet<String>>,
}

impl Renderer {
    pub(crate) fn new(plugins: &PluginDir) -> anyhow::Result<Self> {
        Ok(Self { builtins: plugins.load()?, engine: local::engine(), warned: RefCell::default() })
    }

    /// The objects of a Kustomization or a Pipeline as they would be applied, with common metadata and ownership labels.
    pub(crate) fn applier(
        &self,
        applier: &Applier,
        values: &Values,
        laptop: &Laptop,
        chance: Chance,
        tree: &Arc<dyn Tree>,
    ) -> anyhow::Result<Vec<Object>> {
        let mut objects = self.objects(applier, values, laptop, chance, tree)?;
        stamp(&mut objects, &applier.spec.apply, &applier.owner);
        Ok(objects)
    }

    /// The objects of a Kustomization or a Pipeline as its steps leave them.
    pub(crate) fn objects(
        &self,
        applier: &Applier,
        values: &Values,
        laptop: &Laptop,
        chance: Chance,
        tree: &Arc<dyn Tree>,
    ) -> anyhow::Result<Vec<Object>> {
        let Applier { owner, spec, plugins } = applier;
        let workbench = Workbench::new(&self.builtins, laptop, plugins, &owner.namespace, chance)?;
        let steps = Steps::read(spec)?;
        let progress = loading()?;
        let planned = steps.plan(&situation(applier, laptop.revision.clone()), values, &workbench);
        progress.finish_and_clear();
        let planned = planned.map_err(|error| match lacks_values(&error) {
            true => anyhow!("{error}\n(give ConfigMaps and Secrets with --values FILE)"),
            false => anyhow!(error),
        })?;
        self.run(&owner.to_string(), &planned, tree)
    }

    /// The objects that a built-in plugin makes of a tree.
    pub(crate) fn plugin(
        &self,
        name: &str,
        grants: Grants,
        tree: &Arc<dyn Tree>,
        parameters: serde_json::Value,
    ) -> anyhow::Result<Vec<Object>> {
        let progress = loading()?;
        let plugin = self.builtins.renderer(name);
        progress.finish_and_clear();
        let step = Step { grants, ..Step::new(name, plugin?, parameters) };
        self.run("plumb", &[step], tree)
    }

    fn run(&self, scope: &str, steps: &[Step], tree: &Arc<dyn Tree>) -> anyhow::Result<Vec<Object>> {
        let call = Call::default();
        let rendered = self.engine.render(&Request { scope, tree, steps, call: &call })?;
        for warning in &rendered.warnings {
            if self.warned.borrow_mut().insert(warning.clone()) {
                output::note(format_args!("warning: {warning}"));
            }
        }
        Ok(rendered.objects)
    }
}

/// Told while plugins are loaded: the first time on a machine they are compiled, which is long enough to say so.
fn loading() -> anyhow::Result<ProgressBar> {
    let progress = ProgressBar::new_spinner()
        .with_style(ProgressStyle::with_template("{spinner} {msg} ({elapsed})")?)
        .with_message("loading plugins; they are compiled when they are first used");
    progress.enable_steady_tick(Duration::from_millis(200));
    Ok(progress)
}

/// What `when` looks at.
fn situation(applier: &Applier, revision: Option<String>) -> Situation {
    let Applier { owner, spec, .. } = applier;
    Situation {
        kind: owner.kind.to_string(),
        namespace: owner.namespace.clone(),
        name: owner.name.clone(),
        source_kind: spec.source_ref.kind.to_string(),
        source_namespace: spec.source_ref.namespace_or(&owner.namespace).to_owned(),
        source_name: spec.source_ref.name.clone(),
        revision,
        digest: None,
    }
}

/// Whether a ConfigMap or a Secret is missing.
fn lacks_values(error: &PlanError) -> bool {
    let lacks = |why: &Why| {
        matches!(why, Why::Value { error: ValueError::NoObject { .. } | ValueError::NoKeys { .. }, .. })
    };
    error.mistakes().iter().any(|mistake| lacks(&mistake.why))
}
