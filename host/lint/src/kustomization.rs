//! What can be said of one Kustomization.

use std::time::Duration;

use plumb_api::Kustomization;

use crate::finding::{Finding, Problem, object_name};
use crate::{LINT_IGNORE, Rule};

/// Above this interval it is worth saying how long a retry and a health check may take.
const LONG: Duration = Duration::from_secs(600);

/// What can be said of one Kustomization without looking at anything else. Cheap and pure: meant to be asked for every object that a
/// controller sees.
pub fn lint_kustomization(object: &Kustomization) -> Vec<Finding> {
    let name = name_of(object);
    problems(object).into_iter().map(|problem| problem.of(name.clone(), None)).collect()
}

/// The problems of one Kustomization, without those that its annotation switches off.
pub(crate) fn problems(object: &Kustomization) -> Vec<Problem> {
    let spec = &object.spec;
    let mut problems = Vec::new();
    let mut found = |rule, field, message: String| problems.push(Problem::new(rule, field, message));
    if !spec.prune {
        let message = "spec.prune is false: what is removed from Git stays in the cluster for ever";
        found(Rule::PruneOff, &["spec", "prune"], message.to_owned());
    }
    let checks_health = spec.wait || !spec.health_checks.is_empty() || !spec.health_check_exprs.is_empty();
    if !checks_health {
        let message = "it has neither spec.wait nor spec.healthChecks nor spec.healthCheckExprs: it is ready as soon as \
                       its objects are applied, though none of them may ever work";
        found(Rule::NoHealthChecks, &["spec"], message.to_owned());
    }
    if spec.force {
        let message = "spec.force is true: any object with a changed immutable field is deleted and made anew, with what it holds";
        found(Rule::Force, &["spec", "force"], message.to_owned());
    }
    if spec.validation.is_some() {
        let message =
            "spec.validation has no effect: the API server validates all objects before any is applied";
        found(Rule::DeprecatedField, &["spec", "validation"], message.to_owned());
    }
    let is_long = spec.interval.to_std() > LONG;
    if is_long && spec.retry_interval.is_none() {
        let message = format!("what fails is tried again after spec.interval, {}, only", spec.interval);
        found(Rule::NoRetryInterval, &["spec", "interval"], message);
    }
    if is_long && checks_health && spec.timeout.is_none() {
        let message = format!(
            "there is no spec.timeout: a health check may go on for nearly spec.interval, {}, before it fails",
            spec.interval
        );
        found(Rule::NoTimeout, &["spec", "interval"], message);
    }
    problems.retain(|problem| !is_ignored(object, problem.rule));
    problems
}

/// Whether the object's annotation switches a rule off.
pub(crate) fn is_ignored(object: &Kustomization, rule: Rule) -> bool {
    let annotations = object.metadata.annotations.as_ref();
    switches_off(annotations.and_then(|annotations| annotations.get(LINT_IGNORE)).map(String::as_str), rule)
}

/// Whether the value of [`LINT_IGNORE`] names a rule.
pub(crate) fn switches_off(value: Option<&str>, rule: Rule) -> bool {
    value.is_some_and(|names| names.split(',').any(|name| name.trim() == rule.name()))
}

pub(crate) fn name_of(object: &Kustomization) -> String {
    let metadata = &object.metadata;
    object_name(
        "Kustomization",
        metadata.namespace.as_deref(),
        metadata.name.as_deref().unwrap_or("(without a name)"),
    )
}
