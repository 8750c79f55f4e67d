//! What a release comes to: its newest revision, and what charts see of the cluster.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use kube::Client;
use kube::api::Api;
use plumb_api::{HelmRelease, ReleaseStatus};
use plumb_apply::Kinds;
use plumb_controller::reader_of_everything;
use plumb_helm::record;
use plumb_helm::render::{Capabilities, Occasion};
use plumb_helm::values::Values;
use plumb_plugin::ClusterReader;
use tokio::time::Instant;

use crate::history::records;
use crate::{cluster, output};

/// How long the API server has to say which kinds it serves.
const DISCOVERY: Duration = Duration::from_secs(30);

/// What a release comes to. By default there is nothing yet: no cluster, and no release.
#[derive(Default)]
pub(crate) struct Setting {
    newest: Option<Newest>,
    /// What charts are told of the cluster.
    pub(crate) capabilities: Capabilities,
    /// What `lookup` in charts reads.
    pub(crate) reader: Option<Arc<dyn ClusterReader>>,
}

/// The newest revision of a release.
struct Newest {
    revision: i64,
    status: ReleaseStatus,
    chart_version: String,
    /// None where it may not be read.
    record: Option<record::Release>,
}

impl Setting {
    /// What the cluster says. Charts may read in it what the user may.
    pub(crate) async fn of_cluster(
        client: &Client,
        kinds: &Arc<Kinds>,
        release: &HelmRelease,
    ) -> anyhow::Result<Self> {
        if release.spec.kube_config.is_some() {
            output::note(format_args!(
                "warning: the release goes to another cluster (spec.kubeConfig); it is compared with the one of KUBECONFIG"
            ));
        }
        let newest = newest(client, release).await?;
        let version = client.apiserver_version().await.map_err(cluster::plain);
        let version = version.context("cannot tell the version of the cluster")?.git_version;
        let served = kinds.all(Instant::now() + DISCOVERY).await?;
        Ok(Self {
            newest,
            capabilities: Capabilities::of_cluster(version, &served),
            reader: Some(reader_of_everything(client.clone(), Arc::clone(kinds))),
        })
    }

    /// What the release is rendered for next.
    pub(crate) fn occasion(&self, release: &HelmRelease) -> Occasion {
        let newest = self.newest.as_ref().map(|newest| (newest.revision, newest.status));
        Occasion::after(newest, &release.spec)
    }

    /// The version of the chart of the newest revision.
    pub(crate) fn chart_version(&self) -> Option<&str> {
        self.newest.as_ref().map(|newest| newest.chart_version.as_str())
    }

    /// The record of the revision that is deployed.
    pub(crate) fn deployed(&self) -> Option<&record::Release> {
        let newest = self.newest.as_ref().filter(|newest| newest.status == ReleaseStatus::Deployed);
        newest.and_then(|newest| newest.record.as_ref())
    }

    /// The values that the release is given: over those of the newest revision, where they are preserved.
    pub(crate) fn values(&self, release: &HelmRelease, values: Values) -> anyhow::Result<Values> {
        let newest = self.newest.as_ref().filter(|_| self.occasion(release).preserves_values(&release.spec));
        match newest.map(|newest| &newest.record) {
            None => Ok(values),
            Some(Some(record)) => Ok(values.over(record.config())),
            Some(None) => bail!(
                "spec.upgrade.preserveValues has the values of the last revision count, whose record may not be read: ask for the right to read Secrets in namespace {}",
                release.storage_namespace()
            ),
        }
    }
}

/// The newest revision that storage has; where that may not be read, the one that the status tells of.
async fn newest(client: &Client, release: &HelmRelease) -> anyhow::Result<Option<Newest>> {
    match records(client.clone(), release).await {
        Ok(mut records) => Ok(records.pop().map(|record| Newest {
            revision: record.version(),
            status: record.status(),
            chart_version: record.chart_field("version").to_owned(),
            record: Some(record),
        })),
        Err(kube::Error::Api(status)) if status.code == 403 => {
            output::note(format_args!(
                "the records of the release may not be read; what its status tells of the newest revision counts"
            ));
            of_status(client, release).await
        }
        Err(error) => Err(cluster::plain(error)).context("cannot read the records of the release"),
    }
}

async fn of_status(client: &Client, release: &HelmRelease) -> anyhow::Result<Option<Newest>> {
    let (namespace, name) = (&release.metadata.namespace, &release.metadata.name);
    let api: Api<HelmRelease> = Api::namespaced(client.clone(), namespace.as_deref().unwrap_or_default());
    let there = api.get_opt(name.as_deref().unwrap_or_default()).await.map_err(cluster::plain);
    let there = there.context("cannot read the HelmRelease in the cluster")?;
    let latest = there.as_ref().and_then(|there| there.status.as_ref()?.latest());
    Ok(latest.map(|latest| Newest {
        revision: latest.version,
        status: latest.status,
        chart_version: latest.chart_version.clone(),
        record: None,
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde_json::{Value, json};

    use super::*;

    fn release(spec: &Value) -> HelmRelease {
        let mut all = json!({"interval": "5m", "chartRef": {"kind": "HelmChart", "name": "web"}});
        all.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        serde_json::from_value(json!({
            "apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease", "metadata": {"name": "web", "namespace": "shop"},
            "spec": all,
        }))
        .unwrap()
    }

    fn after(status: ReleaseStatus) -> Setting {
        let newest = Newest { revision: 3, status, chart_version: "1.0.0".to_owned(), record: None };
        Setting { newest: Some(newest), ..Setting::default() }
    }

    #[test]
    fn without_a_cluster_a_release_is_installed() {
        let setting = Setting::default();
        assert_eq!(setting.occasion(&release(&json!({}))), Occasion::Install { revision: 1 });
        assert_eq!((setting.chart_version(), &setting.capabilities), (None, &Capabilities::default()));
    }

    #[test]
    fn values_that_are_preserved_but_may_not_be_read_are_told() {
        let release = release(&json!({"upgrade": {"preserveValues": true}, "storageNamespace": "records"}));
        let refused = after(ReleaseStatus::Deployed).values(&release, Values::default());
        let message = refused.err().unwrap().to_string();
        assert!(message.ends_with("ask for the right to read Secrets in namespace records"), "{message}");
        // An installation has no values before it.
        after(ReleaseStatus::Uninstalled).values(&release, Values::default()).unwrap();
    }
}
