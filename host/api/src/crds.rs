use std::mem;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;
use serde_json::json;

use crate::{
    Bucket, ExternalArtifact, GitRepository, HelmChart, HelmRelease, HelmRepository, Kustomization,
    OciRepository, Pipeline, Plugin, PluginPolicy,
};

/// The definitions of all kinds, made from their Rust types, as `kubectl apply` takes them. For the kinds of Flux they say what Flux's own
/// say.
pub fn crds() -> Vec<CustomResourceDefinition> {
    let all = [
        Bucket::crd(),
        ExternalArtifact::crd(),
        GitRepository::crd(),
        HelmChart::crd(),
        HelmRelease::crd(),
        HelmRepository::crd(),
        Kustomization::crd(),
        OciRepository::crd(),
        Pipeline::crd(),
        Plugin::crd(),
        PluginPolicy::crd(),
    ];
    all.map(as_flux_has_it).into()
}

fn as_flux_has_it(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut crd.spec.versions {
        let Some(schema) = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut())
        else {
            continue;
        };
        tidy(schema);
        let status = schema.properties.as_mut().and_then(|properties| properties.get_mut("status"));
        if let Some(status) = status.filter(|status| has(status, "observedGeneration")) {
            // What nobody has looked at yet is told apart from what was looked at in generation 0.
            status.default = Some(JSON(json!({"observedGeneration": -1})));
        }
    }
    crd
}

fn has(schema: &JSONSchemaProps, property: &str) -> bool {
    schema.properties.as_ref().is_some_and(|properties| properties.contains_key(property))
}

