//! Tells the health of custom resources: by the rules that a step gives, and else by a pack of rules for the kinds of operators that many use.
//!
//! The language is that of [`plumb_cel`], which bounds what an evaluation may cost.

mod judge;
mod pack;
mod rule;

use plumbline_plugin::{Error, Errors, Object, Report, Status, health_check};
use serde::Deserialize;
use serde_json::Value;

use judge::Compiled;
pub use rule::Rule;

/// What is said under `with`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// Rules that go before those of the pack, the first that is for a kind before others.
    #[serde(default)]
    rules: Vec<Rule>,
}

health_check!(check);

/// How an object is.
///
/// # Errors
///
/// When there is no rule for its kind (`unsupported`), and when the rules that were given cannot be used.
pub fn check(object: &Object, parameters: Parameters) -> Result<Report, Errors> {
    let group = object.api_version().split_once('/').map_or("", |(group, _)| group);
    let given = parameters.rules.into_iter().find(|rule| rule.is_for(group, object.kind()));
    let is_given = given.is_some();
    let Some(rule) = given.or_else(|| pack::rule(group, object.kind())) else {
        return Err(Error::unsupported(format!(
            "there is no rule for the kind {} of {group}",
            object.kind()
        ))
        .hint("Give one in `with.rules`.")
        .into());
    };
    let compiled = Compiled::read(&rule)?;
    if is_given {
        compiled.check(&rule, object)?;
    }
    Ok(of_any_kind(object).unwrap_or_else(|| compiled.judge(object)))
}

/// What holds for every kind: deletion, and a spec that has not been looked at yet.
fn of_any_kind(object: &Object) -> Option<Report> {
    if object.get("/metadata/deletionTimestamp").is_some_and(|time| !time.is_null()) {
        return Some(Report::new(Status::Terminating, "it is being deleted"));
    }
    let number = |pointer| object.get(pointer).and_then(Value::as_i64);
    match (number("/metadata/generation"), number("/status/observedGeneration")) {
        (Some(generation), Some(observed)) if generation != observed => Some(Report::new(
            Status::InProgress,
            format!("generation {generation} has not been observed yet, the last one was {observed}"),
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
