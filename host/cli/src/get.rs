use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use kube::ResourceExt as _;
use kube::api::{Api, ListParams};
use plumb_api::conditions::find;
use plumb_api::{
    Bucket, ConditionType, ExternalArtifact, GitRepository, HelmChart, HelmRelease, HelmRepository,
    Kustomization, OciRepository, Pipeline, Time,
};
use serde::Serialize;

use crate::cluster::{self, Pace};
use crate::kinds::Reconciled;
use crate::output::{self, Color, Format};

/// Lists objects and how they are doing.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  plumb get ks -A\n  plumb get sources -n flux-system -o json\n  plumb get sources oci"
)]
pub(crate) struct Get {
    /// What to list.
    #[arg(value_enum, default_value_t = Kind::All)]
    kind: Kind,
    /// Which sources, after `sources`.
    #[arg(value_enum, value_name = "SOURCES")]
    sources: Option<Sources>,
    /// The namespace to look in.
    #[arg(long, short, default_value = "flux-system")]
    namespace: String,
    /// Look in all namespaces.
    #[arg(long, short = 'A', conflicts_with = "namespace")]
    all_namespaces: bool,
    /// How the list is printed.
    #[arg(long, short, value_enum, default_value_t = Format::Table)]
    output: Format,
}

/// The kinds that can be listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Sources, Kustomizations, HelmReleases and Pipelines.
    All,
    /// Sources of all kinds, or of the kind that follows.
    #[value(alias = "source")]
    Sources,
    /// Git repositories.
    #[value(alias = "gitrepository", alias = "gitrepo")]
    Gitrepositories,
    /// OCI artifacts.
    #[value(alias = "ocirepository", alias = "ocirepo")]
    Ocirepositories,
    /// Buckets of object stores.
    #[value(alias = "bucket")]
    Buckets,
    /// Repositories of Helm charts.
    #[value(alias = "helmrepository", alias = "helmrepo")]
    Helmrepositories,
    /// Helm charts.
    #[value(alias = "helmchart", alias = "hc")]
    Helmcharts,
    /// Artifacts of other controllers.
    #[value(alias = "externalartifact", alias = "ea")]
    Externalartifacts,
    /// Kustomizations.
    #[value(alias = "kustomization", alias = "ks")]
    Kustomizations,
    /// HelmReleases.
    #[value(alias = "helmrelease", alias = "hr")]
    Helmreleases,
    /// Pipelines.
    #[value(alias = "pipeline", alias = "pipe")]
    Pipelines,
}

/// The kinds of sources, in Flux's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Sources {
    /// All of them.
    All,
    /// Git repositories.
    Git,
    /// OCI artifacts.
    Oci,
    /// Buckets of object stores.
    #[value(alias = "buckets")]
    Bucket,
    /// Repositories of Helm charts.
    Helm,
    /// Helm charts.
    #[value(alias = "charts")]
    Chart,
    /// Artifacts of other controllers.
    External,
}

/// One line of the list.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    kind: String,
    namespace: String,
    name: String,
    revision: String,
    suspended: bool,
    ready: String,
    /// Sources have no health.
    healthy: Option<String>,
    /// What is wrong, if anything is.
    message: String,
    created_at: Option<Time>,
}

