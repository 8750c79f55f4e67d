use std::fmt::Debug;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use futures::{StreamExt as _, pin_mut};
use indicatif::{ProgressBar, ProgressStyle};
use kube::api::Api;
use kube::core::NamespaceResourceScope;
use kube::{Client, Resource};
use plumb_api::{ApplierKind, CrdsPolicy, HelmRelease, Inventory, Kustomization, Object, Owner, Pipeline};
use serde::de::DeserializeOwned;

use crate::cluster::{self, Pace};
use crate::comparison::Comparison;
use crate::difference;
use crate::output::{self, Color};
use crate::render::{Local, What};
use crate::setting::Setting;

/// Shows what would change in the cluster if these files were applied.
///
/// The API server is asked, so defaults and webhooks are taken into account; nothing is changed. With --file, objects that
/// would be pruned are shown as well. A HelmRelease is rendered for its next revision, as an upgrade where it is installed: its chart is
/// told the version and the kinds of the cluster, and `lookup` reads what you may read. The values of Secrets are masked.
///
/// Exits with 0 when nothing would change, with 1 when something would, with more than 1 on an error.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  plumb diff clusters/production\n  plumb diff -f apps.yaml\n  \
                  plumb diff -f helmrelease.yaml --chart charts/web")]
pub(crate) struct Diff {
    #[command(flatten)]
    what: What,
}

impl Diff {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let changed = match self.what.release()? {
            Some(release) => cluster::block_on(self.of_release(&release))?,
            None => {
                let local = self.what.render()?;
                cluster::block_on(of_objects(local))?
            }
        };
        Ok(if changed { ExitCode::from(1) } else { ExitCode::SUCCESS })
    }

    /// Asks the cluster first: what the release comes to decides how it is rendered.
    async fn of_release(&self, release: &HelmRelease) -> anyhow::Result<bool> {
        let client = cluster::client(Pace::Interactive).await?;
        let comparison = Comparison::of_releases(client.clone());
        let setting = Setting::of_cluster(&client, comparison.kinds(), release).await?;
        // Rendering waits for plugins, and they for what they read of the cluster.
        let made = tokio::task::block_in_place(|| self.what.released(release, &setting))?;
        let definitions = match made.crds {
            CrdsPolicy::Create => comparison.absent(made.definitions).await?,
            CrdsPolicy::Skip | CrdsPolicy::CreateReplace => made.definitions,
        };
        let objects = [definitions, made.objects].concat();
        show(client, &comparison, objects, Some(&made.namespace), Some(&made.owner)).await
    }
}

async fn of_objects(local: Local) -> anyhow::Result<bool> {
    let Local { objects, namespace, pruned_by } = local;
    let client = cluster::client(Pace::Interactive).await?;
    let comparison = Comparison::new(client.clone());
    show(client, &comparison, objects, namespace.as_deref(), pruned_by.as_ref()).await
}

/// Shows what becomes of objects, and of what their owner no longer has; answers whether anything would change.
async fn show(
    client: Client,
    comparison: &Comparison,
    objects: Vec<Object>,
    namespace: Option<&str>,
    pruned_by: Option<&Owner>,
) -> anyhow::Result<bool> {
    let objects = comparison.place(objects, namespace).await?;
    let mut changed = show_changed(comparison, &objects).await?;
    if let Some(owner) = pruned_by {
        changed |= show_pruned(client, comparison, owner, &objects).await?;
    }
    Ok(changed)
}

/// A spinner on a terminal, nothing elsewhere.
fn progress(objects: usize) -> anyhow::Result<ProgressBar> {
    let style = ProgressStyle::with_template("{spinner} comparing with the cluster: {pos} of {len} objects")?;
    let progress = ProgressBar::new(objects as u64).with_style(style);
    progress.enable_steady_tick(Duration::from_millis(200));
    Ok(progress)
}

/// Prints the difference of every object, in their order, and reports every object that the API server refuses.
async fn show_changed(comparison: &Comparison, objects: &[Arc<Object>]) -> anyhow::Result<bool> {
    let progress = progress(objects.len())?;
    let (mut changed, mut refused) = (false, 0);
    let compared = comparison.compare(objects);
    pin_mut!(compared);
    while let Some((id, result)) = compared.next().await {
        progress.inc(1);
        match result {
            Ok(None) => {}
            Ok(Some((before, after))) => {
                if let Some(text) = difference::unified(&id.human(), before, after)? {
                    changed = true;
                    progress.suspend(|| print(&text))?;
                }
            }
            Err(failure) => {
                refused += 1;
                progress.suspend(|| output::note(format_args!("{failure}")));
            }
        }
    }
    progress.finish_and_clear();
    if refused > 0 {
        bail!("{refused} of {} objects could not be compared", objects.len());
    }
    Ok(changed)
}

/// Names the objects that the owner in the cluster has applied, that these files no longer hold, and that may be pruned.
async fn show_pruned(
    client: Client,
    comparison: &Comparison,
    owner: &Owner,
    objects: &[Arc<Object>],
) -> anyhow::Result<bool> {
    let inventory = match owner.kind {
        ApplierKind::Kustomization => {
            inventory::<Kustomization>(client, owner, |there| there.status?.inventory).await?
        }
        ApplierKind::Pipeline => {
            inventory::<Pipeline>(client, owner, |there| there.status?.inventory).await?
        }
        ApplierKind::HelmRelease => {
            inventory::<HelmRelease>(client, owner, |there| Some(there.status?.pruned())).await?
        }
    };
    let pruned = comparison.pruned(owner, &inventory, objects).await?;
    for id in &pruned {
        print(&format!("- {} would be pruned", id.human()))?;
    }
    Ok(!pruned.is_empty())
}

/// What the owner in the cluster has applied; nothing when it is not there.
async fn inventory<K>(
    client: Client,
    owner: &Owner,
    listed: impl Fn(K) -> Option<Inventory>,
) -> anyhow::Result<Inventory>
where
    K: Resource<Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
    K::DynamicType: Default,
{
    let api: Api<K> = Api::namespaced(client, &owner.namespace);
    let there = api.get_opt(&owner.name).await.map_err(cluster::plain);
    let there = there.with_context(|| format!("cannot read the {} in the cluster", owner.kind))?;
    Ok(there.and_then(listed).unwrap_or_default())
}

/// Prints a diff, with colours on a terminal.
pub(crate) fn print(diff: &str) -> anyhow::Result<()> {
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
