use std::fmt;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// A Kubernetes object: a JSON object with `apiVersion`, `kind` and `metadata.name`.
#[derive(Clone, Debug, PartialEq)]
pub struct Object(Value);

/// Why a text or value is no object of Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidObject(String);

impl fmt::Display for InvalidObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InvalidObject {}

impl From<InvalidObject> for crate::Error {
    fn from(invalid: InvalidObject) -> Self {
        Self::invalid(invalid.0)
    }
}

impl Object {
    /// An object from JSON.
    ///
    /// Fails when the value is not a JSON object, or lacks `apiVersion`, `kind` or `metadata.name`.
    pub fn new(value: Value) -> Result<Self, InvalidObject> {
        for field in ["/apiVersion", "/kind", "/metadata/name"] {
            if value.pointer(field).and_then(Value::as_str).is_none_or(str::is_empty) {
                return Err(InvalidObject(format!("an object has no {}", field[1..].replace('/', "."))));
            }
        }
        Ok(Self(value))
    }

    /// An object from the text of a JSON object.
    ///
    /// Fails as [`Object::new`] does, and when the text is not JSON.
    pub fn from_json(text: &str) -> Result<Self, InvalidObject> {
        let value = serde_json::from_str(text)
            .map_err(|error| InvalidObject(format!("an object is not JSON: {error}")))?;
        Self::new(value)
    }

    /// The text of the JSON object.
    pub fn to_json(&self) -> String {
        self.0.to_string()
    }

    fn text(&self, pointer: &str) -> Option<&str> {
        self.0.pointer(pointer)?.as_str()
    }

    /// `apiVersion`, for example `apps/v1`.
    pub fn api_version(&self) -> &str {
        self.text("/apiVersion").unwrap_or_default()
    }

    /// `kind`, for example `Deployment`.
    pub fn kind(&self) -> &str {
        self.text("/kind").unwrap_or_default()
    }

    /// `metadata.name`.
    pub fn name(&self) -> &str {
        self.text("/metadata/name").unwrap_or_default()
    }

    /// `metadata.namespace`, if it has one that is not empty.
    pub fn namespace(&self) -> Option<&str> {
        self.text("/metadata/namespace").filter(|namespace| !namespace.is_empty())
    }

    /// Whether it is of this version and kind.
    pub fn is(&self, api_version: &str, kind: &str) -> bool {
        self.api_version() == api_version && self.kind() == kind
    }

    /// A label.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.0.get("metadata")?.get("labels")?.get(name)?.as_str()
    }

    /// Sets a label.
    pub fn set_label(&mut self, name: &str, value: impl Into<String>) {
        map(map(&mut self.0, "metadata"), "labels")[name] = Value::String(value.into());
    }

    /// An annotation.
    pub fn annotation(&self, name: &str) -> Option<&str> {
        self.0.get("metadata")?.get("annotations")?.get(name)?.as_str()
    }

    /// Sets an annotation.
    pub fn set_annotation(&mut self, name: &str, value: impl Into<String>) {
        map(map(&mut self.0, "metadata"), "annotations")[name] = Value::String(value.into());
    }

    /// The file that the object was written in, where its renderer has told: kustomize does with `buildMetadata: [originAnnotations]`, in
    /// the annotation `config.kubernetes.io/origin`; KRM functions have `config.kubernetes.io/path`.
    pub fn file(&self) -> Option<&str> {
        let origin = self.annotation("config.kubernetes.io/origin").unwrap_or_default();
        let path = origin.lines().find_map(|line| line.strip_prefix("path: "));
        path.or_else(|| self.annotation("config.kubernetes.io/path"))
    }

    /// What a JSON Pointer (RFC 6901) names, for example `/spec/replicas`.
    pub fn get(&self, pointer: &str) -> Option<&Value> {
        self.0.pointer(pointer)
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, pointer: &str) -> Option<&mut Value> {
        self.0.pointer_mut(pointer)
    }

    /// Sets what a JSON Pointer names. Maps that are missing on the way are made; what is on the way and is neither a map nor a list is replaced by
    /// a map. An index that a list does not have adds to its end.
    pub fn set(&mut self, pointer: &str, value: impl Into<Value>) {
        let mut at = &mut self.0;
        for part in pointer.split('/').skip(1).map(|part| part.replace("~1", "/").replace("~0", "~")) {
            at = match at {
                Value::Array(items) => {
                    let index = part.parse().unwrap_or(items.len()).min(items.len());
                    if index == items.len() {
                        items.push(Value::Null);
                    }
                    &mut items[index]
                }
                other => {
                    if !other.is_object() {
                        *other = Value::Object(Map::new());
                    }
                    &mut other[part]
                }
            };
        }
        *at = value.into();
    }

    /// The whole object as a type of yours, for example one of the crate `k8s-openapi`.
    ///
    /// Fails when it does not have that form.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, InvalidObject> {
        T::deserialize(&self.0).map_err(|error| {
            InvalidObject(format!("the {} {:?} has not the expected form: {error}", self.kind(), self.name()))
        })
    }

    /// The JSON.
    pub fn as_value(&self) -> &Value {
        &self.0
    }

    /// The JSON.
    pub fn into_value(self) -> Value {
        self.0
    }
}

/// The map under a name, made when it is missing.
fn map<'a>(parent: &'a mut Value, name: &str) -> &'a mut Value {
    let child = &mut parent[name];
    if !child.is_object() {
        *child = Value::Object(Map::new());
    }
    child
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::Object;

    fn pod() -> Object {
        Object::new(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": ""}}))
            .unwrap()
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = |value| Object::new(value).unwrap_err().to_string();
        assert_eq!(error(json!([])), "an object has no apiVersion");
        assert_eq!(
            error(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {}})),
            "an object has no metadata.name"
        );
        assert!(Object::from_json("{").unwrap_err().to_string().starts_with("an object is not JSON"));
    }

    #[test]
    fn labels_are_made_where_there_are_none() {
        let mut pod = pod();
        pod.set_label("team", "payments");
        pod.set_annotation("a/b", "c");
        assert_eq!(
            (pod.label("team"), pod.annotation("a/b"), pod.namespace()),
            (Some("payments"), Some("c"), None)
        );
    }

    #[test]
    fn a_pointer_makes_its_way() {
        let mut pod = pod();
        pod.set("/spec/containers", json!([]));
        pod.set("/spec/containers/-/name", "web");
        pod.set("/metadata/labels/a~1b", "c");
        assert_eq!(pod.get("/spec/containers/0"), Some(&json!({"name": "web"})));
        assert_eq!(pod.label("a/b"), Some("c"));
    }

    #[test]
    fn the_file_is_what_kustomize_tells() {
        let mut pod = pod();
        assert_eq!(pod.file(), None);
        pod.set_annotation("config.kubernetes.io/path", "b.yaml");
        assert_eq!(pod.file(), Some("b.yaml"));
        pod.set_annotation("config.kubernetes.io/origin", "path: base/a.yaml\nrepo: x\n");
        assert_eq!(pod.file(), Some("base/a.yaml"));
    }
}
