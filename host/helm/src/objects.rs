//! The labels and annotations that Helm and Flux put on the objects of a release.

use plumb_api::annotations::DRIFT_DETECTION;
use plumb_api::{CommonMetadata, Object};
use serde_json::{Map, Value};

/// The label that says who manages an object.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// What [`MANAGED_BY`] is for objects of a release.
pub const HELM: &str = "Helm";
/// The annotation with the name of the release.
pub const RELEASE_NAME: &str = "meta.helm.sh/release-name";
/// The annotation with the namespace of the release.
pub const RELEASE_NAMESPACE: &str = "meta.helm.sh/release-namespace";
/// The annotation that says what happens to an object when the release is uninstalled or does not have it any more.
pub const RESOURCE_POLICY: &str = "helm.sh/resource-policy";
/// The label with the name of the HelmRelease.
pub const OWNER_NAME: &str = "helm.toolkit.fluxcd.io/name";
/// The label with the namespace of the HelmRelease.
pub const OWNER_NAMESPACE: &str = "helm.toolkit.fluxcd.io/namespace";

/// Whose an object is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ownership<'a> {
    /// The name of the release.
    pub release_name: &'a str,
    /// The namespace that the release is installed to.
    pub release_namespace: &'a str,
    /// The name of the HelmRelease.
    pub name: &'a str,
    /// The namespace of the HelmRelease.
    pub namespace: &'a str,
}

impl Ownership<'_> {
    /// Puts Flux's labels on an object that was rendered. They are part of the manifest of a record, and of its hooks.
    pub fn label(&self, object: &mut Value) {
        set(object, "labels", [(OWNER_NAME, self.name), (OWNER_NAMESPACE, self.namespace)]);
    }

    /// Puts on an object what Helm does when it applies it. It is not part of the manifest of a record.
    pub fn mark(&self, object: &mut Value) {
        set(object, "labels", [(MANAGED_BY, HELM)]);
        let annotations = [(RELEASE_NAME, self.release_name), (RELEASE_NAMESPACE, self.release_namespace)];
        set(object, "annotations", annotations);
    }

    /// Why an object that exists does not belong to the release, as Helm says it; `None` where it does. With
    /// `disableTakeOwnership`, such an object keeps a release from being installed.
    pub fn refused_by(&self, object: &Value) -> Option<String> {
        let wanted = [
            ("label", "labels", MANAGED_BY, HELM),
            ("annotation", "annotations", RELEASE_NAME, self.release_name),
            ("annotation", "annotations", RELEASE_NAMESPACE, self.release_namespace),
        ];
        let problems: Vec<String> = wanted
            .into_iter()
            .filter_map(|(what, field, key, wanted)| {
                let problem = match get(object, field, key) {
                    None => format!("missing key {key:?}: must be set to {wanted:?}"),
                    Some(actual) if actual == wanted => return None,
                    Some(actual) => format!("key {key:?} must equal {wanted:?}: current value is {actual:?}"),
                };
                Some(format!("{what} validation error: {problem}"))
            })
            .collect();
        (!problems.is_empty()).then(|| format!("invalid ownership metadata; {}", problems.join("; ")))
    }
}

/// Puts the labels and annotations of `spec.commonMetadata` on an object. They go before its own.
pub fn add_common(object: &mut Value, common: &CommonMetadata) {
    let pairs = |map: &std::collections::BTreeMap<String, String>| -> Vec<(String, String)> {
        map.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    };
    let (labels, annotations) = (pairs(&common.labels), pairs(&common.annotations));
    set(object, "labels", labels.iter().map(|(key, value)| (key.as_str(), value.as_str())));
    set(object, "annotations", annotations.iter().map(|(key, value)| (key.as_str(), value.as_str())));
}

/// Whether an object stays when the release is uninstalled or does not have it any more (`helm.sh/resource-policy: keep`).
pub fn is_kept(object: &Value) -> bool {
    get(object, "annotations", RESOURCE_POLICY)
        .is_some_and(|policy| policy.trim().eq_ignore_ascii_case("keep"))
}

