use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::PluginLimits;
use crate::pipeline::{any_object, is_default};
use crate::serde_rules::non_empty;

/// A plugin that tells how the objects of some kinds are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HealthPlugin {
    /// The plugin: the name of a `Plugin` of this namespace, or of one that is built in, for example `health-cel`. It is a health check.
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
    )]
    pub plugin: String,
    /// The kinds that it tells the health of, for example `[{group: example.com, kind: Database}]`. The first entry that has a kind counts.
    #[schemars(length(min = 1, max = 64))]
    pub kinds: Vec<HealthCheckKind>,
    /// The parameters of the plugin, an object of any form: its documentation says which there are.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schemars(schema_with = "any_object")]
    pub with: Map<String, Value>,
    /// What it means that the plugin cannot tell, breaks down or goes over a limit: `Wait` (the default), the object is waited for until the
    /// timeout, or `Fail`, it has failed. It never means that the object is healthy.
    #[serde(default, skip_serializing_if = "is_default")]
    pub on_unknown: OnUnknown,
    /// How much the plugin may use for one object: less than the controller, the `Plugin` and policies allow it, never more.
    #[serde(default, skip_serializing_if = "is_default")]
    pub limits: PluginLimits,
}

/// What a Plugin tells the health of in its whole namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PluginHealthCheck {
    /// The kinds that it tells the health of, for all Kustomizations and Pipelines of the namespace that do not say otherwise. For example
    /// `[{group: example.com, kind: Database}]`.
    #[schemars(length(min = 1, max = 64))]
    pub kinds: Vec<HealthCheckKind>,
    /// The parameters of the plugin, an object of any form: its documentation says which there are.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schemars(schema_with = "any_object")]
    pub with: Map<String, Value>,
    /// What it means that the plugin cannot tell, breaks down or goes over a limit: `Wait` (the default), the object is waited for until the
    /// timeout, or `Fail`, it has failed. It never means that the object is healthy.
    #[serde(default, skip_serializing_if = "is_default")]
    pub on_unknown: OnUnknown,
}

/// A kind of objects. As in `healthCheckExprs`, the version does not count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "has(self.apiVersion) != has(self.group)",
    "message": "exactly one of apiVersion and group must be given",
}]))]
pub struct HealthCheckKind {
    /// The API version of the objects, of which only the group counts, for example `example.com/v1`.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub api_version: Option<String>,
    /// The API group of the objects, for example `example.com`.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub group: Option<String>,
    /// The kind of the objects, for example `Database`; `*` means all of the group.
    #[schemars(length(min = 1, max = 63))]
    pub kind: String,
}

impl HealthCheckKind {
    /// Whether objects of a kind are meant. `group` is empty for the core group.
    pub fn is(&self, group: &str, kind: &str) -> bool {
        let of_version = || self.api_version.as_deref()?.split_once('/').map(|(group, _)| group);
        let own = self.group.as_deref().or_else(of_version).unwrap_or_default();
        own == group && (self.kind == "*" || self.kind == kind)
    }
}

/// What it means that a check cannot tell how an object is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnUnknown {
    /// The object is waited for.
    #[default]
    Wait,
    /// The object has failed.
    Fail,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("{group: example.com, kind: Database}", ("example.com", "Database"), true)]
    #[case("{group: example.com, kind: Database}", ("example.com", "Cache"), false)]
    #[case("{group: example.com, kind: '*'}", ("example.com", "Cache"), true)]
    #[case("{group: example.com, kind: '*'}", ("other.example.com", "Cache"), false)]
    #[case("{apiVersion: example.com/v2, kind: Database}", ("example.com", "Database"), true)]
    #[case("{apiVersion: v1, kind: ConfigMap}", ("", "ConfigMap"), true)]
    #[case("{apiVersion: v1, kind: ConfigMap}", ("v1", "ConfigMap"), false)]
    fn only_group_and_kind_count(
        #[case] entry: &str,
        #[case] (group, kind): (&str, &str),
        #[case] expected: bool,
    ) {
        let entry: HealthCheckKind = serde_yaml::from_str(entry).unwrap();
        assert_eq!(entry.is(group, kind), expected);
    }
}
