use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::{Api, ListParams};
use plumb_api::HelmRelease;
use plumb_helm::record::{self, Release};
use plumb_helm::{name, snapshot};
use serde::Serialize;

use crate::cluster::{self, Pace};
use crate::get::age;
use crate::output::{self, Format};

/// Shows the revisions of a Helm release, as `helm history` does: those that its storage still has.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  plumb history helmrelease web -n shop\n  plumb history hr web -n shop -o json"
)]
pub(crate) struct History {
    #[command(subcommand)]
    of: Of,
}

#[derive(Debug, Subcommand)]
enum Of {
    /// The revisions of the release of a HelmRelease.
    #[command(alias = "hr")]
    Helmrelease(OfRelease),
}

#[derive(Debug, Args)]
struct OfRelease {
    /// The name of the HelmRelease.
    name: String,
    /// Its namespace.
    #[arg(long, short, default_value = "flux-system")]
    namespace: String,
    /// How the list is printed.
    #[arg(long, short, value_enum, default_value_t = Format::Table)]
    output: Format,
}

/// A revision of a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    revision: i64,
    updated: Option<Timestamp>,
    status: String,
    chart: String,
    app_version: String,
    /// What Flux knows of tests: `passed`, `failed`, or nothing.
    tests: String,
    description: String,
}

