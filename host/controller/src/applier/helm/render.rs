//! From a chart and values to what a release is made of.

use std::sync::Arc;

use plumb_api::{HelmRelease, KustomizePostRenderer, Object, Reason};
use plumb_helm::objects::Ownership;
use plumb_helm::post_render::{self, INPUT, Stream};
use plumb_helm::rendered::RenderedRelease;
use plumb_helm::values::Values;
use plumb_pipeline::{Builtins, Engine, Rendered, Request, Step};
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
pub(super) struct Of<'a> {
    pub(super) release: &'a HelmRelease,
    pub(super) chart: &'a Chart,
    pub(super) values: &'a Values,
    pub(super) ownership: Ownership<'a>,
    pub(super) revision: i64,
    pub(super) is_upgrade: bool,
}

/// Renders a chart, and sends what comes out through the post-renderers.
pub(super) async fn render(
    run: &Turn<'_>,
    actor: &Arc<Actor>,
    of: &Of<'_>,
) -> Result<RenderedRelease, Failure> {
    let spec = &of.release.spec;
    let skip_schema = match of.is_upgrade {
        true => spec.upgrade.as_ref().is_some_and(|upgrade| upgrade.disable_schema_validation),
        false => spec.install.as_ref().is_some_and(|install| install.disable_schema_validation),
    };
    let parameters = json!({
        "path": of.chart.path,
        "as": "release",
        "release": {
            "name": of.ownership.release_name, "namespace": of.ownership.release_namespace,
            "revision": of.revision, "isUpgrade": of.is_upgrade,
        },
        "values": of.values.expose(),
        "capabilities": capabilities(actor).await?,
        "skipSchemaValidation": skip_schema,
    });
    let grants = plugins::grants_of_releases(actor.clone());
    let chart = Work { plugin: "helm", tree: of.chart.tree.clone(), parameters, grants };
    let rendered = in_background(run, chart).await?;
    let object = rendered.objects.into_iter().next().map(Object::into_value);
    let rendered =
        RenderedRelease::read(object.unwrap_or_default()).map_err(|error| failed(&error.to_string()))?;
    let strategy = spec.post_render_strategy();
    let mut streams = Vec::new();
    for mut stream in post_render::streams(&rendered, strategy) {
        for renderer in spec.post_renderers.iter().filter_map(|renderer| renderer.kustomize.as_ref()) {
            stream = kustomized(run, stream, renderer).await?;
        }
        streams.push(stream.labelled(spec.common_metadata.as_ref(), &of.ownership));
    }
    Ok(post_render::put_back(rendered, strategy, streams))
}

/// What one post-renderer makes of objects: kustomize, with a tree of just them.
async fn kustomized(
    run: &Turn<'_>,
    stream: Stream,
    renderer: &KustomizePostRenderer,
) -> Result<Stream, Failure> {
    let path = |name: &str| TreePath::new(name).map_err(|error| failed(&error.to_string()));
    let kustomization = post_render::kustomization(renderer).to_string();
    let tree = Memory::new()
        .with_file(&path("kustomization.yaml")?, kustomization)
        .with_file(&path(INPUT)?, stream.to_yaml());
    let work = Work {
        plugin: "kustomize",
        tree: Arc::new(tree),
        parameters: json!({"path": ""}),
        grants: Grants::default(),
    };
    let rendered = in_background(run, work)
        .await
        .map_err(|failure| Failure { message: format!("post-renderers: {}", failure.message), ..failure })?;
    Ok(stream.replaced(rendered.objects.into_iter().map(Object::into_value).collect()))
}

/// One call of a plugin.
struct Work {
    plugin: &'static str,
    tree: Arc<dyn Tree>,
    parameters: Value,
    grants: Grants,
}

/// Runs a plugin where that may block, in a slot that the namespace has for it.
async fn in_background(run: &Turn<'_>, work: Work) -> Result<Rendered, Failure> {
    let context = run.context.clone();
    let permit = context.renders.acquire(&run.id.key.namespace).await;
    let (scope, timeout) = (run.id.to_string(), run.spec.timeout());
    let rendering = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let limits = Limits {
            wall_time: timeout.min(Limits::default().wall_time),
            memory_bytes: context.config.plugin_memory,
            ..Limits::default()
        };
        let call = Call { limits, cancelled: context.renders_cancelled.clone(), ..Call::default() };
        call_plugin(&context.engine, &context.builtins, &scope, work, &call)
    });
    let result = rendering.await.unwrap_or_else(|error| Err(format!("internal error: {error}")));
    run.context.metrics.rendered(result.as_ref().ok().map(|_| plumb_pipeline::Origin::Plugins));
    result.map_err(|error| failed(&error))
}

fn call_plugin(
    engine: &Engine,
    builtins: &Builtins,
    scope: &str,
    work: Work,
    call: &Call,
) -> Result<Rendered, String> {
    let plugin = builtins.renderer(work.plugin).map_err(|error| error.to_string())?;
    let step = Step { grants: work.grants, ..Step::new(work.plugin, plugin, work.parameters) };
    let request = Request { scope, tree: &work.tree, steps: &[step], call };
    // A revision is rendered once: what is kept would only take memory.
    engine.render_anew(&request).map_err(|error| error.to_string())
}

/// What charts ask about the cluster: `.Capabilities`.
async fn capabilities(actor: &Actor) -> Result<Value, Failure> {
    let unknown = |why: String| Failure::new(Reason::ReconciliationFailed, Retry::Backoff, why);
    let version = actor.cluster.version().await.map_err(unknown)?;
    let all = actor.cluster.kinds.all(Instant::now() + DISCOVERY).await;
    let all = all.map_err(|error| unknown(error.to_string()))?;
    let mut versions: Vec<String> = all.iter().map(|gvk| gvk.api_version()).collect();
    versions.dedup();
    versions.extend(all.iter().map(|gvk| format!("{}/{}", gvk.api_version(), gvk.kind)));
    Ok(json!({"kubeVersion": version, "apiVersions": versions}))
}

fn failed(message: &str) -> Failure {
    Failure::new(Reason::BuildFailed, Retry::Interval, message)
}
