use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{GroupKind, GroupVersionKind};

/// Names one object of a cluster, whatever the version it is written in. As text it is the id of Flux's inventories,
/// `NAMESPACE_NAME_GROUP_KIND`, empty parts included: `default_web_apps_Deployment`, `_prod__Namespace`. A `:` in a name, as
/// RBAC allows, is written `__`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectId {
    /// The namespace; empty for objects that have none.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// The type.
    pub group_kind: GroupKind,
}

/// Text that is not an [`ObjectId`], or JSON that is not an [`Object`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidObject {
    /// The JSON is not an object.
    #[error("expected an object with apiVersion, kind and metadata.name, found {0}")]
    NotAnObject(&'static str),
    /// A field that every object has is missing, empty or not text.
    #[error("the object{object} has no {field}")]
    Missing {
        /// The field.
        field: &'static str,
        /// What is known of the object, with a leading space; empty when nothing is.
        object: String,
    },
    /// A field of `metadata` is of the wrong type.
    #[error("{field} of {object} is not {expected}")]
    WrongType {
        /// The field.
        field: String,
        /// The object.
        object: String,
        /// What it should be, with its article.
        expected: &'static str,
    },
    /// The text is not the id of an inventory.
    #[error("{0:?} is not an inventory id of the form NAMESPACE_NAME_GROUP_KIND")]
    NotAnId(String),
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name.replace(':', "__");
        write!(f, "{}_{}_{}_{}", self.namespace, name, self.group_kind.group, self.group_kind.kind)
    }
}

impl FromStr for ObjectId {
    type Err = InvalidObject;

    /// As Flux's `object.ParseObjMetadata`: the namespace ends at the first `_`, the kind starts after the last one, the group after the last
    /// but one; what is between is the name, in which `__` stands for `:`. An odd number of underscores in a row, above one, is refused.
    fn from_str(text: &str) -> Result<Self, InvalidObject> {
        let not_an_id = || InvalidObject::NotAnId(text.to_owned());
        let (namespace, rest) = text.split_once('_').ok_or_else(not_an_id)?;
        let (rest, kind) = rest.rsplit_once('_').ok_or_else(not_an_id)?;
        let (name, group) = rest.rsplit_once('_').ok_or_else(not_an_id)?;
        // Three underscores in a row stand for `:_` or for `_:`, and the wrong object must never be pruned.
        let mut runs = name.split(|c| c != '_').map(str::len);
        if name.is_empty() || kind.is_empty() || runs.any(|run| run > 1 && run % 2 == 1) {
            return Err(not_an_id());
        }
        Ok(Self {
            namespace: namespace.to_owned(),
            name: name.replace("__", ":"),
            group_kind: GroupKind::new(group, kind),
        })
    }
}

impl ObjectId {
    /// For people: `Deployment/default/web`, or `Namespace/prod`. The group is left out, as Flux does in its messages.
    pub fn human(&self) -> String {
        if self.namespace.is_empty() {
            format!("{}/{}", self.group_kind.kind, self.name)
        } else {
            format!("{}/{}/{}", self.group_kind.kind, self.namespace, self.name)
        }
    }
}

/// One Kubernetes object: JSON with an `apiVersion`, a `kind`, and a `metadata` that has a `name`, and whose
/// `namespace`, `labels` and `annotations`, where they are there, have the right types.
#[derive(Clone, Debug, PartialEq)]
pub struct Object(Map<String, Value>);

