//! A Flux `Kustomization` as a pipeline.

use plumb_api::KustomizationSpec;
use serde_json::{Map, Value};

use crate::{Decryption, Keys, Parameters, StepSpec};

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

/// The steps of a Kustomization: kustomize, with what the spec adds to the `kustomization.yaml`, and then, if the spec asks for it, decryption
/// and the variables.
pub(crate) fn step_specs(spec: &KustomizationSpec) -> Vec<StepSpec> {
    let kustomize = Parameters::Given { with: parameters(spec), with_from: Vec::new() };
    let mut steps = vec![StepSpec::builtin("kustomize", kustomize)];
    if let Some(decryption) = &spec.decryption {
        let nothing = Parameters::Given { with: Map::new(), with_from: Vec::new() };
        let secret = decryption.secret_ref.as_ref().map(|secret| Keys::Secret(secret.name.clone()));
        let decryption = Decryption {
            keys: secret.unwrap_or(Keys::OfOperator),
            service_account: decryption.service_account_name.clone(),
        };
        steps.push(StepSpec { decryption: Some(decryption), ..StepSpec::builtin("sops", nothing) });
    }
    if let Some(post_build) = &spec.post_build {
        steps.push(StepSpec::builtin("substitute", Parameters::Variables(post_build.clone())));
    }
    steps
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

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
}
