//! `spec.postBuild.substituteFrom`: values from ConfigMaps and Secrets.

use std::collections::BTreeMap;

use plumb_api::{Reason, Sensitive, SubstituteReference, ValuesKind};
use plumb_pipeline::Variables;

use super::failure::{Failure, Retry};
use super::{Applier, Run};
use crate::inputs::{Data, Input, InputId};

/// All variables of `spec.postBuild`; none when there is no such field. Every input that cannot be had is named.
pub(super) async fn gather(run: &Run<'_>) -> Result<Variables, Failure> {
    let Applier::Kustomization(object) = &run.object else { return Ok(Variables::default()) };
    let Some(post_build) = &object.spec.post_build else { return Ok(Variables::default()) };
    let (mut all, mut mistakes) = (Vec::new(), Vec::new());
    // Whatever is created or changed has it looked at again.
    let mut retry = Retry::Interval;
    for reference in &post_build.substitute_from {
        let id = input_of(reference, &run.id.key.namespace);
        match run.context.inputs.get(&id).await {
            Input::Present { data, .. } => match text(&data, reference.kind) {
                Ok(values) => all.push(values),
                Err(key) => mistakes.push(format!("{id}: the value of {key:?} is not text")),
            },
            Input::Absent if reference.optional => {}
            Input::Absent => mistakes.push(format!("{id} does not exist; create it, or set optional: true")),
            Input::Unreadable(reason) => {
                // The API server may answer in a moment, and of a first answer nobody is told.
                retry = Retry::Backoff;
                mistakes.push(format!("{id} cannot be read: {reason}"));
            }
        }
    }
    if mistakes.is_empty() {
        return Ok(Variables::merge(&all, &post_build.substitute));
    }
    let message = format!("spec.postBuild.substituteFrom: {}", mistakes.join("; "));
    Err(Failure::new(Reason::BuildFailed, retry, message))
}

/// The object that an entry of `substituteFrom` names.
pub(super) fn input_of(reference: &SubstituteReference, namespace: &str) -> InputId {
    InputId::new(reference.kind, namespace.to_owned(), reference.name.clone())
}

/// The values that are text. Those of a Secret have to be; a ConfigMap says itself which are not, and they are no variables.
fn text(data: &Data, kind: ValuesKind) -> Result<BTreeMap<String, Sensitive<String>>, String> {
    let mut values = BTreeMap::new();
    for (key, value) in data.iter() {
        match String::from_utf8(value.expose().clone()) {
            Ok(text) => {
                values.insert(key.clone(), Sensitive::new(text));
            }
            Err(_) if kind == ValuesKind::ConfigMap => {}
            Err(_) => return Err(key.clone()),
        }
    }
    Ok(values)
}
