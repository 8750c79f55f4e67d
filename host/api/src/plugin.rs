use std::time::Duration as StdDuration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::conditions::conditions_schema;
use crate::serde_rules::{is_false, non_empty};
use crate::{
    Capability, CloudProvider, Duration, LocalObjectReference, OciRepositoryVerification, PluginHealthCheck,
    PluginLimits,
};

/// Where a plugin is, whose signature it must carry, and which of its versions runs.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "plumbline.dev",
    version = "v1alpha1",
    kind = "Plugin",
    plural = "plugins",
    singular = "plugin",
    shortname = "plug",
    category = "all",
    category = "plumbline",
    namespaced,
    status = "PluginStatus",
    derive = "PartialEq",
    doc = "A Plugin names a plugin for the Pipelines of its namespace: one of a registry, or one that is built in.",
    annotation("kustomize.toolkit.fluxcd.io/substitute", "disabled"),
    printcolumn = r#"{"name": "Image", "type": "string", "jsonPath": ".spec.image"}"#,
    printcolumn = r#"{"name": "World", "type": "string", "jsonPath": ".status.world"}"#,
    printcolumn = r#"{"name": "Digest", "type": "string", "jsonPath": ".status.digest", "priority": 1}"#,
    printcolumn = r#"{"name": "Wants", "type": "string", "jsonPath": ".status.wants", "priority": 1}"#,
    printcolumn = r#"{"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name": "Status", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].message"}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}"#
)]
#[schemars(extend("x-kubernetes-validations" = [
    {
        "rule": "has(self.image) != has(self.builtin)",
        "message": "exactly one of spec.image and spec.builtin must be given",
    },
    {
        "rule": "has(self.image) || !(has(self.verify) || has(self.digest) || has(self.secretRef) || has(self.certSecretRef) || has(self.proxySecretRef) || has(self.serviceAccountName))",
        "message": "spec.verify, spec.digest and what says how to reach a registry are for plugins with spec.image",
    },
]))]
#[serde(rename_all = "camelCase")]
pub struct PluginSpec {
    /// The address of the plugin in a registry, with a tag, for example `oci://registry.example/plugins/team-labels:1.2`, or with a digest.
    /// The tag defaults to `latest`. Not together with `builtin`.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024), regex(pattern = "^oci://.+$"))]
    pub image: Option<String>,
    /// The name of a plugin that is built in, for example `kustomize`, to give it another name or limits in this namespace. Not together
    /// with `image`.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub builtin: Option<String>,
    /// The digest of the plugin to run, as `sha256:HEX`: this and no other. `status.available.digest` tells what the tag has moved to.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^sha256:[0-9a-f]{64}$"))]
    pub digest: Option<String>,
    /// What happens when the tag has moved to another digest: with `Manual` (the default) it is told and not followed until `digest` is changed,
    /// with `Automatic` it is followed.
    #[serde(default)]
    pub upgrade: PluginUpgrade,
    /// How often to look where the tag points to, for example `10m`. It defaults to `1h`.
    #[serde(default = "default_interval")]
    pub interval: Duration,
    /// How long one look may take, with all that is downloaded. It defaults to `60s`.
    #[serde(default = "default_timeout")]
    pub timeout: Duration,
    /// Whose signature the plugin must carry. It is required for a plugin of a registry, unless a PluginPolicy allows unsigned ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<OciRepositoryVerification>,
    /// How to sign in to the registry: `generic` (the default) uses the Secret of `secretRef`, and the image pull secrets of
    /// `serviceAccountName`; `aws`, `azure` and `gcp` use a workload identity.
    #[serde(default)]
    pub provider: CloudProvider,
    /// The Secret with the credentials, of type `kubernetes.io/dockerconfigjson`. Without it the registry is read without credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<LocalObjectReference>,
    /// The service account of this namespace whose image pull secrets are used to sign in; with another provider than `generic`,
    /// whose identity is used.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub service_account_name: Option<String>,
    /// The Secret with the certificates for the connection: `ca.crt` is the certificate of the registry's authority, `tls.crt` and `tls.key`
    /// are a client certificate and its key. It may have either or both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert_secret_ref: Option<LocalObjectReference>,
    /// The Secret with the proxy to use: its `address`, and where the proxy asks for them `username` and `password`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_secret_ref: Option<LocalObjectReference>,
    /// Whether the registry may be asked over plain HTTP. It defaults to `false`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub insecure: bool,
    /// How much the plugin may use in every step that uses it. A step can ask for less.
    #[serde(default, skip_serializing_if = "is_default")]
    pub limits: PluginLimits,
    /// The kinds that the plugin, which is a health check, tells the health of for all Kustomizations and Pipelines of this namespace. By default
    /// only those that name the plugin use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check: Option<PluginHealthCheck>,
    /// Whether to stop looking at the registry. The plugin that is there goes on running. It defaults to `false`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub suspend: bool,
}

