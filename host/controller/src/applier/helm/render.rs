//! From a chart and values to what a release is made of.

use std::sync::Arc;

use plumb_api::{HelmRelease, Reason};
use plumb_helm::objects::Ownership;
use plumb_helm::render::{Capabilities, File, Occasion, Rendering};
use plumb_helm::rendered::RenderedRelease;
use plumb_helm::values::Values;
use plumb_pipeline::{Builtins, Engine, Origin, Rendered, Request, Step};
use plumb_plugin::{Call, Grants, Limits};
use plumb_tree::{Memory, Tree, TreePath};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Turn;
use super::chart::Chart;
use crate::applier::DISCOVERY;
use crate::applier::failure::{Failure, Retry};
use crate::clusters::Actor;
use crate::plugins;

/// What a chart is rendered for.
pub(super) struct Of {
    pub(super) release: Arc<HelmRelease>,
    pub(super) chart: Arc<Chart>,
    pub(super) values: Values,
    pub(super) release_name: String,
    pub(super) release_namespace: String,
    pub(super) occasion: Occasion,
}

/// Renders a chart, and sends what comes out through the post-renderers: all of it where that may block, in one slot that the namespace has for it. What
/// the plugins warn of is told.
pub(super) async fn render(
    run: &mut Turn<'_>,
    actor: &Arc<Actor>,
    of: Of,
) -> Result<RenderedRelease, Failure> {
    let capabilities = capabilities(actor).await?;
    let grants = plugins::grants_of_releases(actor);
    let (context, id, timeout) = (run.context.clone(), run.id.clone(), run.spec.timeout());
    let permit = context.renders.acquire(&id.key.namespace).await;
    let rendering = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let limits = Limits {
            wall_time: timeout.min(Limits::default().wall_time),
            memory_bytes: context.config.plugin_memory,
            ..Limits::default()
        };
        let call = Call { limits, cancelled: context.renders_cancelled.clone(), ..Call::default() };
        let scope = id.to_string();
        let plugins =
            Plugins { engine: &context.engine, builtins: &context.builtins, scope: &scope, call: &call };
        let rendering = Rendering {
            spec: &of.release.spec,
            ownership: Ownership {
                release_name: &of.release_name,
                release_namespace: &of.release_namespace,
                name: &id.key.name,
                namespace: &id.key.namespace,
            },
            path: &of.chart.path,
            values: &of.values,
            capabilities: &capabilities,
            occasion: of.occasion,
        };
        let chart = plugins.run("helm", &of.chart.tree, rendering.parameters(), grants)?;
        let mut warnings = chart.warnings;
        let release = rendering.finish(chart.objects, |files| {
            let built = plugins.kustomize(files)?;
            warnings.extend(built.warnings);
            Ok::<_, String>(built.objects)
        });
        Ok((release.map_err(|error| error.to_string())?, warnings))
    });
    let result = rendering.await.unwrap_or_else(|error| Err(format!("internal error: {error}")));
    run.context.metrics.rendered(result.as_ref().ok().map(|_| Origin::Plugins));
    let (release, warnings) =
        result.map_err(|error| Failure::new(Reason::BuildFailed, Retry::Interval, error))?;
    for warning in warnings {
        run.warn_once("BuildWarning", warning).await;
    }
    Ok(release)
}

/// The plugins that make a release, and how they are run. All of it blocks.
struct Plugins<'a> {
    engine: &'a Engine,
    builtins: &'a Builtins,
    scope: &'a str,
    call: &'a Call,
}

impl Plugins<'_> {
    /// Builds the root of a tree of just these files.
    fn kustomize(&self, files: [File; 2]) -> Result<Rendered, String> {
        let mut tree = Memory::new();
        for File { path, text } in files {
            tree = tree.with_file(&TreePath::new(path).map_err(|error| error.to_string())?, text);
        }
        let tree: Arc<dyn Tree> = Arc::new(tree);
        self.run("kustomize", &tree, json!({"path": ""}), Grants::default())
    }

    fn run(
        &self,
        name: &str,
        tree: &Arc<dyn Tree>,
        parameters: Value,
        grants: Grants,
    ) -> Result<Rendered, String> {
        let plugin = self.builtins.renderer(name).map_err(|error| error.to_string())?;
        let step = Step { grants, ..Step::new(name, plugin, parameters) };
        let request = Request { scope: self.scope, tree, steps: &[step], call: self.call };
        // A revision is rendered once: what is kept would only take memory.
        self.engine.render_anew(&request).map_err(|error| error.to_string())
    }
}

/// What charts ask about the cluster: `.Capabilities`.
async fn capabilities(actor: &Actor) -> Result<Capabilities, Failure> {
    let unknown = |why: String| Failure::new(Reason::ReconciliationFailed, Retry::Backoff, why);
    let version = actor.cluster.version().await.map_err(unknown)?;
    let kinds = actor.cluster.kinds.all(Instant::now() + DISCOVERY).await;
    Ok(Capabilities::of_cluster(version, &kinds.map_err(|error| unknown(error.to_string()))?))
}