/// Whether an object asks that nothing that others change in it is put back: `helm.toolkit.fluxcd.io/driftDetection: disabled`, as an
/// annotation or a label.
pub fn is_left_alone(object: &Object) -> bool {
    let says = [object.annotation(DRIFT_DETECTION), object.label(DRIFT_DETECTION)];
    says.into_iter().flatten().any(|value| value.eq_ignore_ascii_case("disabled"))
}

fn get<'a>(object: &'a Value, field: &str, key: &str) -> Option<&'a str> {
    object.get("metadata")?.get(field)?.get(key)?.as_str()
}

fn set<'a>(object: &mut Value, field: &str, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) {
    let mut pairs = pairs.into_iter().peekable();
    if pairs.peek().is_none() {
        return;
    }
    let Some(object) = object.as_object_mut() else { return };
    let Some(metadata) = object_in(object, "metadata") else { return };
    let Some(field) = object_in(metadata, field) else { return };
    field.extend(pairs.map(|(key, value)| (key.to_owned(), Value::from(value))));
}

/// The object in a field, made where there is none or null; `None` where there is something else.
fn object_in<'a>(object: &'a mut Map<String, Value>, field: &str) -> Option<&'a mut Map<String, Value>> {
    let value = object.entry(field).or_insert(Value::Null);
    if value.is_null() {
        *value = Value::Object(Map::new());
    }
    value.as_object_mut()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    const OWNER: Ownership<'static> =
        Ownership { release_name: "shop-web", release_namespace: "shop", name: "web", namespace: "apps" };

    #[test]
    fn an_object_is_marked_as_helm_and_flux_do() {
        let mut object =
            json!({"metadata": {"name": "a", "labels": {"a": "b", MANAGED_BY: "me"}, "annotations": null}});
        OWNER.label(&mut object);
        OWNER.mark(&mut object);
        let expected = json!({"metadata": {
            "name": "a",
            "labels": {
                "a": "b",
                "app.kubernetes.io/managed-by": "Helm",
                "helm.toolkit.fluxcd.io/name": "web",
                "helm.toolkit.fluxcd.io/namespace": "apps",
            },
            "annotations": {"meta.helm.sh/release-name": "shop-web", "meta.helm.sh/release-namespace": "shop"},
        }});
        assert_eq!(object, expected);
        assert_eq!(OWNER.refused_by(&object), None);
    }

    #[test]
    fn an_object_of_somebody_else_is_refused_with_helms_words() {
        let object = json!({"metadata": {"name": "a", "labels": {MANAGED_BY: "Helm"}, "annotations": {RELEASE_NAME: "other"}}});
        insta::assert_snapshot!(OWNER.refused_by(&object).unwrap(), @r#"invalid ownership metadata; annotation validation error: key "meta.helm.sh/release-name" must equal "shop-web": current value is "other"; annotation validation error: missing key "meta.helm.sh/release-namespace": must be set to "shop""#);
    }

    #[test]
    fn common_metadata_goes_before_that_of_the_chart() {
        let mut object = json!({"metadata": {"labels": {"a": "chart", "b": "chart"}}});
        let labels = [("a".to_owned(), "spec".to_owned())].into();
        add_common(&mut object, &CommonMetadata { labels, ..CommonMetadata::default() });
        assert_eq!(object, json!({"metadata": {"labels": {"a": "spec", "b": "chart"}}}));
    }

    #[rstest]
    #[case(json!({"metadata": {"annotations": {RESOURCE_POLICY: "keep"}}}), true)]
    #[case(json!({"metadata": {"annotations": {RESOURCE_POLICY: " KEEP "}}}), true)]
    #[case(json!({"metadata": {"annotations": {RESOURCE_POLICY: "delete"}}}), false)]
    #[case(json!({"metadata": {}}), false)]
    #[case(json!("text"), false)]
    fn what_asks_for_it_is_kept(#[case] object: Value, #[case] expected: bool) {
        assert_eq!(is_kept(&object), expected);
    }
}
