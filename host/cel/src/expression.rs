//! One expression: its text, what it means, and how it is evaluated.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use kube_cel::cel::parser::Parser;
use kube_cel::cel::{ExecutionError, IdedExpr, ParseErrors, Value};

use crate::budget::{self, Budget};
use crate::functions::CONTEXT;
use crate::guard::{Refusal, guard};
use crate::value::from_json;

/// How long the text of an expression may be, in bytes. The parser works by recursion.
const LENGTH: usize = 4096;

/// How deep brackets may be nested, and operators in front of each other.
const NESTING: usize = 64;

/// How long a reason may be that is told, in characters: the parser lists all that it would have accepted.
const REASON: usize = 200;

/// An expression that can be evaluated.
#[derive(Clone, Debug)]
pub struct Expression {
    text: String,
    parsed: IdedExpr,
    guarded: IdedExpr,
}

/// Why a text is not an expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// The text is longer than 4096 bytes.
    #[error("the expression has {length} bytes, {LENGTH} are allowed")]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// The text is nested deeper than 64 levels.
    #[error("the expression is nested too deeply; write it in several parts")]
    TooDeep,
    /// The text is not CEL.
    #[error("line {line}, column {column}: {reason}")]
    Syntax {
        /// Counted from 1.
        line: usize,
        /// Counted from 1, in characters.
        column: usize,
        /// What the parser says, at most 200 characters.
        reason: String,
    },
    /// The text calls a function that there is none of.
    #[error("there is no function `{name}`")]
    UnknownFunction {
        /// The name that was called.
        name: String,
    },
    /// The text uses a variable that is not given.
    #[error("there is no variable `{name}`; there is {}", .known.join(" and "))]
    UnknownVariable {
        /// The name that was used.
        name: String,
        /// The variables that are given.
        known: Vec<String>,
    },
    /// The text builds an object of a type, as in `Type{field: 1}`. There are no types in these expressions.
    #[error("objects of a type, such as `{name}{{…}}`, cannot be made here")]
    Message {
        /// The name of the type.
        name: String,
    },
}

/// Why an expression has no value, or none of the type that is asked for. No message has anything of the objects in it: they may be Secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvaluateError {
    /// A field or variable does not exist. Often the object does not have it yet.
    #[error("`{expression}`: there is no `{name}`; guard it with has() if it may be missing")]
    Missing {
        /// The expression, shortened.
        expression: String,
        /// The field or variable.
        name: String,
    },
    /// The value is not `true` or `false`.
    #[error("`{expression}` gives a {found}, not true or false")]
    NotBoolean {
        /// The expression, shortened.
        expression: String,
        /// The type of the value.
        found: String,
    },
    /// The value is not text.
    #[error("`{expression}` gives a {found}, not text")]
    NotText {
        /// The expression, shortened.
        expression: String,
        /// The type of the value.
        found: String,
    },
    /// It would take too long, usually because of macros inside macros over long lists.
    #[error("`{expression}` takes too many steps over this object")]
    TooCostly {
        /// The expression, shortened.
        expression: String,
    },
    /// An operator or a function does not take the value that it was given.
    #[error("`{expression}`: {reason}")]
    Failed {
        /// The expression, shortened.
        expression: String,
        /// What went wrong.
        reason: String,
    },
}

impl EvaluateError {
    /// Whether a field was missing, which another version of the object may have.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Missing { .. })
    }
}

impl Expression {
    /// Reads an expression. Which variables and fields there are is not looked at; see [`check`](crate::check).
    ///
    /// # Errors
    ///
    /// When the text is not CEL, is too long or too deep, or calls a function that there is none of.
    pub fn compile(text: &str) -> Result<Self, CompileError> {
        if text.len() > LENGTH {
            return Err(CompileError::TooLong { length: text.len() });
        }
        // The parser works by recursion: brackets and operators in front of an operand are counted before it sees them.
        if nesting(text) > NESTING {
            return Err(CompileError::TooDeep);
        }
        let parsed = parse(text)?;
        let guarded = guard(&parsed).map_err(|refusal| match refusal {
            Refusal::Function(name) => CompileError::UnknownFunction { name },
            Refusal::Deep => CompileError::TooDeep,
            Refusal::Message(name) => CompileError::Message { name },
        })?;
        Ok(Self { text: text.to_owned(), parsed, guarded })
    }

    /// The text that it was made from.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What the text means.
    pub(crate) fn parsed(&self) -> &IdedExpr {
        &self.parsed
    }

    /// Whether the expression is true of these variables. It takes some ten milliseconds at most; call it where blocking is no harm when objects may be large.
    ///
    /// # Errors
    ///
    /// When a field is missing, a value is of the wrong type, the result is not a truth value, or it takes too long.
    pub fn evaluate_bool(&self, variables: &[(&str, &serde_json::Value)]) -> Result<bool, EvaluateError> {
        match self.evaluate(variables)? {
            Value::Bool(value) => Ok(value),
            value => Err(EvaluateError::NotBoolean {
                expression: self.shortened(),
                found: value.type_of().to_string(),
            }),
        }
    }

