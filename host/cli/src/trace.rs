use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;
use plumb_api::{ApplierKind, GroupKind, Object, ObjectId, Owner};
use plumb_tree::TreePath;
use serde_json::Value;

use crate::reader::{Read, Reader, SOURCE_GROUP};
use crate::{cluster, output};

/// The file that an object comes from, where `spec.buildMetadata` asks kustomize to note it.
const ORIGIN: &str = "config.kubernetes.io/origin";
/// How many owners are gone through: a Pod has a ReplicaSet, which has a Deployment.
const OWNERS: usize = 8;

/// Tells which Kustomization or Pipeline an object belongs to, and from which source, revision and file it comes.
///
/// An object that was not applied itself, such as a Pod, is traced by the one that owns it.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  plumb trace deployment/web -n apps\n  plumb trace pod web-7d4b9 -n apps\n  plumb trace namespace apps"
)]
pub(crate) struct Trace {
    /// The objects, as KIND/NAME or as KIND NAME.
    #[arg(required = true, num_args = 1.., value_name = "KIND/NAME")]
    objects: Vec<String>,
    /// The namespace of the objects.
    #[arg(long, short, default_value = "flux-system")]
    namespace: String,
}

impl Trace {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let traced = cluster::block_on(async {
            let reader = Reader::connect().await?;
            let mut traced = Vec::new();
            for object in reader.named(&self.objects, &self.namespace).await? {
                traced.push(Traced::of(&reader, object).await);
            }
            Ok(traced)
        })?;
        for (index, traced) in traced.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            output::write(format_args!("{separator}{}", traced.report()))?;
        }
        let all_managed = traced.iter().all(|traced| traced.manager.is_some());
        Ok(if all_managed { ExitCode::SUCCESS } else { ExitCode::from(1) })
    }
}

/// An object and where it comes from.
struct Traced {
    object: Object,
    /// Who owns it, the nearest first.
    owners: Vec<Object>,
    /// The Kustomization, Pipeline or HelmRelease that its labels name, and what came of reading it.
    manager: Option<(ObjectId, Read)>,
    source: Option<(ObjectId, Read)>,
}

impl Traced {
    async fn of(reader: &Reader, object: Object) -> Self {
        let owners = owners(reader, &object).await;
        let manager = std::iter::once(&object).chain(&owners).find_map(manager_of);
        let manager = match manager {
            Some(id) => Some((id.clone(), reader.get(&id).await)),
            None => None,
        };
        let source = match manager.as_ref().and_then(|(_, read)| source_of(read)) {
            Some(id) => Some((id.clone(), reader.get(&id).await)),
            None => None,
        };
        Self { object, owners, manager, source }
    }

    /// As `flux trace` prints it.
    fn report(&self) -> String {
        let mut text = Text::default();
        text.line("Object", &format!("{}/{}", self.object.kind(), self.object.name()));
        text.line("Namespace", self.object.namespace().unwrap_or_default());
        for owner in &self.owners {
            text.line("Owned by", &format!("{}/{}", owner.kind(), owner.name()));
        }
        let Some((manager, read)) = &self.manager else {
            text.line(
                "Status",
                "Not managed: no Kustomization, Pipeline or HelmRelease is named in its labels",
            );
            return text.0;
        };
        let by = if manager.group_kind.group == ApplierKind::Pipeline.group() { "Plumbline" } else { "Flux" };
        text.line("Status", &format!("Managed by {by}"));
        let applied = self.owners.last().unwrap_or(&self.object);
        text.line("File", &self.file(applied));
        text.rule();
        text.line(&manager.group_kind.kind, &manager.name);
        text.line("Namespace", &manager.namespace);
        match read {
            Read::Found(found) => text.manager(found, applied),
            Read::Missing => text.line("Status", "It does not exist: nobody looks after the object"),
            Read::Refused(why) => text.line("Status", &format!("It cannot be read: {why}")),
        }
        if let Some((source, read)) = &self.source {
            text.rule();
            text.line(&source.group_kind.kind, &source.name);
            text.line("Namespace", &source.namespace);
            match read {
                Read::Found(found) => text.source(found),
                Read::Missing => text.line("Status", "It does not exist"),
                Read::Refused(why) => text.line("Status", &format!("It cannot be read: {why}")),
            }
        }
        text.0
    }

