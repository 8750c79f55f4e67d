//! Scales one side down, waits until it is gone, and brings the other side up.

use std::time::Duration;

use anyhow::{Context as _, bail};
use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams};
use plumb_api::annotations::RECONCILE;
use plumb_api::{GroupKind, Object, ObjectId};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::flux::{Controller, REPLICAS, controllers};
use super::report::{Division, Report};
use super::survey::PLUMBLINE;
use crate::reader::{Read, Reader};
use crate::{cluster, install, output, workload};

const FIELD_MANAGER: &str = "plumb-migrate";
/// How long pods have to go, and how often they are looked for.
const GONE: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// From Flux to Plumbline.
pub(super) async fn take_over(reader: &Reader, report: &Report, image: Option<&str>) -> anyhow::Result<()> {
    let division = report.division();
    let stopped: Vec<&Controller> = report
        .flux
        .iter()
        .filter(|controller| division.stopped.contains(&controller.component.as_str()))
        .collect();
    if stopped.is_empty() {
        bail!("no controller of Flux was found; name their namespace with --flux-namespace");
    }
    if !report.old_versions.is_empty() {
        let crds: Vec<&str> = report.old_versions.keys().map(String::as_str).collect();
        bail!(
            "objects are stored in versions that are no longer served ({}); run `flux migrate` first",
            crds.join(", ")
        );
    }
    // Whatever can go wrong should, before anything is stopped.
    match report.plumbline {
        Some(_) => {}
        None if report.plumbline_namespace == install::NAMESPACE => {
            install::install_stopped(&reader.client, image).await?
        }
        None => bail!(
            "there is no Deployment {PLUMBLINE} in namespace {}; install it there first",
            report.plumbline_namespace
        ),
    }
    for controller in &stopped {
        stop(reader, controller).await?;
    }
    for controller in &stopped {
        let undo =
            "Flux is stopped and Plumbline not started: `plumb migrate --back --yes` starts Flux again";
        wait_until_gone(reader, &deployment(&controller.namespace, &controller.name)).await.context(undo)?;
        output::line(format_args!("{} is gone", controller.name))?;
    }
    start_plumbline(reader, &report.plumbline_namespace, &division).await?;
    output::line(format_args!("Plumbline is started; see `plumb get -A`"))
}

/// From Plumbline to Flux.
pub(super) async fn give_back(
    reader: &Reader,
    flux_namespace: &str,
    plumbline_namespace: &str,
    yes: bool,
) -> anyhow::Result<()> {
    let deployments = reader.list_kind("apps", "Deployment", Some(flux_namespace)).await?;
    let stopped: Vec<Controller> = controllers(&deployments)
        .into_iter()
        .filter(|controller| controller.replicas_before.is_some())
        .collect();
    if stopped.is_empty() {
        bail!(
            "no controller of Flux in {flux_namespace} was stopped by `plumb migrate`; there is nothing to go back to"
        );
    }
    if !yes {
        output::line(format_args!("Plumbline in {plumbline_namespace} would be scaled to zero, and then:"))?;
        for controller in &stopped {
            let replicas = controller.replicas_before.unwrap_or(1);
            output::line(format_args!("  {} would be scaled to {replicas}", controller.name))?;
        }
        return output::line(format_args!("Nothing was changed. `plumb migrate --back --yes` does it."));
    }
    let plumbline = deployment(plumbline_namespace, PLUMBLINE);
    if let Read::Found(_) = reader.get(&plumbline).await {
        patch(reader, &plumbline, &json!({"spec": {"replicas": 0}})).await?;
        wait_until_gone(reader, &plumbline).await?;
        output::line(format_args!("Plumbline is gone"))?;
    }
    for controller in &stopped {
        let annotations = json!({REPLICAS: null, RECONCILE: null});
        let change = json!({"metadata": {"annotations": annotations}, "spec": {"replicas": controller.replicas_before}});
        patch(reader, &deployment(&controller.namespace, &controller.name), &change).await?;
        output::line(format_args!("{} is started", controller.name))?;
    }
    Ok(())
}

