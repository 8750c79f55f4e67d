//! Tells how objects are.
//!
//! In goes an object as a cluster has it, and the [`Checks`] of whoever asks: `healthCheckExprs`, the plugins that were chosen for some kinds,
//! and the rules that come with Plumbline. Out comes a [`Health`](plumb_apply::Health). Where nobody else judges, it is that of kstatus.
//!
//! [`Checker::look`] gives what can be told at once; the [`Question`]s that it leaves are for plugins, which [`Checker::ask`] calls: it blocks. What a
//! plugin has said of an object is kept until the object changes. What no check can tell is never healthy.
#![forbid(unsafe_code)]

mod answers;
mod check;
mod checker;
mod checks;

pub use check::{Check, Unfit, limits};
pub use checker::{Answer, Checker, Question};
pub use checks::{Checks, Choice};
