//! Compares the plugins kustomize and helm with upstream kustomize and Helm, and the plugin that puts in variables with Flux, case by case.
//!
//! In goes a directory of cases, each a small repository. The [`Oracle`], a Go program, renders them with upstream kustomize
//! on the real disk; [`Rendering`] has the plugin do the same in its sandbox. Out come the [`differences`]: none when
//! both return the same objects, or fail with the same words.
#![forbid(unsafe_code)]

mod case;
mod chart;
mod compare;
mod oracle;
mod plugin;
mod substitution;

pub use case::{Case, OwnWords, cases};
pub use chart::{ChartCase, Helm, NativeRelease, UsedFunctions, charts, charts_folder};
pub use compare::differences;
pub use oracle::{HelmOracle, Native, Oracle, Used};
pub use plugin::{Plugin, Substitute};
pub use substitution::{Substituted, Substitution, substitutions, substitutions_file};

use std::path::{Path, PathBuf};

/// What a directory renders to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rendering {
    /// The objects in their order, each as JSON text.
    Objects(Vec<String>),
    /// Why it could not be rendered.
    Error(String),
}

/// The folder of this crate.
pub fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The folder of the cases.
pub fn cases_folder() -> PathBuf {
    folder().join("cases")
}
