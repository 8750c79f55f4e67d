//! From the artifact to objects that can be applied.

use std::collections::HashSet;
use std::sync::Arc;

use plumb_api::{ApplierKind, GroupVersionKind, Object, ObjectId, Reason};
use plumb_apply::Deferred;
use plumb_pipeline::{Rendered, Request, kustomization as pipeline};
use plumb_plugin::{Call, Limits};
use tokio::time::Instant;

use super::failure::{Failure, Retry};
use super::{Applier, DISCOVERY, Run, variables};
use crate::artifacts::Artifact;
use crate::clusters::Actor;
use crate::events::Severity;

/// What has to be in the cluster.
pub(super) struct Desired {
    /// In the order in which they were rendered.
    pub(super) objects: Vec<Arc<Object>>,
    /// The types of the objects, each once.
    pub(super) types: Vec<GroupVersionKind>,
    /// What waits for its kind.
    pub(super) deferred: Vec<Deferred>,
    /// `sha256:…` of what was rendered.
    pub(super) digest: String,
}

impl Desired {
    /// What a Kustomization that is being deleted wants.
    pub(super) fn nothing() -> Self {
        Self { objects: Vec::new(), types: Vec::new(), deferred: Vec::new(), digest: String::new() }
    }
}

/// Renders the artifact, or finds that nothing it is made from has changed, and makes known what is wanted.
pub(super) async fn render(
    run: &Run<'_>,
    actor: &Actor,
    artifact: &Artifact,
    revision: &str,
) -> Result<Arc<Rendered>, Failure> {
    let context = run.context;
    let variables =
        variables::gather(run).await.inspect_err(|_| context.wants_as_before(&run.id, revision))?;
    let permit = context.renders.acquire(&run.id.key.namespace).await;
    let (working, scope, timeout) = (context.clone(), run.id.to_string(), run.spec.timeout());
    let object = run.object.clone();
    let tree = artifact.tree.clone();
    let rendering = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let steps = match &object {
            Applier::Kustomization(object) => pipeline::steps(&object.spec, &variables, &working.builtins)
                .map_err(|error| error.to_string())?,
            Applier::Pipeline(_) => return Err("Pipelines cannot be rendered yet".to_owned()),
        };
        let limits = Limits {
            wall_time: timeout.min(Limits::default().wall_time),
            memory_bytes: working.config.plugin_memory,
            ..Limits::default()
        };
        let call = Call { limits, cancelled: working.renders_cancelled.clone(), ..Call::default() };
        let request = Request { scope: &scope, tree: &tree, steps: &steps, call: &call };
        working.engine.render_with_origin(&request).map_err(|error| error.to_string())
    });
    let rendered = rendering.await.unwrap_or_else(|error| Err(format!("internal error: {error}")));
    context.metrics.rendered(rendered.as_ref().ok().map(|(_, origin)| *origin));
    match rendered {
        Ok((rendered, _)) => {
            let ids = ids(run, actor, &rendered.objects);
            context.wants(&run.id, revision, actor.cluster.id.clone(), ids);
            for warning in &rendered.warnings {
                run.publish(Severity::Warning, "BuildWarning", warning).await;
            }
            Ok(rendered)
        }
        Err(message) => {
            context.wants_as_before(&run.id, revision);
            Err(Failure::new(Reason::BuildFailed, Retry::Interval, message))
        }
    }
}

/// The ids under which the objects will be in the cluster, as far as their kinds are known already.
fn ids(run: &Run<'_>, actor: &Actor, objects: &[Object]) -> HashSet<ObjectId> {
    let id = |object: &Object| match actor.cluster.kinds.known(&object.gvk()) {
        Some(kind) => {
            let mut id = object.id();
            if !kind.is_namespaced {
                id.namespace.clear();
            } else if let Some(namespace) = imposed_namespace(run) {
                namespace.clone_into(&mut id.namespace);
            } else if id.namespace.is_empty() {
                default_namespace(run).clone_into(&mut id.namespace);
            }
            id
        }
        None => object.id(),
    };
    objects.iter().map(id).collect()
}

/// Makes of what was rendered what can be applied. It is not kept: that would be a second copy of every object, and it is soon made.
pub(super) async fn prepare(run: &Run<'_>, actor: &Actor, rendered: &Rendered) -> Result<Desired, Failure> {
    let mut objects = rendered.objects.clone();
    if let Some(namespace) = imposed_namespace(run) {
        // What is of a kind without namespaces loses it again below.
        objects.iter_mut().for_each(|object| object.set_namespace(Some(namespace)));
    }
    pipeline::stamp(&mut objects, run.spec.apply.common_metadata.as_ref(), &run.id.owner());
    let deferred = place(run, actor, &mut objects).await?;
    let types: HashSet<GroupVersionKind> = objects.iter().map(Object::gvk).collect();
    Ok(Desired {
        objects: objects.into_iter().map(Arc::new).collect(),
        types: types.into_iter().collect(),
        deferred,
        digest: rendered.digest.clone(),
    })
}

/// Where all objects go that have a namespace. Kustomize has seen to that for a Kustomization.
fn imposed_namespace<'a>(run: &'a Run<'_>) -> Option<&'a str> {
    let target = run.spec.apply.target_namespace.as_deref();
    target.filter(|_| run.id.kind == ApplierKind::Pipeline)
}

/// Where objects go that name no namespace, if their kind has one.
fn default_namespace<'a>(run: &'a Run<'_>) -> &'a str {
    run.spec.apply.target_namespace.as_deref().unwrap_or("default")
}

/// Gives every object the namespace in which the API server will see it, and takes out those whose kind the cluster does not know.
async fn place(run: &Run<'_>, actor: &Actor, objects: &mut Vec<Object>) -> Result<Vec<Deferred>, Failure> {
    let placed =
        actor.cluster.kinds.place_all(objects, default_namespace(run), Instant::now() + DISCOVERY).await;
    placed.map(|placed| placed.deferred).map_err(|errors| {
        let messages: Vec<String> = errors.iter().map(ToString::to_string).collect();
        Failure::new(Reason::ReconciliationFailed, Retry::Backoff, messages.join("\n"))
    })
}