fn is_default(limits: &PluginLimits) -> bool {
    *limits == PluginLimits::default()
}

fn default_interval() -> Duration {
    StdDuration::from_secs(60 * 60).into()
}

fn default_timeout() -> Duration {
    Duration::seconds(60)
}

/// What happens when a tag has moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PluginUpgrade {
    /// It is told and not followed.
    #[default]
    Manual,
    /// It is followed, once its signature has been checked.
    Automatic,
}

/// What the controller has found out about a plugin.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PluginStatus {
    /// The generation of the object that the controller last looked at; -1 when it has not looked yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// How the plugin is doing: Ready, and where they apply Reconciling, Stalled, SourceVerified and FetchFailed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions_schema")]
    pub conditions: Vec<Condition>,
    /// The digest of what runs, as `sha256:HEX`: for a plugin of a registry that of its manifest, for a built-in one that of its bytes.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// What kind of step it can be: `renderer`, `transformer`, `validator`, `health-check` or `krm-function`.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub world: Option<String>,
    /// What it asks for besides its input: `secrets`, `clusterRead`, `http`, `clock` and `random`. A step that uses the plugin has to hand it over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub wants: Vec<Capability>,
    /// Whose signature was found good, for example `cosign: release.pub of Secret cosign-keys`. Empty when none was asked for.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
    /// How many bytes the component has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<i64>,
    /// What the tag points to when that is not what runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available: Option<AvailablePlugin>,
    /// The value that the annotation `reconcile.fluxcd.io/requestedAt` had when it was last acted upon.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,
}

/// Another version of a plugin than the one that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AvailablePlugin {
    /// Its digest, as `sha256:HEX`. Write it to `spec.digest` to run it.
    pub digest: String,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use serde_json::{Value, json};

    use super::*;
    use crate::crds::every_field;

    #[test]
    fn what_is_not_given_has_a_default() {
        let spec: PluginSpec =
            serde_json::from_value(json!({"image": "oci://registry.example/a:1"})).unwrap();
        assert_eq!(spec.upgrade, PluginUpgrade::Manual);
        assert_eq!(spec.interval.to_std().as_secs(), 3600);
        assert_eq!(spec.timeout.to_std().as_secs(), 60);
        assert_eq!(spec.provider, CloudProvider::Generic);
    }

    /// Every field of the definition.
    fn object() -> Value {
        let digest = format!("sha256:{}", "ab".repeat(32));
        json!({
            "apiVersion": "plumbline.dev/v1alpha1",
            "kind": "Plugin",
            "metadata": {"name": "team-labels", "namespace": "team-a"},
            "spec": {
                "image": "oci://registry.example/plugins/team-labels:1.2",
                "builtin": "labels",
                "digest": digest,
                "upgrade": "Automatic",
                "interval": "10m",
                "timeout": "30s",
                "verify": {"provider": "cosign", "secretRef": {"name": "keys"}},
                "provider": "aws",
                "secretRef": {"name": "login"},
                "serviceAccountName": "puller",
                "certSecretRef": {"name": "tls"},
                "proxySecretRef": {"name": "proxy"},
                "insecure": true,
                "limits": {"memory": "128Mi"},
                "healthCheck": {
                    "kinds": [{"group": "example.com", "kind": "Database"}, {"apiVersion": "example.com/v1", "kind": "Cache"}],
                    "with": {"rules": []},
                    "onUnknown": "Fail",
                },
                "suspend": true,
            },
            "status": {
                "observedGeneration": -1,
                "conditions": [{
                    "type": "Ready", "status": "True", "reason": "Succeeded", "message": "it is there",
                    "observedGeneration": 2, "lastTransitionTime": "2026-01-01T00:00:00Z",
                }],
                "digest": digest,
                "world": "transformer",
                "wants": ["secrets", "clusterRead", "http", "clock", "random"],
                "signature": "cosign: release.pub of Secret keys",
                "size": 123,
                "available": {"digest": digest},
                "lastHandledReconcileAt": "token",
            },
        })
    }

    #[test]
    fn an_object_with_every_field_is_written_as_it_was_read() {
        let read: Plugin = serde_json::from_value(object()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), object());
    }

    /// Guards the test above: a field that is added to the type has to be added there.
    #[test]
    fn the_object_with_every_field_has_every_field() {
        every_field::<Plugin>(&object());
    }
}
