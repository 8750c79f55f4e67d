use std::collections::HashSet;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use indicatif::{ProgressBar, ProgressStyle};
use kube::Client;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use plumb_api::{GroupVersionKind, Kustomization, Object, ObjectId, SsaPolicy};
use plumb_apply::{FIELD_MANAGER, Kind, KindError, Kinds, Owner, Refusal, as_sent, may_prune};
use serde_json::Value;
use tokio::time::Instant;

use crate::cluster::{self, Pace};
use crate::difference;
use crate::output::{self, Color};
use crate::render::What;

/// How long the API server has to say which kinds it serves.
const DISCOVERY: Duration = Duration::from_secs(30);
/// How many objects are asked for at once: enough to hide how far away the API server is, too few to burden it.
const AT_ONCE: usize = 16;

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
        let (mut objects, kustomization) = (rendered.objects, rendered.kustomization);
        let changed = cluster::block_on(async {
            let client = cluster::client(Pace::Interactive).await?;
            let kinds = Kinds::new(client.clone());
            place(&kinds, &mut objects, kustomization.as_ref()).await?;
            let objects: Vec<Arc<Object>> =
                objects.into_iter().map(|object| as_sent(&Arc::new(object))).collect();
            let comparison = Comparison { client, kinds, progress: progress(objects.len())? };
            let mut changed = comparison.show_changed(&objects).await?;
            if let Some(kustomization) = kustomization.as_ref().filter(|local| local.spec.prune) {
                changed |= comparison.show_pruned(kustomization, &objects).await?;
            }
            Ok(changed)
        })?;
        Ok(if changed { ExitCode::from(1) } else { ExitCode::SUCCESS })
    }
}

