//! CEL expressions over Kubernetes objects: `healthCheckExprs`, `dependsOn[].readyExpr` and `steps[].when`.
//!
//! Text goes in and becomes an [`Expression`], which is checked once; objects as JSON go in and a truth value comes out. An expression can
//! be compared with the OpenAPI schemas of what it looks at ([`check`]), so that a misspelt field is told when it is written and not
//! after a timeout. Nothing waits, reads or writes here.
//!
//! The language is that of Flux: standard CEL with optional values, and cel-go's libraries of strings, sets and encoders. With the feature `kubernetes`, which plugins in
//! their sandboxes have, there are the functions of Kubernetes' libraries as well.
#![forbid(unsafe_code)]

mod budget;
mod expression;
mod functions;
mod guard;
#[cfg(feature = "health")]
mod health;
mod ready;
mod schema;
mod value;
mod when;

pub use expression::{CompileError, EvaluateError, Expression};
#[cfg(feature = "health")]
pub use health::{Health, HealthExpression, HealthExpressionError, HealthExpressions};
pub use ready::ReadyExpression;
pub use schema::{Finding, Reason, check};
pub use when::{WhenError, WhenExpression};
