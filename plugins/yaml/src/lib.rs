//! A renderer of plain YAML and JSON files: no overlays, no templates.
//!
//! In go a tree of files and the name of a file or directory in it; out come the Kubernetes objects, in the order of the files' names.
//! [`read`] understands one file, [`collect`] finds the files; `guest`, which exists for WASM only, connects both with the host.

pub mod collect;
#[cfg(target_family = "wasm")]
mod guest;
pub mod read;

pub use collect::{Tree, render};
pub use read::{Error, Kind};
