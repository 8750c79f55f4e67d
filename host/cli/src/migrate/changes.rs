//! What Plumbline would change: rendered objects compared with those of the cluster.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use futures::{StreamExt as _, pin_mut};
use plumb_api::{GroupKind, Kustomization, Object, ObjectId, ValuesKind};
use plumb_apply::Owner;
use plumb_pipeline::{Values, data_of};
use plumb_tree::{Directory, Tree};

use super::SourceName;
use super::artifacts::Artifacts;
use super::report::Changes;
use crate::applier::Applier;
use crate::comparison::Comparison;
use crate::difference;
use crate::local::PluginDir;
use crate::reader::{Read, Reader, SOURCE_GROUP};
use crate::renderer::Renderer;
use crate::workbench::{Chance, Laptop};

/// Compares what every Kustomization would apply with what the cluster holds. One that cannot be compared says why.
pub(super) async fn changes(
    reader: &Reader,
    kustomizations: &[Kustomization],
    sources: &[(SourceName, PathBuf)],
    plugins: &PluginDir,
) -> anyhow::Result<Vec<Changes>> {
    if kustomizations.is_empty() {
        return Ok(Vec::new());
    }
    let mut directories = BTreeMap::new();
    for (name, directory) in sources {
        let tree =
            Directory::open(directory).with_context(|| format!("cannot open {}", directory.display()))?;
        directories.insert(name.clone(), Arc::new(tree) as Arc<dyn Tree>);
    }
    let mut comparing = Comparing {
        reader,
        renderer: Renderer::new(plugins)?,
        comparison: Comparison::new(reader.client.clone()),
        artifacts: Artifacts::new(reader.client.clone())?,
        directories,
        fetched: BTreeMap::new(),
    };
    let mut all = Vec::new();
    for kustomization in kustomizations {
        let (namespace, name) = names(kustomization);
        let object = format!("Kustomization {namespace}/{name}");
        let mut changes = Changes { object, ..Changes::default() };
        if let Err(error) = comparing.compare(kustomization, &mut changes).await {
            changes.not_compared = Some(format!("{error:#}"));
        }
        all.push(changes);
    }
    Ok(all)
}

struct Comparing<'a> {
    reader: &'a Reader,
    renderer: Renderer,
    comparison: Comparison,
    artifacts: Artifacts,
    /// The files of sources that the user has at hand.
    directories: BTreeMap<SourceName, Arc<dyn Tree>>,
    /// Those that Flux serves, or why they cannot be had.
    fetched: BTreeMap<ObjectId, Result<Arc<dyn Tree>, String>>,
}

impl Comparing<'_> {
    async fn compare(&mut self, kustomization: &Kustomization, changes: &mut Changes) -> anyhow::Result<()> {
        let spec = &kustomization.spec;
        let (namespace, name) = names(kustomization);
        anyhow::ensure!(!spec.suspend, "it is suspended, and would be left alone");
        anyhow::ensure!(spec.kube_config.is_none(), "it applies to another cluster");
        let tree = self.tree(kustomization).await?;
        let applier = Applier::kustomization(kustomization);
        let values = self.values(&applier).await?;
        let (laptop, chance) = (Laptop::default(), Chance::of_this_machine());
        let rendered = self.renderer.applier(&applier, &values, &laptop, chance, &tree)?;
        let objects = self.comparison.place(rendered, spec.target_namespace.as_deref()).await?;
        compare_objects(&self.comparison, &objects, changes).await?;
        if spec.prune {
            let owner = Owner::kustomization(namespace, name);
            let inventory = kustomization.status.as_ref().and_then(|status| status.inventory.clone());
            let pruned = self.comparison.pruned(&owner, &inventory.unwrap_or_default(), &objects).await?;
            changes.pruned = pruned.iter().map(ObjectId::human).collect();
        }
        Ok(())
    }

    /// The ConfigMaps and Secrets that the cluster holds. Of those that are missing, the plan of the steps tells.
    async fn values(&self, applier: &Applier) -> anyhow::Result<Values> {
        let mut values = Values::default();
        for input in applier.spec.inputs() {
            let kind = match input.kind() {
                ValuesKind::ConfigMap => "ConfigMap",
                ValuesKind::Secret => "Secret",
            };
            let (namespace, name) = (applier.owner.namespace.clone(), input.name.to_owned());
            let id = ObjectId { namespace, name: name.clone(), group_kind: GroupKind::new("", kind) };
            match self.reader.get(&id).await {
                Read::Found(object) => values.insert(input.kind(), name, data_of(&object)?),
                Read::Missing => {}
                Read::Refused(why) => bail!("{} cannot be read: {why}", id.human()),
            }
        }
        Ok(values)
    }

    async fn tree(&mut self, kustomization: &Kustomization) -> anyhow::Result<Arc<dyn Tree>> {
        let reference = &kustomization.spec.source_ref;
        let namespace = reference.namespace_or(names(kustomization).0).to_owned();
        let key = SourceName { namespace: namespace.clone(), name: reference.name.clone() };
        if let Some(tree) = self.directories.get(&key) {
            return Ok(tree.clone());
        }
        let group_kind = GroupKind::new(SOURCE_GROUP, reference.kind.as_str());
        let id = ObjectId { namespace, name: reference.name.clone(), group_kind };
        if !self.fetched.contains_key(&id) {
            let fetched = match self.reader.get(&id).await {
                Read::Found(source) => {
                    self.artifacts.tree(&source).await.map_err(|error| format!("{error:#}"))
                }
                Read::Missing => Err("it does not exist".to_owned()),
                Read::Refused(why) => Err(why),
            };
            self.fetched.insert(id.clone(), fetched);
        }
        match self.fetched.get(&id) {
            Some(Ok(tree)) => Ok(tree.clone()),
            Some(Err(why)) => bail!(
                "the files of {} cannot be had ({why}); name a directory that holds them with --source",
                id.human()
            ),
            None => bail!("the files of {} were not fetched", id.human()),
        }
    }
}

/// Notes which objects would be created or changed.
pub(super) async fn compare_objects(
    comparison: &Comparison,
    objects: &[Arc<Object>],
    changes: &mut Changes,
) -> anyhow::Result<()> {
    let compared = comparison.compare(objects);
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

fn names(kustomization: &Kustomization) -> (&str, &str) {
    let metadata = &kustomization.metadata;
    (metadata.namespace.as_deref().unwrap_or("default"), metadata.name.as_deref().unwrap_or_default())
}
