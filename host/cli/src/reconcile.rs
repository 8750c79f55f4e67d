use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use futures::StreamExt as _;
use jiff::Timestamp;
use kube::Client;
use kube::api::Api;
use kube::runtime::watcher::{self, watch_object};
use plumb_api::annotations::REQUESTED_AT;
use plumb_api::conditions::find;
use plumb_api::{ConditionType, GitRepository, Kustomization};
use serde_json::json;

use crate::cluster::{self, Pace};
use crate::kinds::Reconciled;
use crate::output;
use crate::suspend::{Target, TargetKind};

/// Has an object reconciled now, and waits until that is done.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  plumb reconcile kustomization apps --with-source\n  plumb reconcile source app-manifests"
)]
pub(crate) struct Reconcile {
    #[command(flatten)]
    target: Target,
    /// Fetch the source of the Kustomization first.
    #[arg(long)]
    with_source: bool,
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
        match self.target.kind {
            TargetKind::Source => request::<GitRepository>(client, &self.target).await,
            TargetKind::Kustomization => {
                if self.with_source {
                    request::<GitRepository>(client.clone(), &self.source(client.clone()).await?).await?;
                }
                request::<Kustomization>(client, &self.target).await
            }
        }
    }

    async fn source(&self, client: Client) -> anyhow::Result<Target> {
        let Target { name, namespace, .. } = &self.target;
        let api: Api<Kustomization> = Api::namespaced(client, namespace);
        let object =
            api.get(name).await.with_context(|| format!("cannot read Kustomization {namespace}/{name}"))?;
        let reference = object.spec.source_ref;
        let namespace = reference.namespace_or(namespace).to_owned();
        Ok(Target { kind: TargetKind::Source, name: reference.name, namespace })
    }
}

/// Sets the annotation that asks for a reconciliation, and waits until the status answers it.
async fn request<K: Reconciled>(client: Client, target: &Target) -> anyhow::Result<()> {
    let what = format!("{} {}/{}", K::kind(&()), target.namespace, target.name);
    let token = Timestamp::now().to_string();
    let patch = json!({ "metadata": { "annotations": { REQUESTED_AT: token } } });
    let object: K = target.patch(client.clone(), &patch).await?;
    if object.is_suspended() {
        bail!("{what} is suspended; resume it with `plumb resume`");
    }
    output::note(format_args!("waiting for {what}"));
    let api: Api<K> = Api::namespaced(client, &target.namespace);
    let mut states = pin!(watch_object(api, &target.name));
    while let Some(state) = states.next().await {
        let object = match state {
            Ok(Some(object)) => object,
            Ok(None) => bail!("{what} was deleted"),
            // The watch goes on by itself.
            Err(watcher::Error::WatchError(_) | watcher::Error::WatchFailed(_)) => continue,
            Err(error) => return Err(error).with_context(|| format!("cannot watch {what}")),
        };
        let ready = find(object.conditions(), ConditionType::Ready);
        if object.last_handled() == Some(token.as_str()) {
            match ready {
                Some(ready) if ready.status == "True" => {
                    return output::line(format_args!("{what}: {}", ready.message));
                }
                Some(ready) if ready.status == "False" => bail!("{what} is not ready: {}", ready.message),
                _ => {}
            }
        }
    }
    bail!("the watch of {what} ended")
}
