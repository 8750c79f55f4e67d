//! Turns a tree into objects by running steps.
//!
//! In goes a [`Tree`](plumb_tree::Tree) and the [`Step`]s to run on it; out come [`Rendered`] objects with one digest. The result
//! is kept for as long as nothing that the steps read has changed ([`Engine::render`]), so a commit elsewhere in the
//! repository costs a lookup. [`kustomization::steps`] turns a Flux `Kustomization` into steps: there is one engine.
#![forbid(unsafe_code)]

mod builtin;
mod cache;
mod engine;
pub mod kustomization;
mod spec;
mod values;
mod variables;

pub use builtin::{BuiltinError, Builtins};
pub use cache::CacheLimits;
pub use engine::{Engine, Origin, RenderError, Rendered, Request, Step};
pub use spec::{InputName, Parameters, PluginName, Spec, StepSpec};
pub use values::{Data, ValueError, Values, secrets};
pub use variables::{Variables, VariablesError, variables_of};
