//! The objects of a manifest that is stored as text.

use plumb_api::Object;
use serde_json::Value;

use crate::values::{NotYaml, documents};

/// Why a manifest has no objects. No message has anything of a value in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAManifest {
    /// It is not YAML.
    #[error("the manifest of the release cannot be read: {0}")]
    NotYaml(NotYaml),
    /// A document is no object.
    #[error("the manifest of the release holds something that is no object: {0}")]
    NotAnObject(String),
}

/// The objects of a manifest, in their order, as Helm reads it: lists are taken apart, documents of nothing are left out.
pub fn objects(manifest: &str) -> Result<Vec<Object>, NotAManifest> {
    let mut objects = Vec::new();
    for document in documents(manifest).map_err(NotAManifest::NotYaml)? {
        take(Value::Object(document), &mut objects)?;
    }
    Ok(objects)
}

/// Takes one value, which may be a list of objects.
pub fn take(value: Value, objects: &mut Vec<Object>) -> Result<(), NotAManifest> {
    let is_list = value.get("kind").and_then(Value::as_str).is_some_and(|kind| kind.ends_with("List"));
    match value {
        Value::Object(mut fields) if is_list && fields.get("items").is_some_and(Value::is_array) => {
            let Some(Value::Array(items)) = fields.remove("items") else { return Ok(()) };
            items.into_iter().try_for_each(|item| take(item, objects))
        }
        Value::Object(fields) if fields.is_empty() => Ok(()),
        value => {
            let object = Object::new(value).map_err(|error| NotAManifest::NotAnObject(error.to_string()))?;
            objects.push(object);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_manifest_is_read_as_helm_does() {
        let manifest = "---\n# Source: web/templates/a.yaml\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata: {mode: 0644, on: \"yes\"}\n\
                        ---\n# Source: web/templates/empty.yaml\n---\napiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Secret, metadata: {name: b}}\n";
        let objects = objects(manifest).unwrap();
        let names: Vec<_> = objects.iter().map(|object| (object.kind(), object.name())).collect();
        assert_eq!(names, [("ConfigMap", "a"), ("Secret", "b")]);
        assert_eq!(objects[0].pointer("/data/mode"), Some(&420.into()));
        assert!(super::objects("a: [").is_err());
        assert!(super::objects("a: b").is_err(), "it is no object");
    }
}
