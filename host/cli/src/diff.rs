use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use kube::Client;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use plumb_api::{Kustomization, Object};
use plumb_apply::{FIELD_MANAGER, Kind, Kinds};
use serde_json::{Map, Value};
use similar::TextDiff;
use tokio::time::Instant;

use crate::cluster::{self, Pace};
use crate::output::{self, Color};
use crate::render::What;

/// How long the API server has to say which kinds it serves.
const DISCOVERY: Duration = Duration::from_secs(30);

/// Shows what would change in the cluster if these files were applied.
///
/// The API server is asked, so defaults and webhooks are taken into account; nothing is changed. With --file, objects that
/// would be pruned are shown as well. The values of Secrets are masked.
///
/// Exits with 0 when nothing would change, with 1 when something would, with more than 1 on an error.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  plumb diff clusters/production\n  plumb diff -f apps.yaml")]
pub(crate) struct Diff {
    #[command(flatten)]
    what: What,
}

impl Diff {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let rendered = self.what.render()?;
        let mut objects = rendered.objects;
        let kustomization = rendered.kustomization;
        let changed = cluster::block_on(async {
            let client = cluster::client(Pace::Interactive).await?;
            let kinds = Kinds::new(client.clone());
            place(&kinds, &mut objects, kustomization.as_ref()).await?;
            let mut changed = diff_all(&client, &kinds, &objects).await?;
            if let Some(kustomization) = &kustomization {
                changed |= show_pruned(&client, kustomization, &objects).await?;
            }
            Ok(changed)
        })?;
        Ok(if changed { ExitCode::from(1) } else { ExitCode::SUCCESS })
    }
}

async fn place(kinds: &Kinds, objects: &mut [Object], owner: Option<&Kustomization>) -> anyhow::Result<()> {
    let namespace = owner.and_then(|owner| owner.spec.target_namespace.as_deref()).unwrap_or("default");
    match kinds.place_all(objects, namespace, Instant::now() + DISCOVERY).await {
        Ok(_) => Ok(()),
        Err(errors) => bail!(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
    }
}

/// Prints the difference of every object, and reports every object that the API server refuses.
async fn diff_all(client: &Client, kinds: &Kinds, objects: &[Object]) -> anyhow::Result<bool> {
    let (mut changed, mut refused) = (false, 0);
    for object in objects {
        // An object of a kind that a CRD among these files brings cannot be compared before the CRD is there.
        let Some(kind) = kinds.known(&object.gvk()) else {
            changed |= show(&object.id().human(), None, Some(object.clone().into_value()))?;
            continue;
        };
        match compare(client, &kind, object).await {
            Ok((before, after)) => changed |= show(&object.id().human(), before, after)?,
            Err(error) => {
                refused += 1;
                output::note(format_args!("{}: {error}", object.id().human()));
            }
        }
    }
    if refused > 0 {
        bail!("the API server refuses {refused} of {} objects", objects.len());
    }
    Ok(changed)
}

/// The object as it is, and as it would be.
async fn compare(
    client: &Client,
    kind: &Kind,
    object: &Object,
) -> kube::Result<(Option<Value>, Option<Value>)> {
    let api: Api<DynamicObject> = match object.namespace() {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &kind.resource),
        None => Api::all_with(client.clone(), &kind.resource),
    };
    let before = api.get_opt(object.name()).await?;
    let params = PatchParams::apply(FIELD_MANAGER).force().dry_run();
    let after = match api.patch(object.name(), &params, &Patch::Apply(object)).await {
        Ok(after) => serde_json::to_value(after).map_err(kube::Error::SerdeError)?,
        // Its namespace may be among the objects that do not exist yet.
        Err(kube::Error::Api(status)) if status.is_not_found() && before.is_none() => {
            object.clone().into_value()
        }
        Err(error) => return Err(error),
    };
    let before = before.map(serde_json::to_value).transpose().map_err(kube::Error::SerdeError)?;
    Ok((before, Some(after)))
}

/// Shows the objects that the Kustomization in the cluster has applied and these files no longer hold.
async fn show_pruned(client: &Client, local: &Kustomization, objects: &[Object]) -> anyhow::Result<bool> {
    let namespace = local.metadata.namespace.as_deref().unwrap_or("default");
    let name = local.metadata.name.as_deref().unwrap_or_default();
    let api: Api<Kustomization> = Api::namespaced(client.clone(), namespace);
    let Some(there) = api.get_opt(name).await.context("cannot read the Kustomization in the cluster")? else {
        return Ok(false);
    };
    if !local.spec.prune {
        return Ok(false);
    }
    let inventory = there.status.and_then(|status| status.inventory).unwrap_or_default();
    let kept: Vec<String> = objects.iter().map(|object| object.id().to_string()).collect();
    let mut pruned = false;
    for entry in inventory.entries.iter().filter(|entry| !kept.contains(&entry.id)) {
        if let Some((id, _)) = entry.parse() {
            pruned = true;
            let line = format!("- {} would be pruned", id.human());
            output::line(format_args!("{}", output::paint(&line, Color::Red, output::colored())))?;
        }
    }
    Ok(pruned)
}