    /// The file, from the root of the source on: kustomize notes it relative to the directory that is built.
    fn file(&self, applied: &Object) -> String {
        let noted = applied.annotation(ORIGIN).and_then(|origin| serde_yaml::from_str::<Value>(origin).ok());
        let field =
            |name: &str| noted.as_ref().and_then(|noted| noted.get(name)?.as_str().map(str::to_owned));
        let Some((id, read)) = &self.manager else { return String::new() };
        match (field("path").or_else(|| field("configuredIn")), id.group_kind.kind.as_str()) {
            (Some(path), _) => {
                let built = match read {
                    Read::Found(manager) => text(manager, "/spec/path"),
                    Read::Missing | Read::Refused(_) => "",
                };
                let whole = TreePath::new(built).and_then(|built| built.join(&path));
                whole.map_or(path, |whole| whole.to_string())
            }
            (None, "Kustomization") => {
                "not noted; add originAnnotations to spec.buildMetadata of the Kustomization".to_owned()
            }
            (None, _) => String::new(),
        }
    }
}

/// What is printed: names and values, one a line; an empty value is left out.
#[derive(Default)]
struct Text(String);

impl Text {
    fn line(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            // Writing into a String does not fail.
            let _ = writeln!(self.0, "{:<17}{value}", format!("{name}:"));
        }
    }

    fn rule(&mut self) {
        self.0.push_str("---\n");
    }

    fn manager(&mut self, manager: &Object, applied: &Object) {
        self.line("Target", text(manager, "/spec/targetNamespace"));
        self.line("Target", text(manager, "/spec/apply/targetNamespace"));
        self.line("Path", text(manager, "/spec/path"));
        self.line("Revision", text(manager, "/status/lastAppliedRevision"));
        self.state(manager);
        if let Some(entries) = manager.pointer("/status/inventory/entries").and_then(Value::as_array) {
            let id = applied.id().to_string();
            if !entries.iter().any(|entry| entry["id"] == id.as_str()) {
                self.line("Warning", "Its inventory does not list the object: the labels may be a leftover");
            }
        }
    }

    fn source(&mut self, source: &Object) {
        self.line("URL", text(source, "/spec/url"));
        self.line("Chart", text(source, "/spec/chart"));
        self.line("Version", text(source, "/spec/version"));
        for (name, field) in [
            ("Commit", "commit"),
            ("Name", "name"),
            ("Digest", "digest"),
            ("SemVer", "semver"),
            ("Tag", "tag"),
            ("Branch", "branch"),
        ] {
            let value = text(source, &format!("/spec/ref/{field}"));
            if !value.is_empty() {
                self.line(name, value);
                break;
            }
        }
        self.line("Revision", text(source, "/status/artifact/revision"));
        self.line(
            "Origin Revision",
            text(source, "/status/artifact/metadata/org.opencontainers.image.revision"),
        );
        self.line("Origin Source", text(source, "/status/artifact/metadata/org.opencontainers.image.source"));
        self.state(source);
    }

    fn state(&mut self, object: &Object) {
        let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
        let ready = conditions.into_iter().flatten().find(|condition| condition["type"] == "Ready");
        let field = |name: &str| ready.and_then(|ready| ready.get(name)?.as_str()).unwrap_or_default();
        match field("status") {
            "" => self.line("Status", "Unknown"),
            "False" => {
                self.line("Status", &format!("Last reconciliation failed at {}", field("lastTransitionTime")))
            }
            _ => self.line("Status", &format!("Last reconciled at {}", field("lastTransitionTime"))),
        }
        self.line("Message", field("message").lines().next().unwrap_or_default());
    }
}

fn text<'a>(object: &'a Object, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The controlling owners of an object, the nearest first, until one that was applied.
async fn owners(reader: &Reader, object: &Object) -> Vec<Object> {
    let mut owners: Vec<Object> = Vec::new();
    while owners.len() < OWNERS {
        let at = owners.last().unwrap_or(object);
        if manager_of(at).is_some() {
            break;
        }
        let Some(owner) = owner_of(at) else { break };
        match reader.get(&owner).await {
            Read::Found(owner) => owners.push(owner),
            Read::Missing | Read::Refused(_) => break,
        }
    }
    owners
}

fn owner_of(object: &Object) -> Option<ObjectId> {
    let owners = object.pointer("/metadata/ownerReferences")?.as_array()?;
    let owner = owners.iter().find(|owner| owner["controller"] == true).or(owners.first())?;
    let text = |field: &str| owner.get(field).and_then(Value::as_str);
    let group = text("apiVersion")?.split_once('/').map_or("", |(group, _)| group);
    let namespace = object.namespace().unwrap_or_default().to_owned();
    Some(ObjectId {
        namespace,
        name: text("name")?.to_owned(),
        group_kind: GroupKind::new(group, text("kind")?),
    })
}

/// Whom the labels of an object name.
fn manager_of(object: &Object) -> Option<ObjectId> {
    let named = |name: &str, namespace: &str, group: &str, kind: &str| {
        let (name, namespace) = (object.label(name)?.to_owned(), object.label(namespace)?.to_owned());
        Some(ObjectId { namespace, name, group_kind: GroupKind::new(group, kind) })
    };
    let helm = "helm.toolkit.fluxcd.io";
    let applier = Owner::of(object).map(|Owner { kind, namespace, name }| ObjectId {
        namespace,
        name,
        group_kind: GroupKind::new(kind.group(), kind.as_str()),
    });
    applier.or_else(|| named(&format!("{helm}/name"), &format!("{helm}/namespace"), helm, "HelmRelease"))
}

