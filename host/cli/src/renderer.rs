//! Renders on this machine what the controller would render in a cluster.

use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use indicatif::{ProgressBar, ProgressStyle};
use plumb_api::{Kustomization, KustomizationSpec, Object, Owner};
use plumb_pipeline::{Builtins, Engine, Request, Step, Variables, kustomization as pipeline};
use plumb_plugin::Call;
use plumb_tree::Tree;

use crate::local::{self, PluginDir};
use crate::output;

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

    /// What a spec makes of a tree.
    pub(crate) fn spec(
        &self,
        spec: &KustomizationSpec,
        variables: &Variables,
        tree: &Arc<dyn Tree>,
    ) -> anyhow::Result<Vec<Object>> {
        let steps = self.load_steps(spec, variables)?;
        let call = Call::default();
        let request = Request { scope: "plumb", tree, steps: &steps, call: &call };
        let rendered = self.engine.render(&request)?;
        for warning in &rendered.warnings {
            output::note(format_args!("warning: {warning}"));
        }
        Ok(rendered.objects.clone())
    }

    /// Loads the plugins: the first time on a machine they are compiled, which is long enough to say so.
    fn load_steps(&self, spec: &KustomizationSpec, variables: &Variables) -> anyhow::Result<Vec<Step>> {
        let progress = ProgressBar::new_spinner()
            .with_style(ProgressStyle::with_template("{spinner} {msg} ({elapsed})")?)
            .with_message("loading plugins; they are compiled when they are first used");
        progress.enable_steady_tick(Duration::from_millis(200));
        let steps = pipeline::steps(spec, variables, &self.builtins);
        progress.finish_and_clear();
        Ok(steps?)
    }
}
