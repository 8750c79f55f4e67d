//! Sources as trees.
//!
//! In goes what a source object asks for: where it is, which version of it, and how to sign in. Out comes a revision and a
//! [`plumb_tree::Tree`] of its files. Each kind of source has a module of its own.
#![forbid(unsafe_code)]

pub mod artifact;
pub mod bucket;
pub mod content;
mod deadline;
mod download;
mod foreign;
pub mod git;
pub mod helm;
pub mod identity;
pub mod ignore;
pub mod oci;
mod percent;
pub mod transport;
mod versions;

pub use deadline::Cancel;