/// Prints the difference as a unified diff of YAML. Whether there is one.
fn show(name: &str, before: Option<Value>, after: Option<Value>) -> anyhow::Result<bool> {
    let (mut before, mut after) = (before, after);
    [&mut before, &mut after].into_iter().flatten().for_each(leave_out_bookkeeping);
    mask_secrets(before.as_mut(), after.as_mut());
    let text = |value: &Option<Value>| value.as_ref().map_or(Ok(String::new()), serde_yaml::to_string);
    let (old, new) = (text(&before)?, text(&after)?);
    if old == new {
        return Ok(false);
    }
    let diff = TextDiff::from_lines(&old, &new);
    let unified = diff
        .unified_diff()
        .context_radius(3)
        .header(&format!("live/{name}"), &format!("git/{name}"))
        .to_string();
    for line in unified.lines() {
        let color = match line.as_bytes().first() {
            Some(b'+') => Some(Color::Green),
            Some(b'-') => Some(Color::Red),
            Some(b'@') => Some(Color::Yellow),
            _ => None,
        };
        let painted =
            color.map_or_else(|| line.to_owned(), |color| output::paint(line, color, output::colored()));
        output::line(format_args!("{painted}"))?;
    }
    Ok(true)
}

/// What the API server keeps about an object is not a difference.
fn leave_out_bookkeeping(object: &mut Value) {
    let Some(object) = object.as_object_mut() else { return };
    object.remove("status");
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        for field in
            ["managedFields", "resourceVersion", "uid", "creationTimestamp", "generation", "selfLink"]
        {
            metadata.remove(field);
        }
        // kubectl keeps a copy of the whole object here, that of a Secret with its values.
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
        }
        if metadata.get("annotations").and_then(Value::as_object).is_some_and(Map::is_empty) {
            metadata.remove("annotations");
        }
    }
}

/// Hides the values of a Secret, but not whether they differ.
fn mask_secrets(before: Option<&mut Value>, after: Option<&mut Value>) {
    let is_secret = |object: &&mut Value| object["kind"] == "Secret" && object["apiVersion"] == "v1";
    let (mut before, mut after) = (before.filter(is_secret), after.filter(is_secret));
    for field in ["data", "stringData"] {
        let old = before.as_ref().and_then(|object| object[field].as_object().cloned()).unwrap_or_default();
        let new = after.as_ref().and_then(|object| object[field].as_object().cloned()).unwrap_or_default();
        let mask =
            |values: &Map<String, Value>, other: &Map<String, Value>, changed: &str| -> Map<String, Value> {
                let mask = |(key, value): (&String, &Value)| {
                    let differs = other.get(key).is_some_and(|other| other != value);
                    (key.clone(), if differs { changed.into() } else { "***".into() })
                };
                values.iter().map(mask).collect()
            };
        if let Some(object) = before.as_mut().filter(|object| object.get(field).is_some()) {
            object[field] = mask(&old, &new, "*** (before)").into();
        }
        if let Some(object) = after.as_mut().filter(|object| object.get(field).is_some()) {
            object[field] = mask(&new, &old, "*** (after)").into();
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_secret_shows_that_it_differs_but_not_how() {
        let secret = |password: &str| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "data": {"user": "YQ==", "password": password}});
        let (mut before, mut after) = (secret("b2xk"), secret("bmV3"));
        mask_secrets(Some(&mut before), Some(&mut after));
        assert_eq!(before["data"], json!({"user": "***", "password": "*** (before)"}));
        assert_eq!(after["data"], json!({"user": "***", "password": "*** (after)"}));
    }

    #[test]
    fn the_copy_that_kubectl_keeps_is_never_shown() {
        let copy =
            json!({"kubectl.kubernetes.io/last-applied-configuration": "{\"data\":{\"password\":\"b2xk\"}}"});
        let mut object = json!({"kind": "Secret", "metadata": {"name": "a", "annotations": copy}});
        leave_out_bookkeeping(&mut object);
        assert_eq!(object, json!({"kind": "Secret", "metadata": {"name": "a"}}));
    }

    #[test]
    fn other_kinds_are_shown_as_they_are() {
        let mut object = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "b"}});
        mask_secrets(Some(&mut object), None);
        assert_eq!(object["data"], json!({"a": "b"}));
    }
}
