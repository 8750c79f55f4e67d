//! Kubernetes clusters that a cloud runs: where their API servers are, and tokens that they take.
//!
//! Source: Flux, "Kustomization", `kubeConfig.configMapRef`.

mod aks;
mod eks;
mod gke;

use plumb_api::Sensitive;

use crate::identity::error::IdentityError;
use crate::identity::workload::Workload;
use crate::identity::{Token, Tokens};
use crate::transport::Transport;

use aks::Aks;
use eks::Eks;
use gke::Gke;

/// A cluster that a cloud runs, by its name there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudCluster(Name);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Name {
    Aks(Aks),
    Eks(Eks),
    Gke(Gke),
}

/// Where the API server of a cluster is, as its cloud tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterEndpoint {
    /// The URL.
    pub address: String,
    /// Who signs its certificate, in PEM; `None` when it is a public authority.
    pub authority: Option<String>,
}

impl CloudCluster {
    /// One of Amazon EKS: `arn:aws:eks:REGION:ACCOUNT:cluster/NAME`.
    pub fn eks(arn: &str) -> Result<Self, IdentityError> {
        let name = Eks::parse(arn).ok_or(IdentityError::Cluster { expected: eks::EXPECTED })?;
        Ok(Self(Name::Eks(name)))
    }

    /// One of Azure AKS: `/subscriptions/ID/resourceGroups/GROUP/providers/Microsoft.ContainerService/managedClusters/NAME`.
    pub fn aks(id: &str) -> Result<Self, IdentityError> {
        let name = Aks::parse(id).ok_or(IdentityError::Cluster { expected: aks::EXPECTED })?;
        Ok(Self(Name::Aks(name)))
    }

    /// One of Google GKE: `projects/PROJECT/locations/LOCATION/clusters/NAME`.
    pub fn gke(name: &str) -> Result<Self, IdentityError> {
        let name = Gke::parse(name).ok_or(IdentityError::Cluster { expected: gke::EXPECTED })?;
        Ok(Self(Name::Gke(name)))
    }
}

impl Tokens {
    /// Where the API server of a cluster is. `address` is the one that is wanted, where a cluster has several.
    pub async fn cluster_endpoint(
        &self,
        workload: &Workload,
        cluster: &CloudCluster,
        address: Option<&str>,
        transport: &Transport,
    ) -> Result<ClusterEndpoint, IdentityError> {
        match &cluster.0 {
            Name::Aks(name) => name.endpoint(self, workload, address, transport).await,
            Name::Eks(name) => name.endpoint(self, workload, transport).await,
            Name::Gke(name) => name.endpoint(self, workload, transport).await,
        }
    }

    /// What the API server of a cluster takes for the identity.
    pub async fn cluster_token(
        &self,
        workload: &Workload,
        cluster: &CloudCluster,
        transport: &Transport,
    ) -> Result<Token, IdentityError> {
        match &cluster.0 {
            Name::Aks(_) => self.azure(workload, aks::SERVER_SCOPE, transport).await,
            Name::Eks(name) => name.token(self, workload, transport).await,
            Name::Gke(_) => self.gcp(workload, transport).await,
        }
    }
}

/// The text of what a cloud gives in Base64.
fn decoded(base64: &str) -> Option<String> {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD.decode(base64).ok()?;
    // A kubeconfig may hold a key.
    let bytes = Sensitive::new(bytes);
    std::str::from_utf8(bytes.expose()).ok().map(str::to_owned)
}

/// Whether a part of a name can stand in the path of a URL as it is.
fn is_part(text: &str) -> bool {
    let is_plain = |char: char| char.is_ascii_alphanumeric() || "-_.:()".contains(char);
    !text.is_empty() && text.chars().all(is_plain) && !text.chars().all(|char| char == '.')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("arn:aws:eks:eu-west-1:123456789012:cluster/far", true)]
    #[case("arn:aws-cn:eks:cn-north-1:123456789012:cluster/far", true)]
    #[case("arn:aws:eks:eu-west-1:123456789012:cluster/far/../near", false)]
    #[case("arn:aws:eks:evil.example.com/:123456789012:cluster/far", false)]
    #[case("arn:aws:ecr:eu-west-1:123456789012:cluster/far", false)]
    #[case("far", false)]
    fn a_cluster_of_aws_has_an_arn(#[case] arn: &str, #[case] is_one: bool) {
        assert_eq!(CloudCluster::eks(arn).is_ok(), is_one);
    }

    #[rstest]
    #[case(
        "/subscriptions/1-2/resourceGroups/g_1/providers/Microsoft.ContainerService/managedClusters/far",
        true
    )]
    #[case(
        "/subscriptions/1-2/resourcegroups/g/providers/microsoft.containerservice/managedclusters/far",
        true
    )]
    #[case(
        "/subscriptions/1-2/resourceGroups/../providers/Microsoft.ContainerService/managedClusters/far",
        false
    )]
    #[case(
        "/subscriptions/1-2/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/far?a=b",
        false
    )]
    #[case("/subscriptions/1-2/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/far", false)]
    fn a_cluster_of_azure_has_a_resource_id(#[case] id: &str, #[case] is_one: bool) {
        assert_eq!(CloudCluster::aks(id).is_ok(), is_one);
    }

    #[rstest]
    #[case("projects/p/locations/europe-west1/clusters/far", true)]
    #[case("projects/example.com:p/locations/europe-west1-a/clusters/far", true)]
    #[case("projects/p/locations/europe-west1/clusters/far/nodePools/x", false)]
    #[case("projects/p/locations/../clusters/far", false)]
    #[case("projects/p/zones/a/clusters/far", false)]
    fn a_cluster_of_google_has_a_resource_name(#[case] name: &str, #[case] is_one: bool) {
        assert_eq!(CloudCluster::gke(name).is_ok(), is_one);
    }
}
