//! What a migration would do, as people read it. Pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::flux::Controller;

/// How many names a line has.
const NAMED: usize = 5;
/// The kinds that take what Flux's source-controller serves, and that Plumbline does not reconcile.
const NEED_SOURCES: [&str; 2] = ["ArtifactGenerator", "Terraform"];
/// The controllers of Flux that Plumbline can take over from besides its source-controller, and their kinds.
const APPLIERS: [(&str, &str); 2] =
    [("kustomize-controller", "Kustomization"), ("helm-controller", "HelmRelease")];

/// What was found.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    /// Flux's controllers.
    pub(super) flux: Vec<Controller>,
    /// Where Plumbline is, or will be, installed.
    pub(super) plumbline_namespace: String,
    /// How many replicas Plumbline's controller is to have; none where it is not installed.
    pub(super) plumbline: Option<i64>,
    pub(super) kinds: Vec<KindFound>,
    /// Versions in which a definition has objects stored and that Plumbline's definitions lack.
    pub(super) old_versions: BTreeMap<String, Vec<String>>,
    pub(super) changes: Vec<Changes>,
}

/// A kind of Flux that the cluster serves.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct KindFound {
    pub(super) group: String,
    pub(super) kind: String,
    pub(super) objects: usize,
    /// Objects that are suspended, as NAMESPACE/NAME.
    pub(super) suspended: Vec<String>,
    /// Whether Plumbline reconciles it.
    pub(super) is_supported: bool,
}

/// What would become of the objects of a Kustomization or HelmRelease.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Changes {
    /// The Kustomization or HelmRelease, as KIND NAMESPACE/NAME.
    pub(super) object: String,
    /// What would become of the release of a HelmRelease. Where it stays, its objects were compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) release: Option<String>,
    /// Why it was not compared; nothing else is known then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) not_compared: Option<String>,
    pub(super) created: Vec<String>,
    pub(super) changed: Vec<String>,
    pub(super) pruned: Vec<String>,
    pub(super) unchanged: usize,
    /// What the API server refuses.
    pub(super) refused: Vec<String>,
    /// The fields that would change.
    #[serde(skip)]
    pub(super) diffs: Vec<String>,
}

/// Who does what after a migration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Division {
    /// The components of Flux that are scaled to zero.
    pub(super) stopped: Vec<&'static str>,
    /// The kinds that Plumbline reconciles; empty for all that it knows.
    pub(super) kinds: Vec<&'static str>,
    /// Why Flux's source-controller stays.
    pub(super) kept_for: Vec<String>,
}

impl Report {
    /// Flux's source-controller stays where something else needs its artifacts: two controllers of one source would write over each other's
    /// status.
    pub(super) fn division(&self) -> Division {
        let needs = |found: &&KindFound| found.objects > 0 && NEED_SOURCES.contains(&found.kind.as_str());
        let kept_for: Vec<String> = self.kinds.iter().filter(needs).map(|found| found.kind.clone()).collect();
        let appliers = APPLIERS.map(|(controller, _)| controller);
        match kept_for.is_empty() {
            true => Division {
                stopped: ["source-controller"].into_iter().chain(appliers).collect(),
                kinds: vec![],
                kept_for,
            },
            false => {
                Division { stopped: appliers.into(), kinds: APPLIERS.map(|(_, kind)| kind).into(), kept_for }
            }
        }
    }

