use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::conditions::conditions_schema;
use crate::serde_rules::{is_false, non_empty};
use crate::{Artifact, CloudProvider, Duration, LocalObjectReference};

/// Where a repository of Helm charts is.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "source.toolkit.fluxcd.io",
    version = "v1",
    kind = "HelmRepository",
    plural = "helmrepositories",
    singular = "helmrepository",
    shortname = "helmrepo",
    category = "all",
    category = "fluxcd",
    category = "fluxcd-sources",
    namespaced,
    status = "HelmRepositoryStatus",
    derive = "PartialEq",
    doc = "A HelmRepository follows the index of a repository of Helm charts, for HelmCharts to choose from.",
    annotation("kustomize.toolkit.fluxcd.io/substitute", "disabled"),
    printcolumn = r#"{"name": "URL", "type": "string", "jsonPath": ".spec.url"}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name": "Status", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].message"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct HelmRepositorySpec {
    /// The address of the repository, for example `https://charts.example.com`, of which `index.yaml` is fetched; with `type: oci`, the address
    /// below which each chart is an artifact, for example `oci://ghcr.io/myorg/charts`.
    #[schemars(regex(pattern = "^(http|https|oci)://.*$"))]
    pub url: String,
    /// The Secret with the credentials: `username` and `password`; with `type: oci`, one of type `kubernetes.io/dockerconfigjson` will do, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<LocalObjectReference>,
    /// The Secret with the certificates for the connection: `ca.crt` is the certificate of the server's authority, `tls.crt` and `tls.key` are a
    /// client certificate and its key. It may have either or both. It goes before those of `secretRef`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert_secret_ref: Option<LocalObjectReference>,
    /// Whether the credentials are sent to other hosts than that of `url`, where the index says that a chart is there. Whoever can change the
    /// index can then have them. It defaults to `false`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub pass_credentials: bool,
    /// How often to look for a new index, for example `5m`. It defaults to `1m`. The controller spreads the repositories out a little, so that they
    /// are not all asked at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Duration>,
    /// Whether the registry may be asked over plain HTTP. It is used with `type: oci` only, and defaults to `false`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub insecure: bool,
    /// How long fetching the index, or a chart, may take. It defaults to `60s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^([0-9]+(\.[0-9]+)?(ms|s|m))+$"))]
    pub timeout: Option<Duration>,
    /// Whether to stop looking for a new index. What was fetched stays available. It defaults to `false`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub suspend: bool,
    /// Who else may refer to this object. It has no effect, as in Flux: only objects of the same namespace may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_from: Option<AccessFrom>,
    /// What kind of repository it is: `default` has an index and is reached by HTTP; `oci` is a registry.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "HelmRepositoryType")]
    pub type_: Option<HelmRepositoryType>,
    /// How to sign in to a registry: `generic` (the default) uses the Secret of `secretRef`; `aws`, `azure` and `gcp` use a workload identity. It
    /// is used with `type: oci` only.
    #[serde(default)]
    pub provider: CloudProvider,
}

impl HelmRepositorySpec {
    /// What kind of repository it is.
    pub fn kind(&self) -> HelmRepositoryType {
        self.type_.unwrap_or_default()
    }

    /// How often to look for a new index.
    pub fn interval(&self) -> std::time::Duration {
        // Go cannot tell none from one of no length, and takes both for a minute.
        let given = self.interval.as_ref().map(Duration::to_std).filter(|interval| !interval.is_zero());
        given.unwrap_or(std::time::Duration::from_secs(60))
    }

    /// How long fetching the index, or a chart, may take.
    pub fn timeout(&self) -> std::time::Duration {
        self.timeout.as_ref().map_or(std::time::Duration::from_secs(60), Duration::to_std)
    }
}

/// What kind a repository of Helm charts is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HelmRepositoryType {
    /// One with an index, over HTTP.
    #[default]
    Default,
    /// A registry.
    Oci,
}

/// Which namespaces may refer to an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccessFrom {
    /// The namespaces, of which each fits one of these.
    pub namespace_selectors: Vec<NamespaceSelector>,
}

/// Selects namespaces by their labels.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NamespaceSelector {
    /// The labels that a namespace must have. Without any, every namespace fits.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, String>,
}

/// What the controller has found out about a repository of Helm charts. One of `type: oci` has no status: it is asked when a chart is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HelmRepositoryStatus {
    /// The generation of the object that the controller last looked at; -1 when it has not looked yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// How the repository is doing: Ready, and where they apply Reconciling, Stalled, ArtifactInStorage, ArtifactOutdated, FetchFailed and
    /// StorageOperationFailed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions_schema")]
    pub conditions: Vec<Condition>,
    /// Where the last artifact can be had. The field `artifact` says more.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The index that was last fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<Artifact>,
    /// The value that the annotation `reconcile.fluxcd.io/requestedAt` had when it was last acted upon.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;
    use crate::crds::every_field;

    #[test]
    fn what_is_not_given_is_as_in_flux() {
        let spec: HelmRepositorySpec =
            serde_json::from_value(json!({"url": "https://charts.example.com"})).unwrap();
        assert_eq!((spec.kind(), spec.provider), (HelmRepositoryType::Default, CloudProvider::Generic));
        assert_eq!((spec.interval().as_secs(), spec.timeout().as_secs()), (60, 60));
        assert!(!spec.pass_credentials);
    }

    #[rstest]
    #[case("0s", 60)]
    #[case("5m", 300)]
    fn an_interval_of_no_length_is_a_minute(#[case] interval: &str, #[case] seconds: u64) {
        let spec = json!({"url": "https://charts.example.com", "interval": interval});
        let spec: HelmRepositorySpec = serde_json::from_value(spec).unwrap();
        assert_eq!(spec.interval().as_secs(), seconds);
    }

    /// Every field of the definition, in the form in which Flux writes it.
    fn object() -> Value {
        json!({
            "apiVersion": "source.toolkit.fluxcd.io/v1",
            "kind": "HelmRepository",
            "metadata": {"name": "charts", "namespace": "flux-system"},
            "spec": {
                "url": "https://charts.example.com",
                "secretRef": {"name": "login"},
                "certSecretRef": {"name": "certificates"},
                "passCredentials": true,
                "interval": "5m0s",
                "insecure": true,
                "timeout": "30s",
                "suspend": true,
                "accessFrom": {"namespaceSelectors": [{"matchLabels": {"team": "a"}}]},
                "type": "oci",
                "provider": "aws",
            },
            "status": {
                "observedGeneration": 3,
                "conditions": [{
                    "type": "Ready", "status": "True", "reason": "Succeeded", "message": "stored artifact",
                    "observedGeneration": 3, "lastTransitionTime": "2026-01-01T00:00:00Z",
                }],
                "url": "http://source/index.yaml",
                "artifact": {
                    "digest": "sha256:ab", "path": "helmrepository/flux-system/charts/index-ab.yaml", "url": "http://source/index-ab.yaml",
                    "revision": "sha256:ab", "lastUpdateTime": "2026-01-01T00:00:00Z", "size": 10,
                },
                "lastHandledReconcileAt": "token",
            },
        })
    }

    #[test]
    fn an_object_with_every_field_is_written_as_it_was_read() {
        let read: HelmRepository = serde_json::from_value(object()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), object());
    }

    /// Guards the test above: a field that is added to the type has to be added there.
    #[test]
    fn the_object_with_every_field_has_every_field() {
        every_field::<HelmRepository>(&object());
    }
}