/// Makes a schema that was generated for Rust one that was written for Kubernetes: no `nullable`, since a missing field and `null` mean
/// the same here; descriptions without the line breaks of the source.
fn tidy(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    schema.title = None;
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

/// Makes sure that an object has every field that the definition of its kind has in the spec and the status.
#[cfg(test)]
pub(crate) fn every_field<K: CustomResourceExt>(object: &serde_json::Value) {
    let crd = serde_json::to_value(K::crd()).unwrap();
    for part in ["spec", "status"] {
        let schema =
            &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"][part]["properties"];
        let mut defined: Vec<&String> = schema.as_object().unwrap().keys().collect();
        let mut given: Vec<&String> = object[part].as_object().unwrap().keys().collect();
        defined.sort();
        given.sort();
        assert_eq!(given, defined);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use rstest::rstest;
    use serde_json::Value;

    use super::*;

    #[test]
    fn definitions_are_as_people_apply_them() {
        for crd in crds() {
            insta::assert_snapshot!(crd.spec.names.kind.clone(), serde_yaml::to_string(&crd).unwrap());
        }
    }

    /// All schemas of all definitions, with the path that leads to them.
    fn schemas() -> Vec<(String, Value)> {
        fn walk(path: &str, schema: &Value, found: &mut Vec<(String, Value)>) {
            found.push((path.to_owned(), schema.clone()));
            for (name, property) in schema["properties"].as_object().into_iter().flatten() {
                walk(&format!("{path}.{name}"), property, found);
            }
            for (key, name) in [("items", "[]"), ("additionalProperties", "{}")] {
                if schema[key].is_object() {
                    walk(&format!("{path}{name}"), &schema[key], found);
                }
            }
        }
        let mut found = Vec::new();
        for crd in crds() {
            let value = serde_json::to_value(&crd).unwrap();
            let schema = &value["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
            walk(&crd.spec.names.kind, schema, &mut found);
        }
        found
    }

    #[test]
    fn every_field_has_one_plain_type_and_a_description_in_full_sentences() {
        for (path, schema) in schemas() {
            // Flux takes `values:` with nothing but comments below it, which is null.
            let may_be_null = path == "HelmRelease.spec.values";
            assert!(schema["type"].is_string() || may_be_null, "{path} has no type: {schema}");
            for key in ["nullable", "anyOf", "oneOf", "allOf", "$ref"] {
                assert_eq!(schema.get(key), None, "{path}");
            }
            if path.ends_with(['}', ']']) {
                continue;
            }
            let description =
                schema["description"].as_str().unwrap_or_else(|| panic!("{path} has no description"));
            assert!(description.ends_with('.'), "{path}: {description}");
            assert!(!description.contains("[`"), "{path} has a link of rustdoc: {description}");
        }
    }

    #[test]
    fn a_description_names_all_values_that_a_field_can_have() {
        for (path, schema) in schemas().into_iter().filter(|(path, _)| !path.ends_with("[]")) {
            let description = schema["description"].as_str().unwrap_or_default();
            for value in schema["enum"].as_array().into_iter().flatten() {
                assert!(
                    description.contains(value.as_str().unwrap()),
                    "{path} does not name {value}: {description}"
                );
            }
        }
    }

    #[test]
    fn the_fields_of_flux_have_the_defaults_of_flux_and_ours_few() {
        let defaults: Vec<_> = schemas()
            .into_iter()
            .filter_map(|(path, schema)| Some((path, schema.get("default")?.clone())))
            .collect();
        let expected = [
            ("Bucket.spec.provider", json!("generic")),
            ("Bucket.spec.timeout", json!("60s")),
            ("Bucket.status", json!({"observedGeneration": -1})),
            ("GitRepository.spec.timeout", json!("60s")),
            ("GitRepository.spec.verify.mode", json!("HEAD")),
            ("GitRepository.status", json!({"observedGeneration": -1})),
            ("HelmChart.spec.reconcileStrategy", json!("ChartVersion")),
            ("HelmChart.spec.verify.provider", json!("cosign")),
            ("HelmChart.spec.version", json!("*")),
            ("HelmChart.status", json!({"observedGeneration": -1})),
            ("HelmRelease.spec.chart.spec.reconcileStrategy", json!("ChartVersion")),
            ("HelmRelease.spec.chart.spec.verify.provider", json!("cosign")),
            ("HelmRelease.spec.chart.spec.version", json!("*")),
            ("HelmRelease.spec.uninstall.deletionPropagation", json!("background")),
            ("HelmRelease.status", json!({"observedGeneration": -1})),
            ("HelmRepository.spec.provider", json!("generic")),
            ("HelmRepository.status", json!({"observedGeneration": -1})),
            ("Kustomization.spec.force", json!(false)),
            ("Kustomization.spec.postBuild.substituteFrom[].optional", json!(false)),
            ("Kustomization.status", json!({"observedGeneration": -1})),
            ("OCIRepository.spec.provider", json!("generic")),
            ("OCIRepository.spec.timeout", json!("60s")),
            ("OCIRepository.spec.verify.provider", json!("cosign")),
            ("OCIRepository.status", json!({"observedGeneration": -1})),
            ("Pipeline.spec.apply.prune", json!(true)),
            ("Pipeline.spec.steps[].apply", json!(true)),
            ("Pipeline.status", json!({"observedGeneration": -1})),
            ("Plugin.spec.interval", json!("1h0m0s")),
            ("Plugin.spec.provider", json!("generic")),
            ("Plugin.spec.timeout", json!("60s")),
            ("Plugin.spec.upgrade", json!("Manual")),
            ("Plugin.spec.verify.provider", json!("cosign")),
            ("Plugin.status", json!({"observedGeneration": -1})),
            ("PluginPolicy.spec.plugins[].verify.provider", json!("cosign")),
        ];
        assert_eq!(defaults, expected.map(|(path, value)| (path.to_owned(), value)));
    }

    #[rstest]
    #[case("One\nline.", "One line.")]
    #[case("One\nline.\n\nAnother\nparagraph.", "One line.\n\nAnother paragraph.")]
    #[case("A list:\n- one\n  item\n- two", "A list:\n- one item\n- two")]
    fn descriptions_have_one_line_a_paragraph(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(one_line_a_paragraph(text), expected);
    }
}
