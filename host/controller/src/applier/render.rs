//! From the artifact to objects that can be applied.

use std::collections::HashSet;
use std::sync::Arc;

use plumb_api::{
    ApplierKind, ClusterReadGrant, GrantedNamespaces, GroupVersionKind, KustomizationStatus, Object,
    ObjectId, Reason,
};
use plumb_apply::Deferred;
use plumb_pipeline::{Rendered, Request, Situation, stamp};
use plumb_plugin::{Call, ClusterQuery, Limits, ObjectKind};
use tokio::time::Instant;

use super::expressions::Expressions;
use super::failure::{Failure, Retry};
use super::memory::Reads;
use super::providing::Providing;
use super::run::Run;
use super::state::ApplierStatus;
use super::{DISCOVERY, values};
use crate::artifacts::Artifact;
use crate::clusters::{Actor, List};
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
    run: &mut Run<'_, KustomizationStatus>,
    actor: &Arc<Actor>,
    expressions: &Arc<Expressions>,
    artifact: &Artifact,
    revision: &str,
) -> Result<Rendered, Failure> {
    let context = run.context;
    let rendered = attempt(run, actor, expressions, artifact).await;
    context.metrics.rendered(rendered.as_ref().ok().map(|rendered| rendered.origin));
    let rendered = rendered.inspect_err(|_| context.wants_as_before(&run.id, revision))?;
    let ids = ids(run, actor, &rendered.objects);
    context.wants(&run.id, revision, actor.cluster.id.clone(), ids);
    for warning in &rendered.warnings {
        run.publish(Severity::Warning, "BuildWarning", warning).await;
    }
    run.memory.followed.reads = reads(run, actor, &rendered.asked).await;
    Ok(rendered)
}

async fn attempt(
    run: &Run<'_, KustomizationStatus>,
    actor: &Arc<Actor>,
    expressions: &Arc<Expressions>,
    artifact: &Artifact,
) -> Result<Rendered, Failure> {
    let context = run.context;
    let values = values::gather(run).await?;
    let permit = context.renders.acquire(&run.id.key.namespace).await;
    let (working, scope, timeout) = (context.clone(), run.id.to_string(), run.spec.timeout());
    let (expressions, tree, situation) =
        (expressions.clone(), artifact.tree.clone(), situation(run, artifact));
    let namespace = run.id.key.namespace.clone();
    let providing = Providing { context: context.clone(), namespace, actor: actor.clone() };
    let rendering = tokio::task::spawn_blocking(move || -> Result<Rendered, Failure> {
        let _permit = permit;
        let steps = expressions.steps.plan(&situation, &values, &providing)?;
        let limits = Limits {
            wall_time: timeout.min(Limits::default().wall_time),
            memory_bytes: working.config.plugin_memory,
            ..Limits::default()
        };
        let call = Call { limits, cancelled: working.renders_cancelled.clone(), ..Call::default() };
        let request = Request { scope: &scope, tree: &tree, steps: &steps, call: &call };
        working.engine.render(&request).map_err(|error| build_failed(&error.to_string()))
    });
    rendering.await.unwrap_or_else(|error| Err(build_failed(&format!("internal error: {error}"))))
}

fn build_failed(message: &str) -> Failure {
    Failure::new(Reason::BuildFailed, Retry::Interval, message)
}

/// What expressions of steps may look at.
fn situation(run: &Run<'_, KustomizationStatus>, artifact: &Artifact) -> Situation {
    let source = run.source();
    Situation {
        kind: run.id.kind.to_string(),
        namespace: run.id.key.namespace.clone(),
        name: run.id.key.name.clone(),
        source_kind: source.kind.to_string(),
        source_namespace: source.key.namespace,
        source_name: source.key.name,
        revision: Some(artifact.revision.to_string()),
        digest: Some(artifact.digest.clone()),
    }
}

