//! The ConfigMaps and Secrets that steps are made from.

use plumb_api::{KustomizationStatus, Reason};
use plumb_pipeline::{Spec, Values};

use super::failure::{Failure, Retry};
use super::run::Run;
use crate::Config;
use crate::inputs::{Input, InputId};
use crate::plugins::listing;

/// The Secret with the operator's keys, if there is one and it is used.
fn operator_keys(spec: &Spec, config: &Config) -> Option<InputId> {
    let name = config.sops_age_secret.as_ref().filter(|_| spec.uses_operator_keys())?;
    Some(InputId::secret(config.namespace.clone(), name.clone()))
}

/// What of the operator's decides how something is decrypted.
pub(super) fn of_operator(spec: &Spec, config: &Config) -> impl Iterator<Item = InputId> {
    let decrypts = spec.steps.iter().any(|step| step.decryption.is_some());
    operator_keys(spec, config).into_iter().chain(listing(config).filter(|_| decrypts))
}

/// All that there are. Whether one that is not there matters is for its step to say.
pub(super) async fn gather(run: &Run<'_, KustomizationStatus>) -> Result<Values, Failure> {
    let (mut values, mut mistakes) = (Values::default(), Vec::new());
    for input in run.spec.inputs() {
        let id = InputId::new(input.kind(), run.id.key.namespace.clone(), input.name.to_owned());
        match run.context.inputs.get(&id).await {
            Input::Present { data, .. } => values.insert(input.kind(), input.name, data.as_ref().clone()),
            Input::Absent => {}
            Input::Unreadable(reason) => mistakes.push(format!("{id} cannot be read: {reason}")),
        }
    }
    if let Some(id) = operator_keys(&run.spec, &run.context.config) {
        match run.context.inputs.get(&id).await {
            Input::Present { data, .. } => values.insert_operator_keys(&data),
            // It is said which key is missing when something has to be decrypted.
            Input::Absent => {}
            Input::Unreadable(reason) => mistakes.push(format!("{id} cannot be read: {reason}")),
        }
    }
    if mistakes.is_empty() {
        return Ok(values);
    }
    // The API server may answer in a moment, and of a first answer nobody is told.
    Err(Failure::new(Reason::BuildFailed, Retry::Backoff, mistakes.join("; ")))
}
