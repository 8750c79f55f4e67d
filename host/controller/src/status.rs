//! Writes statuses: only what has changed, and nothing when nothing has.

use std::time::Duration;

use kube::Resource;
use kube::api::{Api, Patch, PatchParams};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

/// The field manager of statuses and finalizers.
const MANAGER: &str = "plumb-controller";

/// For patches of the objects that are reconciled.
pub(crate) fn patch_params() -> PatchParams {
    PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() }
}

/// A status as it was written last, which the watch may not have brought back yet.
pub(crate) struct Written<S> {
    status: S,
    version: Option<u64>,
}

impl<S: Clone + Default> Written<S> {
    /// The newest status that is known of an object: the one that was written, unless the object is newer than that, by whomever.
    pub(crate) fn newest(written: Option<&Self>, object: &impl Resource, status: Option<&S>) -> S {
        let is_ahead = |written: &&Self| match (version(object), written.version) {
            (Some(seen), Some(written)) => seen < written,
            _ => true,
        };
        match written.filter(is_ahead) {
            Some(written) => written.status.clone(),
            None => status.cloned().unwrap_or_default(),
        }
    }
}

/// The resource version, which counts up since KEP-5504; `None` for one that is not a number.
fn version(object: &impl Resource) -> Option<u64> {
    object.meta().resource_version.as_ref()?.parse().ok()
}

/// Patches `status` of an object from what it was to what it is. `None` when they are equal and nothing was sent.
pub(crate) async fn write<K, S>(
    api: &Api<K>,
    name: &str,
    before: &S,
    after: &S,
) -> kube::Result<Option<Written<S>>>
where
    K: Resource + Clone + DeserializeOwned + std::fmt::Debug,
    S: Serialize + Clone,
{
    let Some(change) = merge_patch(&to_value(before)?, &to_value(after)?) else { return Ok(None) };
    let patch = Patch::Merge(json!({ "status": change }));
    let patched = bounded(api.patch_status(name, &patch_params(), &patch)).await?;
    Ok(Some(Written { status: after.clone(), version: version(&patched) }))
}

/// How long the API server has to answer.
const ANSWER: Duration = Duration::from_secs(30);

/// A request that gives up when there is no answer.
pub(crate) async fn bounded<T>(request: impl Future<Output = kube::Result<T>>) -> kube::Result<T> {
    let silence = |_| kube::Error::Service(format!("no answer within {ANSWER:?}").into());
    tokio::time::timeout(ANSWER, request).await.map_err(silence)?
}

/// An error in the words of the API server, without all the details that it sends along.
pub(crate) fn said(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        error => error.to_string(),
    }
}

fn to_value(status: &impl Serialize) -> kube::Result<Value> {
    serde_json::to_value(status).map_err(kube::Error::SerdeError)
}

/// The JSON merge patch (RFC 7386) that makes `after` of `before`; `None` when they are equal.
fn merge_patch(before: &Value, after: &Value) -> Option<Value> {
    if before == after {
        return None;
    }
    let (Value::Object(before), Value::Object(after)) = (before, after) else { return Some(after.clone()) };
    let mut patch = Map::new();
    for (key, value) in after {
        let change = match before.get(key) {
            Some(old) => merge_patch(old, value),
            None => Some(value.clone()),
        };
        patch.extend(change.map(|change| (key.clone(), change)));
    }
    for key in before.keys().filter(|key| !after.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    Some(Value::Object(patch))
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::api::ObjectMeta;
    use rstest::rstest;

    #[rstest]
    #[case::not_seen_yet(Some("7"), Some(8), "written")]
    #[case::seen(Some("8"), Some(8), "seen")]
    #[case::changed_by_somebody_else(Some("9"), Some(8), "seen")]
    #[case::unknown(None, Some(8), "written")]
    fn the_newest_status_counts(
        #[case] seen: Option<&str>,
        #[case] written: Option<u64>,
        #[case] expected: &str,
    ) {
        let metadata = ObjectMeta { resource_version: seen.map(str::to_owned), ..ObjectMeta::default() };
        let object = ConfigMap { metadata, ..ConfigMap::default() };
        let written = Written { status: "written".to_owned(), version: written };
        assert_eq!(Written::newest(Some(&written), &object, Some(&"seen".to_owned())), expected);
        assert_eq!(Written::newest(None, &object, Some(&"seen".to_owned())), "seen");
    }

    #[rstest]
    #[case::nothing(json!({"a": 1}), json!({"a": 1}), None)]
    #[case::changed(json!({"a": 1, "b": 2}), json!({"a": 3, "b": 2}), Some(json!({"a": 3})))]
    #[case::added(json!({}), json!({"a": {"b": 1}}), Some(json!({"a": {"b": 1}})))]
    #[case::removed(json!({"a": 1, "b": {"c": 1, "d": 2}}), json!({"b": {"d": 2}}), Some(json!({"a": null, "b": {"c": null}})))]
    #[case::lists_are_whole(json!({"a": [1, 2]}), json!({"a": [2]}), Some(json!({"a": [2]})))]
    fn a_merge_patch_holds_what_has_changed(
        #[case] before: Value,
        #[case] after: Value,
        #[case] patch: Option<Value>,
    ) {
        assert_eq!(merge_patch(&before, &after), patch);
    }
}
