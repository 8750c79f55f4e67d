//! What a HelmRelease may say, as in Flux, and what has no effect here.

use plumb_api::{HelmReleaseSpec, ServerSideApply};

const CLIENT_SIDE: &str =
    "objects are always applied on the server's side, which leaves alone what others have set";
const VALIDATED: &str = "the API server validates every object in a dry run before any is applied";
const DROPPED: &str = "Helm has dropped it";

/// The fields of a spec that ask for something and have no effect, each with why and what to do, as a sentence.
pub fn fields(spec: &HelmReleaseSpec) -> Vec<String> {
    let install = spec.install.clone().unwrap_or_default();
    let upgrade = spec.upgrade.clone().unwrap_or_default();
    let rollback = spec.rollback.clone().unwrap_or_default();
    let disabled = Some(ServerSideApply::Disabled);
    let fields = [
        ("install.serverSideApply: false", install.server_side_apply == Some(false), CLIENT_SIDE),
        ("upgrade.serverSideApply: disabled", upgrade.server_side_apply == disabled, CLIENT_SIDE),
        ("rollback.serverSideApply: disabled", rollback.server_side_apply == disabled, CLIENT_SIDE),
        ("install.disableOpenAPIValidation", install.disable_open_api_validation, VALIDATED),
        ("upgrade.disableOpenAPIValidation", upgrade.disable_open_api_validation, VALIDATED),
        ("rollback.recreate", rollback.recreate, DROPPED),
    ];
    let sentence = |(field, is_set, why)| {
        bool::then(is_set, || format!("spec.{field} has no effect: {why}; remove the field"))
    };
    fields.into_iter().filter_map(sentence).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    #[rstest]
    #[case(json!({}), &[])]
    #[case(json!({"install": {"serverSideApply": true}, "upgrade": {"serverSideApply": "auto"}, "rollback": {"force": true}}), &[])]
    #[case(json!({"install": {"serverSideApply": false}}), &["spec.install.serverSideApply: false"])]
    #[case(
        json!({"upgrade": {"serverSideApply": "disabled", "disableOpenAPIValidation": true}, "rollback": {"recreate": true}}),
        &["spec.upgrade.serverSideApply: disabled", "spec.upgrade.disableOpenAPIValidation", "spec.rollback.recreate"]
    )]
    fn every_field_is_named(#[case] more: Value, #[case] expected: &[&str]) {
        let mut spec = json!({"interval": "5m", "chartRef": {"kind": "HelmChart", "name": "web"}});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let found = fields(&serde_json::from_value(spec).unwrap());
        let named: Vec<&str> =
            found.iter().map(|note| note.split(" has no effect").next().unwrap()).collect();
        assert_eq!(named, expected);
    }
}
