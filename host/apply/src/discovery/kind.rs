use kube::discovery::ApiResource;
use plumb_api::{GroupVersionKind, Object};
use serde_json::Value;

/// A kind that the cluster serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Its group, version, kind and the plural that goes into the path.
    pub resource: ApiResource,
    /// Whether its objects live in a namespace.
    pub is_namespaced: bool,
    /// Whether it can be listed and watched; reviews and bindings cannot.
    pub is_watchable: bool,
}

impl Kind {
    /// The type as objects name it.
    pub fn gvk(&self) -> GroupVersionKind {
        GroupVersionKind::new(&self.resource.api_version, &self.resource.kind)
    }

    /// Puts an object where the API server will see it: an object of a cluster-wide kind loses its namespace, which kustomize and
    /// Helm set too freely; a namespaced one without a namespace gets the given one.
    pub fn place(&self, object: &mut Object, default_namespace: &str) {
        if !self.is_namespaced {
            object.set_namespace(None);
        } else if object.namespace().is_none() {
            object.set_namespace(Some(default_namespace));
        }
    }
}

/// The kinds that a CRD serves, one a version; none for any other object, or for a CRD that lacks a name or a version.
pub(crate) fn defined_kinds(crd: &Object) -> Vec<Kind> {
    let gvk = crd.gvk();
    if gvk.group != "apiextensions.k8s.io" || gvk.kind != "CustomResourceDefinition" {
        return Vec::new();
    }
    let text = |pointer| crd.pointer(pointer).and_then(Value::as_str);
    let (Some(group), Some(kind), Some(plural)) =
        (text("/spec/group"), text("/spec/names/kind"), text("/spec/names/plural"))
    else {
        return Vec::new();
    };
    let is_namespaced = text("/spec/scope") == Some("Namespaced");
    let versions = crd.pointer("/spec/versions").and_then(Value::as_array);
    versions
        .into_iter()
        .flatten()
        .filter(|version| version.get("served").and_then(Value::as_bool) == Some(true))
        .filter_map(|version| version.get("name")?.as_str())
        .map(|version| Kind {
            resource: api_resource(group, version, kind, plural),
            is_namespaced,
            is_watchable: true,
        })
        .collect()
}

pub(super) fn api_resource(group: &str, version: &str, kind: &str, plural: &str) -> ApiResource {
    ApiResource::from_gvk_with_plural(&kube::core::GroupVersionKind::gvk(group, version, kind), plural)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use serde_json::json;

    use super::*;

    fn crd(scope: &str) -> Object {
        Object::new(json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": "widgets.example.com"},
            "spec": {
                "group": "example.com",
                "scope": scope,
                "names": {"kind": "Widget", "plural": "widgets"},
                "versions": [
                    {"name": "v1", "served": true, "storage": true},
                    {"name": "v1alpha1", "served": false, "storage": false},
                ],
            },
        }))
        .unwrap()
    }

    #[test]
    fn a_crd_defines_the_versions_that_it_serves() {
        let kinds = defined_kinds(&crd("Namespaced"));
        let [kind] = kinds.as_slice() else { panic!("{kinds:?}") };
        assert_eq!(kind.gvk(), GroupVersionKind::new("example.com/v1", "Widget"));
        assert_eq!(kind.resource.plural, "widgets");
        assert!(kind.is_namespaced);
    }

    #[test]
    fn an_object_is_placed_where_its_kind_lives() {
        let mut widget =
            Object::new(json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "a"}}))
                .unwrap();
        let place = |widget: &mut Object, scope| defined_kinds(&crd(scope))[0].place(widget, "default");
        place(&mut widget, "Namespaced");
        assert_eq!(widget.namespace(), Some("default"));
        widget.set_namespace(Some("prod"));
        place(&mut widget, "Namespaced");
        assert_eq!(widget.namespace(), Some("prod"), "a namespace that is there stays");
        place(&mut widget, "Cluster");
        assert_eq!(widget.namespace(), None);
    }
}
