//! What the helm plugin gives for a release: everything that a record needs, and the objects as values.

use std::collections::BTreeMap;

use plumb_api::Object;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::hooks::Hook;
use crate::manifest::{NotAManifest, take};
use crate::record::Release;
use crate::values::Values;

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

    /// The objects that are applied: those of the manifest. Lists are taken apart.
    pub fn to_apply(&self) -> Result<Vec<Object>, NotAManifest> {
        taken(self.objects.iter().map(|object| &object.object))
    }

    /// The definitions of the chart's `crds` directory. Anything else there is left out, as the helm plugin does with a warning.
    pub fn definitions(&self) -> Result<Vec<Object>, NotAManifest> {
        let mut objects = taken(self.crds.iter().flat_map(|file| &file.objects))?;
        objects.retain(is_definition);
        Ok(objects)
    }

    /// Whether a record says the same: a chart of this version, these values, objects and hooks.
    pub fn is_recorded(&self, record: &Release, values: &Values) -> bool {
        let hooks = record.hooks();
        let hooks = hooks.iter().map(|hook| &hook.manifest);
        self.manifest == record.manifest()
            && self.hooks.iter().map(|hook| &hook.hook.manifest).eq(hooks)
            && ["name", "version"].iter().all(|field| self.chart_field(field) == record.chart_field(field))
            && values.have_digest(&Values::from(record.config()).digest())
    }

    /// Whether the chart of a record has the same files and values: charts of one version may differ.
    pub fn has_chart_of(&self, record: &Release) -> bool {
        let Some(recorded) = record.chart() else { return false };
        let values = |chart: &Value| chart.get("values").cloned().unwrap_or_default();
        let is_same = |field: &str| files_of(&self.chart, field) == files_of(recorded, field);
        ["templates", "files"].into_iter().all(is_same) && values(&self.chart) == values(recorded)
    }

    /// A field of the chart's `Chart.yaml`: `name`, `version`, `appVersion`.
    pub fn chart_field(&self, field: &str) -> &str {
        let field = self.chart.get("metadata").and_then(|metadata| metadata.get(field));
        field.and_then(Value::as_str).unwrap_or_default()
    }
}

/// The files of a chart as Helm stores it, without when they were changed.
fn files_of<'a>(chart: &'a Value, field: &str) -> BTreeMap<&'a str, &'a Value> {
    let files = chart.get(field).and_then(Value::as_array);
    let file =
        |file: &'a Value| Some((file.get("name")?.as_str()?, file.get("data").unwrap_or(&Value::Null)));
    files.into_iter().flatten().filter_map(file).collect()
}

fn taken<'a>(values: impl Iterator<Item = &'a Value>) -> Result<Vec<Object>, NotAManifest> {
    let mut objects = Vec::new();
    for value in values {
        take(value.clone(), &mut objects)?;
    }
    Ok(objects)
}

fn is_definition(object: &Object) -> bool {
    object.gvk().group == "apiextensions.k8s.io" && object.kind() == "CustomResourceDefinition"
}

/// Something else than a rendered release. It is the plugin's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what the helm plugin has rendered cannot be read: {0}")]
pub struct NotRendered(String);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use jiff::Timestamp;
    use rstest::rstest;
    use serde_json::json;

    use super::*;
    use crate::record::NewRelease;

    #[test]
    fn in_the_directory_of_definitions_nothing_else_counts() {
        let object = |api_version: &str, kind: &str, name: &str| json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}});
        let definition = object("apiextensions.k8s.io/v1", "CustomResourceDefinition", "a.example.com");
        let list = json!({"apiVersion": "v1", "kind": "List", "items": [definition, object("v1", "ConfigMap", "b")]});
        let rendered = RenderedRelease::read(json!({
            "kind": "RenderedRelease", "chart": {}, "crds": [{"name": "crds/a.yaml", "objects": [list]}],
        }));
        let definitions = rendered.unwrap().definitions().unwrap();
        let names: Vec<_> = definitions.iter().map(Object::name).collect();
        assert_eq!(names, ["a.example.com"]);
    }

    #[rstest]
    #[case::the_same(json!({}), true)]
    #[case::another_object(json!({"manifest": "b"}), false)]
    #[case::another_hook(json!({"hooks": []}), false)]
    #[case::another_version(json!({"chart": {"metadata": {"name": "web", "version": "1.0.1"}}}), false)]
    fn what_is_as_its_record_says_is_known(#[case] change: Value, #[case] expected: bool) {
        let mut fields = json!({
            "kind": "RenderedRelease", "manifest": "a", "hooks": [{"manifest": "c", "object": {}}],
            "chart": {"metadata": {"name": "web", "version": "1.0.0"}},
        });
        let values = json!({"key": 1}).as_object().unwrap().clone();
        let record = record_of(fields.clone(), &values);
        fields.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let rendered = RenderedRelease::read(fields).unwrap();
        assert_eq!(rendered.is_recorded(&record, &Values::from(values)), expected);
        assert!(!rendered.is_recorded(&record, &Values::default()), "the values are others");
    }

    #[rstest]
    #[case::the_same_at_another_time(json!({"templates": [{"name": "a", "data": "Cg==", "modtime": "2026"}]}), true)]
    #[case::another_template(json!({"templates": [{"name": "a", "data": "YQ=="}]}), false)]
    #[case::one_file_more(json!({"files": [{"name": "b", "data": "Cg=="}]}), false)]
    #[case::other_values(json!({"values": {"key": 2}}), false)]
    fn charts_of_one_version_are_told_apart(#[case] change: Value, #[case] expected: bool) {
        let mut chart = json!({"templates": [{"name": "a", "data": "Cg=="}], "values": {"key": 1}});
        let fields = |chart: &Value| json!({"kind": "RenderedRelease", "chart": chart});
        let record = record_of(fields(&chart), &Map::new());
        chart.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let rendered = RenderedRelease::read(fields(&chart)).unwrap();
        assert_eq!(rendered.has_chart_of(&record), expected);
    }

    fn record_of(rendered: Value, values: &Map<String, Value>) -> Release {
        let new = NewRelease {
            name: "web",
            namespace: "shop",
            version: 1,
            status: plumb_api::ReleaseStatus::Deployed,
            description: "",
            first_deployed: Timestamp::UNIX_EPOCH,
            at: Timestamp::UNIX_EPOCH,
        };
        Release::new(&new, &RenderedRelease::read(rendered).unwrap(), values)
    }
}
