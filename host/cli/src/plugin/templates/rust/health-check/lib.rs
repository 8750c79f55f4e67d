//! Says how objects of one kind are doing, by the phase in their status.

use plumbline_plugin::{Error, Errors, Object, Report, Status, health_check};
use serde::Deserialize;

/// What is said under `with:` where the plugin is chosen.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    /// The kind that it knows.
    kind: String,
    /// The phase of an object that is what its spec asks for.
    ready: String,
}

fn check(object: &Object, parameters: Parameters) -> Result<Report, Errors> {
    if object.kind() != parameters.kind {
        // Not `Unknown`, which is for an object of a kind that it does know.
        return Err(Error::unsupported(format!("the kind {} is not known", object.kind())).into());
    }
    Ok(match object.get("/status/phase").and_then(|phase| phase.as_str()) {
        Some(phase) if phase == parameters.ready => Report::current(),
        Some("Failed") => Report::new(Status::Failed, "its phase is Failed"),
        Some(phase) => Report::new(Status::InProgress, format!("its phase is {phase}")),
        None => Report::new(Status::InProgress, "it has no phase yet"),
    })
}

health_check!(check);
