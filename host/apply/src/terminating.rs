use std::fmt;

use plumb_api::{Object, ObjectId};
use serde_json::Value;

use crate::managed_fields::applied_fields;

/// An object that is being deleted and is still there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terminating {
    /// The object.
    pub id: ObjectId,
    /// `metadata.deletionTimestamp`: since when.
    pub since: String,
    /// What holds it: whoever has set these has to remove them.
    pub finalizers: Vec<String>,
    /// What a namespace says is left in it.
    pub left: Vec<String>,
}

impl Terminating {
    /// `None` when the object is not being deleted.
    pub fn of(object: &Object) -> Option<Self> {
        let since = object.pointer("/metadata/deletionTimestamp")?.as_str()?.to_owned();
        Some(Self { id: object.id(), since, finalizers: finalizers(object), left: left(object) })
    }

    /// Whether it stays until somebody removes a finalizer; without one it is about to go.
    pub fn is_held(&self) -> bool {
        !self.finalizers.is_empty()
    }
}

/// A sentence that names the object, the finalizers, and what to do.
impl fmt::Display for Terminating {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is being deleted since {}", self.id.human(), self.since)?;
        if self.is_held() {
            write!(f, "; what set these finalizers has to remove them: {}", self.finalizers.join(", "))?;
        }
        if !self.left.is_empty() {
            write!(f, "; {}", self.left.join("; "))?;
        }
        Ok(())
    }
}

fn finalizers(object: &Object) -> Vec<String> {
    let listed = |pointer| object.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
    // A namespace has those of its own kind in its spec; it loses them when it is empty, which `left` tells of.
    listed("/metadata/finalizers").filter_map(Value::as_str).map(str::to_owned).collect()
}

/// A namespace says in its conditions what is left in it.
fn left(object: &Object) -> Vec<String> {
    if object.kind() != "Namespace" {
        return Vec::new();
    }
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
    let is_left = |condition: &&Value| condition.get("status").and_then(Value::as_str) == Some("True");
    let message = |condition: &Value| Some(condition.get("message")?.as_str()?.to_owned());
    conditions.into_iter().flatten().filter(is_left).filter_map(message).collect()
}

/// Whether applying would remove a finalizer that holds the object: one that we have set and that is no longer desired.
pub(crate) fn would_release(desired: &Object, live: &Object, manager: &str) -> bool {
    let field =
        |key: &str, set: &serde_json::Map<String, Value>| set.get(key).and_then(Value::as_object).cloned();
    let ours = applied_fields(live, manager)
        .and_then(|owned| field("f:metadata", owned))
        .and_then(|owned| field("f:finalizers", &owned));
    let wanted = finalizers(desired);
    let is_ours = |name: &String| {
        ours.as_ref().is_some_and(|owned| owned.contains_key(&format!("v:{}", Value::from(name.as_str()))))
    };
    finalizers(live).iter().any(|name| !wanted.contains(name) && is_ours(name))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn object(kind: &str, finalizers: Value, conditions: Value) -> Object {
        let metadata = json!({"name": "a", "finalizers": finalizers, "deletionTimestamp": "2026-01-01T00:00:00Z",
            "managedFields": [{"manager": "us", "operation": "Apply", "apiVersion": "v1",
                "fieldsV1": {"f:metadata": {"f:finalizers": {".": {}, "v:\"example.com/ours\"": {}}}}}]});
        let status = json!({"conditions": conditions});
        Object::new(json!({"apiVersion": "v1", "kind": kind, "metadata": metadata, "status": status}))
            .unwrap()
    }

    #[test]
    fn what_does_not_go_is_told_with_what_holds_it() {
        let told = |object: &Object| Terminating::of(object).unwrap().to_string();
        let held = object("ConfigMap", json!(["example.com/hold", "example.com/more"]), json!([]));
        insta::assert_snapshot!(told(&held), @"ConfigMap/a is being deleted since 2026-01-01T00:00:00Z; what set these finalizers has to remove them: example.com/hold, example.com/more");
        let going = object("ConfigMap", json!([]), json!([]));
        insta::assert_snapshot!(told(&going), @"ConfigMap/a is being deleted since 2026-01-01T00:00:00Z");
        let left = json!([{"type": "NamespaceContentRemaining", "status": "True", "message": "Some resources are remaining: pods. has 1 resource instances"},
            {"type": "NamespaceDeletionContentFailure", "status": "False", "message": "All content successfully deleted"}]);
        insta::assert_snapshot!(told(&object("Namespace", json!([]), left)), @"Namespace/a is being deleted since 2026-01-01T00:00:00Z; Some resources are remaining: pods. has 1 resource instances");
    }

    #[rstest]
    #[case::ours_and_not_desired(json!(["example.com/ours"]), json!([]), true)]
    #[case::ours_and_desired(json!(["example.com/ours"]), json!(["example.com/ours"]), false)]
    #[case::anothers(json!(["example.com/other"]), json!([]), false)]
    fn applying_may_release_it(#[case] live: Value, #[case] desired: Value, #[case] expected: bool) {
        let [live, desired] = [live, desired].map(|finalizers| object("ConfigMap", finalizers, json!([])));
        assert_eq!(would_release(&desired, &live, "us"), expected);
    }
}
