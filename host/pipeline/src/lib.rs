//! Turns a tree into objects by running steps.
//!
//! In goes a [`Tree`](plumb_tree::Tree) and the [`Step`]s to run on it; out come [`Rendered`] objects with one digest. The result
//! is kept for as long as nothing that the steps read has changed ([`Engine::render`]), so a commit elsewhere in the
//! repository costs a lookup.
//!
//! A `Kustomization` and a `Pipeline` both become a [`Spec`]. [`Steps::read`] finds what is wrong with its steps as they are written; [`Steps::plan`]
//! makes of them, and of the [`Values`] and [`Plugins`] that somebody provides, steps that run. Both are pure.
#![forbid(unsafe_code)]

mod builtin;
mod cache;
mod engine;
mod error;
mod kustomization;
mod plan;
mod rendered;
mod run;
mod size;
mod spec;
mod stamp;
mod values;
mod variables;
mod withheld;

pub use builtin::{BuiltinError, Builtins};
pub use cache::CacheLimits;
pub use engine::{Engine, Request, Runs, Step};
pub use error::{RenderError, StepFinding};
pub use plan::{Code, KRM, Mistake, PlanError, Plugins, Provided, Situation, Steps, Unavailable, Why};
pub use rendered::{Origin, Rendered};
pub use spec::{Decryption, InputName, Keys, Parameters, PluginName, Spec, StepSpec};
pub use stamp::stamp;
pub use values::{Data, ValueError, Values, secrets};
pub use variables::{DataError, Variables, data_of};
