use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use futures::StreamExt as _;
use jiff::Timestamp;
use kube::Client;
use kube::api::Api;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, watch_object};
use plumb_api::annotations::{FORCE_AT, REQUESTED_AT, RESET_AT};
use plumb_api::conditions::find;
use plumb_api::{
    Bucket, ChartReferenceKind, ConditionType, CrossNamespaceSourceReference, GitRepository, HelmChart,
    HelmRelease, HelmRepository, Kustomization, OciRepository, Pipeline, Reason, SourceKind,
};
use serde_json::{Map, Value, json};

use crate::cluster::{self, Pace};
use crate::kinds::Reconciled;
use crate::output;
use crate::suspend::{Object, ObjectKind, Target};

/// Has an object reconciled now, and waits until that is done.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  plumb reconcile kustomization apps --with-source\n  plumb reconcile source git app-manifests\n  \
                  plumb reconcile hr web --reset"
)]
pub(crate) struct Reconcile {
    #[command(flatten)]
    target: Target,
    /// Fetch the source of the Kustomization, Pipeline or HelmRelease first.
    #[arg(long)]
    with_source: bool,
    /// Install or upgrade the HelmRelease once, whatever there is.
    #[arg(long)]
    force: bool,
    /// Forget how often the HelmRelease has failed, so that it is tried again.
    #[arg(long)]
    reset: bool,
    /// Wait at most this long, in seconds.
    #[arg(long, default_value_t = 300)]
    timeout: u64,
}

impl Reconcile {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let deadline = Duration::from_secs(self.timeout);
        cluster::block_on(async {
            let work = self.reconcile();
            match tokio::time::timeout(deadline, work).await {
                Ok(result) => result,
                Err(_) => bail!("not done after {deadline:?}; is the controller running?"),
            }
        })?;
        Ok(ExitCode::SUCCESS)
    }

    async fn reconcile(&self) -> anyhow::Result<()> {
        // The watch lasts until the timeout of the command, not that of a request.
        let client = cluster::client(Pace::Watching).await?;
        let object = self.target.object()?;
        if self.with_source {
            let source = match object.kind {
                ObjectKind::Kustomization => {
                    Some(read::<Kustomization>(client.clone(), &object).await?.spec.source_ref)
                }
                ObjectKind::Pipeline => {
                    Some(read::<Pipeline>(client.clone(), &object).await?.spec.source_ref)
                }
                ObjectKind::HelmChart => {
                    let reference = read::<HelmChart>(client.clone(), &object).await?.spec.source_ref;
                    let kind = reference.kind.into();
                    let (api_version, name) = (reference.api_version, reference.name);
                    Some(CrossNamespaceSourceReference { api_version, kind, name, namespace: None })
                }
                ObjectKind::HelmRelease => {
                    let release = read::<HelmRelease>(client.clone(), &object).await?;
                    Some(chart_of(&release, &object.namespace))
                }
                ObjectKind::GitRepository
                | ObjectKind::OciRepository
                | ObjectKind::Bucket
                | ObjectKind::HelmRepository => None,
            };
            if let Some(source) = source {
                request_any(client.clone(), &source_object(&source, &object.namespace)?, &[]).await?;
            }
        }
        request_any(client, &object, &self.asked_of(&object)?).await
    }

    /// The annotations that ask for more than a reconciliation.
    fn asked_of(&self, object: &Object) -> anyhow::Result<Vec<&'static str>> {
        let asked = [(self.force, FORCE_AT), (self.reset, RESET_AT)].into_iter();
        let asked: Vec<_> = asked.filter_map(|(asked, annotation)| asked.then_some(annotation)).collect();
        if !asked.is_empty() && object.kind != ObjectKind::HelmRelease {
            bail!("--force and --reset are for a HelmRelease");
        }
        Ok(asked)
    }
}