    /// The report for people.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        self.controllers(&mut text);
        self.objects(&mut text);
        self.obstacles(&mut text);
        self.comparisons(&mut text);
        self.next(&mut text);
        text
    }

    fn controllers(&self, text: &mut String) {
        let version = self.flux.iter().find_map(|controller| controller.flux_version.as_deref());
        heading(text, &format!("Flux{}", version.map(|version| format!(" {version}")).unwrap_or_default()));
        if self.flux.is_empty() {
            line(text, "no controllers were found; name their namespace with --flux-namespace");
        }
        let division = self.division();
        for controller in &self.flux {
            let fate = match division.stopped.contains(&controller.component.as_str()) {
                true if controller.replicas == 0 => "is scaled to zero already",
                true => "would be scaled to zero",
                false => "stays",
            };
            let Controller { name, version, replicas, .. } = controller;
            line(text, &format!("{name} {version}, {}: {fate}", count(*replicas, "replica")));
        }
        let applied_by = self.flux.iter().find_map(|controller| controller.applied_by.as_deref());
        if let Some(kustomization) = applied_by {
            line(
                text,
                &format!(
                    "Kustomization {kustomization} applies these Deployments: those that are scaled to zero are annotated, so that it leaves them alone"
                ),
            );
        }
        heading(text, "Plumbline");
        match self.plumbline {
            Some(replicas) => line(
                text,
                &format!("installed in {}, {}", self.plumbline_namespace, count(replicas, "replica")),
            ),
            None => line(
                text,
                &format!("not installed; --yes would install it into {}", self.plumbline_namespace),
            ),
        }
        if !division.kinds.is_empty() {
            line(
                text,
                &format!(
                    "would run with --kinds {}, since Flux's source-controller has to stay for {}",
                    division.kinds.join(","),
                    division.kept_for.join(", ")
                ),
            );
        }
    }

    fn objects(&self, text: &mut String) {
        heading(text, "Objects");
        let division = self.division();
        for found in self.kinds.iter().filter(|found| found.objects > 0) {
            let is_taken = found.is_supported
                && (division.kinds.is_empty() || division.kinds.contains(&found.kind.as_str()));
            let who = if is_taken { "Plumbline" } else { "Flux, as before" };
            let suspended = match found.suspended.as_slice() {
                [] => String::new(),
                suspended => format!("; suspended and left alone: {}", listed(suspended)),
            };
            line(text, &format!("{} {}: {who}{suspended}", found.objects, found.kind));
        }
        if self.kinds.iter().all(|found| found.objects == 0) {
            line(text, "none");
        }
        if self.kinds.iter().any(|found| found.objects > 0 && found.kind == "Alert") {
            line(
                text,
                "Alerts are not sent for what Plumbline reconciles: it publishes Kubernetes events only",
            );
        }
    }

    fn obstacles(&self, text: &mut String) {
        if !self.old_versions.is_empty() {
            heading(text, "Stored in versions that are no longer served: run `flux migrate` first");
            for (crd, versions) in &self.old_versions {
                line(text, &format!("{crd}: {}", versions.join(", ")));
            }
        }
    }

    fn comparisons(&self, text: &mut String) {
        if self.changes.is_empty() {
            return;
        }
        heading(text, "What would be applied, compared with the cluster");
        for changes in &self.changes {
            line(text, &format!("{}: {}", changes.object, changes.summary()));
            let lists =
                [("created", &changes.created), ("changed", &changes.changed), ("pruned", &changes.pruned)];
            for (what, names) in lists.into_iter().filter(|(_, names)| !names.is_empty()) {
                line(text, &format!("  {what}: {}", listed(names)));
            }
            for refused in &changes.refused {
                line(text, &format!("  refused: {refused}"));
            }
        }
    }

    fn next(&self, text: &mut String) {
        text.push_str("\nNothing was changed. `plumb migrate --yes` hands over, `plumb migrate --back --yes` takes it back.\n");
    }
}

impl Changes {
    fn summary(&self) -> String {
        if let Some(why) = &self.not_compared {
            return format!("not compared: {why}");
        }
        let Some(release) = &self.release else { return self.counts() };
        let is_compared = !self.refused.is_empty()
            || [&self.created, &self.changed].iter().any(|names| !names.is_empty())
            || self.unchanged > 0;
        if is_compared { format!("{release}; {}", self.counts()) } else { release.clone() }
    }

    fn counts(&self) -> String {
        let counts = [
            (self.created.len(), "created"),
            (self.changed.len(), "changed"),
            (self.pruned.len(), "pruned"),
            (self.refused.len(), "refused"),
        ];
        let counts: Vec<String> = counts
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        match counts.is_empty() {
            true => format!("{} unchanged", count_of(self.unchanged)),
            false => format!("{}, {} unchanged", counts.join(", "), self.unchanged),
        }
    }
}

fn heading(text: &mut String, heading: &str) {
    let gap = if text.is_empty() { "" } else { "\n" };
    // Writing into a String does not fail.
    let _ = writeln!(text, "{gap}{heading}");
}

fn line(text: &mut String, line: &str) {
    let _ = writeln!(text, "  {line}");
}

