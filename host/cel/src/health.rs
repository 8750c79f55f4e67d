//! The health of custom resources, as `spec.healthCheckExprs` tells it (Flux RFC 0009).

use std::collections::BTreeMap;

use plumb_api::CustomHealthCheck;
use serde_json::Value;

use crate::expression::{CompileError, EvaluateError, Expression};
use crate::schema::{Finding, check};

/// How an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It is on its way.
    InProgress,
    /// It has failed.
    Failed,
    /// It is as it should be.
    Current,
}

/// The expressions of all entries of `spec.healthCheckExprs`.
#[derive(Clone, Debug, Default)]
pub struct HealthExpressions {
    /// By API group and kind. An entry without a kind is for all kinds of its group that have none of their own.
    entries: BTreeMap<(String, Option<String>), HealthExpression>,
}

/// The expressions of one entry.
#[derive(Clone, Debug)]
pub struct HealthExpression {
    in_progress: Option<Expression>,
    failed: Option<Expression>,
    current: Expression,
}

/// What is wrong with an entry of `spec.healthCheckExprs`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HealthExpressionError {
    /// An expression cannot be read.
    #[error("healthCheckExprs[{index}].{field}: {source}")]
    Compile {
        /// Which entry, from 0.
        index: usize,
        /// `current`, `inProgress` or `failed`.
        field: &'static str,
        /// Why.
        source: CompileError,
    },
    /// Two entries are for the same objects.
    #[error(
        "healthCheckExprs[{index}] is a second entry for {what}; only the group and the kind count, not the version"
    )]
    Duplicate {
        /// Which entry, from 0.
        index: usize,
        /// The kind and group, or the group alone.
        what: String,
    },
}

impl HealthExpressions {
    /// Reads all entries.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with them: an expression that cannot be read, a second entry for the same group and kind.
    pub fn compile(checks: &[CustomHealthCheck]) -> Result<Self, Vec<HealthExpressionError>> {
        let mut entries = BTreeMap::new();
        let mut errors = Vec::new();
        for (index, check) in checks.iter().enumerate() {
            let group = group(&check.api_version).to_owned();
            match HealthExpression::compile(index, check) {
                Err(wrong) => errors.extend(wrong),
                Ok(entry) => {
                    let what = match &check.kind {
                        Some(kind) => format!("{kind} of `{group}`"),
                        None => format!("all kinds of `{group}`"),
                    };
                    if entries.insert((group, check.kind.clone()), entry).is_some() {
                        errors.push(HealthExpressionError::Duplicate { index, what });
                    }
                }
            }
        }
        if errors.is_empty() { Ok(Self { entries }) } else { Err(errors) }
    }

    /// The expressions for a kind of object, if there are any. `group` is empty for the core group.
    pub fn of(&self, group: &str, kind: &str) -> Option<&HealthExpression> {
        let of_kind = self.entries.get(&(group.to_owned(), Some(kind.to_owned())));
        of_kind.or_else(|| self.entries.get(&(group.to_owned(), None)))
    }
}

impl HealthExpression {
    fn compile(index: usize, check: &CustomHealthCheck) -> Result<Self, Vec<HealthExpressionError>> {
        let compile = |field: &'static str, text: &str| {
            Expression::compile(text).map_err(|source| HealthExpressionError::Compile {
                index,
                field,
                source,
            })
        };
        let in_progress = check.in_progress.as_ref().map(|text| compile("inProgress", text)).transpose();
        let failed = check.failed.as_ref().map(|text| compile("failed", text)).transpose();
        match (in_progress, failed, compile("current", &check.current)) {
            (Ok(in_progress), Ok(failed), Ok(current)) => Ok(Self { in_progress, failed, current }),
            (in_progress, failed, current) => {
                Err([in_progress.err(), failed.err(), current.err()].into_iter().flatten().collect())
            }
        }
    }

    /// How a live object is. The variables are its fields: `status`, `spec`, `metadata`, `data`, …
    ///
    /// While `status.observedGeneration` differs from `metadata.generation` it is in progress, whatever the expressions say. Then the first
    /// of `inProgress`, `failed` and `current` that is true counts; when none is, it is in progress.
    ///
    /// # Errors
    ///
    /// When an expression that is tried fails, usually because the object has no `status` yet. Flux keeps waiting then, until the timeout.
    pub fn evaluate(&self, object: &Value) -> Result<Health, EvaluateError> {
        let observed = object.pointer("/status/observedGeneration").and_then(Value::as_i64);
        let generation = object.pointer("/metadata/generation").and_then(Value::as_i64);
        if let (Some(observed), Some(generation)) = (observed, generation)
            && observed != generation
        {
            return Ok(Health::InProgress);
        }
        let variables: Vec<(&str, &Value)> =
            object.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value)).collect();
        for (health, expression) in self.expressions() {
            if expression.evaluate_bool(&variables)? {
                return Ok(health);
            }
        }
        Ok(Health::InProgress)
    }

    /// Fields that the expressions look at and that the kind does not have, by its schema (`spec.versions[].schema.openAPIV3Schema`
    /// of its CRD).
    pub fn check(&self, schema: &Value) -> Vec<Finding> {
        let anything = Value::Bool(true);
        let mut variables: Vec<(&str, &Value)> =
            vec![("apiVersion", &anything), ("kind", &anything), ("metadata", &anything)];
        let fields = schema.get("properties").and_then(Value::as_object);
        let Some(fields) = fields else {
            return Vec::new();
        };
        variables.extend(
            fields
                .iter()
                .map(|(name, schema)| (name.as_str(), schema))
                .filter(|(name, _)| !["apiVersion", "kind", "metadata"].contains(name)),
        );
        self.expressions().flat_map(|(_, expression)| check(expression, &variables)).collect()
    }

    /// In the order in which they are tried.
    fn expressions(&self) -> impl Iterator<Item = (Health, &Expression)> {
        let in_progress = self.in_progress.iter().map(|expression| (Health::InProgress, expression));
        let failed = self.failed.iter().map(|expression| (Health::Failed, expression));
        in_progress.chain(failed).chain([(Health::Current, &self.current)])
    }
}

fn group(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}
