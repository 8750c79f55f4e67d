//! The values of a release, from the spec and from the ConfigMaps and Secrets that it names.

use std::collections::HashMap;

use plumb_api::{HelmRelease, Reason, ValuesKind};
use plumb_helm::values::{Values, compose};
use serde_json::{Map, Value};

use super::Turn;
use crate::applier::failure::{Failure, Retry};
use crate::applier::run::inputs_of;
use crate::inputs::{Data, Input, InputId};

/// The ConfigMaps and Secrets that a release is made from. All are of its own namespace.
// Attack 21 (multi-tenancy): `valuesFrom` has no namespace, and none is taken from its name.
pub(super) fn inputs(run: &Turn<'_>, release: &HelmRelease) -> Vec<InputId> {
    let namespace = &run.id.key.namespace;
    let values = release.spec.values_from.iter();
    let values = values.map(|from| InputId::new(from.kind, namespace.clone(), from.name.clone()));
    let mut inputs = inputs_of(&run.spec, namespace, &run.context.config);
    inputs.extend(values);
    inputs
}

/// The values, as Flux puts them together.
pub(super) async fn gather(run: &Turn<'_>, release: &HelmRelease) -> Result<Values, Failure> {
    let namespace = &run.id.key.namespace;
    let mut found: HashMap<(ValuesKind, String), Data> = HashMap::new();
    for from in &release.spec.values_from {
        let id = InputId::new(from.kind, namespace.clone(), from.name.clone());
        match run.context.inputs.get(&id).await {
            Input::Present { data, .. } => {
                found.insert((from.kind, from.name.clone()), data);
            }
            Input::Absent => {}
            Input::Unreadable(reason) => {
                let message = format!("{id} cannot be read: {reason}");
                return Err(Failure::new(Reason::ValuesError, Retry::Backoff, message));
            }
        }
    }
    compose(namespace, &release.spec, |kind, name| found.get(&(kind, name.to_owned())).map(|data| &**data))
        .map_err(|error| Failure::new(Reason::ValuesError, Retry::Interval, error.to_string()))
}

/// `upgrade.preserveValues`: what the last release was given, with what is given now over it.
pub(super) fn preserved(last: Map<String, Value>, values: &Values) -> Values {
    let mut all = Value::Object(last);
    merge(&mut all, &Value::Object(values.expose().clone()));
    match all {
        Value::Object(all) => Values::from(all),
        _ => values.clone(),
    }
}

fn merge(into: &mut Value, over: &Value) {
    match (into, over) {
        (Value::Object(into), Value::Object(over)) => {
            for (key, value) in over {
                match into.get_mut(key) {
                    Some(there) => merge(there, value),
                    None => {
                        into.insert(key.clone(), value.clone());
                    }
                }
            }
        }
        (into, over) => *into = over.clone(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_last_release_was_given_is_kept_where_nothing_else_is_given() {
        let last = json!({"a": {"b": 1, "c": 2}, "d": [1]}).as_object().unwrap().clone();
        let now = json!({"a": {"b": 3}, "d": [2], "e": true}).as_object().unwrap().clone();
        let all = preserved(last, &Values::from(now));
        assert_eq!(Value::Object(all.into_exposed()), json!({"a": {"b": 3, "c": 2}, "d": [2], "e": true}));
    }
}
