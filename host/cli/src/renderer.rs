//! Renders on this machine what the controller would render in a cluster.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{anyhow, bail};
use indicatif::{ProgressBar, ProgressStyle};
use plumb_api::{ApplierKind, Kustomization, KustomizationSpec, Object, Owner};
use plumb_pipeline::{
    Builtins, Engine, PlanError, Request, Situation, Spec, Step, Steps, ValueError, Variables, Why,
    kustomization as pipeline, stamp,
};
use plumb_plugin::{Call, Clock, SystemClock};
use plumb_tree::Tree;

use crate::applier::Applier;
use crate::local::{self, PluginDir};
use crate::output;
use crate::substitution::Given;
use crate::workbench::{Laptop, Workbench};

/// The built-in plugins, found once for all that a command renders.
pub(crate) struct Renderer {
    builtins: Builtins,
    engine: Engine,
}

impl Renderer {
    pub(crate) fn new(plugins: &PluginDir) -> anyhow::Result<Self> {
        Ok(Self { builtins: plugins.load()?, engine: local::engine() })
    }

    /// The objects of a Kustomization as they would be applied: with its common metadata and ownership labels. `variables` holds what
    /// `spec.postBuild` names.
    pub(crate) fn kustomization(
        &self,
        kustomization: &Kustomization,
        variables: &Variables,
        tree: &Arc<dyn Tree>,
    ) -> anyhow::Result<Vec<Object>> {
        let fields = pipeline::not_honoured(&kustomization.spec);
        if !fields.is_empty() {
            bail!(
                "{} is not supported yet, and the controller would refuse this Kustomization",
                fields.join(", ")
            );
        }
        let mut objects = self.spec(&kustomization.spec, variables, tree)?;
        let metadata = &kustomization.metadata;
        let namespace = metadata.namespace.as_deref().unwrap_or("default");
        let name = metadata.name.as_deref().unwrap_or_default();
        let owner = Owner::kustomization(namespace, name);
        pipeline::stamp(&mut objects, kustomization.spec.common_metadata.as_ref(), &owner);
        Ok(objects)
    }

    /// The objects of a Kustomization or a Pipeline as they would be applied, with common metadata and ownership labels.
    pub(crate) fn applier(
        &self,
        applier: &Applier,
        given: &Given,
        laptop: &Laptop,
        clock: Arc<dyn Clock>,
        tree: &Arc<dyn Tree>,
    ) -> anyhow::Result<Vec<Object>> {
        let Applier { owner, spec, plugins } = applier;
        if !spec.not_honoured.is_empty() {
            let fields = spec.not_honoured.join(", ");
            bail!("{fields} is not supported yet, and the controller would refuse this {}", owner.kind);
        }
        let values = given.values(spec, owner.kind);
        let workbench = Workbench::new(&self.builtins, laptop, plugins, &owner.namespace, clock)?;
        let steps = Steps::read(spec)?;
        let progress = loading()?;
        let planned = steps.plan(&situation(applier, laptop.revision.clone()), &values, &workbench);
        progress.finish_and_clear();
        let planned = planned.map_err(|error| match lacks_values(&error) {
            true => anyhow!("{error}\n(give ConfigMaps and Secrets with --values FILE)"),
            false => anyhow!(error),
        })?;
        let mut objects = self.run(&owner.to_string(), &planned, tree)?;
        stamp(&mut objects, &spec.apply, owner);
        Ok(objects)
    }

    /// The objects of a directory, as they are.
    pub(crate) fn directory(
        &self,
        spec: &KustomizationSpec,
        given: &Given,
        tree: &Arc<dyn Tree>,
    ) -> anyhow::Result<Vec<Object>> {
        let spec = Spec::from(spec);
        let values = given.values(&spec, ApplierKind::Kustomization);
        let laptop = Laptop::default();
        let workbench = Workbench::new(&self.builtins, &laptop, &[], "default", Arc::new(SystemClock))?;
        let progress = loading()?;
        let planned = Steps::read(&spec)?.plan(&Situation::default(), &values, &workbench);
        progress.finish_and_clear();
        self.run("plumb", &planned?, tree)
    }

    /// What a spec makes of a tree.
    pub(crate) fn spec(
        &self,
        spec: &KustomizationSpec,
        variables: &Variables,
        tree: &Arc<dyn Tree>,
    ) -> anyhow::Result<Vec<Object>> {
        let progress = loading()?;
        let steps = pipeline::steps(spec, variables, &self.builtins);
        progress.finish_and_clear();
        self.run("plumb", &steps?, tree)
    }

    fn run(&self, scope: &str, steps: &[Step], tree: &Arc<dyn Tree>) -> anyhow::Result<Vec<Object>> {
        let call = Call::default();
        let rendered = self.engine.render(&Request { scope, tree, steps, call: &call })?;
        for warning in &rendered.warnings {
            output::note(format_args!("warning: {warning}"));
        }
        Ok(rendered.objects.clone())
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
    let lacks = |why: &Why| matches!(why, Why::Value { error: ValueError::NoObject { .. }, .. });
    error.mistakes().iter().any(|mistake| lacks(&mistake.why))
}