    /// The text that the expression makes of these variables. It costs what [`Self::evaluate_bool`] does.
    ///
    /// # Errors
    ///
    /// When a field is missing, a value is of the wrong type, the result is not text, or it takes too long.
    pub fn evaluate_text(&self, variables: &[(&str, &serde_json::Value)]) -> Result<String, EvaluateError> {
        match self.evaluate(variables)? {
            Value::String(text) => Ok(Arc::unwrap_or_clone(text)),
            value => Err(EvaluateError::NotText {
                expression: self.shortened(),
                found: value.type_of().to_string(),
            }),
        }
    }

    fn evaluate(&self, variables: &[(&str, &serde_json::Value)]) -> Result<Value, EvaluateError> {
        let budget = Arc::new(Budget::new());
        let answer = self.run(variables, &budget);
        if budget.is_spent() {
            return Err(EvaluateError::TooCostly { expression: self.shortened() });
        }
        answer.map_err(|error| self.explain(error))
    }

    fn run(
        &self,
        variables: &[(&str, &serde_json::Value)],
        budget: &Arc<Budget>,
    ) -> Result<Value, ExecutionError> {
        let references = self.parsed.references();
        let mut scope = CONTEXT.new_inner_scope();
        for (name, value) in variables {
            if references.has_variable(name) {
                scope.add_variable_from_value(*name, from_json(value));
            }
        }
        scope.add_variable_from_value(budget::VARIABLE, Value::Opaque(budget.clone()));
        // The interpreter is young and has `unwrap` in it. Whoever writes an expression must not be able to end the process.
        catch_unwind(AssertUnwindSafe(|| Value::resolve(&self.guarded, &scope)))
            .unwrap_or_else(|_| Err(ExecutionError::function_error("", "the interpreter gave up")))
    }

    /// Leaves out the values, which the messages of the interpreter quote.
    fn explain(&self, error: ExecutionError) -> EvaluateError {
        let expression = self.shortened();
        let reason = match error {
            ExecutionError::UndeclaredReference(name) => {
                return EvaluateError::Missing { expression, name: String::clone(&name) };
            }
            // A key can be computed from a value, and then it is not in the text.
            ExecutionError::NoSuchKey(key) if self.text.contains(key.as_str()) => {
                return EvaluateError::Missing { expression, name: String::clone(&key) };
            }
            ExecutionError::NoSuchKey(_) => {
                return EvaluateError::Missing { expression, name: "such key".to_owned() };
            }
            ExecutionError::IndexOutOfBounds(_) => "an index is outside of its list".to_owned(),
            ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => {
                "a division by zero".to_owned()
            }
            ExecutionError::Overflow(..) => "a number is too large".to_owned(),
            ExecutionError::InvalidArgumentCount { expected, actual } => {
                format!("a function takes {expected} arguments and was given {actual}")
            }
            ExecutionError::FunctionError { function, .. }
                if !function.is_empty() && !function.starts_with('@') =>
            {
                format!("`{function}` cannot do this with the values that it was given")
            }
            _ => "an operator or a function was given a value of a type that it does not take".to_owned(),
        };
        EvaluateError::Failed { expression, reason }
    }

    fn shortened(&self) -> String {
        shorten(self.text.trim(), REASON)
    }
}

/// How deep brackets and operators in front of an operand are nested; those within texts count, too.
fn nesting(text: &str) -> usize {
    let (mut open, mut before, mut deepest) = (0_usize, 0_usize, 0_usize);
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' | b'{' => open += 1,
            b')' | b']' | b'}' => open = open.saturating_sub(1),
            b'!' | b'-' => before += 1,
            byte if byte.is_ascii_whitespace() => {}
            _ => before = 0,
        }
        deepest = deepest.max(open + before);
    }
    deepest
}

fn parse(text: &str) -> Result<IdedExpr, CompileError> {
    let parser = Parser::new().enable_optional_syntax(true);
    // The parser is generated code over the interpreter of a grammar, and an input that it cannot cope with must not end the process.
    catch_unwind(AssertUnwindSafe(|| parser.parse(text)))
        .map_err(|_| CompileError::Syntax {
            line: 1,
            column: 1,
            reason: "this is not an expression".to_owned(),
        })?
        .map_err(|errors| first(&errors))
}

/// The rest usually follow from the first.
fn first(errors: &ParseErrors) -> CompileError {
    let first = errors.errors.first();
    let (line, column) = first.map_or((1, 1), |error| error.pos);
    CompileError::Syntax {
        line: usize::try_from(line).unwrap_or(1).max(1),
        column: usize::try_from(column).unwrap_or(1).max(1),
        reason: shorten(first.map_or("this is not an expression", |error| error.msg.as_str()), REASON),
    }
}

fn shorten(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
