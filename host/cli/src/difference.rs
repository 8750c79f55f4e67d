//! The difference between an object as it is and as it would be, for people.

use serde_json::{Map, Value};
use similar::TextDiff;

use crate::output;

/// A unified diff of YAML; `None` when nothing differs. What the API server keeps about objects is left out, and the values of
/// Secrets are hidden.
pub(crate) fn unified(name: &str, before: Option<Value>, after: Value) -> anyhow::Result<Option<String>> {
    let (mut before, mut after) = (before, after);
    before.iter_mut().chain([&mut after]).for_each(leave_out_bookkeeping);
    mask_secrets(before.as_mut(), &mut after);
    let old = before.as_ref().map_or(Ok(String::new()), output::yaml)?;
    let new = output::yaml(&after)?;
    if old == new {
        return Ok(None);
    }
    let diff = TextDiff::from_lines(&old, &new);
    let header = (format!("live/{name}"), format!("git/{name}"));
    Ok(Some(diff.unified_diff().context_radius(3).header(&header.0, &header.1).to_string()))
}

/// What the API server keeps about an object is not a difference.
fn leave_out_bookkeeping(object: &mut Value) {
    let Some(object) = object.as_object_mut() else { return };
    object.remove("status");
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        for field in
            ["managedFields", "resourceVersion", "uid", "creationTimestamp", "generation", "selfLink"]
        {
            metadata.remove(field);
        }
        // kubectl keeps a copy of the whole object here, that of a Secret with its values.
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
        }
        if metadata.get("annotations").and_then(Value::as_object).is_some_and(Map::is_empty) {
            metadata.remove("annotations");
        }
    }
}

/// Hides the values of a Secret, but not whether they differ.
fn mask_secrets(before: Option<&mut Value>, after: &mut Value) {
    let is_secret = |object: &&mut Value| object["kind"] == "Secret" && object["apiVersion"] == "v1";
    let (mut before, mut after) = (before.filter(is_secret), Some(after).filter(is_secret));
    for field in ["data", "stringData"] {
        let old = before.as_ref().and_then(|object| object[field].as_object().cloned()).unwrap_or_default();
        let new = after.as_ref().and_then(|object| object[field].as_object().cloned()).unwrap_or_default();
        let mask =
            |values: &Map<String, Value>, other: &Map<String, Value>, changed: &str| -> Map<String, Value> {
                let mask = |(key, value): (&String, &Value)| {
                    let differs = other.get(key).is_some_and(|other| other != value);
                    (key.clone(), if differs { changed.into() } else { "***".into() })
                };
                values.iter().map(mask).collect()
            };
        if let Some(object) = before.as_mut().filter(|object| object.get(field).is_some()) {
            object[field] = mask(&old, &new, "*** (before)").into();
        }
        if let Some(object) = after.as_mut().filter(|object| object.get(field).is_some()) {
            object[field] = mask(&new, &old, "*** (after)").into();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::*;

    fn secret(values: Value) -> Value {
        // As kubectl leaves it: with a copy of everything, which must not show.
        let copy = json!({ "data": values }).to_string();
        let annotations = json!({"kubectl.kubernetes.io/last-applied-configuration": copy});
        json!({"apiVersion": "v1", "kind": "Secret", "data": values,
            "metadata": {"name": "login", "resourceVersion": "7", "annotations": annotations}})
    }

    #[test]
    fn a_secret_shows_that_it_differs_but_not_how() {
        let before = secret(json!({"user": "YQ==", "password": "b2xk", "gone": "Z29uZQ=="}));
        let after = secret(json!({"user": "YQ==", "password": "bmV3", "added": "YWRkZWQ="}));
        insta::assert_snapshot!(unified("Secret/login", Some(before), after).unwrap().unwrap(), @"
        --- live/Secret/login
        +++ git/Secret/login
        @@ -1,7 +1,7 @@
         apiVersion: v1
         data:
        -  gone: '***'
        -  password: '*** (before)'
        +  added: '***'
        +  password: '*** (after)'
           user: '***'
         kind: Secret
         metadata:
        ");
    }

    #[test]
    fn a_new_secret_shows_its_keys() {
        let after = secret(json!({"password": "bmV3"}));
        insta::assert_snapshot!(unified("Secret/login", None, after).unwrap().unwrap(), @"
        --- live/Secret/login
        +++ git/Secret/login
        @@ -0,0 +1,6 @@
        +apiVersion: v1
        +data:
        +  password: '***'
        +kind: Secret
        +metadata:
        +  name: login
        ");
    }

    #[test]
    fn other_kinds_are_shown_as_they_are() {
        let config = |value: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"key": value}});
        let difference = unified("ConfigMap/settings", Some(config("one")), config("two"));
        insta::assert_snapshot!(difference.unwrap().unwrap(), @"
        --- live/ConfigMap/settings
        +++ git/ConfigMap/settings
        @@ -1,6 +1,6 @@
         apiVersion: v1
         data:
        -  key: one
        +  key: two
         kind: ConfigMap
         metadata:
           name: settings
        ");
    }

    #[test]
    fn what_the_api_server_keeps_is_no_difference() {
        let object = |version: &str| {
            json!({"apiVersion": "v1", "kind": "ConfigMap", "status": {"seen": version},
                "metadata": {"name": "settings", "resourceVersion": version, "generation": 1, "managedFields": [version]}})
        };
        assert_eq!(unified("ConfigMap/settings", Some(object("1")), object("2")).unwrap(), None);
    }
}