impl History {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let Of::Helmrelease(of) = self.of;
        let rows = cluster::block_on(async {
            let client = cluster::client(Pace::Interactive).await?;
            let api: Api<HelmRelease> = Api::namespaced(client.clone(), &of.namespace);
            let release = api.get(&of.name).await.map_err(cluster::plain);
            let release =
                release.with_context(|| format!("cannot read HelmRelease {}/{}", of.namespace, of.name))?;
            rows(client, &release).await
        })?;
        match of.output {
            Format::Table if rows.is_empty() => output::note(format_args!("the release has no revisions")),
            Format::Table => output::write(format_args!("{}", table(&rows, Timestamp::now())))?,
            format => output::structured(&rows, format)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

async fn rows(client: Client, release: &HelmRelease) -> anyhow::Result<Vec<Row>> {
    if release.spec.kube_config.is_some() {
        output::note(format_args!("the release is in another cluster; this is what its status tells"));
        return Ok(of_status(release));
    }
    match records(client, release).await {
        Ok(records) => Ok(records.iter().map(|record| of_record(record, release)).collect()),
        Err(kube::Error::Api(status)) if status.code == 403 => {
            output::note(format_args!(
                "the records of the release may not be read; this is what its status tells"
            ));
            Ok(of_status(release))
        }
        Err(error) => Err(cluster::plain(error)).context("cannot read the records of the release"),
    }
}

/// The records of a release that can be read, the oldest first.
pub(crate) async fn records(client: Client, release: &HelmRelease) -> kube::Result<Vec<Release>> {
    // A name that Helm does not take has no records.
    let Ok(name) = name::of(release) else { return Ok(Vec::new()) };
    let api: Api<Secret> = Api::namespaced(client, &release.storage_namespace());
    let found = api.list(&ListParams::default().labels(&record::selector(&name))).await?;
    let mut records = Vec::new();
    for secret in &found.items {
        match record::decode(secret) {
            Ok(record) => records.push(record),
            Err(error) => output::note(format_args!("{error}")),
        }
    }
    records.sort_by_key(Release::version);
    Ok(records)
}

fn of_record(record: &Release, release: &HelmRelease) -> Row {
    let history = release.status.iter().flat_map(|status| &status.history);
    let snapshot = history.into_iter().find(|found| snapshot::targets(found, record));
    Row {
        revision: record.version(),
        updated: record.last_deployed(),
        status: record.status().to_string(),
        chart: format!("{}-{}", record.chart_field("name"), record.chart_field("version")),
        app_version: record.chart_field("appVersion").to_owned(),
        tests: snapshot.map(tests).unwrap_or_default(),
        description: record.description().to_owned(),
    }
}

fn of_status(release: &HelmRelease) -> Vec<Row> {
    let row = |snapshot: &plumb_api::ReleaseSnapshot| Row {
        revision: snapshot.version,
        updated: Some(snapshot.last_deployed.0),
        status: snapshot.status.to_string(),
        chart: format!("{}-{}", snapshot.chart_name, snapshot.chart_version),
        app_version: snapshot.app_version.clone().unwrap_or_default(),
        tests: tests(snapshot),
        description: snapshot.action.map(|action| action.to_string()).unwrap_or_default(),
    };
    let mut rows: Vec<Row> = release.status.iter().flat_map(|status| &status.history).map(row).collect();
    rows.sort_by_key(|row| row.revision);
    rows
}

fn tests(snapshot: &plumb_api::ReleaseSnapshot) -> String {
    let has_tests = snapshot.test_hooks.as_ref().is_some_and(|hooks| !hooks.is_empty());
    match (has_tests, snapshot.has_failed_test(), snapshot.has_been_tested()) {
        (true, true, _) => "failed".to_owned(),
        (true, false, true) => "passed".to_owned(),
        _ => String::new(),
    }
}

fn table(rows: &[Row], now: Timestamp) -> String {
    let header = ["REVISION", "AGE", "STATUS", "CHART", "APP VERSION", "TESTS", "DESCRIPTION"];
    let cells = |row: &Row| {
        vec![
            row.revision.to_string(),
            row.updated.map(|updated| age(updated, now)).unwrap_or_default(),
            row.status.clone(),
            row.chart.clone(),
            row.app_version.clone(),
            row.tests.clone(),
            row.description.lines().next().unwrap_or_default().to_owned(),
        ]
    };
    output::table(&header, &rows.iter().map(cells).collect::<Vec<_>>())
}

#[cfg(test)]
mod table_tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::*;

    fn release() -> HelmRelease {
        let snapshot = |version: i64, status: &str, phase: &str| {
            json!({
                "digest": "sha256:ab", "name": "web", "namespace": "shop", "version": version, "status": status, "action": "upgrade",
                "chartName": "web", "chartVersion": format!("1.0.{version}"), "appVersion": "4", "configDigest": "sha256:cd",
                "firstDeployed": "2026-01-01T00:00:00Z", "lastDeployed": "2026-01-01T00:00:00Z",
                "testHooks": {"web-test": {"phase": phase}},
            })
        };
        serde_json::from_value(json!({
            "apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease", "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"interval": "5m", "chartRef": {"kind": "HelmChart", "name": "web"}},
            "status": {"history": [snapshot(3, "deployed", "Succeeded"), snapshot(2, "failed", "Failed")]},
        }))
        .unwrap()
    }

    #[test]
    fn the_status_alone_tells_the_revisions_too() {
        let now = "2026-01-01T03:00:00Z".parse().unwrap();
        insta::assert_snapshot!(table(&of_status(&release()), now), @"
        REVISION   AGE   STATUS     CHART       APP VERSION   TESTS    DESCRIPTION
        2          3h    failed     web-1.0.2   4             failed   upgrade
        3          3h    deployed   web-1.0.3   4             passed   upgrade
        ");
    }

    #[test]
    fn a_record_is_told_with_its_tests() {
        let json = json!({
            "name": "web", "namespace": "shop", "version": 3, "chart": {"metadata": {"name": "web", "version": "1.0.3"}},
            "info": {"status": "deployed", "description": "Upgrade complete", "last_deployed": "2026-01-01T00:00:00Z"},
        });
        let secret: Secret = serde_json::from_value(json!({
            "metadata": {"name": "sh.helm.release.v1.web.v3"},
            // What is stored is base64, and a Secret has it in base64 once more.
            "data": {"release": base64_of(&base64_of(&json.to_string()))},
        }))
        .unwrap();
        let row = of_record(&record::decode(&secret).unwrap(), &release());
        assert_eq!((row.revision, row.status.as_str(), row.chart.as_str()), (3, "deployed", "web-1.0.3"));
        assert_eq!((row.tests.as_str(), row.description.as_str()), ("passed", "Upgrade complete"));
    }

    fn base64_of(text: &str) -> String {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(text)
    }
}