impl Object {
    /// Checks that the JSON is an object of Kubernetes.
    pub fn new(value: Value) -> Result<Self, InvalidObject> {
        let map = match value {
            Value::Object(map) => map,
            Value::Null => return Err(InvalidObject::NotAnObject("nothing")),
            Value::Bool(_) => return Err(InvalidObject::NotAnObject("a boolean")),
            Value::Number(_) => return Err(InvalidObject::NotAnObject("a number")),
            Value::String(_) => return Err(InvalidObject::NotAnObject("a string")),
            Value::Array(_) => return Err(InvalidObject::NotAnObject("a list")),
        };
        let text = |value: Option<&Value>| {
            value.and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
        };
        let kind = text(map.get("kind"));
        let metadata = map.get("metadata").and_then(Value::as_object);
        let name = metadata.and_then(|metadata| text(metadata.get("name")));
        let known = match (&kind, &name) {
            (Some(kind), Some(name)) => format!(" {kind}/{name}"),
            (Some(kind), None) => format!(" of kind {kind}"),
            (None, Some(name)) => format!(" named {name}"),
            (None, None) => String::new(),
        };
        let missing = |field| InvalidObject::Missing { field, object: known.clone() };
        text(map.get("apiVersion")).ok_or_else(|| missing("apiVersion"))?;
        kind.as_ref().ok_or_else(|| missing("kind"))?;
        name.as_ref().ok_or_else(|| missing("metadata.name"))?;
        let wrong = |field: &str, expected| InvalidObject::WrongType {
            field: field.to_owned(),
            object: known.trim_start().to_owned(),
            expected,
        };
        if let Some(metadata) = metadata {
            if metadata
                .get("namespace")
                .is_some_and(|namespace| !namespace.is_string() && !namespace.is_null())
            {
                return Err(wrong("metadata.namespace", "text"));
            }
            for field in ["labels", "annotations"] {
                let Some(value) = metadata.get(field).filter(|value| !value.is_null()) else { continue };
                let map =
                    value.as_object().ok_or_else(|| wrong(&format!("metadata.{field}"), "a map of text"))?;
                if let Some((key, _)) = map.iter().find(|(_, value)| !value.is_string()) {
                    return Err(wrong(&format!("metadata.{field}[{key:?}]"), "text; put it in quotes"));
                }
            }
        }
        Ok(Self(map))
    }

    /// The type of the object.
    pub fn gvk(&self) -> GroupVersionKind {
        GroupVersionKind::new(self.text("apiVersion"), self.text("kind"))
    }

    /// `apps/v1`.
    pub fn api_version(&self) -> &str {
        self.text("apiVersion")
    }

    /// `Deployment`.
    pub fn kind(&self) -> &str {
        self.text("kind")
    }

    /// The name.
    pub fn name(&self) -> &str {
        self.metadata().and_then(|metadata| metadata.get("name")).and_then(Value::as_str).unwrap_or_default()
    }

    /// The namespace; `None` when there is none, or an empty one.
    pub fn namespace(&self) -> Option<&str> {
        let namespace = self.metadata()?.get("namespace")?.as_str()?;
        (!namespace.is_empty()).then_some(namespace)
    }

    /// Puts the object into a namespace, or with `None` into none.
    pub fn set_namespace(&mut self, namespace: Option<&str>) {
        let metadata = self.metadata_mut();
        match namespace {
            Some(namespace) => metadata.insert("namespace".to_owned(), namespace.into()),
            None => metadata.remove("namespace"),
        };
    }

    /// The id under which an inventory lists the object.
    pub fn id(&self) -> ObjectId {
        ObjectId {
            namespace: self.namespace().unwrap_or_default().to_owned(),
            name: self.name().to_owned(),
            group_kind: self.gvk().group_kind(),
        }
    }

    /// The value of a label.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.metadata()?.get("labels")?.get(key)?.as_str()
    }

    /// Sets a label.
    pub fn set_label(&mut self, key: &str, value: &str) {
        self.set_in("labels", key, value);
    }

    /// Removes a label, if it is there.
    pub(crate) fn remove_label(&mut self, key: &str) {
        let metadata = self.0.get_mut("metadata").and_then(Value::as_object_mut);
        if let Some(Value::Object(labels)) = metadata.and_then(|metadata| metadata.get_mut("labels")) {
            labels.remove(key);
        }
    }

    /// The value of an annotation.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.metadata()?.get("annotations")?.get(key)?.as_str()
    }

    /// Sets an annotation.
    pub fn set_annotation(&mut self, key: &str, value: &str) {
        self.set_in("annotations", key, value);
    }

    /// What a JSON Pointer (RFC 6901) leads to.
    pub fn pointer(&self, pointer: &str) -> Option<&Value> {
        let (first, rest) = match pointer.strip_prefix('/')?.split_once('/') {
            Some((first, _)) => (first, &pointer[first.len() + 1..]),
            None => (&pointer[1..], ""),
        };
        self.0.get(&first.replace("~1", "/").replace("~0", "~"))?.pointer(rest)
    }

    /// The fields of the object.
    pub fn fields(&self) -> &Map<String, Value> {
        &self.0
    }

    /// The object as JSON.
    pub fn into_value(self) -> Value {
        Value::Object(self.0)
    }

    fn text(&self, field: &str) -> &str {
        self.0.get(field).and_then(Value::as_str).unwrap_or_default()
    }

    fn metadata(&self) -> Option<&Map<String, Value>> {
        self.0.get("metadata")?.as_object()
    }

    /// `new` made sure that `metadata` is an object; anything else is replaced by an empty one.
    fn metadata_mut(&mut self) -> &mut Map<String, Value> {
        object_at(&mut self.0, "metadata")
    }

    fn set_in(&mut self, field: &str, key: &str, value: &str) {
        object_at(self.metadata_mut(), field).insert(key.to_owned(), value.into());
    }
}

