//! What the helm plugin gives for a release: everything that a record needs, and the objects as values.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::hooks::Hook;

/// A chart that was rendered for a release (`as: release` of the helm plugin).
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RenderedRelease {
    /// The objects without the hooks, as the YAML that Helm stores.
    #[serde(default)]
    pub manifest: String,
    /// The objects of the manifest, in its order.
    #[serde(default)]
    pub objects: Vec<RenderedObject>,
    /// The hooks, in the order in which Helm stores them.
    #[serde(default)]
    pub hooks: Vec<RenderedHook>,
    /// The files of the chart's `crds` directory.
    #[serde(default)]
    pub crds: Vec<RenderedCrds>,
    /// The notes for whoever installs the chart.
    #[serde(default)]
    pub notes: String,
    /// The chart, as Helm stores it.
    pub chart: Value,
    /// The values of the chart with those of the release over them.
    #[serde(default)]
    pub values: Map<String, Value>,
}

/// An object of a manifest.
#[derive(Clone, Deserialize)]
pub struct RenderedObject {
    /// The template that it comes from, as Helm names it: `web/templates/service.yaml`.
    pub source: String,
    /// The object.
    pub object: Value,
}

/// A hook with its object.
#[derive(Clone, Deserialize)]
pub struct RenderedHook {
    /// The hook.
    #[serde(flatten)]
    pub hook: Hook,
    /// The object.
    pub object: Value,
}

impl RenderedHook {
    pub(crate) fn to_record(&self) -> Value {
        self.hook.to_record()
    }
}

/// A file of a chart's `crds` directory.
#[derive(Clone, Deserialize)]
pub struct RenderedCrds {
    /// The name of the file: `crds/certificates.yaml`.
    pub name: String,
    /// What it says.
    #[serde(default)]
    pub manifest: String,
    /// The objects in it.
    #[serde(default)]
    pub objects: Vec<Value>,
}

impl RenderedRelease {
    /// Reads the one object that the plugin gives.
    pub fn read(object: Value) -> Result<Self, NotRendered> {
        let is_it = object.get("kind").and_then(Value::as_str) == Some("RenderedRelease");
        if !is_it {
            return Err(NotRendered("it is no RenderedRelease".to_owned()));
        }
        serde_json::from_value(object).map_err(|error| NotRendered(error.to_string()))
    }

    /// A field of the chart's `Chart.yaml`: `name`, `version`, `appVersion`.
    pub fn chart_field(&self, field: &str) -> &str {
        let field = self.chart.get("metadata").and_then(|metadata| metadata.get(field));
        field.and_then(Value::as_str).unwrap_or_default()
    }
}

/// Something else than a rendered release. It is the plugin's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what the helm plugin has rendered cannot be read: {0}")]
pub struct NotRendered(String);
