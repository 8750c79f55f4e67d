//! From the artifact to objects that can be applied.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use plumb_api::{GroupVersionKind, Object, ObjectId, Reason};
use plumb_apply::KindError;
use plumb_pipeline::{Request, kustomization as pipeline};
use plumb_plugin::{Call, Limits};
use tokio::time::Instant;

use super::Run;
use super::failure::{Failure, Retry};
use crate::artifacts::Artifact;

/// What has to be in the cluster.
pub(super) struct Desired {
    /// What it was made from: the digest of what was rendered, and the generation of the spec.
    made_from: (String, Option<i64>),
    /// In the order in which they were rendered.
    pub(super) objects: Vec<Arc<Object>>,
    /// The types of the objects, each once.
    pub(super) types: Vec<GroupVersionKind>,
    /// `sha256:…` of what was rendered.
    pub(super) digest: String,
}

impl Desired {
    /// What a Kustomization that is being deleted wants.
    pub(super) fn nothing() -> Self {
        Self {
            made_from: (String::new(), None),
            objects: Vec::new(),
            types: Vec::new(),
            digest: String::new(),
        }
    }
}

/// How long the API server has to say which kinds it serves.
const DISCOVERY: Duration = Duration::from_secs(15);

/// Renders the artifact, or finds that nothing it is made from has changed.
pub(super) async fn render(run: &mut Run<'_>, artifact: &Artifact) -> Result<Arc<Desired>, Failure> {
    let (context, object) = (run.context, run.object);
    let permit = context.renders.clone().acquire_owned().await;
    let (working, spec, scope) = (context.clone(), object.spec.clone(), format!("Kustomization/{}", run.key));
    let tree = artifact.tree.clone();
    let rendering = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let steps = pipeline::steps(&spec, &working.builtins).map_err(|error| error.to_string())?;
        let limits =
            Limits { wall_time: spec.timeout().min(Limits::default().wall_time), ..Limits::default() };
        let call = Call { limits, cancelled: working.renders_cancelled.clone(), ..Call::default() };
        let request = Request { scope: &scope, tree: &tree, steps: &steps, call: &call };
        working.engine.render(&request).map_err(|error| error.to_string())
    });
    let rendered = rendering.await.unwrap_or_else(|error| Err(format!("internal error: {error}")));
    context.metrics.rendered(rendered.is_ok());
    let rendered = rendered.map_err(|message| Failure::new(Reason::BuildFailed, Retry::Interval, message))?;
    let made_from = (rendered.digest.clone(), object.metadata.generation);
    if let Some(desired) = run.memory.desired.as_ref().filter(|desired| desired.made_from == made_from) {
        return Ok(desired.clone());
    }
    let mut objects = rendered.objects.clone();
    pipeline::stamp(&mut objects, &object.spec, &run.key.namespace, &run.key.name);
    place(run, &mut objects).await?;
    let ids: HashSet<ObjectId> = objects.iter().map(Object::id).collect();
    context.wants(&run.key, Arc::new(ids));
    let types: HashSet<GroupVersionKind> = objects.iter().map(Object::gvk).collect();
    let desired = Arc::new(Desired {
        made_from,
        objects: objects.into_iter().map(Arc::new).collect(),
        types: types.into_iter().collect(),
        digest: rendered.digest.clone(),
    });
    run.memory.desired = Some(desired.clone());
    Ok(desired)
}

/// Gives every object the namespace in which the API server will see it.
async fn place(run: &Run<'_>, objects: &mut [Object]) -> Result<(), Failure> {
    let namespace = run.object.spec.target_namespace.as_deref().unwrap_or("default");
    let placed = run.context.kinds.place_all(objects, namespace, Instant::now() + DISCOVERY).await;
    let Err(errors) = placed else { return Ok(()) };
    let is_transient = errors.iter().any(|error| matches!(error, KindError::Discovery(_)));
    let retry = if is_transient { Retry::Backoff } else { Retry::Interval };
    let messages: Vec<String> = errors.iter().map(ToString::to_string).collect();
    Err(Failure::new(Reason::ReconciliationFailed, retry, messages.join("\n")))
}
