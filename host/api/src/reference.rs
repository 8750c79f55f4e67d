use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::serde_rules::non_empty;

/// Whether a text can be the name of a Secret, a ConfigMap or a ServiceAccount: a DNS subdomain (RFC 1123). Any other text must not get into
/// the path of a request.
pub fn is_object_name(text: &str) -> bool {
    let is_label = |label: &str| {
        let is_inside = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        !label.is_empty() && label.bytes().all(is_inside) && !label.starts_with('-') && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(is_label)
}

/// Names an object in the namespace of the object that refers to it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct LocalObjectReference {
    /// The name of the object.
    pub name: String,
}

/// Names a Secret in the same namespace, and one of its keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecretKeyReference {
    /// The name of the Secret, for example `prod-kubeconfig`.
    pub name: String,
    /// The key in the Secret that holds the value. When it is not given, a default key is used that depends on the purpose.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// Names an object of any kind in any namespace, for example a Deployment whose health is to be checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NamespacedObjectKindReference {
    /// The API version of the object, for example `apps/v1`. It defaults to `v1`.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    /// The kind of the object, for example `Deployment`.
    pub kind: String,
    /// The name of the object, for example `web`.
    pub name: String,
    /// The namespace of the object. It defaults to the namespace of the object that contains the reference.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// Names another object that has to be ready first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DependencyReference {
    /// The API version of the object, for example `apps/v1`. For a Kustomization, a Pipeline or a HelmRelease it need not be given; for other
    /// kinds it defaults to `v1`. Not in Flux.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    /// The kind of the object, for example `Deployment`. It defaults to the kind of the object that depends on it: `Kustomization`, `Pipeline` or
    /// `HelmRelease`.
    /// An object of another kind is ready when it is healthy; it is looked for in the cluster that is applied to, as the service account that
    /// applies. Not in Flux.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The name of the object that has to be ready first, for example `infrastructure`.
    pub name: String,
    /// The namespace of that object. It defaults to the namespace of the object that contains the reference.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// A CEL expression that decides whether the dependency is ready, for example
    /// `dep.status.lastAppliedRevision == self.status.lastAttemptedRevision`. `dep` is the dependency and `self` the object that
    /// depends on it. It takes the place of the built-in check. It cannot be used for an object of another namespace where the controller
    /// runs with `--no-cross-namespace-refs`.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub ready_expr: Option<String>,
}

impl DependencyReference {
    /// The namespace of the dependency, when the object that depends on it is in `own`.
    pub fn namespace_or<'a>(&'a self, own: &'a str) -> &'a str {
        self.namespace.as_deref().unwrap_or(own)
    }
}

/// The kinds of sources. It is read and described as what a Kustomization can take its files from, which has no place for what Helm charts come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum SourceKind {
    /// An OCI artifact.
    #[serde(rename = "OCIRepository")]
    OciRepository,
    /// A Git repository.
    GitRepository,
    /// A bucket of an object store.
    Bucket,
    /// An artifact that a controller of somebody else made.
    ExternalArtifact,
    /// A repository of Helm charts.
    #[serde(skip_deserializing)]
    HelmRepository,
    /// A Helm chart.
    #[serde(skip_deserializing)]
    HelmChart,
}

impl SourceKind {
    /// The kind as Kubernetes has it, for example `OCIRepository`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OciRepository => "OCIRepository",
            Self::GitRepository => "GitRepository",
            Self::Bucket => "Bucket",
            Self::ExternalArtifact => "ExternalArtifact",
            Self::HelmRepository => "HelmRepository",
            Self::HelmChart => "HelmChart",
        }
    }
}

impl fmt::Display for SourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Names the source that a Kustomization takes its files from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CrossNamespaceSourceReference {
    /// The API version of the source, for example `source.toolkit.fluxcd.io/v1`. It need not be given.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    /// The kind of the source: `GitRepository`, `OCIRepository`, `Bucket` or `ExternalArtifact`.
    pub kind: SourceKind,
    /// The name of the source, for example `app-manifests`.
    pub name: String,
    /// The namespace of the source. It defaults to the namespace of the object that contains the reference.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

impl CrossNamespaceSourceReference {
    /// The namespace of the source, when the object that refers to it is in `own`.
    pub fn namespace_or<'a>(&'a self, own: &'a str) -> &'a str {
        self.namespace.as_deref().unwrap_or(own)
    }
}

/// `GitRepository/apps`, or `GitRepository/flux-system/apps` where a namespace is given, as in Flux's messages.
impl fmt::Display for CrossNamespaceSourceReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{}/{namespace}/{}", self.kind, self.name),
            None => write!(f, "{}/{}", self.kind, self.name),
        }
    }
}

/// Where to find the connection to another cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {
        "rule": "has(self.configMapRef) || has(self.secretRef)",
        "message": "exactly one of spec.kubeConfig.configMapRef or spec.kubeConfig.secretRef must be specified",
    },
    {
        "rule": "!has(self.configMapRef) || !has(self.secretRef)",
        "message": "exactly one of spec.kubeConfig.configMapRef or spec.kubeConfig.secretRef must be specified",
    },
]))]
pub struct KubeConfigReference {
    /// The ConfigMap that says how to reach the cluster and to sign in as a workload, with no stored credential. It cannot be
    /// combined with `secretRef`. Its keys are:
    ///
    /// - `provider`: `generic` for a cluster that trusts this one as an issuer of tokens; `aws`, `azure` or `gcp` for one of EKS, AKS or GKE. Required.
    /// - `cluster`: the name of the cluster in the cloud: its ARN, resource id or resource name. Required for a cloud.
    /// - `address`: the https URL of the API server. Required for `generic`; otherwise it defaults to what the cloud says.
    /// - `ca.crt`: the PEM certificate of the API server's authority. It defaults to what the cloud says, or to those that the system trusts.
    /// - `audiences`: for `generic`, the audiences of the service account's token, one a line. It defaults to `address`.
    /// - `serviceAccountName`: the service account of this namespace to sign in as. It defaults to that of the controller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_ref: Option<LocalObjectReference>,
    /// The Secret that holds a kubeconfig file, by default under the key `value`. It must not run a program (`exec`), read another file or
    /// skip TLS verification, unless flags of the controller allow that. It cannot be combined with `configMapRef`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretKeyReference>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use super::*;

    // Attack 21 (multi-tenancy): a name that would lead to an object of another namespace.
    #[rstest::rstest]
    #[case("git", true)]
    #[case("a.b-c.1", true)]
    #[case("", false)]
    #[case("..", false)]
    #[case("../../other/secrets/a", false)]
    #[case("a/status", false)]
    #[case("a?watch=true", false)]
    #[case("a%2fb", false)]
    #[case("-a", false)]
    #[case("A", false)]
    fn what_is_no_name_gets_into_no_path(#[case] text: &str, #[case] expected: bool) {
        assert_eq!(is_object_name(text), expected);
    }

    #[test]
    fn kinds_of_sources_are_written_as_kubernetes_has_them() {
        for kind in [
            SourceKind::OciRepository,
            SourceKind::GitRepository,
            SourceKind::Bucket,
            SourceKind::ExternalArtifact,
            SourceKind::HelmRepository,
            SourceKind::HelmChart,
        ] {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.to_string());
        }
    }
}
