//! The Kustomization or Pipeline of a file, with the Plugins beside it.

use std::path::Path;

use anyhow::{Context as _, bail};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use plumb_api::{ApplierKind, Kustomization, Owner, Pipeline, Plugin};
use plumb_pipeline::Spec;
use serde::Deserialize as _;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::substitution::Given;

/// What is rendered, and for whom.
pub(crate) struct Applier {
    /// Whom the objects belong to.
    pub(crate) owner: Owner,
    pub(crate) spec: Spec,
    /// The Plugins of the same file.
    pub(crate) plugins: Vec<Plugin>,
}

impl Applier {
    /// A Kustomization, with nothing beside it.
    pub(crate) fn kustomization(kustomization: &Kustomization) -> Self {
        let (metadata, spec) = (&kustomization.metadata, Spec::from(&kustomization.spec));
        Self { owner: owner(ApplierKind::Kustomization, metadata), spec, plugins: Vec::new() }
    }
}

fn owner(kind: ApplierKind, metadata: &ObjectMeta) -> Owner {
    Owner {
        kind,
        namespace: metadata.namespace.clone().unwrap_or_else(|| "default".to_owned()),
        name: metadata.name.clone().unwrap_or_default(),
    }
}

/// The one Kustomization or Pipeline in a file that may hold other objects as well.
pub(crate) fn read(file: &Path, given: &Given) -> anyhow::Result<Applier> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    of_text(&text, given).with_context(|| format!("in {}", file.display()))
}

/// The one Kustomization or Pipeline in a text.
pub(crate) fn of_text(text: &str, given: &Given) -> anyhow::Result<Applier> {
    let mut documents = Vec::new();
    for (index, document) in serde_yaml::Deserializer::from_str(text).enumerate() {
        documents.push(
            Value::deserialize(document).with_context(|| format!("document {} is not YAML", index + 1))?,
        );
    }
    let plugins: Vec<Plugin> = of_kind(&documents, "plumbline.dev/v1alpha1", "Plugin")?;
    let pipelines: Vec<Pipeline> = of_kind(&documents, "plumbline.dev/v1alpha1", "Pipeline")?;
    let kustomizations: Vec<Kustomization> =
        of_kind(&documents, "kustomize.toolkit.fluxcd.io/v1", "Kustomization")?;
    let (kind, metadata, spec) = match (kustomizations.as_slice(), pipelines.as_slice()) {
        ([one], []) => {
            let spec = given.asked_of(one.spec.clone());
            (ApplierKind::Kustomization, &one.metadata, Spec::from(&spec))
        }
        ([], [one]) => (ApplierKind::Pipeline, &one.metadata, Spec::from(&one.spec)),
        ([], []) => bail!(
            "it holds neither a Kustomization of kustomize.toolkit.fluxcd.io/v1 nor a Pipeline of plumbline.dev/v1alpha1"
        ),
        (kustomizations, pipelines) => bail!(
            "it holds {} Kustomizations and Pipelines; put the one to render into a file of its own",
            kustomizations.len() + pipelines.len()
        ),
    };
    Ok(Applier { owner: owner(kind, metadata), spec, plugins })
}

/// The objects of a kind among documents.
pub(crate) fn of_kind<K: DeserializeOwned>(
    documents: &[Value],
    api_version: &str,
    kind: &str,
) -> anyhow::Result<Vec<K>> {
    let mut found = Vec::new();
    for (index, document) in documents.iter().enumerate() {
        if document["kind"] == kind && document["apiVersion"] == api_version {
            let object = serde_json::from_value(document.clone())
                .with_context(|| format!("the {kind} in document {} is wrong", index + 1))?;
            found.push(object);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::substitution::Substitution;

    const SOURCE: &str =
        "apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {name: a}\n";
    const KUSTOMIZATION: &str = "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: apps}\n\
        spec: {interval: 5m, prune: true, sourceRef: {kind: GitRepository, name: a}}\n";
    const PIPELINE: &str = "apiVersion: plumbline.dev/v1alpha1\nkind: Pipeline\nmetadata: {name: apps, namespace: b}\n\
        spec: {interval: 5m, sourceRef: {kind: GitRepository, name: a}, steps: [{plugin: yaml}]}\n";

    fn read(text: &str) -> Result<Applier, String> {
        of_text(text, &Substitution::default().read().unwrap()).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn other_objects_are_passed_over() {
        let kustomization = read(&format!("{SOURCE}---\n{KUSTOMIZATION}")).unwrap();
        assert_eq!(kustomization.owner, Owner::kustomization("default", "apps"));
        let plugin = "apiVersion: plumbline.dev/v1alpha1\nkind: Plugin\nmetadata: {name: p}\nspec: {builtin: labels}\n";
        let pipeline = read(&format!("{plugin}---\n{PIPELINE}")).unwrap();
        assert_eq!(pipeline.owner.to_string(), "Pipeline b/apps");
        assert_eq!(pipeline.plugins.len(), 1);
    }

    #[test]
    fn none_and_several_are_told_apart_from_one_that_is_wrong() {
        assert!(read(SOURCE).err().unwrap().starts_with("it holds neither"));
        assert!(read(&format!("{PIPELINE}---\n{KUSTOMIZATION}")).err().unwrap().starts_with("it holds 2 "));
        let wrong = read(
            "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: a}\nspec: {interval: 5m}\n",
        );
        let wrong = wrong.err().unwrap();
        assert!(wrong.contains("document 1") && wrong.contains("missing field"), "{wrong}");
    }
}
