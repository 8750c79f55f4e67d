use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::serde_rules::{is_false, non_empty};
use crate::{ClusterReadGrant, HttpGrant, OciRepositoryVerification, PluginLimits};

/// Which plugins may run in which namespaces, and with which rights.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "plumbline.dev",
    version = "v1alpha1",
    kind = "PluginPolicy",
    plural = "pluginpolicies",
    singular = "pluginpolicy",
    shortname = "plugpol",
    category = "plumbline",
    derive = "PartialEq",
    doc = "A PluginPolicy says which plugins may run in which namespaces, and what they may be handed. Several add up.",
    annotation("kustomize.toolkit.fluxcd.io/substitute", "disabled"),
    printcolumn = r#"{"name": "Namespaces", "type": "string", "jsonPath": ".spec.namespaces"}"#,
    printcolumn = r#"{"name": "Selector", "type": "string", "jsonPath": ".spec.namespaceSelector"}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}"#
)]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "has(self.namespaceSelector) || has(self.namespaces)",
    "message": "one of spec.namespaceSelector and spec.namespaces must be given; the empty selector {} selects all namespaces",
}]))]
#[serde(rename_all = "camelCase")]
pub struct PluginPolicySpec {
    /// The labels of the namespaces that the policy is for, for example `{matchLabels: {tenant: "true"}}`; `{}` selects all namespaces. A
    /// namespace is selected by this, by `namespaces`, or by both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "label_selector")]
    pub namespace_selector: Option<LabelSelector>,
    /// The names of namespaces that the policy is for, for example `[team-a]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub namespaces: Vec<String>,
    /// What may run in these namespaces. As soon as one policy selects a namespace, only what policies allow may run there; an empty list
    /// allows nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    pub plugins: Vec<PluginRule>,
}

/// Plugins that may run, and with which rights.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-validations" = [
    {
        "rule": "has(self.image) != has(self.builtin)",
        "message": "exactly one of image and builtin must be given",
    },
    {
        "rule": "has(self.image) || !has(self.verify)",
        "message": "verify is for plugins of a registry, with image; built-in plugins come with the controller",
    },
    {
        "rule": "!has(self.verify) || !has(self.unsigned) || !self.unsigned",
        "message": "verify and unsigned exclude each other",
    },
]))]
pub struct PluginRule {
    /// The name of a built-in plugin, for example `kustomize`; `*` means all. `krm` is for KRM functions that lie in a source. Not
    /// together with `image`.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63), regex(pattern = r"^(\*|[a-z0-9]([-a-z0-9]*[a-z0-9])?)$"))]
    pub builtin: Option<String>,
    /// The address of a plugin in a registry, for example `oci://registry.example/plugins/labels`, or of all whose address begins like it,
    /// for example `oci://registry.example/plugins/*`. It has no tag and no digest. Not together with `builtin`.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024), regex(pattern = r"^oci://([^*@/]+/)+([^*@:/]+|\*)$"))]
    pub image: Option<String>,
    /// Who must have signed the plugins. Secrets that it names are in the namespace of the controller. The `verify` of a `Plugin` is checked
    /// as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<OciRepositoryVerification>,
    /// Whether plugins may run whose signature nobody checks: neither this rule nor the `Plugin` has a `verify`. It defaults to `false`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub unsigned: bool,
    /// What steps may hand to these plugins. By default nothing.
    #[serde(default, skip_serializing_if = "allows_nothing")]
    pub capabilities: AllowedCapabilities,
    /// How much these plugins may use.
    #[serde(default, skip_serializing_if = "no_limits")]
    pub limits: PluginLimits,
}

fn allows_nothing(capabilities: &AllowedCapabilities) -> bool {
    *capabilities == AllowedCapabilities::default()
}

fn no_limits(limits: &PluginLimits) -> bool {
    *limits == PluginLimits::default()
}

/// What steps may hand to plugins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AllowedCapabilities {
    /// Whether a step may hand over values of Secrets of its namespace. It defaults to `false`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub secrets: bool,
    /// The objects that may be read, with `*` for any API version, kind or namespace. Without `namespaces` it is those of the namespace of the
    /// Pipeline.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub cluster_read: Vec<ClusterReadGrant>,
    /// The servers that may be reached.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub http: Vec<HttpGrant>,
    /// Whether plugins may be told what time it is. It defaults to `false`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub clock: bool,
    /// Whether plugins may be given randomness. It defaults to `false`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub random: bool,
}

/// A label selector, as in the definitions of Kubernetes.
fn label_selector(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "object",
        "properties": {
            "matchLabels": {
                "description": "Labels, with their values, that have to be there.",
                "type": "object",
                "additionalProperties": {"type": "string"},
            },
            "matchExpressions": {
                "description": "Conditions for labels, all of which have to hold.",
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["key", "operator"],
                    "properties": {
                        "key": {"description": "The key of the label.", "type": "string"},
                        "operator": {
                            "description": "How the label is compared: In, NotIn, Exists or DoesNotExist.",
                            "type": "string",
                            "enum": ["In", "NotIn", "Exists", "DoesNotExist"],
                        },
                        "values": {
                            "description": "The values for In and NotIn.",
                            "type": "array",
                            "items": {"type": "string"},
                        },
                    },
                },
            },
        },
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use kube::CustomResourceExt as _;
    use serde_json::{Value, json};

    use super::*;

    /// Every field of the definition.
    fn object() -> Value {
        json!({
            "apiVersion": "plumbline.dev/v1alpha1",
            "kind": "PluginPolicy",
            "metadata": {"name": "tenants"},
            "spec": {
                "namespaceSelector": {
                    "matchLabels": {"tenant": "true"},
                    "matchExpressions": [{"key": "tier", "operator": "In", "values": ["a"]}],
                },
                "namespaces": ["team-a"],
                "plugins": [
                    {"builtin": "*"},
                    {
                        "image": "oci://registry.example/plugins/*",
                        "verify": {"provider": "cosign", "secretRef": {"name": "keys"}},
                        "unsigned": true,
                        "capabilities": {
                            "secrets": true,
                            "clusterRead": [{"apiVersion": "v1", "kind": "ConfigMap", "namespaces": ["*"]}],
                            "http": [{"host": "*.example.com", "port": 443}],
                            "clock": true,
                            "random": true,
                        },
                        "limits": {"wallTime": "10s"},
                    },
                ],
            },
        })
    }

    #[test]
    fn an_object_with_every_field_is_written_as_it_was_read() {
        let read: PluginPolicy = serde_json::from_value(object()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), object());
    }

    #[test]
    fn it_is_in_no_namespace() {
        assert_eq!(PluginPolicy::crd().spec.scope, "Cluster");
    }
}
