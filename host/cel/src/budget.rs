//! What one evaluation may cost.
//!
//! The interpreter knows no limit of its own, so an expression carries its [`Budget`] along as a hidden variable, and the functions that
//! [`guard`](crate::guard) puts around its parts pay from it.

use std::sync::atomic::{AtomicU64, Ordering};

use kube_cel::cel::objects::Opaque;
use kube_cel::cel::{ExecutionError, FunctionContext, Value};

/// The hidden variable. Its name cannot be written in CEL.
pub(crate) const VARIABLE: &str = "@budget";

/// What an evaluation may spend: bytes that are copied or compared, and [`STEP`] for each turn of a macro. It is some ten
/// milliseconds of work, and a thousand times what a health check of an object of usual size needs.
const LIMIT: u64 = 8 * 1024 * 1024;

/// What a turn of a macro such as `all` costs.
pub(crate) const STEP: u64 = 16;

/// What is left to spend.
#[derive(Debug)]
pub(crate) struct Budget(AtomicU64);

impl Budget {
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(LIMIT))
    }

    /// Whether all of it has been spent.
    pub(crate) fn is_spent(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }

    /// Once there is too little left, nothing is left: what is refused stays refused, also where CEL forgives an error (`||`).
    fn pay(&self, cost: u64) -> bool {
        let left = self.0.load(Ordering::Relaxed).saturating_sub(cost);
        self.0.store(left, Ordering::Relaxed);
        left > 0
    }
}

impl PartialEq for Budget {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for Budget {}

impl Opaque for Budget {
    fn runtime_type_name(&self) -> &str {
        "budget"
    }
}

/// Pays for something from the budget of the evaluation that `context` belongs to.
pub(crate) fn pay(context: &FunctionContext<'_, '_>, cost: u64) -> Result<(), ExecutionError> {
    let variable = context.ptx.get_variable(VARIABLE);
    let budget = variable.and_then(|value| Value::try_from(value.as_ref()).ok());
    let paid = match &budget {
        Some(Value::Opaque(budget)) => budget.downcast_ref::<Budget>().is_some_and(|budget| budget.pay(cost)),
        _ => false,
    };
    if paid { Ok(()) } else { Err(context.error("the budget is spent")) }
}
