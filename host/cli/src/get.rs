use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use kube::ResourceExt as _;
use kube::api::{Api, ListParams};
use plumb_api::conditions::find;
use plumb_api::{ConditionType, GitRepository, Kustomization};
use serde::Serialize;

use crate::cluster::{self, Pace};
use crate::kinds::Reconciled;
use crate::output::{self, Color, Format};

/// Lists objects and how they are doing.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  plumb get ks -A\n  plumb get sources -n flux-system -o json")]
pub(crate) struct Get {
    /// What to list.
    #[arg(value_enum, default_value_t = Kind::All)]
    kind: Kind,
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
    /// Sources and Kustomizations.
    All,
    /// Git repositories.
    #[value(alias = "source", alias = "gitrepository", alias = "gitrepositories", alias = "gitrepo")]
    Sources,
    /// Kustomizations.
    #[value(alias = "kustomization", alias = "ks")]
    Kustomizations,
}

/// One line of the list.
#[derive(Debug, Serialize)]
struct Row {
    kind: String,
    namespace: String,
    name: String,
    revision: String,
    suspended: bool,
    ready: String,
    healthy: String,
    message: String,
    age: String,
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
        let client = cluster::client(Pace::Interactive).await?;
        let mut rows = Vec::new();
        if self.kind != Kind::Kustomizations {
            rows.extend(self.list::<GitRepository>(&client).await?);
        }
        if self.kind != Kind::Sources {
            rows.extend(self.list::<Kustomization>(&client).await?);
        }
        Ok(rows)
    }

    async fn list<K: Reconciled>(&self, client: &kube::Client) -> anyhow::Result<Vec<Row>> {
        let api: Api<K> = match self.all_namespaces {
            true => Api::all(client.clone()),
            false => Api::namespaced(client.clone(), &self.namespace),
        };
        let kind = K::kind(&());
        let list = api.list(&ListParams::default()).await.with_context(|| {
            format!("cannot list {kind} objects; are the CRDs installed? See `plumb install`")
        })?;
        Ok(list.items.iter().map(row).collect())
    }
}

fn row<K: Reconciled>(object: &K) -> Row {
    let condition = |type_| find(object.conditions(), type_);
    let status = |type_| condition(type_).map_or("Unknown", |condition| condition.status.as_str()).to_owned();
    Row {
        kind: K::kind(&()).into_owned(),
        namespace: object.namespace().unwrap_or_default(),
        name: object.name_any(),
        revision: object.revision().unwrap_or_default().to_owned(),
        suspended: object.is_suspended(),
        ready: status(ConditionType::Ready),
        healthy: condition(ConditionType::Healthy).map(|healthy| healthy.status.clone()).unwrap_or_default(),
        message: condition(ConditionType::Ready).map(|ready| ready.message.clone()).unwrap_or_default(),
        age: object.creation_timestamp().map(|time| time.0.to_string()).unwrap_or_default(),
    }
}

fn table(rows: &[Row], now: Timestamp) -> String {
    let header = ["NAMESPACE", "NAME", "REVISION", "SUSPENDED", "READY", "AGE", "MESSAGE"];
    let cells = |row: &Row| {
        vec![
            row.namespace.clone(),
            format!("{}/{}", row.kind.to_lowercase(), row.name),
            short_revision(&row.revision),
            if row.suspended { "True" } else { "False" }.to_owned(),
            row.ready.clone(),
            row.age.parse().map_or_else(|_| String::new(), |since| age(since, now)),
            row.message.lines().next().unwrap_or_default().to_owned(),
        ]
    };
    let text = output::table(&header, &rows.iter().map(cells).collect::<Vec<_>>());
    if !output::colored() {
        return text;
    }
    let paint = |(line, row): (&str, Option<&Row>)| match row.map(|row| row.ready.as_str()) {
        Some("False") => output::paint(line, Color::Red, true),
        Some("Unknown") => output::paint(line, Color::Yellow, true),
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
fn age(since: Timestamp, now: Timestamp) -> String {
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

    use super::*;

    #[test]
    fn the_table_reads_well() {
        let object: Kustomization = serde_json::from_value(serde_json::json!({
            "apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
            "metadata": {"name": "apps", "namespace": "flux-system", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"interval": "5m", "prune": true, "sourceRef": {"kind": "GitRepository", "name": "apps"}},
            "status": {
                "lastAppliedRevision": "main@sha1:9f2c41d0aabbccddeeff00112233445566778899",
                "conditions": [{"type": "Ready", "status": "True", "reason": "ReconciliationSucceeded",
                    "message": "Applied revision: main\nsecond line", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
            },
        }))
        .unwrap();
        let now = "2026-01-01T03:00:00Z".parse().unwrap();
        insta::assert_snapshot!(table(&[row(&object)], now), @r"
        NAMESPACE     NAME                 REVISION             SUSPENDED   READY   AGE   MESSAGE
        flux-system   kustomization/apps   main@sha1:9f2c41d0   False       True    3h    Applied revision: main
        ");
    }
}
