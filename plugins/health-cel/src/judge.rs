//! What a rule says of an object.

use std::collections::BTreeSet;

use plumb_cel::{EvaluateError, Expression, check};
use plumbline_plugin::{Error, Errors, Object, Report, Status};
use serde_json::{Map, Value};

use crate::rule::Rule;

/// A rule whose expressions have been read.
pub(crate) struct Compiled {
    /// In the order in which they are tried.
    states: Vec<(Status, Expression)>,
    message: Option<Expression>,
    about: Vec<String>,
}

impl Compiled {
    /// Reads the expressions of a rule; every mistake is told.
    pub(crate) fn read(rule: &Rule) -> Result<Self, Errors> {
        let mut errors = Errors::default();
        let mut read = |field: &str, text: Option<&String>| {
            let expression = Expression::compile(text?);
            expression
                .map_err(|error| {
                    errors.push(Error::invalid(format!("{field} of the rule for {}: {error}", what(rule))))
                })
                .ok()
        };
        let in_progress = read("inProgress", rule.in_progress.as_ref());
        let failed = read("failed", rule.failed.as_ref());
        let current = read("current", Some(&rule.current));
        let message = read("message", rule.message.as_ref());
        let states =
            [(Status::InProgress, in_progress), (Status::Failed, failed), (Status::Current, current)];
        let states =
            states.into_iter().filter_map(|(status, expression)| Some((status, expression?))).collect();
        errors.or(Self { states, message, about: rule.about.clone() })
    }

    /// Variables that no object has, so that a misspelt one is told and not waited for.
    pub(crate) fn check(&self, rule: &Rule, object: &Object) -> Result<(), Errors> {
        let fields = object.as_value().as_object().into_iter().flatten().map(|(name, _)| name.as_str());
        let names: BTreeSet<&str> =
            fields.chain(["metadata", "spec", "status", "object", "conditions"]).collect();
        let known: Vec<(&str, &Value)> = names.iter().map(|name| (*name, &Value::Null)).collect();
        let expressions = self.states.iter().map(|(_, expression)| expression).chain(&self.message);
        let mut errors = Errors::default();
        for unknown in expressions.flat_map(|expression| check(expression, &known)) {
            let message = format!("the rule for {}: there is no variable `{}`", what(rule), unknown.path);
            errors.push(
                Error::invalid(message)
                    .hint(format!("There are {}.", Vec::from_iter(names.clone()).join(", "))),
            );
        }
        errors.or(())
    }

    /// How an object is. The first of `inProgress`, `failed` and `current` that is true counts; when none is, it is on its way. An expression
    /// that asks for a field which the object does not have is not true.
    pub(crate) fn judge(&self, object: &Object) -> Report {
        let seen = Seen::of(object);
        let variables = seen.variables(object);
        for (status, expression) in &self.states {
            match expression.evaluate_bool(&variables) {
                Ok(true) if *status == Status::Current => return Report::current(),
                Ok(true) => return Report::new(*status, self.message(object, &seen, &variables)),
                Ok(false) => {}
                Err(error) if error.is_missing() => {}
                // Whether it is well is not known.
                Err(error) => return Report::new(Status::Unknown, unknown(&error)),
            }
        }
        Report::new(Status::InProgress, self.message(object, &seen, &variables))
    }

    fn message(&self, object: &Object, seen: &Seen, variables: &[(&str, &Value)]) -> String {
        if seen.status.as_object().is_some_and(Map::is_empty) {
            return "nothing has looked after it yet: it has no status".to_owned();
        }
        let made = self.message.as_ref().and_then(|message| message.evaluate_text(variables).ok());
        let made = made.map(|made| made.trim().to_owned()).filter(|made| !made.is_empty());
        made.or_else(|| seen.told(&self.about)).unwrap_or_else(|| {
            format!("its status does not yet say that the {} is as it should be", object.kind())
        })
    }
}

fn what(rule: &Rule) -> String {
    let kinds: Vec<&str> = rule.kinds().collect();
    match kinds.as_slice() {
        [] => format!("all kinds of {}", rule.group()),
        kinds => format!("{} of {}", kinds.join(", "), rule.group()),
    }
}

fn unknown(error: &EvaluateError) -> String {
    format!("the rule cannot be evaluated: {error}")
}

/// What rules look at besides the fields of the object.
struct Seen {
    spec: Value,
    status: Value,
    metadata: Value,
    /// `status.conditions` by their types.
    conditions: Value,
}

impl Seen {
    fn of(object: &Object) -> Self {
        let field = |name: &str| match object.as_value().get(name) {
            Some(Value::Null) | None => Value::Object(Map::new()),
            Some(value) => value.clone(),
        };
        let status = field("status");
        let list = status.get("conditions").and_then(Value::as_array).into_iter().flatten();
        let typed = list
            .filter_map(|condition| Some((condition.get("type")?.as_str()?.to_owned(), condition.clone())));
        let conditions = Value::Object(typed.collect());
        Self { spec: field("spec"), metadata: field("metadata"), status, conditions }
    }

    fn variables<'a>(&'a self, object: &'a Object) -> Vec<(&'a str, &'a Value)> {
        let own = ["spec", "status", "metadata", "conditions", "object"];
        let fields = object.as_value().as_object().into_iter().flatten();
        let fields =
            fields.map(|(name, value)| (name.as_str(), value)).filter(|(name, _)| !own.contains(name));
        fields
            .chain([
                ("spec", &self.spec),
                ("status", &self.status),
                ("metadata", &self.metadata),
                ("conditions", &self.conditions),
                ("object", object.as_value()),
            ])
            .collect()
    }

    /// What the most telling condition says: the first of those that are named which tells of trouble; else the first that is there; else any
    /// that is false. One that is named with a `!` in front tells of trouble when it is true, others when they are not.
    fn told(&self, about: &[String]) -> Option<String> {
        let all = self.conditions.as_object()?;
        let named = if about.is_empty() { vec!["Ready"] } else { about.iter().map(String::as_str).collect() };
        let is_true = |condition: &Value| text(condition, "status") == "True";
        let trouble = named.iter().find_map(|name| match name.strip_prefix('!') {
            Some(name) => all.get(name).filter(|condition| is_true(condition)),
            None => all.get(*name).filter(|condition| !is_true(condition)),
        });
        let there = || named.iter().find_map(|name| all.get(*name));
        let any = || all.values().find(|condition| text(condition, "status") == "False");
        trouble.or_else(there).or_else(any).map(explained)
    }
}

/// `Ready is False: Pending: the issuer is not ready`.
fn explained(condition: &Value) -> String {
    let state = format!("{} is {}", text(condition, "type"), text(condition, "status"));
    let parts = [state.as_str(), text(condition, "reason"), text(condition, "message").trim()];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ")
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}
