use plumb_api::Sensitive;
use reqwest::Method;
use serde::Deserialize;
use url::Url;

use super::{ClusterEndpoint, decoded, is_part};
use crate::identity::Tokens;
use crate::identity::error::IdentityError;
use crate::identity::exchange::Endpoint;
use crate::identity::workload::{Environment, Workload};
use crate::transport::Transport;

pub(super) const EXPECTED: &str = "an id like /subscriptions/ID/resourceGroups/GROUP/providers/Microsoft.ContainerService/managedClusters/NAME";
/// What tokens for API servers of AKS are for: the application "Azure Kubernetes Service AAD Server".
pub(super) const SERVER_SCOPE: &str = "6dae42f8-4368-4678-94ff-3960e28e3630/.default";
const WHAT: &str = "the kubeconfig of the cluster";
const VERSION: &str = "2025-05-01";

/// A cluster of Azure AKS: its resource id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Aks(String);

/// Where resources of Azure are managed, and what tokens for that are for.
struct ResourceManager {
    endpoint: Url,
    scope: String,
}

impl Aks {
    pub(super) fn parse(id: &str) -> Option<Self> {
        let parts: Vec<&str> = id.split('/').collect();
        let ["", subscriptions, subscription, groups, group, providers, provider, kind, name] =
            parts.as_slice()
        else {
            return None;
        };
        // Azure does not tell small letters from capitals.
        let words = [
            (subscriptions, "subscriptions"),
            (groups, "resourceGroups"),
            (providers, "providers"),
            (provider, "Microsoft.ContainerService"),
            (kind, "managedClusters"),
        ];
        let is_cluster = words.iter().all(|(part, word)| part.eq_ignore_ascii_case(word));
        let is_complete = [subscription, group, name].iter().all(|part| is_part(part));
        (is_cluster && is_complete).then(|| Self(id.to_owned()))
    }

    /// Source: Azure, `Managed Clusters - List Cluster User Credentials`.
    pub(super) async fn endpoint(
        &self,
        tokens: &Tokens,
        workload: &Workload,
        address: Option<&str>,
        transport: &Transport,
    ) -> Result<ClusterEndpoint, IdentityError> {
        let ResourceManager { mut endpoint, scope } = ResourceManager::of(workload.environment()).await?;
        endpoint.set_path(&format!("{}/listClusterUserCredential", self.0));
        endpoint.set_query(Some(&format!("api-version={VERSION}")));
        let host = endpoint.host_str().unwrap_or_default().to_owned();
        let token = tokens.azure(workload, &scope, transport).await?;
        let answer: Answer = Endpoint::new(transport)?
            .ask(Method::POST, endpoint, WHAT, |request| {
                request.bearer_auth(token.secret.expose()).header("content-length", "0")
            })
            .await?;
        let wanted = address.and_then(|address| Url::parse(address).ok());
        let clusters = answer.kubeconfigs.iter().filter_map(NamedKubeconfig::cluster);
        let mut matching =
            clusters.filter(|cluster| wanted.is_none() || Url::parse(&cluster.server).ok() == wanted);
        let cluster = matching.next().ok_or(IdentityError::Answer { endpoint: host.clone(), what: WHAT })?;
        let authority = match &cluster.certificate_authority_data {
            Some(data) => Some(decoded(data).ok_or(IdentityError::Answer { endpoint: host, what: WHAT })?),
            None => None,
        };
        Ok(ClusterEndpoint { address: cluster.server, authority })
    }
}

impl ResourceManager {
    /// That of the cloud that the environment is in: as the file says that `AZURE_ENVIRONMENT_FILEPATH` names, or else as the authority tells.
    async fn of(environment: &Environment) -> Result<Self, IdentityError> {
        const FILE: &str = "AZURE_ENVIRONMENT_FILEPATH";
        let unusable = |reason| IdentityError::Configuration { variable: FILE, reason };
        let (endpoint, audience) = match environment.get(FILE) {
            Some(path) => {
                let text = tokio::fs::read(path).await.map_err(|_| unusable("it cannot be read"))?;
                let file: EnvironmentFile = serde_json::from_slice(&text)
                    .map_err(|_| unusable("it has no resourceManagerEndpoint and tokenAudience in JSON"))?;
                (file.resource_manager_endpoint, file.token_audience)
            }
            None => {
                let endpoint = match environment.get("AZURE_AUTHORITY_HOST").unwrap_or_default() {
                    host if host.contains("chinacloudapi.cn") => "https://management.chinacloudapi.cn",
                    host if host.contains("microsoftonline.us") => "https://management.usgovcloudapi.net",
                    _ => "https://management.azure.com",
                };
                (endpoint.to_owned(), endpoint.to_owned())
            }
        };
        let endpoint = Url::parse(&endpoint).ok().filter(Url::has_host);
        let endpoint = endpoint.ok_or_else(|| unusable("its resourceManagerEndpoint is no URL"))?;
        Ok(Self { endpoint, scope: format!("{}/.default", audience.trim_end_matches('/')) })
    }
}

/// What is needed of what Azure Stack writes. Source: Azure, `go-autorest` `EnvironmentFromFile`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EnvironmentFile {
    resource_manager_endpoint: String,
    token_audience: String,
}

#[derive(Deserialize)]
struct Answer {
    kubeconfigs: Vec<NamedKubeconfig>,
}

#[derive(Deserialize)]
struct NamedKubeconfig {
    /// In Base64.
    value: String,
}

impl NamedKubeconfig {
    fn cluster(&self) -> Option<Cluster> {
        let text = Sensitive::new(decoded(&self.value)?);
        let kubeconfig: Kubeconfig = serde_yaml::from_str(text.expose()).ok()?;
        kubeconfig.clusters.into_iter().map(|named| named.cluster).next()
    }
}

#[derive(Deserialize)]
struct Kubeconfig {
    clusters: Vec<NamedCluster>,
}

#[derive(Deserialize)]
struct NamedCluster {
    cluster: Cluster,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Cluster {
    server: String,
    certificate_authority_data: Option<String>,
}
