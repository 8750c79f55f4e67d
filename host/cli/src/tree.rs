use std::collections::{BTreeMap, HashSet};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;
use kube::api::ListParams;
use plumb_api::{ApplierKind, GroupKind, Object, ObjectId};
use plumb_apply::{Health, HealthStatus, health};
use serde::Serialize;
use serde_json::Value;

use crate::judges::{Judged, Judges, JudgingPlugins, health_of};
use crate::output::{self, Color, Format};
use crate::reader::{Read, Reader, applier_kind};
use crate::{cluster, workload};

/// How deep Kustomizations and Pipelines that apply each other are gone through.
const DEEP: usize = 16;
/// What the groups of Flux's kinds end in.
const FLUX: &str = "toolkit.fluxcd.io";
/// The group of our own kinds.
const OWN: &str = "plumbline.dev";

/// Shows what has been applied as a tree, with what came of it and how it is.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  plumb tree kustomization flux-system\n  plumb tree ks apps --compact\n  plumb tree pipeline shop\n  plumb tree ks apps -o json"
)]
pub(crate) struct Tree {
    #[command(subcommand)]
    of: Of,
}

#[derive(Debug, Subcommand)]
enum Of {
    /// The inventory of a Kustomization, and those of the Kustomizations and Pipelines in it.
    #[command(alias = "ks")]
    Kustomization(OfApplier),
    /// The inventory of a Pipeline, and those of the Kustomizations and Pipelines in it.
    #[command(alias = "pipe")]
    Pipeline(OfApplier),
}

#[derive(Debug, Args)]
struct OfApplier {
    /// The name of the object.
    name: String,
    /// Its namespace.
    #[arg(long, short, default_value = "flux-system")]
    namespace: String,
    /// Only Flux's objects, and Plumbline's.
    #[arg(long)]
    compact: bool,
    /// How the tree is printed.
    #[arg(long, short, value_enum, default_value_t = Output::Tree)]
    output: Output,
    #[command(flatten)]
    plugins: JudgingPlugins,
}

/// How a tree is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// Lines and branches, for people.
    Tree,
    /// Nested objects, for programs.
    Json,
    /// The same as YAML.
    Yaml,
}

/// An object, and what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Node {
    resource: Resource,
    /// `Current`, `InProgress`, `Failed`, … as kstatus has them.
    health: String,
    /// Why, where it is not `Current`.
    #[serde(skip_serializing_if = "String::is_empty")]
    message: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    resources: Vec<Node>,
}

/// An object as `flux tree -o json` names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Resource {
    namespace: String,
    name: String,
    group_kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Kind {
    group: String,
    kind: String,
}

