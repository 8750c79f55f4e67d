//! What goes through the post-renderers of a release, and how the result becomes a release again.
//!
//! Helm gives all objects to a post-renderer, each with an annotation that names its template, and tells hooks from the others afterwards, by
//! their annotations. So a patch can make an object a hook, or take that from it.

use plumb_api::{CommonMetadata, HelmReleaseSpec, KustomizePostRenderer, Object, PostRenderStrategy};
use serde_json::{Map, Value, json};

use crate::go_yaml;
use crate::hooks::{DELETE_POLICY, HOOK, Hook, HookEvent, HookRun, OUTPUT_LOG_POLICY, WEIGHT};
use crate::objects::{Ownership, add_common};
use crate::rendered::{RenderedHook, RenderedObject, RenderedRelease};

/// The annotation with the template of an object, as long as the post-renderers have it.
const TEMPLATE: &str = "postrenderer.helm.sh/postrender-filename";
/// The file that the kustomization of [`kustomization`] takes the objects from.
const INPUT: &str = "helm-output.yaml";

/// A file that kustomize is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its path, from the root.
    pub path: &'static str,
    /// What is in it.
    pub text: String,
}

/// Sends a release through the post-renderers of a spec, and gives all objects their labels and annotations. An error is that of `kustomize`, with
/// the place of the post-renderer.
pub(crate) fn post_rendered<E>(
    rendered: RenderedRelease,
    spec: &HelmReleaseSpec,
    ownership: &Ownership<'_>,
    mut kustomize: impl FnMut([File; 2]) -> Result<Vec<Object>, E>,
) -> Result<RenderedRelease, (usize, E)> {
    let strategy = spec.post_render_strategy();
    let mut finished = Vec::new();
    for mut stream in streams(&rendered, strategy) {
        for (index, renderer) in spec.post_renderers.iter().enumerate() {
            let Some(renderer) = &renderer.kustomize else { continue };
            let objects = kustomize(stream.files(renderer)).map_err(|error| (index, error))?;
            stream = stream.replaced(objects.into_iter().map(Object::into_value).collect());
        }
        finished.push(stream.labelled(spec.common_metadata.as_ref(), ownership));
    }
    Ok(put_back(rendered, strategy, finished))
}

/// Objects that go through the post-renderers together.
#[derive(Clone, Debug, PartialEq)]
struct Stream {
    /// The objects, with the annotation [`TEMPLATE`].
    objects: Vec<Value>,
    /// What the name starts with that an object is given which a post-renderer has added.
    prefix: &'static str,
}

/// What is to go through the post-renderers: one stream, or one of the hooks and one of the other objects. A stream of nothing is left out.
fn streams(rendered: &RenderedRelease, strategy: PostRenderStrategy) -> Vec<Stream> {
    let hooks = || rendered.hooks.iter().map(|hook| (hook.hook.path.as_str(), &hook.object));
    let objects = || rendered.objects.iter().map(|object| (object.source.as_str(), &object.object));
    let streams = match strategy {
        PostRenderStrategy::NoHooks => vec![stream("manifests-", objects())],
        PostRenderStrategy::Combined => vec![stream("", hooks().chain(objects()))],
        PostRenderStrategy::Separate => vec![stream("hooks-", hooks()), stream("manifests-", objects())],
    };
    streams.into_iter().filter(|stream| !stream.objects.is_empty()).collect()
}

fn stream<'a>(prefix: &'static str, objects: impl Iterator<Item = (&'a str, &'a Value)>) -> Stream {
    let mut objects: Vec<(&str, &Value)> = objects.collect();
    objects.sort_by_key(|(template, _)| *template);
    let annotated = objects.into_iter().map(|(template, object)| {
        let mut object = object.clone();
        if let Some(annotations) = annotations_of(&mut object) {
            annotations.insert(TEMPLATE.to_owned(), template.into());
        }
        object
    });
    Stream { objects: annotated.collect(), prefix }
}

/// The kustomization that carries out a post-renderer, with the objects in the file [`INPUT`] beside it.
fn kustomization(renderer: &KustomizePostRenderer) -> Value {
    json!({
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [INPUT],
        "patches": renderer.patches,
        "images": renderer.images,
    })
}

impl Stream {
    /// What kustomize is given.
    fn files(&self, renderer: &KustomizePostRenderer) -> [File; 2] {
        let kustomization = File { path: "kustomization.yaml", text: kustomization(renderer).to_string() };
        [kustomization, File { path: INPUT, text: self.to_yaml() }]
    }

    /// The objects as YAML, for the file [`INPUT`].
    fn to_yaml(&self) -> String {
        let documents = self.objects.iter().filter_map(Value::as_object);
        documents.map(|object| format!("---\n{}", go_yaml::emit(object))).collect()
    }

    /// Takes what a post-renderer has made of the objects.
    fn replaced(self, objects: Vec<Value>) -> Self {
        Self { objects, ..self }
    }

    /// What Flux does after all post-renderers: `spec.commonMetadata`, and then the labels by which the objects are known as those of the
    /// HelmRelease.
    fn labelled(mut self, common: Option<&CommonMetadata>, owner: &Ownership<'_>) -> Self {
        for object in &mut self.objects {
            if let Some(common) = common {
                add_common(object, common);
            }
            owner.label(object);
        }
        self
    }
}

