//! Finds common mistakes in what a GitOps repository says.
//!
//! In goes a tree of files ([`lint_tree`]), what was rendered from it ([`lint_rendered`]), or objects of a cluster
//! ([`lint_kustomization`], [`lint_git_repository`], [`lint_together`]). Out come [`Finding`]s: each names a [`Rule`], the object, the file
//! and line, and what to do. Nothing is changed, and the value of a Secret is never quoted. No I/O but reading the tree.
#![forbid(unsafe_code)]

mod document;
mod finding;
mod kustomization;
mod repository;
mod rule;
mod secret;
mod source;
mod stages;
mod together;
mod tree;

pub use finding::{Finding, Severity};
pub use kustomization::lint_kustomization;
pub use rule::{Rule, UnknownRule};
pub use secret::lint_rendered;
pub use source::lint_git_repository;
pub use together::lint_together;
pub use tree::{Report, Settings, lint_tree};

/// The annotation that switches rules off for one object: their names, with commas between them.
pub const LINT_IGNORE: &str = "plumbline.dev/lint-ignore";
