//! When a dependency is ready: `spec.dependsOn[].readyExpr`.

use crate::expression::{CompileError, EvaluateError, Expression};
use crate::schema::free_variables;

/// The variables of a `readyExpr`.
const VARIABLES: [&str; 2] = ["dep", "self"];

/// A `readyExpr`, over `dep`, the object that is waited for, and `self`, the object that waits.
#[derive(Clone, Debug)]
pub struct ReadyExpression(Expression);

impl ReadyExpression {
    /// Reads a `readyExpr`.
    ///
    /// # Errors
    ///
    /// When the text is not an expression, or uses another variable than `dep` and `self`.
    pub fn compile(text: &str) -> Result<Self, CompileError> {
        let expression = Expression::compile(text)?;
        let unknown =
            free_variables(expression.parsed()).into_iter().find(|name| !VARIABLES.contains(&name.as_str()));
        if let Some(name) = unknown {
            return Err(CompileError::UnknownVariable { name, known: VARIABLES.map(str::to_owned).to_vec() });
        }
        Ok(Self(expression))
    }

    /// The expression, to [`check`](crate::check) it.
    pub fn expression(&self) -> &Expression {
        &self.0
    }

    /// Whether the dependency is ready.
    ///
    /// # Errors
    ///
    /// As [`Expression::evaluate_bool`].
    pub fn evaluate(&self, dep: &serde_json::Value, this: &serde_json::Value) -> Result<bool, EvaluateError> {
        self.0.evaluate_bool(&[("dep", dep), ("self", this)])
    }
}
