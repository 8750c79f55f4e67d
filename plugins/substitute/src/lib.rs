//! Puts the values of variables into objects: `spec.postBuild` of a Flux Kustomization.
//!
//! In go objects and variables; out come the same objects, with `${name}` replaced. As in Flux, it is the YAML text of an object in which that
//! happens, and the text is read again afterwards: so `replicas: ${n}` becomes a number. [`emit`] writes the text as Flux does, [`template`]
//! finds the expressions in it, [`functions`] does what they ask for, [`read`] reads the result, and [`transform`] ties them together.
//! `guest`, which exists for WASM only, connects it with the host.

pub mod emit;
pub mod functions;
#[cfg(target_family = "wasm")]
mod guest;
pub mod pattern;
pub mod read;
pub mod template;
pub mod transform;

pub use transform::{Error, transform};
