//! What Plumbline would do with Helm releases: decided as the controller decides it, from the status that Flux has left, the records in
//! Helm's storage, and the chart that Flux has fetched.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use jiff::Timestamp;
use plumb_api::{
    DriftMode, GroupKind, HelmRelease, HelmReleaseStatus, Object, ObjectId, ReleaseSnapshot, ValuesKind,
};
use plumb_helm::decide::{Action, Decision, Desired, Drift, Situation, Step, Target, Turn, Writer};
use plumb_helm::objects::{Ownership, is_left_alone};
use plumb_helm::record::Release;
use plumb_helm::values::{Data, Values, compose};
use plumb_helm::{manifest, name};
use plumb_pipeline::data_of;
use serde_json::Value;

use super::changes::compare_objects;
use super::report::Changes;
use crate::cluster;
use crate::comparison::Comparison;
use crate::history::records;
use crate::reader::{Read, Reader, SOURCE_GROUP};

/// Says of every HelmRelease what would become of its release. One of which that cannot be told says why.
pub(super) async fn changes(reader: &Reader, releases: &[HelmRelease]) -> Vec<Changes> {
    let comparing = Comparing { reader, comparison: Comparison::of_releases(reader.client.clone()) };
    let mut all = Vec::new();
    for release in releases {
        let (namespace, name) = names(release);
        let object = format!("HelmRelease {namespace}/{name}");
        let mut changes = Changes { object, ..Changes::default() };
        if let Err(error) = comparing.compare(release, &mut changes).await {
            changes.not_compared = Some(format!("{error:#}"));
        }
        all.push(changes);
    }
    all
}

/// The chart that a release would be made of.
enum Chart {
    /// Its name and version.
    Known(String, String),
    /// Another one than that of the last release: what it is, only its files tell.
    Newer(String),
}

struct Comparing<'a> {
    reader: &'a Reader,
    comparison: Comparison,
}

impl Comparing<'_> {
    async fn compare(&self, release: &HelmRelease, changes: &mut Changes) -> anyhow::Result<()> {
        let spec = &release.spec;
        ensure!(!spec.suspend, "it is suspended, and would be left alone");
        ensure!(spec.kube_config.is_none(), "it releases to another cluster");
        let release_name = name::of(release)?;
        let status = release.status.clone().unwrap_or_default();
        let (chart_name, chart_version) = match self.chart(release, status.latest()).await? {
            Chart::Known(name, version) => (name, version),
            Chart::Newer(what) => {
                changes.release = Some(format!("would be upgraded ({what})"));
                return Ok(());
            }
        };
        let desired = Desired { chart_name, chart_version, values: self.values(release).await? };
        let records = records(self.reader.client.clone(), release).await.map_err(cluster::plain)?;
        let (storage_namespace, namespace) = (release.storage_namespace(), release.release_namespace());
        let target =
            Target { storage_namespace: &storage_namespace, namespace: &namespace, name: &release_name };
        let decision = decide(release, &status, target, &desired, &records);
        let newest = records.iter().max_by_key(|record| record.version());
        changes.release = Some(told(&decision, newest));
        match newest {
            Some(newest) if decision.step == Step::Done => {
                self.compare_deployed(release, newest, changes).await
            }
            _ => Ok(()),
        }
    }

    /// What there is of the objects of a release that stays.
    async fn compare_deployed(
        &self,
        release: &HelmRelease,
        newest: &Release,
        changes: &mut Changes,
    ) -> anyhow::Result<()> {
        let (namespace, name) = names(release);
        let ownership = Ownership {
            release_name: newest.name(),
            release_namespace: newest.namespace(),
            name: &name,
            namespace: &namespace,
        };
        let mut objects = Vec::new();
        for object in manifest::objects(newest.manifest())?.iter().filter(|object| !is_left_alone(object)) {
            let mut marked = Value::Object(object.fields().clone());
            ownership.mark(&mut marked);
            objects.push(Object::new(marked)?);
        }
        let objects: Vec<Arc<Object>> = self.comparison.place(objects, Some(newest.namespace())).await?;
        compare_objects(&self.comparison, &objects, changes).await?;
        // What is gone comes back in any mode. Fields are put back where the spec says so; which of them are to be ignored is not looked at.
        if release.spec.drift_mode() != DriftMode::Enabled {
            changes.unchanged += changes.changed.len();
            changes.changed.clear();
            changes.diffs.clear();
        }
        Ok(())
    }

    /// The chart of a release, as the status of its source tells.
    async fn chart(&self, release: &HelmRelease, latest: Option<&ReleaseSnapshot>) -> anyhow::Result<Chart> {
        let id = source(release)?;
        let source = match self.reader.get(&id).await {
            Read::Found(source) => source,
            Read::Missing => bail!("{} does not exist", id.human()),
            Read::Refused(why) => bail!("{} cannot be read: {why}", id.human()),
        };
        let text = |pointer: &str| source.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let revision = text("/status/artifact/revision")
            .with_context(|| format!("{} has no artifact yet", id.human()))?;
        if id.group_kind.kind == "HelmChart" {
            let name = text("/status/observedChartName");
            let name = name.with_context(|| format!("{} does not tell the name of its chart", id.human()))?;
            return Ok(Chart::Known(name, revision));
        }
        Ok(match latest {
            Some(latest) if is_of_revision(latest, &revision) => {
                Chart::Known(latest.chart_name.clone(), latest.chart_version.clone())
            }
            _ => Chart::Newer(format!("{} has revision {revision}", id.human())),
        })
    }

    /// The values that a release would be given.
    async fn values(&self, release: &HelmRelease) -> anyhow::Result<Values> {
        let (namespace, _) = names(release);
        let mut found: HashMap<(ValuesKind, String), Data> = HashMap::new();
        for from in &release.spec.values_from {
            let kind = match from.kind {
                ValuesKind::ConfigMap => "ConfigMap",
                ValuesKind::Secret => "Secret",
            };
            let id = ObjectId {
                namespace: namespace.clone(),
                name: from.name.clone(),
                group_kind: GroupKind::new("", kind),
            };
            match self.reader.get(&id).await {
                Read::Found(object) => {
                    found.insert((from.kind, from.name.clone()), data_of(&object)?);
                }
                Read::Missing => {}
                Read::Refused(why) => bail!("{} cannot be read: {why}", id.human()),
            }
        }
        Ok(compose(&namespace, &release.spec, |kind, name| found.get(&(kind, name.to_owned())))?)
    }
}