fn count(number: i64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn count_of(objects: usize) -> String {
    format!("{objects} object{}", if objects == 1 { "" } else { "s" })
}

fn listed(names: &[String]) -> String {
    let named = names.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reader::{HELM_GROUP, KUSTOMIZE_GROUP, SOURCE_GROUP};

    fn controller(component: &str, replicas: i64) -> Controller {
        Controller {
            namespace: "flux-system".to_owned(),
            name: component.to_owned(),
            component: component.to_owned(),
            version: "v1.9.0".to_owned(),
            flux_version: Some("v2.9.0".to_owned()),
            replicas,
            replicas_before: None,
            applied_by: Some("flux-system".to_owned()),
        }
    }

    fn kind(group: &str, kind: &str, objects: usize, suspended: &[&str]) -> KindFound {
        let suspended = suspended.iter().map(|name| (*name).to_owned()).collect();
        let is_supported =
            ["Kustomization", "GitRepository", "HelmRepository", "HelmRelease"].contains(&kind);
        KindFound { group: group.to_owned(), kind: kind.to_owned(), objects, suspended, is_supported }
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn report() -> Report {
        Report {
            flux: vec![
                controller("kustomize-controller", 1),
                controller("source-controller", 1),
                controller("helm-controller", 1),
                controller("notification-controller", 1),
            ],
            plumbline_namespace: "plumbline-system".to_owned(),
            kinds: vec![
                kind(KUSTOMIZE_GROUP, "Kustomization", 3, &["flux-system/old"]),
                kind(SOURCE_GROUP, "GitRepository", 1, &[]),
                kind(SOURCE_GROUP, "HelmRepository", 0, &[]),
                kind(HELM_GROUP, "HelmRelease", 2, &[]),
                kind("notification.toolkit.fluxcd.io", "Alert", 2, &[]),
            ],
            old_versions: BTreeMap::from([(
                "buckets.source.toolkit.fluxcd.io".to_owned(),
                names(&["v1beta2"]),
            )]),
            changes: vec![
                Changes {
                    object: "Kustomization flux-system/apps".to_owned(),
                    unchanged: 12,
                    ..Changes::default()
                },
                Changes {
                    object: "Kustomization flux-system/infra".to_owned(),
                    changed: names(&["Deployment/web/web"]),
                    pruned: names(&["ConfigMap/web/a", "ConfigMap/web/b"]),
                    unchanged: 4,
                    ..Changes::default()
                },
                Changes {
                    object: "Kustomization flux-system/secrets".to_owned(),
                    not_compared: Some("the source has no files yet".to_owned()),
                    ..Changes::default()
                },
                Changes {
                    object: "HelmRelease shop/web".to_owned(),
                    release: Some("web.v3 of chart web 1.2.3 stays".to_owned()),
                    created: names(&["Service/shop/web"]),
                    unchanged: 3,
                    ..Changes::default()
                },
                Changes {
                    object: "HelmRelease shop/db".to_owned(),
                    release: Some("would be upgraded (release config values changed)".to_owned()),
                    ..Changes::default()
                },
            ],
            ..Report::default()
        }
    }

    #[test]
    fn the_report_reads_well() {
        insta::assert_snapshot!(report().text(), @"
        Flux v2.9.0
          kustomize-controller v1.9.0, 1 replica: would be scaled to zero
          source-controller v1.9.0, 1 replica: would be scaled to zero
          helm-controller v1.9.0, 1 replica: would be scaled to zero
          notification-controller v1.9.0, 1 replica: stays
          Kustomization flux-system applies these Deployments: those that are scaled to zero are annotated, so that it leaves them alone

        Plumbline
          not installed; --yes would install it into plumbline-system

        Objects
          3 Kustomization: Plumbline; suspended and left alone: flux-system/old
          1 GitRepository: Plumbline
          2 HelmRelease: Plumbline
          2 Alert: Flux, as before
          Alerts are not sent for what Plumbline reconciles: it publishes Kubernetes events only

        Stored in versions that are no longer served: run `flux migrate` first
          buckets.source.toolkit.fluxcd.io: v1beta2

        What would be applied, compared with the cluster
          Kustomization flux-system/apps: 12 objects unchanged
          Kustomization flux-system/infra: 1 changed, 2 pruned, 4 unchanged
            changed: Deployment/web/web
            pruned: ConfigMap/web/a, ConfigMap/web/b
          Kustomization flux-system/secrets: not compared: the source has no files yet
          HelmRelease shop/web: web.v3 of chart web 1.2.3 stays; 1 created, 3 unchanged
            created: Service/shop/web
          HelmRelease shop/db: would be upgraded (release config values changed)

        Nothing was changed. `plumb migrate --yes` hands over, `plumb migrate --back --yes` takes it back.
        ");
    }

    #[test]
    fn what_is_not_reconciled_here_keeps_the_source_controller() {
        let mut report = report();
        report.kinds.push(kind("source.extensions.fluxcd.io", "ArtifactGenerator", 4, &[]));
        report.plumbline = Some(0);
        report.changes.clear();
        let division = report.division();
        assert_eq!(division.stopped, ["kustomize-controller", "helm-controller"]);
        assert_eq!(division.kinds, ["Kustomization", "HelmRelease"]);
        insta::assert_snapshot!(report.text(), @"
        Flux v2.9.0
          kustomize-controller v1.9.0, 1 replica: would be scaled to zero
          source-controller v1.9.0, 1 replica: stays
          helm-controller v1.9.0, 1 replica: would be scaled to zero
          notification-controller v1.9.0, 1 replica: stays
          Kustomization flux-system applies these Deployments: those that are scaled to zero are annotated, so that it leaves them alone

        Plumbline
          installed in plumbline-system, 0 replicas
          would run with --kinds Kustomization,HelmRelease, since Flux's source-controller has to stay for ArtifactGenerator

        Objects
          3 Kustomization: Plumbline; suspended and left alone: flux-system/old
          1 GitRepository: Flux, as before
          2 HelmRelease: Plumbline
          2 Alert: Flux, as before
          4 ArtifactGenerator: Flux, as before
          Alerts are not sent for what Plumbline reconciles: it publishes Kubernetes events only

        Stored in versions that are no longer served: run `flux migrate` first
          buckets.source.toolkit.fluxcd.io: v1beta2

        Nothing was changed. `plumb migrate --yes` hands over, `plumb migrate --back --yes` takes it back.
        ");
    }
}
