use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// What a source produced when it was last fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Artifact {
    /// The digest of the content, as `ALGORITHM:CHECKSUM`.
    #[schemars(regex(pattern = r"^[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[a-zA-Z0-9=_-]+$"))]
    pub digest: String,
    /// Where the artifact is in the storage of the controller that made it, as a relative path.
    pub path: String,
    /// Where other controllers in the cluster can fetch the artifact over HTTP.
    pub url: String,
    /// The revision that the artifact was made from, for example `main@sha1:9f2c…`.
    pub revision: String,
    /// When the artifact was last replaced by another.
    #[schemars(schema_with = "time_schema")]
    pub last_update_time: Time,
    /// The size of the artifact in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<i64>,
    /// What the upstream says about the artifact, for example the annotations of an OCI manifest.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

/// A time of Kubernetes. (The schema that k8s-openapi could derive needs a feature that makes every type of Kubernetes carry one.)
pub(crate) fn time_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "format": "date-time" })
}
