//! Renders Jsonnet: one file in, all objects of Kubernetes in its value out.
//!
//! The language is jrsonnet's. [`files`] reads imports from the tree, [`mistake`] says where a mistake is, and [`collect`] finds the objects in the value.

pub mod collect;
pub mod files;
pub mod mistake;

use std::collections::BTreeMap;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use jrsonnet_evaluator::async_import::{ResolvedImportResolver, async_import};
use jrsonnet_evaluator::function::CallLocation;
use jrsonnet_evaluator::manifest::JsonFormat;
use jrsonnet_evaluator::rustc_hash::FxHashMap;
use jrsonnet_evaluator::stack::limit_stack_depth;
use jrsonnet_evaluator::tla::TlaArg;
use jrsonnet_evaluator::trace::PathResolver;
use jrsonnet_evaluator::{IStr, State, Val, apply_tla};
use jrsonnet_gcmodule::Acyclic;
use jrsonnet_stdlib::{ContextInitializer, TracePrinter};
use plumbline_plugin::{Error, Errors, Object, Tree, renderer};
use serde::Deserialize;
use serde_json::Value;

use crate::files::{Files, entry};

/// How deep functions may call each other. More would exhaust the stack of the sandbox.
const DEPTH: usize = 200;

/// What a step says under `with`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Parameters {
    /// A file, or a directory with `main.jsonnet`, from the root of the tree.
    path: String,
    /// Directories from the root of the tree in which imports are looked for that are not beside the importing file.
    #[serde(default)]
    lib: Vec<String>,
    /// What `std.extVar` gives.
    #[serde(default)]
    ext_vars: BTreeMap<String, Value>,
    /// The arguments of the function, if the file is one.
    #[serde(default)]
    tlas: BTreeMap<String, Value>,
}

renderer!(render);

/// The objects in the value of a file.
///
/// # Errors
///
/// When the file or an import cannot be read or evaluated, or its value holds something else than objects.
pub fn render(tree: &Tree<'_>, parameters: Parameters) -> Result<Vec<Object>, Errors> {
    let text = evaluate(tree, &parameters)?;
    let value = serde_json::from_str(&text).map_err(|error| {
        Error::invalid(format!("the value of {:?} cannot be used: {error}", parameters.path))
    })?;
    collect::objects(value)
}

/// The value of the file as JSON.
#[expect(clippy::mutable_key_type, reason = "jrsonnet's own keys: the hash is that of the text, which stays")]
fn evaluate(tree: &Tree<'_>, parameters: &Parameters) -> Result<String, Errors> {
    let standard = ContextInitializer::new(PathResolver::Absolute);
    standard.settings_mut().trace_printer = std::rc::Rc::new(Log);
    for (name, value) in &parameters.ext_vars {
        standard.add_ext_var(name.as_str().into(), of_json("extVars", name, value)?);
    }
    let mut arguments = FxHashMap::<IStr, TlaArg>::default();
    for (name, value) in &parameters.tlas {
        arguments.insert(name.as_str().into(), TlaArg::Val(of_json("tlas", name, value)?));
    }

    let mut builder = State::builder();
    builder.import_resolver(ResolvedImportResolver::new()).context_initializer(standard);
    let state = builder.build();
    let _entered = state.try_enter();
    let _depth = limit_stack_depth(DEPTH);
    let entry = entry(tree, &parameters.path)?;
    let file = at_once(async_import(state.clone(), Files { tree, lib: &parameters.lib }, &entry.as_str()))??;

    let value = state.import_resolved(file).and_then(|value| apply_tla(&arguments, value));
    let text = value.and_then(|value| value.manifest(JsonFormat::minify()));
    text.map_err(|error| mistake::of(&error, &entry).into())
}

fn of_json(field: &str, name: &str, value: &Value) -> Result<Val, Error> {
    Val::deserialize(value).map_err(|error| Error::invalid(format!("{field}.{name} cannot be used: {error}")))
}

/// What a future gives that never waits: the host answers at once.
fn at_once<T>(future: impl Future<Output = T>) -> Result<T, Error> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Ok(value),
        Poll::Pending => Err(Error::internal("an import waits")),
    }
}

/// `std.trace` goes to the log of the host.
#[derive(Acyclic)]
struct Log;

impl TracePrinter for Log {
    fn print_trace(&self, location: CallLocation<'_>, value: IStr) {
        let line = location.0.map_or(0, |span| span.0.map_source_locations(&[span.1])[0].line);
        plumbline_plugin::debug!("line {line}: {value}");
    }
}

#[cfg(test)]
mod tests;