async fn read<K: Reconciled>(client: Client, object: &Object) -> anyhow::Result<K> {
    let Object { name, namespace, .. } = object;
    let api: Api<K> = Api::namespaced(client, namespace);
    let read = api.get(name).await.map_err(cluster::plain);
    read.with_context(|| format!("cannot read {} {namespace}/{name}", K::kind(&())))
}

/// The source that a reference in `namespace` names.
fn source_object(reference: &CrossNamespaceSourceReference, namespace: &str) -> anyhow::Result<Object> {
    let namespace = reference.namespace_or(namespace).to_owned();
    let kind = match reference.kind {
        SourceKind::GitRepository => ObjectKind::GitRepository,
        SourceKind::OciRepository => ObjectKind::OciRepository,
        SourceKind::Bucket => ObjectKind::Bucket,
        SourceKind::HelmRepository => ObjectKind::HelmRepository,
        SourceKind::HelmChart => ObjectKind::HelmChart,
        SourceKind::ExternalArtifact => bail!(
            "ExternalArtifact {namespace}/{} is made by another controller; leave out --with-source",
            reference.name
        ),
    };
    Ok(Object { kind, name: reference.name.clone(), namespace })
}

/// The object that has the chart of a HelmRelease in `namespace`.
fn chart_of(release: &HelmRelease, namespace: &str) -> CrossNamespaceSourceReference {
    let (kind, name, namespace) = match (&release.spec.chart_ref, &release.spec.chart) {
        (Some(reference), _) => {
            let kind = match reference.kind {
                ChartReferenceKind::OciRepository => SourceKind::OciRepository,
                ChartReferenceKind::HelmChart => SourceKind::HelmChart,
                ChartReferenceKind::ExternalArtifact => SourceKind::ExternalArtifact,
            };
            (kind, reference.name.clone(), reference.namespace_or(namespace))
        }
        (None, template) => {
            let source = template.as_ref().map(|template| template.spec.source_ref.namespace_or(namespace));
            (SourceKind::HelmChart, release.helm_chart_name(), source.unwrap_or(namespace))
        }
    };
    CrossNamespaceSourceReference { api_version: None, kind, name, namespace: Some(namespace.to_owned()) }
}

/// `also` are annotations that are set with the same value.
async fn request_any(client: Client, object: &Object, also: &[&str]) -> anyhow::Result<()> {
    match object.kind {
        ObjectKind::GitRepository => request::<GitRepository>(client, object, also).await,
        ObjectKind::OciRepository => request::<OciRepository>(client, object, also).await,
        ObjectKind::Bucket => request::<Bucket>(client, object, also).await,
        ObjectKind::HelmRepository => request_index(client, object).await,
        ObjectKind::HelmChart => request::<HelmChart>(client, object, also).await,
        ObjectKind::Kustomization => request::<Kustomization>(client, object, also).await,
        ObjectKind::HelmRelease => request::<HelmRelease>(client, object, also).await,
        ObjectKind::Pipeline => request::<Pipeline>(client, object, also).await,
    }
}

/// A registry has no index to fetch, and no status that could tell of it.
async fn request_index(client: Client, object: &Object) -> anyhow::Result<()> {
    if read::<HelmRepository>(client.clone(), object).await?.is_static() {
        let Object { name, namespace, .. } = object;
        output::note(format_args!(
            "HelmRepository {namespace}/{name} is a registry, which is asked when a chart is"
        ));
        return Ok(());
    }
    request::<HelmRepository>(client, object, &[]).await
}