fn source_of(manager: &Read) -> Option<ObjectId> {
    let Read::Found(manager) = manager else { return None };
    let pointers = ["/spec/sourceRef", "/spec/chartRef", "/spec/chart/spec/sourceRef"];
    let reference = pointers.into_iter().find_map(|pointer| manager.pointer(pointer))?;
    let text = |field: &str| reference.get(field).and_then(Value::as_str);
    Some(ObjectId {
        namespace: text("namespace").or(manager.namespace()).unwrap_or_default().to_owned(),
        name: text("name")?.to_owned(),
        group_kind: GroupKind::new(SOURCE_GROUP, text("kind")?),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use plumb_api::annotations::{OWNER_NAME, OWNER_NAMESPACE};
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Object {
        Object::new(value).unwrap()
    }

    fn deployment() -> Object {
        let labels = json!({OWNER_NAME: "apps", OWNER_NAMESPACE: "flux-system"});
        let annotations = json!({ORIGIN: "path: ../base/deployment.yaml\n"});
        object(json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "namespace": "shop", "labels": labels, "annotations": annotations}}))
    }

    fn kustomization() -> Object {
        object(json!({
            "apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
            "metadata": {"name": "apps", "namespace": "flux-system"},
            "spec": {"path": "./apps", "sourceRef": {"kind": "GitRepository", "name": "repo"}},
            "status": {
                "lastAppliedRevision": "main@sha1:aa",
                "inventory": {"entries": [{"id": "shop_web_apps_Deployment", "v": "v1"}]},
                "conditions": [{"type": "Ready", "status": "True", "message": "Applied revision: main@sha1:aa", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
            },
        }))
    }

    fn source() -> Object {
        object(json!({
            "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository",
            "metadata": {"name": "repo", "namespace": "flux-system"},
            "spec": {"url": "https://git.example/repo", "ref": {"branch": "main"}},
            "status": {
                "artifact": {"revision": "main@sha1:bb"},
                "conditions": [{"type": "Ready", "status": "False", "message": "timed out", "lastTransitionTime": "2026-01-02T00:00:00Z"}],
            },
        }))
    }

    #[test]
    fn a_pod_leads_to_the_file() {
        let owner =
            json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "controller": true}]);
        let pod = object(
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web-1", "namespace": "shop", "ownerReferences": owner}}),
        );
        let (manager, source) = (kustomization(), source());
        let traced = Traced {
            object: pod,
            owners: vec![deployment()],
            manager: Some((manager.id(), Read::Found(manager))),
            source: Some((source.id(), Read::Found(source))),
        };
        insta::assert_snapshot!(traced.report(), @"
        Object:          Pod/web-1
        Namespace:       shop
        Owned by:        Deployment/web
        Status:          Managed by Flux
        File:            base/deployment.yaml
        ---
        Kustomization:   apps
        Namespace:       flux-system
        Path:            ./apps
        Revision:        main@sha1:aa
        Status:          Last reconciled at 2026-01-01T00:00:00Z
        Message:         Applied revision: main@sha1:aa
        ---
        GitRepository:   repo
        Namespace:       flux-system
        URL:             https://git.example/repo
        Branch:          main
        Revision:        main@sha1:bb
        Status:          Last reconciliation failed at 2026-01-02T00:00:00Z
        Message:         timed out
        ");
    }

    #[test]
    fn what_nobody_looks_after_is_told() {
        let lone = object(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "lone"}}));
        let traced = Traced { object: lone, owners: vec![], manager: None, source: None };
        insta::assert_snapshot!(traced.report(), @"
        Object:          Namespace/lone
        Status:          Not managed: no Kustomization, Pipeline or HelmRelease is named in its labels
        ");
        // Attack 22 (Multi-tenancy): labels can be forged; the inventory is what counts.
        let forged = object(json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "forged", "namespace": "shop", "labels": {OWNER_NAME: "apps", OWNER_NAMESPACE: "flux-system"}}}));
        let id = manager_of(&forged).unwrap();
        let traced = |read| Traced {
            object: forged.clone(),
            owners: vec![],
            manager: Some((id.clone(), read)),
            source: None,
        };
        let report = traced(Read::Found(kustomization())).report();
        assert!(report.contains("Its inventory does not list the object"), "{report}");
        let report = traced(Read::Missing).report();
        assert!(report.contains("It does not exist: nobody looks after the object"), "{report}");
    }
}