async fn place(
    kinds: &Kinds,
    objects: &mut Vec<Object>,
    owner: Option<&Kustomization>,
) -> anyhow::Result<()> {
    let namespace = owner.and_then(|owner| owner.spec.target_namespace.as_deref()).unwrap_or("default");
    match kinds.place_all(objects, namespace, Instant::now() + DISCOVERY).await {
        Ok(placed) if placed.deferred.is_empty() => Ok(()),
        Ok(placed) => {
            bail!(placed.deferred.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
        }
        Err(errors) => bail!(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
    }
}

/// A spinner on a terminal, nothing elsewhere.
fn progress(objects: usize) -> anyhow::Result<ProgressBar> {
    let style = ProgressStyle::with_template("{spinner} comparing with the cluster: {pos} of {len} objects")?;
    let progress = ProgressBar::new(objects as u64).with_style(style);
    progress.enable_steady_tick(Duration::from_millis(200));
    Ok(progress)
}

/// What one command asks the cluster.
struct Comparison {
    client: Client,
    kinds: Kinds,
    progress: ProgressBar,
}

/// An object as it is, if it exists, and as it would be.
type Sides = (Option<Value>, Value);

impl Comparison {
    /// Prints the difference of every object, in their order, and reports every object that the API server refuses.
    async fn show_changed(&self, objects: &[Arc<Object>]) -> anyhow::Result<bool> {
        let (mut changed, mut refused) = (false, 0);
        let mut compared = stream::iter(objects)
            .map(|object| async move { (object.id(), self.compare(object).await) })
            .buffered(AT_ONCE);
        while let Some((id, result)) = compared.next().await {
            self.progress.inc(1);
            match result {
                Ok(None) => {}
                Ok(Some((before, after))) => {
                    if let Some(text) = difference::unified(&id.human(), before, after)? {
                        changed = true;
                        self.progress.suspend(|| print(&text))?;
                    }
                }
                Err(error) => {
                    refused += 1;
                    let failure = refusal(error).explain(&id);
                    self.progress.suspend(|| output::note(format_args!("{failure}")));
                }
            }
        }
        self.progress.finish_and_clear();
        if refused > 0 {
            bail!("{refused} of {} objects could not be compared", objects.len());
        }
        Ok(changed)
    }

    /// Has the API server apply the object without keeping the result. `None`: the object says that it is not to be applied.
    async fn compare(&self, object: &Arc<Object>) -> kube::Result<Option<Sides>> {
        // An object of a kind that a CRD among these files brings cannot be compared before the CRD is there.
        let Some(kind) = self.kinds.known(&object.gvk()) else {
            return Ok(Some((None, fields(object))));
        };
        let api = self.api(&kind, object.namespace());
        let before = api.get_opt(object.name()).await?;
        let before = before.map(serde_json::to_value).transpose().map_err(kube::Error::SerdeError)?;
        if is_left_alone(object, before.as_ref()) {
            return Ok(None);
        }
        let params = PatchParams::apply(FIELD_MANAGER).force().dry_run();
        let after = match api.patch(object.name(), &params, &Patch::Apply(&**object)).await {
            Ok(after) => serde_json::to_value(after).map_err(kube::Error::SerdeError)?,
            // Its namespace may be among the objects that do not exist yet.
            Err(kube::Error::Api(status)) if status.is_not_found() && before.is_none() => fields(object),
            Err(error) => return Err(error),
        };
        Ok(Some((before, after)))
    }

    /// Names the objects that the Kustomization in the cluster has applied, that these files no longer hold, and that may be
    /// pruned.
    async fn show_pruned(&self, local: &Kustomization, objects: &[Arc<Object>]) -> anyhow::Result<bool> {
        let owner = Owner {
            namespace: local.metadata.namespace.clone().unwrap_or_else(|| "default".to_owned()),
            name: local.metadata.name.clone().unwrap_or_default(),
        };
        let api: Api<Kustomization> = Api::namespaced(self.client.clone(), &owner.namespace);
        let there = api
            .get_opt(&owner.name)
            .await
            .map_err(cluster::plain)
            .context("cannot read the Kustomization in the cluster")?;
        let inventory = there.and_then(|there| there.status?.inventory).unwrap_or_default();
        let kept: HashSet<ObjectId> = objects.iter().map(|object| object.id()).collect();
        let stale =
            inventory.entries.iter().filter_map(|entry| entry.parse()).filter(|(id, _)| !kept.contains(id));
        let pruned: Vec<Option<ObjectId>> = stream::iter(stale)
            .map(|(id, gvk)| {
                let owner = &owner;
                async move { Ok(self.would_prune(owner, &id, &gvk).await?.then_some(id)) }
            })
            .buffered(AT_ONCE)
            .try_collect::<Vec<_>>()
            .await
            .map_err(|error: anyhow::Error| error.context("cannot tell what would be pruned"))?;
        let mut any = false;
        for id in pruned.into_iter().flatten() {
            any = true;
            print(&format!("- {} would be pruned", id.human()))?;
        }
        Ok(any)
    }

    async fn would_prune(
        &self,
        owner: &Owner,
        id: &ObjectId,
        gvk: &GroupVersionKind,
    ) -> anyhow::Result<bool> {
        let kind = match self.kinds.resolve(gvk, Instant::now() + DISCOVERY).await {
            Ok(kind) => kind,
            // With the kind, its objects are gone.
            Err(KindError::Unknown(_)) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let namespace = Some(id.namespace.as_str()).filter(|namespace| !namespace.is_empty());
        let live = self.api(&kind, namespace).get_opt(&id.name).await;
        let Some(live) = live.map_err(cluster::plain).with_context(|| id.human())? else { return Ok(false) };
        let live = Object::new(serde_json::to_value(live)?)?;
        Ok(may_prune(&live, owner).is_ok())
    }

    fn api(&self, kind: &Kind, namespace: Option<&str>) -> Api<DynamicObject> {
        match namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &kind.resource),
            None => Api::all_with(self.client.clone(), &kind.resource),
        }
    }
}

/// What the API server says of a Secret can quote it; a [`Refusal`] knows what can be told.
fn refusal(error: kube::Error) -> Refusal {
    match error {
        kube::Error::Api(status) => Refusal::Status(status),
        kube::Error::SerdeError(error) => Refusal::Malformed(error.to_string()),
        error => Refusal::Unreachable(error.to_string()),
    }
}

fn fields(object: &Object) -> Value {
    Value::Object(object.fields().clone())
}

/// Whether the object is not applied, because it says so or because it may only be made once.
fn is_left_alone(desired: &Object, live: Option<&Value>) -> bool {
    let live = live.and_then(|live| Object::new(live.clone()).ok());
    match SsaPolicy::of(desired) {
        SsaPolicy::Ignore => true,
        SsaPolicy::IfNotPresent => live.is_some(),
        SsaPolicy::Merge | SsaPolicy::Override => {
            live.is_some_and(|live| SsaPolicy::of(&live) == SsaPolicy::Ignore)
        }
    }
}

/// Prints a diff, with colours on a terminal.
fn print(diff: &str) -> anyhow::Result<()> {
    for line in diff.lines() {
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
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use plumb_api::annotations::SSA;
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case::applied("Override", Some("Override"), false)]
    #[case::merged("Merge", Some("Override"), false)]
    #[case::ignored("Ignore", None, true)]
    #[case::ignored_in_the_cluster("Override", Some("Ignore"), true)]
    #[case::made_once("IfNotPresent", None, false)]
    #[case::made_before("IfNotPresent", Some("IfNotPresent"), true)]
    fn what_is_not_applied_is_not_compared(
        #[case] desired: &str,
        #[case] live: Option<&str>,
        #[case] expected: bool,
    ) {
        let object = |policy: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "annotations": {SSA: policy}}});
        let desired = Object::new(object(desired)).unwrap();
        assert_eq!(is_left_alone(&desired, live.map(object).as_ref()), expected);
    }
}