impl Tree {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let (kind, of) = match self.of {
            Of::Kustomization(of) => (ApplierKind::Kustomization, of),
            Of::Pipeline(of) => (ApplierKind::Pipeline, of),
        };
        let judges = Judges::load(&of.plugins)?;
        let root = cluster::block_on(async {
            let reader = Reader::connect().await?;
            let plural = format!("{}s", kind.as_str().to_lowercase());
            let named =
                reader.named(&[format!("{plural}.{}/{}", kind.group(), of.name)], &of.namespace).await?;
            let (reader, judges) = (&reader, &judges);
            let mut growing =
                Growing { reader, judges, compact: of.compact, now: Timestamp::now(), seen: HashSet::new() };
            let mut roots = Vec::new();
            for applier in &named {
                roots.push(Box::pin(growing.applier(applier, 0)).await?);
            }
            Ok(roots.pop())
        })?;
        let Some(root) = root else { return Ok(ExitCode::SUCCESS) };
        match of.output {
            Output::Tree => output::write(format_args!("{}", drawn(&root, output::colored())))?,
            Output::Json => output::structured(&root, Format::Json)?,
            Output::Yaml => output::structured(&root, Format::Yaml)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// A tree that is being read.
struct Growing<'a> {
    reader: &'a Reader,
    judges: &'a Arc<Judges>,
    compact: bool,
    now: Timestamp,
    /// Kustomizations and Pipelines that are in the tree already: they may apply each other.
    seen: HashSet<ObjectId>,
}

impl Growing<'_> {
    async fn applier(&mut self, object: &Object, depth: usize) -> anyhow::Result<Node> {
        let mut node = node(&object.id(), health(object, self.now));
        self.seen.insert(object.id());
        // What is applied to another cluster cannot be looked at in this one.
        let is_elsewhere =
            ["/spec/kubeConfig", "/spec/apply/kubeConfig"].iter().any(|at| object.pointer(at).is_some());
        let ids: Vec<ObjectId> =
            inventory(object).into_iter().filter(|id| *id != object.id() && self.is_shown(id)).collect();
        if is_elsewhere {
            let unknown = Health::new(HealthStatus::Unknown, "it is in another cluster");
            node.resources = ids.iter().map(|id| self::node(id, unknown.clone())).collect();
            return Ok(node);
        }
        let read = self.reader.get_all(ids.iter().cloned()).await;
        let found = read.values().filter_map(|read| match read {
            Read::Found(object) => Some(object.clone()),
            Read::Missing | Read::Refused(_) => None,
        });
        let judged = Judged::of(self.reader, object).await;
        let healths = self.judges.healths(judged, found.collect(), self.now).await;
        let children = match self.compact {
            true => Children::default(),
            false => Children::of(self.reader, read.values()).await?,
        };
        for id in ids {
            let entry = match read.get(&id) {
                Some(Read::Found(found))
                    if applier_kind(&id.group_kind).is_some() && depth < DEEP && !self.seen.contains(&id) =>
                {
                    Box::pin(self.applier(found, depth + 1)).await?
                }
                Some(Read::Found(found)) => {
                    children.below(found, health_of(&healths, found, self.now), self.now)
                }
                Some(Read::Refused(why)) => self::node(&id, Health::new(HealthStatus::Unknown, why.clone())),
                Some(Read::Missing) | None => self::node(&id, Health::not_found()),
            };
            node.resources.push(entry);
        }
        Ok(node)
    }

    fn is_shown(&self, id: &ObjectId) -> bool {
        !self.compact || id.group_kind.group.ends_with(FLUX) || id.group_kind.group == OWN
    }
}

/// What workloads have made, by the identity of their owner.
#[derive(Default)]
struct Children(BTreeMap<String, Vec<Object>>);

impl Children {
    /// Lists what workloads make, in the namespaces where there are any.
    async fn of(reader: &Reader, objects: impl Iterator<Item = &Read>) -> anyhow::Result<Self> {
        let has_children = |object: &&Object| ["apps", "batch"].contains(&object.gvk().group.as_str());
        let found = objects.filter_map(|read| match read {
            Read::Found(object) => Some(object),
            Read::Missing | Read::Refused(_) => None,
        });
        let namespaces: HashSet<&str> = found.filter(has_children).filter_map(Object::namespace).collect();
        let mut children = Self::default();
        for namespace in namespaces {
            for (group, kind) in [("apps", "ReplicaSet"), ("batch", "Job"), ("", "Pod")] {
                let Some(entry) = reader.catalog.get(&GroupKind::new(group, kind)) else { continue };
                for object in reader.list(entry, Some(namespace), ListParams::default()).await? {
                    children.add(object);
                }
            }
        }
        Ok(children)
    }

    /// A ReplicaSet of an earlier rollout, which has no replicas, is left out.
    fn add(&mut self, object: Object) {
        let is_past = object.kind() == "ReplicaSet"
            && object.pointer("/spec/replicas").and_then(Value::as_i64) == Some(0);
        if !is_past {
            let owners: Vec<String> = workload::owners(&object).map(str::to_owned).collect();
            for owner in owners {
                self.0.entry(owner).or_default().push(object.clone());
            }
        }
    }

    /// An object and all that is below it. Owners cannot form a circle: an owner has to exist when its identity is written.
    fn below(&self, object: &Object, of_object: Health, now: Timestamp) -> Node {
        let mut node = node(&object.id(), of_object);
        let uid = object.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default();
        let below = self.0.get(uid).into_iter().flatten();
        node.resources = below.map(|child| self.below(child, health(child, now), now)).collect();
        node
    }
}

