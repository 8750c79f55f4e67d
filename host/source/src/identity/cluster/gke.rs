use reqwest::Method;
use serde::Deserialize;

use super::{ClusterEndpoint, decoded, is_part};
use crate::identity::Tokens;
use crate::identity::error::IdentityError;
use crate::identity::exchange::Endpoint;
use crate::identity::workload::Workload;
use crate::transport::Transport;

pub(super) const EXPECTED: &str = "a name like projects/PROJECT/locations/LOCATION/clusters/NAME";
const WHAT: &str = "the description of the cluster";
const API: &str = "https://container.googleapis.com/";
/// The variable by which `gcloud` finds the API elsewhere.
const OVERRIDE: &str = "CLOUDSDK_API_ENDPOINT_OVERRIDES_CONTAINER";

/// A cluster of Google GKE: its resource name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Gke(String);

impl Gke {
    pub(super) fn parse(name: &str) -> Option<Self> {
        let parts: Vec<&str> = name.split('/').collect();
        let ["projects", project, "locations", location, "clusters", cluster] = parts.as_slice() else {
            return None;
        };
        [project, location, cluster].iter().all(|part| is_part(part)).then(|| Self(name.to_owned()))
    }

    /// Source: Google, `projects.locations.clusters.get` of the Kubernetes Engine API.
    pub(super) async fn endpoint(
        &self,
        tokens: &Tokens,
        workload: &Workload,
        transport: &Transport,
    ) -> Result<ClusterEndpoint, IdentityError> {
        let mut url = workload.environment().endpoint(OVERRIDE, API)?;
        url.set_path(&format!("/v1/{}", self.0));
        let host = url.host_str().unwrap_or_default().to_owned();
        let token = tokens.gcp(workload, transport).await?;
        let answer: Cluster = Endpoint::new(transport)?
            .ask(Method::GET, url, WHAT, |request| request.bearer_auth(token.secret.expose()))
            .await?;
        let authority = decoded(&answer.master_auth.cluster_ca_certificate)
            .ok_or(IdentityError::Answer { endpoint: host, what: WHAT })?;
        Ok(ClusterEndpoint { address: format!("https://{}", answer.endpoint), authority: Some(authority) })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cluster {
    /// An address without a scheme.
    endpoint: String,
    master_auth: MasterAuth,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MasterAuth {
    cluster_ca_certificate: String,
}
