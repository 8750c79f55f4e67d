//! Reads what a migration would touch.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use kube::api::ListParams;
use plumb_api::{GroupKind, HelmRelease, Kustomization, Object, ObjectId, crds};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::flux::controllers;
use super::report::{KindFound, Report};
use crate::reader::{HELM_GROUP, KUSTOMIZE_GROUP, Read, Reader};

/// What the groups of Flux's kinds end in.
const FLUX: &str = ".fluxcd.io";
/// The Deployment of Plumbline's controller.
pub(super) const PLUMBLINE: &str = "plumb-controller";

/// What was found, and what applies objects.
pub(super) struct Survey {
    pub(super) report: Report,
    pub(super) kustomizations: Vec<Kustomization>,
    pub(super) releases: Vec<HelmRelease>,
}

/// Looks at Flux's controllers, and at the objects of a namespace or of all.
pub(super) async fn survey(
    reader: &Reader,
    flux_namespace: &str,
    plumbline_namespace: &str,
    namespace: Option<&str>,
) -> anyhow::Result<Survey> {
    let deployments = reader.list_kind("apps", "Deployment", Some(flux_namespace)).await?;
    let mut report = Report {
        flux: controllers(&deployments),
        plumbline_namespace: plumbline_namespace.to_owned(),
        plumbline: plumbline(reader, plumbline_namespace).await?,
        old_versions: old_versions(reader).await?,
        ..Report::default()
    };
    let (mut kustomizations, mut releases) = (Vec::new(), Vec::new());
    for entry in reader.catalog.of_groups(FLUX).filter(|entry| entry.is_namespaced && entry.can_list) {
        let objects = reader.list(entry, namespace, ListParams::default()).await?;
        let group_kind = entry.group_kind();
        let suspended =
            objects.iter().filter(|object| object.pointer("/spec/suspend") == Some(&Value::Bool(true)));
        report.kinds.push(KindFound {
            is_supported: is_supported(&group_kind),
            group: group_kind.group.clone(),
            kind: group_kind.kind.clone(),
            objects: objects.len(),
            suspended: suspended.map(name).collect(),
        });
        if group_kind == GroupKind::new(KUSTOMIZE_GROUP, "Kustomization") {
            kustomizations = read(objects)?;
        } else if group_kind == GroupKind::new(HELM_GROUP, "HelmRelease") {
            releases = read(objects)?;
        }
    }
    Ok(Survey { report, kustomizations, releases })
}

fn read<K: DeserializeOwned>(objects: Vec<Object>) -> anyhow::Result<Vec<K>> {
    let read = |object: Object| {
        let what = format!("{} {}", object.kind(), name(&object));
        serde_json::from_value(object.into_value()).context(what)
    };
    objects.into_iter().map(read).collect()
}

async fn plumbline(reader: &Reader, namespace: &str) -> anyhow::Result<Option<i64>> {
    let id = ObjectId {
        namespace: namespace.to_owned(),
        name: PLUMBLINE.to_owned(),
        group_kind: GroupKind::new("apps", "Deployment"),
    };
    match reader.get(&id).await {
        Read::Found(found) => Ok(Some(found.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(1))),
        Read::Missing => Ok(None),
        Read::Refused(why) => anyhow::bail!("cannot read {}: {why}", id.human()),
    }
}

fn is_supported(kind: &GroupKind) -> bool {
    crds().iter().any(|crd| crd.spec.group == kind.group && crd.spec.names.kind == kind.kind)
}

/// Versions that hold objects, by definition: a definition cannot be replaced by one that lacks them.
async fn old_versions(reader: &Reader) -> anyhow::Result<BTreeMap<String, Vec<String>>> {
    let there = reader.list_kind("apiextensions.k8s.io", "CustomResourceDefinition", None).await?;
    let mut old = BTreeMap::new();
    for crd in crds() {
        let name = crd.metadata.name.clone().unwrap_or_default();
        let known: BTreeSet<&str> = crd.spec.versions.iter().map(|version| version.name.as_str()).collect();
        let stored = there
            .iter()
            .find(|found| found.name() == name)
            .and_then(|found| found.pointer("/status/storedVersions"));
        let stored = stored.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        let unknown: Vec<String> =
            stored.filter(|version| !known.contains(version)).map(str::to_owned).collect();
        if !unknown.is_empty() {
            old.insert(name, unknown);
        }
    }
    Ok(old)
}

fn name(object: &Object) -> String {
    format!("{}/{}", object.namespace().unwrap_or_default(), object.name())
}