/// What is to be done next, where nobody has changed an object.
fn decide(
    release: &HelmRelease,
    status: &HelmReleaseStatus,
    target: Target<'_>,
    desired: &Desired,
    records: &[Release],
) -> Decision {
    Turn::default().decide(&Situation {
        spec: &release.spec,
        generation: release.metadata.generation.unwrap_or_default(),
        status,
        target,
        desired,
        records,
        writer: Writer::SomebodyElse,
        drift: Drift::default(),
        forced: false,
        retry_by_default: false,
        now: Timestamp::now(),
    })
}

/// What is to be done next, in words.
fn told(decision: &Decision, newest: Option<&Release>) -> String {
    let would = |what: &str| format!("{what} ({})", decision.why);
    match (&decision.step, newest) {
        (Step::Done, Some(newest)) => format!(
            "{}.v{} of chart {} {} stays",
            newest.name(),
            newest.version(),
            newest.chart_field("name"),
            newest.chart_field("version")
        ),
        (Step::Done, None) => would("nothing would be done"),
        (Step::Run(action), _) => would(&match action {
            Action::Install => "would be installed".to_owned(),
            Action::Upgrade => "would be upgraded".to_owned(),
            Action::Test => "would be tested".to_owned(),
            Action::RollBack { to } => format!("would be rolled back to v{to}"),
            Action::Uninstall(_) => "would be uninstalled".to_owned(),
            Action::Unlock => "would be marked as failed".to_owned(),
            Action::CorrectDrift => "would be put back".to_owned(),
        }),
        (Step::RetryAfter(_) | Step::Again, _) => would("would be tried again"),
        (Step::Await { until }, _) => would(&format!("would be left alone until {until}")),
        (Step::Stalled { message, .. }, _) => format!("would be left as it is: {message}"),
    }
}

/// Whether a release was made of this revision of an OCIRepository or ExternalArtifact: of `TAG@DIGEST` the snapshot has the digest, of any
/// other the whole.
fn is_of_revision(snapshot: &ReleaseSnapshot, revision: &str) -> bool {
    let digest = revision.split_once('@').map_or(revision, |(_, digest)| digest);
    snapshot.oci_digest.as_deref().is_some_and(|known| known == revision || known == digest)
}

