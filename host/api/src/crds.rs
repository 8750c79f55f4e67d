use std::mem;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;
use serde_json::json;

use crate::{GitRepository, Kustomization};

/// The definitions of all kinds, made from their Rust types, as `kubectl apply` takes them. They say what Flux's own say.
pub fn crds() -> Vec<CustomResourceDefinition> {
    [GitRepository::crd(), Kustomization::crd()].map(as_flux_has_it).into()
}

fn as_flux_has_it(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut crd.spec.versions {
        let Some(schema) = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut())
        else {
            continue;
        };
        tidy(schema);
        if let Some(status) = schema.properties.as_mut().and_then(|properties| properties.get_mut("status")) {
            // What nobody has looked at yet is told apart from what was looked at in generation 0.
            status.default = Some(JSON(json!({"observedGeneration": -1})));
        }
    }
    crd
}

/// Makes a schema that was generated for Rust one that was written for Kubernetes: no `nullable`, since a missing field and `null` mean
/// the same here; descriptions without the line breaks of the source.
fn tidy(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    schema.description = schema.description.take().map(|text| one_line_a_paragraph(&text));
    for property in schema.properties.iter_mut().flat_map(|properties| properties.values_mut()) {
        tidy(property);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        tidy(items);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        tidy(values);
    }
}

/// Joins the lines of each paragraph and of each item of a list, for `kubectl explain` to break them as the terminal asks.
fn one_line_a_paragraph(text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut starts_anew = true;
    for line in text.lines().map(str::trim) {
        let joins =
            !mem::replace(&mut starts_anew, line.is_empty()) && !line.is_empty() && !line.starts_with("- ");
        match lines.last_mut() {
            Some(last) if joins => {
                last.push(' ');
                last.push_str(line);
            }
            _ => lines.push(line.to_owned()),
        }
    }
    lines.join("\n")
}
