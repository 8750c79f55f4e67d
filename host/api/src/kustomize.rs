use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::serde_rules::non_empty;

/// A patch, and the objects that it changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Patch {
    /// The patch as YAML: a part of an object (strategic merge), or a list of operations of JSON Patch (RFC 6902).
    pub patch: String,
    /// The objects to change. It may be left out of a strategic merge patch, which names its object itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Selector>,
}

/// Chooses objects. An object is chosen when it matches every field that is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Selector {
    /// The API group of the objects, for example `apps`.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The API version of the objects, for example `v1`.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The kind of the objects, for example `Deployment`.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The namespace of the objects.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The name of the objects. It is a regular expression that has to match the whole name, for example `web-.*`.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Which annotations the objects have, written as a label selector: `tier=backend,!legacy`.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub annotation_selector: Option<String>,
    /// Which labels the objects have: `app.kubernetes.io/name=web,tier in (a, b)`.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub label_selector: Option<String>,
}

/// An image, and what to put in its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    /// The name of the image as the manifests have it, without a tag: `ghcr.io/myorg/app`.
    pub name: String,
    /// The name to put in its place. It defaults to the same name.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub new_name: Option<String>,
    /// The tag to put in place of the tag of the manifests, for example `1.2.0`.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub new_tag: Option<String>,
    /// The digest to put in place of the tag, for example `sha256:24a0…`. When it is given, `newTag` is ignored.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

/// How to tell the health of a kind of custom resource. The expressions are CEL; `status`, `spec` and `metadata` are those of the
/// object. They are tried in the order `inProgress`, `failed`, `current`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CustomHealthCheck {
    /// The API version of the custom resource, for example `cert-manager.io/v1`. Only the group counts, not the version.
    pub api_version: String,
    /// The kind of the custom resource, for example `Certificate`. By default the check is for all kinds of the group that have none of their own.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// True when the object is as it should be, for example
    /// `status.conditions.exists(c, c.type == 'Ready' && c.status == 'True')`.
    pub current: String,
    /// True when the object is on its way, for example `status.observedGeneration != metadata.generation`.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub in_progress: Option<String>,
    /// True when the object has failed, for example
    /// `status.conditions.exists(c, c.type == 'Ready' && c.status == 'False')`.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

/// Fields that others may change: they are neither put back nor counted as drift.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IgnoreRule {
    /// The fields, as JSON Pointers (RFC 6901): `/spec/replicas`, `/metadata/annotations/example.com~1checked`.
    pub paths: Vec<String>,
    /// The objects that the rule is for. By default it is for all objects that are applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Selector>,
}
