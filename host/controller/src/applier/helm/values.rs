//! The values of a release, from the spec and from the ConfigMaps and Secrets that it names.

use std::collections::HashMap;

use plumb_api::{HelmRelease, Reason, ValuesKind};
use plumb_helm::values::{Values, compose};

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