/// The object whose artifact is the chart.
fn source(release: &HelmRelease) -> anyhow::Result<ObjectId> {
    let (own, _) = names(release);
    let (kind, namespace, name) = match (&release.spec.chart, &release.spec.chart_ref) {
        (Some(template), _) => {
            let namespace = template.spec.source_ref.namespace_or(&own).to_owned();
            ("HelmChart".to_owned(), namespace, release.helm_chart_name())
        }
        (None, Some(reference)) => {
            let namespace = reference.namespace.clone().unwrap_or(own);
            (reference.kind.to_string(), namespace, reference.name.clone())
        }
        (None, None) => bail!("it has neither spec.chart nor spec.chartRef"),
    };
    Ok(ObjectId { namespace, name, group_kind: GroupKind::new(SOURCE_GROUP, &kind) })
}

fn names(release: &HelmRelease) -> (String, String) {
    let metadata = &release.metadata;
    let namespace = metadata.namespace.clone().unwrap_or_else(|| "default".to_owned());
    (namespace, metadata.name.clone().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use plumb_api::Reason;
    use plumb_helm::decide::{Keep, State, Uninstall};
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn release(spec: &Value) -> HelmRelease {
        serde_json::from_value(json!({
            "apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease",
            "metadata": {"name": "web", "namespace": "shop"}, "spec": spec,
        }))
        .unwrap()
    }

    #[rstest]
    #[case::template(
        json!({"chart": "web", "sourceRef": {"kind": "HelmRepository", "name": "charts", "namespace": "flux-system"}}),
        "HelmChart/flux-system/shop-web"
    )]
    #[case::template_of_its_own_namespace(
        json!({"chart": "web", "sourceRef": {"kind": "GitRepository", "name": "charts"}}),
        "HelmChart/shop/shop-web"
    )]
    fn a_chart_comes_from_the_object_that_was_made_for_it(#[case] chart: Value, #[case] expected: &str) {
        let release = release(&json!({"interval": "1h", "chart": {"spec": chart}}));
        assert_eq!(source(&release).unwrap().human(), expected);
    }

    #[rstest]
    #[case("OCIRepository")]
    #[case("HelmChart")]
    #[case("ExternalArtifact")]
    fn a_chart_comes_from_the_object_that_is_named(#[case] kind: &str) {
        let release =
            release(&json!({"interval": "1h", "chartRef": {"kind": kind, "name": "web", "namespace": "b"}}));
        assert_eq!(source(&release).unwrap().human(), format!("{kind}/b/web"));
    }

    #[rstest]
    #[case(Some("sha256:aa"), "1.2.3@sha256:aa", true)]
    #[case(Some("sha256:aa"), "1.2.3@sha256:bb", false)]
    #[case(Some("latest@sha256:aa"), "latest@sha256:aa", true)]
    #[case(None, "1.2.3@sha256:aa", false)]
    fn a_release_knows_what_it_was_made_of(
        #[case] known: Option<&str>,
        #[case] revision: &str,
        #[case] expected: bool,
    ) {
        let snapshot: ReleaseSnapshot = serde_json::from_value(json!({
            "digest": "sha256:00", "name": "web", "namespace": "shop", "version": 1, "status": "deployed",
            "chartName": "web", "chartVersion": "1.2.3+aa", "configDigest": "sha256:00", "ociDigest": known,
            "firstDeployed": "2026-01-01T00:00:00Z", "lastDeployed": "2026-01-01T00:00:00Z",
        }))
        .unwrap();
        assert_eq!(is_of_revision(&snapshot, revision), expected);
    }

    #[rstest]
    #[case(Step::Run(Action::Upgrade), "would be upgraded (values changed)")]
    #[case(Step::Run(Action::RollBack { to: 2 }), "would be rolled back to v2 (values changed)")]
    #[case(Step::Run(Action::Uninstall(Uninstall::Retargeted)), "would be uninstalled (values changed)")]
    #[case(Step::Again, "would be tried again (values changed)")]
    #[case(
        Step::Await { until: Timestamp::UNIX_EPOCH },
        "would be left alone until 1970-01-01T00:00:00Z (values changed)"
    )]
    #[case(
        Step::Stalled { reason: Reason::RetriesExceeded, message: "no retries left".to_owned() },
        "would be left as it is: no retries left"
    )]
    fn what_is_to_be_done_is_told(#[case] step: Step, #[case] expected: &str) {
        let decision =
            Decision { state: State::OutOfSync, why: "values changed".to_owned(), step, keep: Keep::All };
        assert_eq!(told(&decision, None), expected);
    }
}