impl Get {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let rows = cluster::block_on(self.rows())?;
        match self.output {
            Format::Table if rows.is_empty() => match self.all_namespaces {
                true => output::note(format_args!("nothing found in any namespace")),
                false => output::note(format_args!(
                    "nothing found in namespace {}; look in all with -A",
                    self.namespace
                )),
            },
            Format::Table => output::write(format_args!("{}", table(&rows, Timestamp::now())))?,
            format => output::structured(&rows, format)?,
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn rows(&self) -> anyhow::Result<Vec<Row>> {
        let kind = self.kind()?;
        let client = cluster::client(Pace::Interactive).await?;
        match kind {
            Kind::Gitrepositories => self.list::<GitRepository>(&client).await,
            Kind::Ocirepositories => self.list::<OciRepository>(&client).await,
            Kind::Buckets => self.list::<Bucket>(&client).await,
            Kind::Helmrepositories => self.list::<HelmRepository>(&client).await,
            Kind::Helmcharts => self.list::<HelmChart>(&client).await,
            Kind::Externalartifacts => self.list::<ExternalArtifact>(&client).await,
            Kind::Kustomizations => self.list::<Kustomization>(&client).await,
            Kind::Helmreleases => self.list::<HelmRelease>(&client).await,
            Kind::Pipelines => self.list::<Pipeline>(&client).await,
            Kind::Sources => self.sources(&client).await,
            Kind::All => {
                let mut rows = self.sources(&client).await?;
                rows.extend(self.list::<Kustomization>(&client).await?);
                rows.extend(self.list_if_known::<HelmRelease>(&client).await?);
                rows.extend(self.list_if_known::<Pipeline>(&client).await?);
                Ok(rows)
            }
        }
    }

    /// What is to be listed, in one word.
    fn kind(&self) -> anyhow::Result<Kind> {
        let Some(sources) = self.sources else { return Ok(self.kind) };
        if self.kind != Kind::Sources {
            bail!("a kind of sources can only follow `sources`, as in `plumb get sources oci`");
        }
        Ok(match sources {
            Sources::All => Kind::Sources,
            Sources::Git => Kind::Gitrepositories,
            Sources::Oci => Kind::Ocirepositories,
            Sources::Bucket => Kind::Buckets,
            Sources::Helm => Kind::Helmrepositories,
            Sources::Chart => Kind::Helmcharts,
            Sources::External => Kind::Externalartifacts,
        })
    }

    /// The sources of all kinds that the cluster knows: one that was installed by an older version has not all of them.
    async fn sources(&self, client: &kube::Client) -> anyhow::Result<Vec<Row>> {
        let mut rows = self.list::<GitRepository>(client).await?;
        rows.extend(self.list_if_known::<OciRepository>(client).await?);
        rows.extend(self.list_if_known::<Bucket>(client).await?);
        rows.extend(self.list_if_known::<HelmRepository>(client).await?);
        rows.extend(self.list_if_known::<HelmChart>(client).await?);
        rows.extend(self.list_if_known::<ExternalArtifact>(client).await?);
        Ok(rows)
    }

    async fn list_if_known<K: Reconciled>(&self, client: &kube::Client) -> anyhow::Result<Vec<Row>> {
        match self.ask::<K>(client).await {
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(Vec::new()),
            rows => told::<K>(rows),
        }
    }

    async fn list<K: Reconciled>(&self, client: &kube::Client) -> anyhow::Result<Vec<Row>> {
        told::<K>(self.ask::<K>(client).await)
    }

    async fn ask<K: Reconciled>(&self, client: &kube::Client) -> kube::Result<Vec<Row>> {
        let api: Api<K> = match self.all_namespaces {
            true => Api::all(client.clone()),
            false => Api::namespaced(client.clone(), &self.namespace),
        };
        Ok(api.list(&ListParams::default()).await?.items.iter().map(row).collect())
    }
}

fn told<K: Reconciled>(rows: kube::Result<Vec<Row>>) -> anyhow::Result<Vec<Row>> {
    let kind = K::kind(&());
    rows.map_err(cluster::plain)
        .with_context(|| format!("cannot list {kind} objects; are the CRDs installed? See `plumb install`"))
}

fn row<K: Reconciled>(object: &K) -> Row {
    let ready = find(object.conditions(), ConditionType::Ready);
    let healthy = find(object.conditions(), ConditionType::Healthy);
    // A Kustomization that does not wait for health is ready while its pods crash.
    let is_told_of_by_health = ready.is_some_and(|ready| ready.status == "True")
        && healthy.is_some_and(|healthy| healthy.status == "False");
    let telling = if is_told_of_by_health { healthy } else { ready };
    // As in Flux, what only says where something is is always ready.
    let (state, message) = match (ready, object.is_static()) {
        (None, true) => ("True", "asked when a chart is"),
        (None, false) => ("Unknown", ""),
        (Some(ready), _) => (ready.status.as_str(), telling.map_or("", |condition| &condition.message)),
    };
    Row {
        kind: K::kind(&()).into_owned(),
        namespace: object.namespace().unwrap_or_default(),
        name: object.name_any(),
        revision: object.revision().unwrap_or_default().to_owned(),
        suspended: object.is_suspended(),
        ready: state.to_owned(),
        healthy: healthy.map(|healthy| healthy.status.clone()),
        message: message.to_owned(),
        created_at: object.creation_timestamp(),
    }
}

fn table(rows: &[Row], now: Timestamp) -> String {
    let header = ["NAMESPACE", "NAME", "REVISION", "SUSPENDED", "READY", "HEALTHY", "AGE", "MESSAGE"];
    let cells = |row: &Row| {
        vec![
            row.namespace.clone(),
            format!("{}/{}", row.kind.to_lowercase(), row.name),
            short_revision(&row.revision),
            if row.suspended { "True" } else { "False" }.to_owned(),
            row.ready.clone(),
            row.healthy.clone().unwrap_or_else(|| "-".to_owned()),
            row.created_at.as_ref().map(|since| age(since.0, now)).unwrap_or_default(),
            row.message.lines().next().unwrap_or_default().to_owned(),
        ]
    };
    let text = output::table(&header, &rows.iter().map(cells).collect::<Vec<_>>());
    if !output::colored() {
        return text;
    }
    let paint = |(line, row): (&str, Option<&Row>)| match row.map(|row| (&*row.ready, row.healthy.as_deref()))
    {
        Some(("False", _) | (_, Some("False"))) => output::paint(line, Color::Red, true),
        Some(("Unknown", _)) => output::paint(line, Color::Yellow, true),
        _ => line.to_owned(),
    };
    let rows = std::iter::once(None).chain(rows.iter().map(Some));
    text.lines().zip(rows).map(paint).collect::<Vec<_>>().join("\n") + "\n"
}

/// `main@sha1:9f2c41d0`, as `flux get` shortens it.
fn short_revision(revision: &str) -> String {
    match revision.rsplit_once(':') {
        Some((name, hex)) => format!("{name}:{}", hex.get(..8).unwrap_or(hex)),
        None => revision.to_owned(),
    }
}

/// `5s`, `3m`, `4h`, `12d`, as kubectl writes ages.
pub(crate) fn age(since: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(since).as_secs().max(0);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    const NOW: &str = "2026-01-01T03:00:00Z";

    fn condition(type_: &str, status: &str, message: &str) -> Value {
        json!({"type": type_, "status": status, "reason": "Reason", "message": message,
            "lastTransitionTime": "2026-01-01T00:00:00Z"})
    }

    fn kustomization(name: &str, conditions: &[Value]) -> Kustomization {
        serde_json::from_value(json!({
            "apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
            "metadata": {"name": name, "namespace": "flux-system", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"interval": "5m", "prune": true, "sourceRef": {"kind": "GitRepository", "name": "apps"}},
            "status": {
                "lastAppliedRevision": "main@sha1:9f2c41d0aabbccddeeff00112233445566778899",
                "conditions": conditions,
            },
        }))
        .unwrap()
    }

    fn source() -> GitRepository {
        serde_json::from_value(json!({
            "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository",
            "metadata": {"name": "apps", "namespace": "flux-system", "creationTimestamp": "2026-01-01T02:59:00Z"},
            "spec": {"interval": "5m", "url": "https://git.example/apps"},
        }))
        .unwrap()
    }

    #[test]
    fn a_registry_of_charts_has_no_status_and_is_ready() {
        let repository = |type_: &str| -> HelmRepository {
            serde_json::from_value(json!({
                "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "HelmRepository",
                "metadata": {"name": "charts", "namespace": "flux-system"},
                "spec": {"url": "oci://registry.example/charts", "type": type_},
            }))
            .unwrap()
        };
        assert_eq!(row(&repository("oci")).ready, "True");
        assert_eq!(row(&repository("default")).ready, "Unknown");
    }

    #[test]
    fn the_table_reads_well() {
        let ready = condition("Ready", "True", "Applied revision: main\nsecond line");
        let crashing = condition("Healthy", "False", "Deployment/web: container app is in CrashLoopBackOff");
        let rows = [
            row(&source()),
            row(&kustomization("apps", &[ready.clone(), condition("Healthy", "True", "all well")])),
            row(&kustomization("web", &[ready, crashing.clone()])),
            row(&kustomization(
                "broken",
                &[condition("Ready", "False", "kustomize: no such file"), crashing],
            )),
        ];
        insta::assert_snapshot!(table(&rows, NOW.parse().unwrap()), @"
        NAMESPACE     NAME                   REVISION             SUSPENDED   READY     HEALTHY   AGE   MESSAGE
        flux-system   gitrepository/apps                          False       Unknown   -         60s
        flux-system   kustomization/apps     main@sha1:9f2c41d0   False       True      True      3h    Applied revision: main
        flux-system   kustomization/web      main@sha1:9f2c41d0   False       True      False     3h    Deployment/web: container app is in CrashLoopBackOff
        flux-system   kustomization/broken   main@sha1:9f2c41d0   False       False     False     3h    kustomize: no such file
        ");
    }

    #[test]
    fn programs_get_the_time_of_creation_and_whole_messages() {
        let ready = condition("Ready", "True", "one\ntwo");
        let row = serde_json::to_value(row(&kustomization("apps", &[ready]))).unwrap();
        let expected = json!({
            "kind": "Kustomization", "namespace": "flux-system", "name": "apps",
            "revision": "main@sha1:9f2c41d0aabbccddeeff00112233445566778899",
            "suspended": false, "ready": "True", "healthy": null, "message": "one\ntwo",
            "createdAt": "2026-01-01T00:00:00Z",
        });
        assert_eq!(row, expected);
    }

    #[rstest]
    #[case("2026-01-01T03:00:05Z", "0s")]
    #[case("2026-01-01T02:58:01Z", "119s")]
    #[case("2026-01-01T02:58:00Z", "2m")]
    #[case("2026-01-01T01:00:00Z", "2h")]
    #[case("2025-12-30T03:00:00Z", "2d")]
    fn ages_are_short(#[case] since: &str, #[case] expected: &str) {
        assert_eq!(age(since.parse().unwrap(), NOW.parse().unwrap()), expected);
    }

    #[rstest]
    #[case("main@sha1:9f2c41d0aabbccdd", "main@sha1:9f2c41d0")]
    #[case("main@sha1:9f2", "main@sha1:9f2")]
    #[case("", "")]
    fn revisions_are_shortened(#[case] revision: &str, #[case] expected: &str) {
        assert_eq!(short_revision(revision), expected);
    }
}
