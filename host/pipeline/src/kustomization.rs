//! A Flux `Kustomization` as a pipeline.

use plumb_api::{CommonMetadata, KustomizationSpec, Object, Owner, PostBuild, SubstituteStrategy};
use serde_json::{Map, Value};

use crate::{BuiltinError, Builtins, Parameters, Step, StepSpec, Variables};

/// The fields of the spec that are merged into the `kustomization.yaml`, as Flux's generator does.
const OVERLAY: [&str; 8] = [
    "buildMetadata",
    "components",
    "ignoreMissingComponents",
    "images",
    "namePrefix",
    "nameSuffix",
    "patches",
    "targetNamespace",
];

/// The fields that the spec uses and that are not supported yet. Whoever acts on a spec has to refuse them: ignoring one would do
/// something else than what it says.
pub fn not_honoured(spec: &KustomizationSpec) -> Vec<&'static str> {
    let asked = [("spec.decryption", spec.decryption.is_some())];
    asked.into_iter().filter_map(|(field, is_asked)| is_asked.then_some(field)).collect()
}

/// The steps of a Kustomization: kustomize, with what the spec adds to the `kustomization.yaml`, and then, if `spec.postBuild` asks for it,
/// the variables.
pub(crate) fn step_specs(spec: &KustomizationSpec) -> Vec<StepSpec> {
    let kustomize = Parameters::Given { with: parameters(spec), with_from: Vec::new() };
    let mut steps = vec![StepSpec::builtin("kustomize", kustomize)];
    if let Some(post_build) = &spec.post_build {
        steps.push(StepSpec::builtin("substitute", Parameters::Variables(post_build.clone())));
    }
    steps
}

/// The steps that render a Kustomization: kustomize, with what the spec adds to the `kustomization.yaml`, and then, if `spec.postBuild`
/// asks for it, the variables.
///
/// # Errors
///
/// When a plugin cannot be loaded.
pub fn steps(
    spec: &KustomizationSpec,
    variables: &Variables,
    builtins: &Builtins,
) -> Result<Vec<Step>, BuiltinError> {
    let plugin = builtins.renderer("kustomize")?;
    let mut steps = vec![Step::new("kustomize", plugin, parameters(spec).into())];
    if substitutes(spec.post_build.as_ref(), variables) {
        let plugin = builtins.transformer("substitute")?;
        steps.push(Step::new("substitute", plugin, variables.parameters()));
    }
    Ok(steps)
}

/// Without variables nothing is replaced, unless that is asked for: `${name:=default}` then stays as it is.
fn substitutes(post_build: Option<&PostBuild>, variables: &Variables) -> bool {
    post_build.is_some_and(|post_build| match post_build.substitute_strategy() {
        SubstituteStrategy::WithVariables => !variables.is_empty(),
        SubstituteStrategy::Always => true,
    })
}

fn parameters(spec: &KustomizationSpec) -> Map<String, Value> {
    let mut overlay = Map::new();
    // A spec is a plain structure of text, lists and maps: it always is a JSON object.
    if let Ok(Value::Object(mut fields)) = serde_json::to_value(spec) {
        for field in OVERLAY {
            overlay.extend(fields.remove(field).map(|value| (field.to_owned(), value)));
        }
    }
    // Even an empty overlay asks for what Flux's generator does rather than for a plain `kustomize build`.
    let path = spec.path.clone().unwrap_or_default();
    Map::from_iter([("path".to_owned(), path.into()), ("overlay".to_owned(), overlay.into())])
}

/// Puts the common metadata of a spec and the ownership labels on every object, in this order: nobody else's labels can
/// pass for ours.
pub fn stamp(objects: &mut [Object], common: Option<&CommonMetadata>, owner: &Owner) {
    for object in objects {
        if let Some(common) = common {
            for (key, value) in &common.labels {
                object.set_label(key, value);
            }
            for (key, value) in &common.annotations {
                object.set_annotation(key, value);
            }
        }
        owner.stamp(object);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use plumb_api::annotations::{OWNER_NAME, OWNER_NAMESPACE};
    use serde_json::json;

    use super::*;

    fn spec(json: Value) -> KustomizationSpec {
        let mut all =
            json!({"interval": "5m", "prune": true, "sourceRef": {"kind": "GitRepository", "name": "apps"}});
        all.as_object_mut().unwrap().extend(json.as_object().unwrap().clone());
        serde_json::from_value(all).unwrap()
    }

    #[test]
    fn only_what_changes_the_rendering_is_a_parameter() {
        let plain = spec(json!({"path": "./clusters/production", "wait": true}));
        assert_eq!(Value::from(parameters(&plain)), json!({"path": "./clusters/production", "overlay": {}}));
        assert_eq!(Value::from(parameters(&spec(json!({})))), json!({"path": "", "overlay": {}}));
        let overlaid = spec(json!({"namePrefix": "a-", "images": [{"name": "x", "newTag": "2"}]}));
        let overlay = json!({"namePrefix": "a-", "images": [{"name": "x", "newTag": "2"}]});
        assert_eq!(Value::from(parameters(&overlaid)), json!({"path": "", "overlay": overlay}));
    }

    #[test]
    fn variables_are_put_in_when_there_are_some_or_always() {
        let some = Variables::merge([], &[("a".to_owned(), "b".to_owned())].into());
        let asks =
            |json: Value, variables: &Variables| substitutes(spec(json).post_build.as_ref(), variables);
        assert!(!asks(json!({}), &some));
        assert!(asks(json!({"postBuild": {}}), &some));
        assert!(!asks(json!({"postBuild": {}}), &Variables::default()));
        assert!(asks(json!({"postBuild": {"substituteStrategy": "Always"}}), &Variables::default()));
    }

    #[test]
    fn ownership_labels_win_over_common_metadata() {
        let spec = spec(json!({"commonMetadata": {
            "labels": {"team": "a", "kustomize.toolkit.fluxcd.io/name": "forged"}, "annotations": {"note": "b"},
        }}));
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}});
        let mut objects = [Object::new(object).unwrap()];
        stamp(&mut objects, spec.common_metadata.as_ref(), &Owner::kustomization("flux-system", "apps"));
        let [object] = &objects;
        assert_eq!(object.label("team"), Some("a"));
        assert_eq!(object.annotation("note"), Some("b"));
        assert_eq!(object.label(OWNER_NAME), Some("apps"));
        assert_eq!(object.label(OWNER_NAMESPACE), Some("flux-system"));
    }
}