fn node(id: &ObjectId, health: Health) -> Node {
    Node {
        resource: Resource {
            namespace: id.namespace.clone(),
            name: id.name.clone(),
            group_kind: Kind { group: id.group_kind.group.clone(), kind: id.group_kind.kind.clone() },
        },
        health: health.status.to_string(),
        message: if health.status == HealthStatus::Current { String::new() } else { health.message },
        resources: Vec::new(),
    }
}

fn inventory(object: &Object) -> Vec<ObjectId> {
    let entries = object.pointer("/status/inventory/entries").and_then(Value::as_array);
    entries.into_iter().flatten().filter_map(|entry| entry.get("id")?.as_str()?.parse().ok()).collect()
}

/// The tree as `flux tree` draws it, with the health of what is not current.
fn drawn(root: &Node, colored: bool) -> String {
    let mut text = format!("{}\n", line(root, colored));
    draw(root, "", colored, &mut text);
    text
}

fn draw(node: &Node, indent: &str, colored: bool, text: &mut String) {
    for (index, child) in node.resources.iter().enumerate() {
        let is_last = index + 1 == node.resources.len();
        let (branch, below) = if is_last { ("└── ", "    ") } else { ("├── ", "│   ") };
        text.push_str(&format!("{indent}{branch}{}\n", line(child, colored)));
        draw(child, &format!("{indent}{below}"), colored, text);
    }
}

fn line(node: &Node, colored: bool) -> String {
    let Resource { namespace, name, group_kind } = &node.resource;
    let object = match namespace.as_str() {
        "" => format!("{}/{name}", group_kind.kind),
        namespace => format!("{}/{namespace}/{name}", group_kind.kind),
    };
    if node.health == HealthStatus::Current.as_str() {
        return object;
    }
    let is_bad =
        [HealthStatus::Failed, HealthStatus::NotFound].iter().any(|status| status.as_str() == node.health);
    let color = if is_bad { Color::Red } else { Color::Yellow };
    let message = node.message.lines().next().unwrap_or_default();
    format!("{object} {}", output::paint(&format!("[{}: {message}]", node.health), color, colored))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Object {
        Object::new(value).unwrap()
    }

    fn owned(kind: &str, api_version: &str, name: &str, owner: &str, more: Value) -> Object {
        let mut value = json!({"apiVersion": api_version, "kind": kind,
            "metadata": {"name": name, "namespace": "shop", "uid": name, "ownerReferences": [{"uid": owner}]}});
        value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        object(value)
    }

    #[test]
    fn what_a_deployment_has_made_hangs_below_it() {
        let mut children = Children::default();
        let replicas = |count: i64| json!({"spec": {"replicas": count}, "status": {"replicas": count}});
        children.add(owned("ReplicaSet", "apps/v1", "web-1", "web", replicas(0)));
        children.add(owned("ReplicaSet", "apps/v1", "web-2", "web", replicas(1)));
        children.add(owned("Pod", "v1", "web-2-a", "web-2", json!({"status": {"phase": "Pending"}})));
        let web = owned("Deployment", "apps/v1", "web", "", json!({"spec": {"replicas": 0}}));
        let mut root = node(&web.id(), Health::new(HealthStatus::Current, ""));
        root.resource.group_kind.kind = "Kustomization".to_owned();
        let absent = ObjectId {
            namespace: String::new(),
            name: "prod".to_owned(),
            group_kind: GroupKind::new("", "Namespace"),
        };
        root.resources = vec![
            children.below(&web, health(&web, Timestamp::UNIX_EPOCH), Timestamp::UNIX_EPOCH),
            node(&absent, Health::not_found()),
        ];
        insta::assert_snapshot!(drawn(&root, false), @"
        Kustomization/shop/web
        ├── Deployment/shop/web [InProgress: the Deployment is not available]
        │   └── ReplicaSet/shop/web-2 [InProgress: Labelled: 0/1]
        │       └── Pod/shop/web-2-a [InProgress: the pod is pending]
        └── Namespace/prod [NotFound: there is no such object]
        ");
        let json = serde_json::to_value(&root.resources[1]).unwrap();
        let expected = json!({"resource": {"Namespace": "", "Name": "prod", "GroupKind": {"Group": "", "Kind": "Namespace"}},
            "health": "NotFound", "message": "there is no such object"});
        assert_eq!(json, expected);
    }
}