/// Sets the annotation that asks for a reconciliation, and waits until the status answers it.
async fn request<K: Reconciled>(client: Client, target: &Object, also: &[&str]) -> anyhow::Result<()> {
    let what = format!("{} {}/{}", K::kind(&()), target.namespace, target.name);
    let token = Timestamp::now().to_string();
    let annotations = also.iter().copied().chain([REQUESTED_AT]);
    let annotations: Map<String, Value> =
        annotations.map(|annotation| (annotation.to_owned(), token.clone().into())).collect();
    let patch = json!({ "metadata": { "annotations": annotations } });
    let object: K = target.patch(client.clone(), &patch).await?;
    if object.is_suspended() {
        bail!("{what} is suspended; resume it with `plumb resume`");
    }
    output::note(format_args!("waiting for {what}"));
    let api: Api<K> = Api::namespaced(client, &target.namespace);
    let mut states = pin!(watch_object(api, &target.name).default_backoff());
    let mut told = String::new();
    while let Some(state) = states.next().await {
        match state {
            Ok(Some(object)) => match answer(&object, &token) {
                Answer::Done(message) => return output::line(format_args!("{what}: {message}")),
                Answer::Failed(message) => bail!("{what} is not ready: {message}"),
                Answer::Pending(message) if !message.is_empty() && message != told => {
                    output::note(format_args!("{what}: {message}"));
                    told = message;
                }
                Answer::Pending(_) => {}
            },
            Ok(None) => bail!("{what} was deleted"),
            Err(error) if is_final(&error) => {
                return Err(error).with_context(|| format!("cannot watch {what}"));
            }
            Err(error) => output::note(format_args!("cannot watch {what} just now: {error}")),
        }
    }
    bail!("the watch of {what} ended")
}

/// What the status says to a request.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    /// Nothing final; how far it is, if that is known.
    Pending(String),
    Done(String),
    Failed(String),
}

fn answer<K: Reconciled>(object: &K, token: &str) -> Answer {
    let ready = find(object.conditions(), ConditionType::Ready);
    let Some(ready) = ready.filter(|_| object.last_handled() == Some(token)) else {
        return Answer::Pending(String::new());
    };
    let waits = [Reason::DependencyNotReady, Reason::Progressing].map(Reason::as_str);
    match ready.status.as_str() {
        "True" => Answer::Done(ready.message.clone()),
        "False" if !waits.contains(&ready.reason.as_str()) => Answer::Failed(ready.message.clone()),
        _ => Answer::Pending(ready.message.clone()),
    }
}

/// Whether the API server has said no. All else may pass: the watch goes on by itself.
fn is_final(error: &watcher::Error) -> bool {
    use watcher::Error::{InitialListFailed, WatchStartFailed};
    match error {
        InitialListFailed(kube::Error::Api(status)) | WatchStartFailed(kube::Error::Api(status)) => {
            matches!(status.code, 401 | 403 | 404)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::of_another_request("before", "True", "ReconciliationSucceeded", Answer::Pending(String::new()))]
    #[case::applied("token", "True", "ReconciliationSucceeded", Answer::Done("why".to_owned()))]
    #[case::broken("token", "False", "BuildFailed", Answer::Failed("why".to_owned()))]
    #[case::waits_for_another("token", "False", "DependencyNotReady", Answer::Pending("why".to_owned()))]
    #[case::waits("token", "False", "Progressing", Answer::Pending("why".to_owned()))]
    #[case::at_work("token", "Unknown", "Progressing", Answer::Pending("why".to_owned()))]
    fn the_status_answers(
        #[case] handled: &str,
        #[case] status: &str,
        #[case] reason: &str,
        #[case] expected: Answer,
    ) {
        let object: Kustomization = serde_json::from_value(json!({
            "apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization", "metadata": {"name": "apps"},
            "spec": {"interval": "5m", "prune": true, "sourceRef": {"kind": "GitRepository", "name": "apps"}},
            "status": {"lastHandledReconcileAt": handled, "conditions": [{"type": "Ready", "status": status,
                "reason": reason, "message": "why", "lastTransitionTime": "2026-01-01T00:00:00Z"}]},
        }))
        .unwrap();
        assert_eq!(answer(&object, "token"), expected);
    }

    #[rstest]
    #[case(403, true)]
    #[case(404, true)]
    #[case(503, false)]
    fn a_no_is_final(#[case] code: u16, #[case] expected: bool) {
        let status = kube::core::Status { code, ..kube::core::Status::default() };
        assert_eq!(
            is_final(&watcher::Error::InitialListFailed(kube::Error::Api(Box::new(status)))),
            expected
        );
    }
}
