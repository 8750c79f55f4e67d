use plumb_api::GroupVersionKind;
use serde::Serialize;

/// What a chart is told of the cluster, which templates see as `.Capabilities`: the words of the helm plugin. By default it is what Helm knows
/// without a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Capabilities {
    /// The version of Kubernetes, for example `v1.34.0`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kube_version: Option<String>,
    /// All API versions, and all kinds of them: `apps/v1`, `apps/v1/Deployment`. When it is empty, they are those of Kubernetes.
    #[serde(rename = "apiVersions", skip_serializing_if = "Vec::is_empty")]
    pub api_versions: Vec<String>,
    /// What there is besides them.
    #[serde(rename = "additionalAPIVersions", skip_serializing_if = "Vec::is_empty")]
    pub additional_api_versions: Vec<String>,
}

impl Capabilities {
    /// Those of a cluster, which serves these kinds in the order of their API versions.
    pub fn of_cluster(kube_version: String, kinds: &[GroupVersionKind]) -> Self {
        let mut api_versions: Vec<String> = kinds.iter().map(GroupVersionKind::api_version).collect();
        api_versions.dedup();
        api_versions.extend(kinds.iter().map(|gvk| format!("{}/{}", gvk.api_version(), gvk.kind)));
        Self { kube_version: Some(kube_version), api_versions, additional_api_versions: Vec::new() }
    }
}