/// The object at a field, made when there is none.
fn object_at<'a>(map: &'a mut Map<String, Value>, field: &str) -> &'a mut Map<String, Value> {
    let value = map.entry(field).or_insert(Value::Null);
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(map) => map,
        _ => unreachable!("it was made an object above"),
    }
}

impl Serialize for Object {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(Value::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn object(yaml: &str) -> Result<Object, InvalidObject> {
        Object::new(serde_yaml::from_str(yaml).unwrap())
    }

    #[rstest]
    #[case("null", "expected an object with apiVersion, kind and metadata.name, found nothing")]
    #[case("[]", "expected an object with apiVersion, kind and metadata.name, found a list")]
    #[case("text", "expected an object with apiVersion, kind and metadata.name, found a string")]
    #[case("7", "expected an object with apiVersion, kind and metadata.name, found a number")]
    #[case("true", "expected an object with apiVersion, kind and metadata.name, found a boolean")]
    #[case("{}", "the object has no apiVersion")]
    #[case("{kind: Service, metadata: {name: web}}", "the object Service/web has no apiVersion")]
    #[case(
        "{apiVersion: '', kind: Service, metadata: {name: web}}",
        "the object Service/web has no apiVersion"
    )]
    #[case("{apiVersion: v1, metadata: {name: web}}", "the object named web has no kind")]
    #[case("{apiVersion: v1, kind: 7, metadata: {name: web}}", "the object named web has no kind")]
    #[case("{apiVersion: v1, kind: Service}", "the object of kind Service has no metadata.name")]
    #[case(
        "{apiVersion: v1, kind: Service, metadata: []}",
        "the object of kind Service has no metadata.name"
    )]
    #[case(
        "{apiVersion: v1, kind: Service, metadata: {name: ''}}",
        "the object of kind Service has no metadata.name"
    )]
    #[case(
        "{apiVersion: v1, kind: Service, metadata: {name: 7}}",
        "the object of kind Service has no metadata.name"
    )]
    #[case(
        "{apiVersion: v1, kind: Service, metadata: {name: web, namespace: 7}}",
        "metadata.namespace of Service/web is not text"
    )]
    #[case(
        "{apiVersion: v1, kind: Service, metadata: {name: web, labels: [a]}}",
        "metadata.labels of Service/web is not a map of text"
    )]
    #[case(
        "{apiVersion: v1, kind: Service, metadata: {name: web, annotations: {a: true}}}",
        r#"metadata.annotations["a"] of Service/web is not text; put it in quotes"#
    )]
    fn what_is_not_an_object_is_refused_with_the_reason(#[case] yaml: &str, #[case] message: &str) {
        assert_eq!(object(yaml).unwrap_err().to_string(), message);
    }

    #[rstest]
    #[case("{apiVersion: v1, kind: Namespace, metadata: {name: prod}}", "_prod__Namespace", "Namespace/prod")]
    #[case(
        "{apiVersion: v1, kind: Namespace, metadata: {name: prod, namespace: '', labels: null}}",
        "_prod__Namespace",
        "Namespace/prod"
    )]
    #[case(
        "{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: default}}",
        "default_web_apps_Deployment",
        "Deployment/default/web"
    )]
    #[case(
        "{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: 'system:x'}}",
        "_system__x_rbac.authorization.k8s.io_ClusterRole",
        "ClusterRole/system:x"
    )]
    fn an_id_is_that_of_flux(#[case] yaml: &str, #[case] id: &str, #[case] human: &str) {
        let found = object(yaml).unwrap().id();
        assert_eq!(found.to_string(), id);
        assert_eq!(found.human(), human);
        assert_eq!(id.parse::<ObjectId>().unwrap(), found);
    }

    #[rstest]
    #[case("_a____b__Kind", "a::b")]
    #[case("_a_b__Kind", "a_b")]
    #[case("_a__b_c__Kind", "a:b_c")]
    fn underscores_of_a_name_are_read(#[case] id: &str, #[case] name: &str) {
        assert_eq!(id.parse::<ObjectId>().unwrap().name, name);
    }

    #[rstest]
    #[case("")]
    #[case("default")]
    #[case("default_web")]
    #[case("default_web_apps")]
    #[case("default__apps_Deployment")]
    #[case("default_web_apps_")]
    #[case("_a___b_rbac.authorization.k8s.io_ClusterRole")]
    fn what_is_not_an_id_is_refused(#[case] text: &str) {
        let message = format!("{text:?} is not an inventory id of the form NAMESPACE_NAME_GROUP_KIND");
        assert_eq!(text.parse::<ObjectId>().unwrap_err().to_string(), message);
    }

    #[test]
    fn labels_annotations_and_namespace_are_set_where_nothing_was() {
        let mut object =
            object("{apiVersion: v1, kind: Service, metadata: {name: web, labels: null}}").unwrap();
        object.set_label("a", "b");
        object.set_annotation("c", "d");
        object.set_namespace(Some("prod"));
        assert_eq!(
            (object.label("a"), object.annotation("c"), object.namespace()),
            (Some("b"), Some("d"), Some("prod"))
        );
        object.set_label("a", "e");
        object.set_namespace(None);
        assert_eq!((object.label("a"), object.namespace()), (Some("e"), None));
        assert_eq!(object.label("other"), None);
        let expected = json!({"name": "web", "labels": {"a": "e"}, "annotations": {"c": "d"}});
        assert_eq!(object.fields()["metadata"], expected);
    }

    #[rstest]
    #[case("/kind", Some(json!("Service")))]
    #[case("/metadata/name", Some(json!("web")))]
    #[case("/metadata/annotations/example.com~1a", Some(json!("b")))]
    #[case("/spec/ports/0/port", Some(json!(80)))]
    #[case("/spec/ports/1", None)]
    #[case("/status", None)]
    #[case("kind", None)]
    #[case("/", None)]
    fn a_pointer_leads_to_a_field(#[case] pointer: &str, #[case] expected: Option<Value>) {
        let object = object(
            "{apiVersion: v1, kind: Service, metadata: {name: web, annotations: {example.com/a: b}}, spec: {ports: [{port: 80}]}}",
        )
        .unwrap();
        assert_eq!(object.pointer(pointer).cloned(), expected);
    }

    #[test]
    fn reading_json_checks_it() {
        let message = serde_json::from_str::<Object>(r#"{"kind": "Service"}"#).unwrap_err().to_string();
        assert_eq!(message, "the object of kind Service has no apiVersion");
    }

    #[rstest]
    #[case("v1", "", "v1", "Pod", "Pod")]
    #[case("apps/v1", "apps", "v1", "Deployment", "Deployment.apps")]
    fn a_type_is_read_and_written(
        #[case] api_version: &str,
        #[case] group: &str,
        #[case] version: &str,
        #[case] kind: &str,
        #[case] shown: &str,
    ) {
        let gvk = GroupVersionKind::new(api_version, kind);
        assert_eq!((gvk.group.as_str(), gvk.version.as_str(), gvk.kind.as_str()), (group, version, kind));
        assert_eq!(gvk.api_version(), api_version);
        assert_eq!(gvk.group_kind().to_string(), shown);
    }

    proptest! {
        /// Names as Kubernetes allows them; two underscores in a row, which RBAC alone allows, stand for a colon.
        #[test]
        fn an_id_reads_back(
            namespace in "([a-z0-9]([-a-z0-9]{0,8}[a-z0-9])?)?",
            name in "[a-z0-9]([-.:a-z0-9]{0,12}[a-z0-9])?(_[a-z0-9]+)?",
            group in "([a-z]+(\\.[a-z0-9]+){0,3})?",
            kind in "[A-Z][A-Za-z0-9]{0,10}",
        ) {
            let id = ObjectId { namespace, name, group_kind: GroupKind::new(&group, &kind) };
            prop_assert_eq!(id.to_string().parse::<ObjectId>().unwrap(), id);
        }

        #[test]
        fn any_text_is_an_id_or_refused(text in "[a_:/A]{0,12}|\\PC{0,20}") {
            // A colon is never written as such.
            if let Some(id) = text.parse::<ObjectId>().ok().filter(|_| !text.contains(':')) {
                prop_assert!(!id.name.is_empty() && !id.group_kind.kind.is_empty());
                prop_assert_eq!(id.to_string().parse::<ObjectId>().unwrap(), id);
            }
        }

        #[test]
        fn a_pointer_finds_what_serde_json_finds(pointer in "(/(kind|metadata|name|labels|a~1b|0|~0|)){0,4}|\\PC{0,10}") {
            let value = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "labels": {"a/b": "c", "~": "d"}}});
            let object = Object::new(value.clone()).unwrap();
            if !pointer.is_empty() {
                prop_assert_eq!(object.pointer(&pointer), value.pointer(&pointer));
            }
        }
    }
}
