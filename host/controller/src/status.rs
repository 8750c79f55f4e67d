//! Writes statuses: only what has changed, and nothing when nothing has.

use std::time::Duration;

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

/// Patches `status` of an object from what it was to what it is. Whether anything was sent.
pub(crate) async fn write<K, S>(api: &Api<K>, name: &str, before: &S, after: &S) -> kube::Result<bool>
where
    K: Clone + DeserializeOwned + std::fmt::Debug,
    S: Serialize,
{
    let (before, after) = (to_value(before)?, to_value(after)?);
    let Some(change) = merge_patch(&before, &after) else { return Ok(false) };
    let patch = Patch::Merge(json!({ "status": change }));
    bounded(api.patch_status(name, &patch_params(), &patch)).await?;
    Ok(true)
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
    use rstest::rstest;

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
