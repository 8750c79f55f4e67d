//! Whether a step of a Pipeline runs: `spec.steps[].when`.

use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::expression::{CompileError, EvaluateError, Expression};
use crate::schema::{Finding, check, free_variables};

/// The variables of a `when`.
const VARIABLES: [&str; 2] = ["source", "pipeline"];

/// What the variables of a `when` have.
static SCHEMAS: LazyLock<[Value; 2]> = LazyLock::new(|| {
    let object = |fields: &[&str]| {
        let text = |field: &&str| ((*field).to_owned(), json!({"type": "string"}));
        json!({"type": "object", "properties": fields.iter().map(text).collect::<serde_json::Map<_, _>>()})
    };
    [
        object(&["kind", "name", "namespace", "revision", "ref", "digest"]),
        object(&["kind", "name", "namespace"]),
    ]
});

/// A `when`, over `source`, the revision that is rendered, and `pipeline`, the object that renders it.
#[derive(Clone, Debug)]
pub struct WhenExpression(Expression);

/// Why a text is not a `when`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WhenError {
    /// It is not an expression, or uses another variable than `source` and `pipeline`.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// It looks at a field that the variables do not have.
    #[error("{0}")]
    Field(Finding),
}

impl WhenExpression {
    /// Reads a `when`. A misspelt variable or field is told here, and not when it is evaluated.
    ///
    /// # Errors
    ///
    /// When the text is not an expression, or uses a variable or field that there is not.
    pub fn compile(text: &str) -> Result<Self, WhenError> {
        let expression = Expression::compile(text)?;
        let unknown =
            free_variables(expression.parsed()).into_iter().find(|name| !VARIABLES.contains(&name.as_str()));
        if let Some(name) = unknown {
            let known = VARIABLES.map(str::to_owned).to_vec();
            return Err(CompileError::UnknownVariable { name, known }.into());
        }
        let [source, pipeline] = &*SCHEMAS;
        let findings = check(&expression, &[("source", source), ("pipeline", pipeline)]);
        match findings.into_iter().next() {
            Some(finding) => Err(WhenError::Field(finding)),
            None => Ok(Self(expression)),
        }
    }

    /// Whether the step runs.
    ///
    /// # Errors
    ///
    /// As [`Expression::evaluate_bool`]: for one that is missing, because a source has no `ref`, among others.
    pub fn evaluate(&self, source: &Value, pipeline: &Value) -> Result<bool, EvaluateError> {
        self.0.evaluate_bool(&[("source", source), ("pipeline", pipeline)])
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("source.revision.startsWith('main@')", true)]
    #[case("source.ref == 'main' && pipeline.namespace == 'team-a'", true)]
    #[case("source.kind == 'OCIRepository'", false)]
    #[case("has(source.digest) && source.digest != ''", false)]
    fn it_looks_at_the_source_and_the_pipeline(#[case] text: &str, #[case] expected: bool) {
        let source = json!({"kind": "GitRepository", "name": "shop", "namespace": "team-a",
            "revision": "main@sha1:ab", "ref": "main"});
        let pipeline = json!({"kind": "Pipeline", "name": "shop", "namespace": "team-a"});
        assert_eq!(WhenExpression::compile(text).unwrap().evaluate(&source, &pipeline), Ok(expected));
    }

    #[rstest]
    #[case("source.", "line 1, column 8")]
    #[case("cluster.name == 'a'", "there is no variable `cluster`; there is source and pipeline")]
    #[case("source.revisoin == 'a'", "there is no field `source.revisoin`; is `source.revision` meant?")]
    #[case("fetch('a')", "there is no function `fetch`")]
    fn a_mistake_is_told_when_it_is_read(#[case] text: &str, #[case] message: &str) {
        let error = WhenExpression::compile(text).unwrap_err().to_string();
        assert!(error.starts_with(message), "{error}");
    }

    // Attack 11 (YAML): an expression that would never end.
    #[test]
    fn an_expression_that_costs_too_much_is_given_up() {
        let list = format!("[{}]", "1,".repeat(60) + "1");
        let text = format!("{list}.all(a, {list}.all(b, {list}.all(c, {list}.all(d, a + b + c + d > 0))))");
        let when = WhenExpression::compile(&text).unwrap();
        let error = when.evaluate(&json!({}), &json!({})).unwrap_err();
        assert!(matches!(error, EvaluateError::TooCostly { .. }), "{error}");
    }
}