/// Scales a controller to zero. Flux's bootstrap keeps its own Deployments in Git: the annotation has whoever applies them leave them as they
/// are, or Plumbline would start what it takes over from.
async fn stop(reader: &Reader, controller: &Controller) -> anyhow::Result<()> {
    let before =
        controller.replicas_before.filter(|_| controller.replicas == 0).unwrap_or(controller.replicas);
    let annotations = json!({REPLICAS: before.to_string(), RECONCILE: "disabled"});
    let change = json!({"metadata": {"annotations": annotations}, "spec": {"replicas": 0}});
    patch(reader, &deployment(&controller.namespace, &controller.name), &change).await?;
    output::line(format_args!("{} is scaled to zero", controller.name))
}

async fn start_plumbline(reader: &Reader, namespace: &str, division: &Division) -> anyhow::Result<()> {
    let id = deployment(namespace, PLUMBLINE);
    let Read::Found(found) = reader.get(&id).await else { bail!("{} is gone", id.human()) };
    let mut change = vec![json!({"op": "add", "path": "/spec/replicas", "value": 1})];
    if let Some(args) = arguments(&found, &division.kinds) {
        change.push(json!({"op": "add", "path": "/spec/template/spec/containers/0/args", "value": args}));
    }
    let change =
        serde_json::from_value(Value::Array(change)).context("internal error: the patch is wrong")?;
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let patched = api(reader, &id)?.patch(&id.name, &params, &Patch::<()>::Json(change)).await;
    patched.map_err(cluster::plain).with_context(|| format!("cannot start {}", id.human()))?;
    Ok(())
}

/// The arguments with which Plumbline reconciles these kinds and no others; `None` when they are right already.
fn arguments(deployment: &Object, kinds: &[&str]) -> Option<Vec<String>> {
    let args = deployment.pointer("/spec/template/spec/containers/0/args").and_then(Value::as_array);
    let before: Vec<String> =
        args.into_iter().flatten().filter_map(|argument| Some(argument.as_str()?.to_owned())).collect();
    let mut after: Vec<String> =
        before.iter().filter(|argument| !argument.starts_with("--kinds=")).cloned().collect();
    if !kinds.is_empty() {
        after.push(format!("--kinds={}", kinds.join(",")));
    }
    (after != before).then_some(after)
}

/// Waits until a Deployment has no pod left: a controller that is ending still writes.
async fn wait_until_gone(reader: &Reader, id: &ObjectId) -> anyhow::Result<()> {
    let Read::Found(found) = reader.get(id).await else { return Ok(()) };
    let selector =
        workload::pod_selector(&found).with_context(|| format!("{} selects no pods", id.human()))?;
    let pod = reader.catalog.find("pods")?;
    let deadline = Instant::now() + GONE;
    loop {
        let left = reader.list(pod, Some(&id.namespace), ListParams::default().labels(&selector)).await?;
        let Some(first) = left.first() else { return Ok(()) };
        if Instant::now() >= deadline {
            bail!("Pod {} of {} is still there after {GONE:?}", first.name(), id.human());
        }
        sleep(LOOK_EVERY).await;
    }
}

fn deployment(namespace: &str, name: &str) -> ObjectId {
    ObjectId {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        group_kind: GroupKind::new("apps", "Deployment"),
    }
}

fn api(reader: &Reader, id: &ObjectId) -> anyhow::Result<Api<DynamicObject>> {
    let entry = reader
        .catalog
        .get(&id.group_kind)
        .with_context(|| format!("the cluster serves no {}", id.group_kind))?;
    Ok(reader.api(entry, Some(&id.namespace)))
}

async fn patch(reader: &Reader, id: &ObjectId, change: &Value) -> anyhow::Result<()> {
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let patched = api(reader, id)?.patch(&id.name, &params, &Patch::Merge(change)).await;
    patched.map_err(cluster::plain).with_context(|| format!("cannot scale {}", id.human()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(&["controller"], &["Kustomization"], Some(&["controller", "--kinds=Kustomization"][..]))]
    #[case(&["controller", "--kinds=Kustomization"], &["Kustomization"], None)]
    #[case(&["controller", "--kinds=Kustomization", "-v"], &[], Some(&["controller", "-v"][..]))]
    #[case(&["controller"], &[], None)]
    fn the_kinds_are_an_argument(
        #[case] before: &[&str],
        #[case] kinds: &[&str],
        #[case] after: Option<&[&str]>,
    ) {
        let containers = json!([{"args": before}]);
        let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"},
            "spec": {"template": {"spec": {"containers": containers}}}});
        let after = after.map(|after| after.iter().map(|argument| (*argument).to_owned()).collect());
        assert_eq!(arguments(&Object::new(deployment).unwrap(), kinds), after);
    }
}
