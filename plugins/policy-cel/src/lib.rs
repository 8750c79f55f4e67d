//! Judges objects by rules that are written in CEL, as ValidatingAdmissionPolicy does, before anything reaches a cluster.
//!
//! The language is that of [`plumb_cel`], which bounds what an evaluation may cost.

use std::collections::BTreeSet;

use plumb_cel::{EvaluateError, Expression, check};
use plumbline_plugin::{Error, Errors, Finding, Object, Selector, Severity, validator};
use serde::Deserialize;
use serde_json::Value;

/// What a step says under `with`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// What must hold.
    rules: Vec<Rule>,
    /// What expressions see as `params`.
    #[serde(default = "no_params")]
    params: Value,
}

fn no_params() -> Value {
    Value::Object(serde_json::Map::new())
}

/// Something that must hold for objects.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Rule {
    name: String,
    #[serde(default, rename = "match")]
    selector: Selector,
    expression: String,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    message_expression: Option<String>,
    #[serde(default)]
    field: Option<String>,
    #[serde(default)]
    severity: Weight,
}

/// How much it matters that a rule is broken.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Weight {
    #[default]
    Error,
    Warning,
}

impl From<Weight> for Severity {
    fn from(weight: Weight) -> Self {
        match weight {
            Weight::Error => Self::Error,
            Weight::Warning => Self::Warning,
        }
    }
}

validator!(validate);

/// Every rule that an object breaks, or that cannot be evaluated over it.
///
/// # Errors
///
/// Everything that is wrong with the rules themselves: syntax, unknown functions and variables, names that come twice.
pub fn validate(objects: &[Object], parameters: Parameters) -> Result<Vec<Finding>, Errors> {
    let rules = compile(&parameters.rules)?;
    let mut findings = Vec::new();
    for (index, object) in objects.iter().enumerate() {
        let variables = [("object", object.as_value()), ("params", &parameters.params)];
        let of_object = rules.iter().filter(|rule| rule.rule.selector.selects(object));
        findings.extend(of_object.filter_map(|rule| rule.judge(index, &variables)));
    }
    Ok(findings)
}

/// A rule whose expressions have been read.
struct Compiled<'a> {
    rule: &'a Rule,
    expression: Expression,
    message: Option<Expression>,
}

fn compile(rules: &[Rule]) -> Result<Vec<Compiled<'_>>, Errors> {
    let mut errors = Errors::default();
    let mut compiled = Vec::with_capacity(rules.len());
    let mut names = BTreeSet::new();
    for rule in rules {
        if !names.insert(&rule.name) {
            errors.push(Error::invalid(format!("two rules have the name {:?}", rule.name)));
        }
        if rule.field.as_ref().is_some_and(|field| !field.is_empty() && !field.starts_with('/')) {
            errors.push(
                Error::invalid(format!("the field of the rule {:?} is not a JSON Pointer", rule.name))
                    .hint("Write it like `/spec/replicas`."),
            );
        }
        let expression = read(rule, "expression", &rule.expression);
        let message =
            rule.message_expression.as_ref().map(|text| read(rule, "messageExpression", text)).transpose();
        match (expression, message) {
            (Ok(expression), Ok(message)) => compiled.push(Compiled { rule, expression, message }),
            (expression, message) => errors.extend([expression.err(), message.err()].into_iter().flatten()),
        }
    }
    errors.or(compiled)
}

fn read(rule: &Rule, field: &str, text: &str) -> Result<Expression, Error> {
    let wrong = |why: String| {
        Error::invalid(format!("the {field} of the rule {:?} cannot be used: {why}", rule.name))
            .hint("Expressions are CEL over `object` and `params`.")
    };
    let expression = Expression::compile(text).map_err(|error| wrong(error.to_string()))?;
    match check(&expression, &[("object", &Value::Null), ("params", &Value::Null)]).first() {
        Some(unknown) => Err(wrong(format!("there is no variable `{}`", unknown.path))),
        None => Ok(expression),
    }
}

impl Compiled<'_> {
    fn judge(&self, object: usize, variables: &[(&str, &Value)]) -> Option<Finding> {
        let (severity, message) = match self.expression.evaluate_bool(variables) {
            Ok(true) => return None,
            Ok(false) => (self.rule.severity.into(), self.message(variables)),
            // As with `failurePolicy: Fail`: whether the object keeps a rule is not known, so it does not pass.
            Err(error) => (Severity::Error, unknown(&error)),
        };
        Some(Finding {
            severity,
            object,
            field: self.rule.field.clone(),
            rule: self.rule.name.clone(),
            message,
        })
    }

    /// As upstream: a message that cannot be made, or is empty, is replaced by the fixed one.
    fn message(&self, variables: &[(&str, &Value)]) -> String {
        let made = self.message.as_ref().and_then(|message| message.evaluate_text(variables).ok());
        let made = made.map(|made| made.trim().to_owned()).filter(|made| !made.is_empty());
        made.or_else(|| self.rule.message.clone())
            .unwrap_or_else(|| format!("it does not fulfil `{}`", self.expression.text().trim()))
    }
}

fn unknown(error: &EvaluateError) -> String {
    format!("the rule cannot be evaluated: {error}")
}

#[cfg(test)]
mod tests;