/// What plugins have read of the cluster, to be watched.
async fn reads(run: &Run<'_, KustomizationStatus>, actor: &Actor, asked: &[ClusterQuery]) -> Reads {
    let deadline = Instant::now() + DISCOVERY;
    let mut reads = Reads::default();
    for query in asked {
        let gvk = GroupVersionKind::new(&query.kind().api_version, &query.kind().kind);
        // Of a kind that the cluster does not have there is nothing to watch.
        let Ok(known) = actor.cluster.kinds.resolve(&gvk, deadline).await else { continue };
        let namespace = query.namespace().filter(|_| known.is_namespaced).map(str::to_owned);
        match query {
            ClusterQuery::Get { name, .. } => {
                let namespace = namespace.unwrap_or_default();
                let id = ObjectId { namespace, name: name.clone(), group_kind: gvk.group_kind() };
                reads.objects.push((id, known));
            }
            ClusterQuery::List { kind, label_selector, .. } => {
                let namespaces = match namespace {
                    None if known.is_namespaced => granted_namespaces(run, kind),
                    namespace => vec![namespace],
                };
                reads.lists.extend(namespaces.into_iter().map(|namespace| {
                    let (kind, label_selector) = (gvk.clone(), label_selector.clone());
                    (List { kind, namespace, label_selector }, known.clone())
                }));
            }
        }
    }
    reads
}

/// Where a list of all that was granted looks: `None` is everywhere. The grants of all steps count, as it does no harm to watch what only another step has read.
fn granted_namespaces(run: &Run<'_, KustomizationStatus>, kind: &ObjectKind) -> Vec<Option<String>> {
    let granted = run.spec.steps.iter().flat_map(|step| step.capabilities.cluster_read.clone());
    let (granted, own) = (granted.collect::<Vec<_>>(), &run.id.key.namespace);
    match ClusterReadGrant::namespaces(&granted, &kind.api_version, &kind.kind, own) {
        Some(GrantedNamespaces::All) => vec![None],
        Some(GrantedNamespaces::These(names)) => {
            names.into_iter().map(|name| Some(name.to_owned())).collect()
        }
        None => Vec::new(),
    }
}

/// The ids under which the objects will be in the cluster, as far as their kinds are known already.
fn ids(run: &Run<'_, KustomizationStatus>, actor: &Actor, objects: &[Object]) -> HashSet<ObjectId> {
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
pub(super) async fn prepare(
    run: &Run<'_, impl ApplierStatus>,
    actor: &Actor,
    mut objects: Vec<Object>,
    digest: &str,
) -> Result<Desired, Failure> {
    stamp(&mut objects, &run.spec.apply, &run.id.owner());
    let deferred = place(run, actor, &mut objects).await?;
    let types: HashSet<GroupVersionKind> = objects.iter().map(Object::gvk).collect();
    Ok(Desired {
        objects: objects.into_iter().map(Arc::new).collect(),
        types: types.into_iter().collect(),
        deferred,
        digest: digest.to_owned(),
    })
}

/// Where all objects go that have a namespace. Kustomize has seen to that for a Kustomization.
fn imposed_namespace<'a>(run: &'a Run<'_, KustomizationStatus>) -> Option<&'a str> {
    let target = run.spec.apply.target_namespace.as_deref();
    target.filter(|_| run.id.kind == ApplierKind::Pipeline)
}

/// Where objects go that name no namespace, if their kind has one.
fn default_namespace<'a>(run: &'a Run<'_, impl ApplierStatus>) -> &'a str {
    run.spec.apply.target_namespace.as_deref().unwrap_or("default")
}

/// Gives every object the namespace in which the API server will see it, and takes out those whose kind the cluster does not know.
async fn place(
    run: &Run<'_, impl ApplierStatus>,
    actor: &Actor,
    objects: &mut Vec<Object>,
) -> Result<Vec<Deferred>, Failure> {
    let placed =
        actor.cluster.kinds.place_all(objects, default_namespace(run), Instant::now() + DISCOVERY).await;
    placed.map(|placed| placed.deferred).map_err(|errors| {
        let messages: Vec<String> = errors.iter().map(ToString::to_string).collect();
        Failure::new(Reason::ReconciliationFailed, Retry::Backoff, messages.join("\n"))
    })
}
