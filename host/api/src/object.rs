use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A group and a kind: what an object is, whatever the version it is written in.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupKind {
    /// The API group; empty for the core group.
    pub group: String,
    /// The kind, for example `Deployment`.
    pub kind: String,
}

impl GroupKind {
    /// A group (empty for the core group) and a kind.
    pub fn new(group: &str, kind: &str) -> Self {
        Self { group: group.to_owned(), kind: kind.to_owned() }
    }
}

/// `Deployment.apps`, as kubectl writes it.
impl fmt::Display for GroupKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.group.is_empty() {
            f.write_str(&self.kind)
        } else {
            write!(f, "{}.{}", self.kind, self.group)
        }
    }
}

/// A group, a version and a kind: the type of an object as its `apiVersion` and `kind` have it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupVersionKind {
    /// The API group; empty for the core group.
    pub group: String,
    /// The version, for example `v1`.
    pub version: String,
    /// The kind, for example `Deployment`.
    pub kind: String,
}

impl GroupVersionKind {
    /// Reads an `apiVersion` such as `v1` or `apps/v1`.
    pub fn new(api_version: &str, kind: &str) -> Self {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        Self { group: group.to_owned(), version: version.to_owned(), kind: kind.to_owned() }
    }

    /// `v1`, or `apps/v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// The type without its version.
    pub fn group_kind(&self) -> GroupKind {
        GroupKind::new(&self.group, &self.kind)
    }
}

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
    /// but one; what is between is the name, in which `__` stands for `:`.
    fn from_str(text: &str) -> Result<Self, InvalidObject> {
        let not_an_id = || InvalidObject::NotAnId(text.to_owned());
        let (namespace, rest) = text.split_once('_').ok_or_else(not_an_id)?;
        let (rest, kind) = rest.rsplit_once('_').ok_or_else(not_an_id)?;
        let (name, group) = rest.rsplit_once('_').ok_or_else(not_an_id)?;
        if name.is_empty() || kind.is_empty() {
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