/// The release that the post-renderers have made of `rendered`. Hooks that were not among the streams stay as they are.
fn put_back(
    rendered: RenderedRelease,
    strategy: PostRenderStrategy,
    streams: Vec<Stream>,
) -> RenderedRelease {
    let mut found: Vec<RenderedObject> = Vec::new();
    for stream in streams {
        let taken_back = stream.objects.into_iter().enumerate();
        found.extend(taken_back.map(|(index, object)| without_template(object, stream.prefix, index)));
    }
    // As Helm reads the files: by name, and those of one file in their order.
    found.sort_by(|a, b| a.source.cmp(&b.source));
    let (mut hooks, mut objects) = (Vec::new(), Vec::new());
    for object in found {
        match hook_of(&object) {
            IsHook::No => objects.push(object),
            IsHook::Yes(hook) => hooks.push(RenderedHook { hook: *hook, object: object.object }),
            IsHook::OfNoEvent => {}
        }
    }
    if strategy == PostRenderStrategy::NoHooks {
        hooks.extend(rendered.hooks);
    }
    hooks.sort_by(|a, b| by_kind(&a.hook.kind, &b.hook.kind));
    objects.sort_by(|a, b| by_kind(kind(&a.object), kind(&b.object)));
    let manifest = objects.iter().map(|object| document(&object.source, &object.object)).collect();
    RenderedRelease { manifest, objects, hooks, ..rendered }
}

/// A document of a manifest, as Helm writes it.
fn document(source: &str, object: &Value) -> String {
    format!("---\n# Source: {source}\n{}", yaml(object))
}

fn yaml(object: &Value) -> String {
    object.as_object().map(go_yaml::emit).unwrap_or_default()
}

fn without_template(mut object: Value, prefix: &str, index: usize) -> RenderedObject {
    let annotations = annotations_of(&mut object);
    let template = annotations.and_then(|annotations| annotations.remove(TEMPLATE));
    let source = template.and_then(|template| template.as_str().map(ToOwned::to_owned));
    // What had no annotations before has none after.
    if let Some(Value::Object(metadata)) = object.get_mut("metadata")
        && metadata.get("annotations").and_then(Value::as_object).is_some_and(Map::is_empty)
    {
        metadata.remove("annotations");
    }
    let source = source.unwrap_or_else(|| format!("generated-by-postrender-{prefix}{index}.yaml"));
    RenderedObject { source, object }
}

fn annotations_of(object: &mut Value) -> Option<&mut Map<String, Value>> {
    let metadata = object.get_mut("metadata")?.as_object_mut()?;
    let annotations = metadata.entry("annotations").or_insert(Value::Null);
    if annotations.is_null() {
        *annotations = Value::Object(Map::new());
    }
    annotations.as_object_mut()
}

fn kind(object: &Value) -> &str {
    object.get("kind").and_then(Value::as_str).unwrap_or_default()
}

enum IsHook {
    No,
    Yes(Box<Hook>),
    /// It names an event that there is none of: Helm leaves it out altogether.
    OfNoEvent,
}

fn hook_of(object: &RenderedObject) -> IsHook {
    let metadata = |field: &str| object.object.get("metadata").and_then(|metadata| metadata.get(field));
    let annotation = |key: &str| metadata("annotations")?.get(key)?.as_str();
    let Some(events) = annotation(HOOK) else { return IsHook::No };
    let Some(events) = words(events).map(event).collect::<Option<Vec<HookEvent>>>() else {
        return IsHook::OfNoEvent;
    };
    let policies = |key: &str| -> Vec<String> {
        annotation(key).map(|policies| words(policies).collect()).unwrap_or_default()
    };
    IsHook::Yes(Box::new(Hook {
        name: metadata("name").and_then(Value::as_str).unwrap_or_default().to_owned(),
        kind: kind(&object.object).to_owned(),
        path: object.source.clone(),
        manifest: yaml(&object.object),
        events,
        weight: annotation(WEIGHT).and_then(|weight| weight.parse().ok()).unwrap_or_default(),
        delete_policies: policies(DELETE_POLICY),
        output_log_policies: policies(OUTPUT_LOG_POLICY),
        last_run: HookRun::default(),
    }))
}

fn words(list: &str) -> impl Iterator<Item = String> {
    list.split(',').map(|word| word.trim().to_lowercase())
}

fn event(word: String) -> Option<HookEvent> {
    serde_json::from_value(word.into()).ok()
}

/// The order in which Helm installs kinds. What is not among them comes last, by name.
const INSTALL_ORDER: [&str; 38] = [
    "PriorityClass",
    "Namespace",
    "NetworkPolicy",
    "ResourceQuota",
    "LimitRange",
    "PodSecurityPolicy",
    "PodDisruptionBudget",
    "ServiceAccount",
    "Secret",
    "SecretList",
    "ConfigMap",
    "StorageClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "CustomResourceDefinition",
    "ClusterRole",
    "ClusterRoleList",
    "ClusterRoleBinding",
    "ClusterRoleBindingList",
    "Role",
    "RoleList",
    "RoleBinding",
    "RoleBindingList",
    "Service",
    "DaemonSet",
    "Pod",
    "ReplicationController",
    "ReplicaSet",
    "Deployment",
    "HorizontalPodAutoscaler",
    "StatefulSet",
    "Job",
    "CronJob",
    "IngressClass",
    "Ingress",
    "APIService",
    "MutatingWebhookConfiguration",
    "ValidatingWebhookConfiguration",
];

fn by_kind(a: &str, b: &str) -> std::cmp::Ordering {
    let place = |kind: &str| INSTALL_ORDER.iter().position(|known| *known == kind);
    match (place(a), place(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        (Some(_), None) => std::cmp::Ordering::Less,
        (None, Some(_)) => std::cmp::Ordering::Greater,
        (None, None) => a.cmp(b),
    }
}

#[cfg(test)]
#[path = "post_render/tests.rs"]
mod tests;
