//! What Plumbline would change: rendered objects compared with those of the cluster.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use futures::{StreamExt as _, pin_mut};
use plumb_api::{Kustomization, Object, SourceKind};
use plumb_apply::Owner;
use plumb_tree::{Directory, Tree};

use super::SourceName;
use super::report::Changes;
use crate::comparison::Comparison;
use crate::difference;
use crate::local::PluginDir;
use crate::reader::Reader;
use crate::renderer::Renderer;

type Trees = BTreeMap<SourceName, Arc<dyn Tree>>;

/// Compares every Kustomization whose source has a directory. Without any there is nothing to compare, nor to say.
pub(super) async fn changes(
    reader: &Reader,
    kustomizations: &[Kustomization],
    sources: &[(SourceName, PathBuf)],
    plugins: &PluginDir,
) -> anyhow::Result<Vec<Changes>> {
    if sources.is_empty() {
        return Ok(Vec::new());
    }
    let mut trees: Trees = BTreeMap::new();
    for (name, directory) in sources {
        let tree =
            Directory::open(directory).with_context(|| format!("cannot open {}", directory.display()))?;
        trees.insert(name.clone(), Arc::new(tree));
    }
    let comparing = Comparing {
        renderer: Renderer::new(plugins)?,
        comparison: Comparison::new(reader.client.clone()),
        trees,
    };
    let mut all = Vec::new();
    for kustomization in kustomizations {
        let (namespace, name) = names(kustomization);
        let mut changes = Changes { kustomization: format!("{namespace}/{name}"), ..Changes::default() };
        if let Err(error) = comparing.compare(kustomization, &mut changes).await {
            changes.not_compared = Some(format!("{error:#}"));
        }
        all.push(changes);
    }
    Ok(all)
}

struct Comparing {
    renderer: Renderer,
    comparison: Comparison,
    trees: Trees,
}

impl Comparing {
    async fn compare(&self, kustomization: &Kustomization, changes: &mut Changes) -> anyhow::Result<()> {
        let spec = &kustomization.spec;
        let (namespace, name) = names(kustomization);
        anyhow::ensure!(!spec.suspend, "it is suspended, and would be left alone");
        anyhow::ensure!(spec.kube_config.is_none(), "it applies to another cluster");
        let source = &spec.source_ref;
        let key =
            SourceName { namespace: source.namespace_or(namespace).to_owned(), name: source.name.clone() };
        let tree = self.trees.get(&key).filter(|_| source.kind == SourceKind::GitRepository);
        let tree = tree.with_context(|| {
            format!(
                "--source names no directory with the files of {} {}/{}",
                source.kind, key.namespace, key.name
            )
        })?;
        let rendered = self.renderer.kustomization(kustomization, tree)?;
        let objects = self.comparison.place(rendered, Some(kustomization)).await?;
        self.compare_objects(&objects, changes).await?;
        if spec.prune {
            let owner = Owner { namespace: namespace.to_owned(), name: name.to_owned() };
            let inventory = kustomization.status.as_ref().and_then(|status| status.inventory.clone());
            let pruned = self.comparison.pruned(&owner, &inventory.unwrap_or_default(), &objects).await?;
            changes.pruned = pruned.iter().map(plumb_api::ObjectId::human).collect();
        }
        Ok(())
    }

    async fn compare_objects(&self, objects: &[Arc<Object>], changes: &mut Changes) -> anyhow::Result<()> {
        let compared = self.comparison.compare(objects);
        pin_mut!(compared);
        while let Some((id, result)) = compared.next().await {
            match result {
                Err(refused) => changes.refused.push(refused),
                Ok(None) => changes.unchanged += 1,
                Ok(Some((before, after))) => {
                    let is_new = before.is_none();
                    match difference::unified(&id.human(), before, after)? {
                        None => changes.unchanged += 1,
                        Some(diff) => {
                            let list = if is_new { &mut changes.created } else { &mut changes.changed };
                            list.push(id.human());
                            changes.diffs.push(diff);
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

fn names(kustomization: &Kustomization) -> (&str, &str) {
    let metadata = &kustomization.metadata;
    (metadata.namespace.as_deref().unwrap_or("default"), metadata.name.as_deref().unwrap_or_default())
}
