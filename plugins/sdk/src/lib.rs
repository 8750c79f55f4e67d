//! What a Plumbline plugin in Rust is written with.
//!
//! A plugin is one function, and a line that says what it is: [`transformer!`], [`renderer!`], [`validator!`], [`health_check!`] or [`decryptor!`]. Parameters come as
//! a type of yours that implements `serde::Deserialize`, objects as [`Object`], and mistakes go back as [`Errors`], with file, line and hint.
//!
//! ```
//! use std::collections::BTreeMap;
//!
//! use plumbline_plugin::{Error, Errors, Object, transformer};
//! use serde::Deserialize;
//!
//! /// What a step says under `with:`.
//! #[derive(Deserialize)]
//! #[serde(deny_unknown_fields)]
//! struct Parameters {
//!     /// The team of each namespace.
//!     teams: BTreeMap<String, String>,
//! }
//!
//! fn transform(mut objects: Vec<Object>, parameters: Parameters) -> Result<Vec<Object>, Errors> {
//!     let mut errors = Errors::default();
//!     for object in &mut objects {
//!         let Some(namespace) = object.namespace() else { continue };
//!         match parameters.teams.get(namespace) {
//!             Some(team) => object.set_label("team", team),
//!             None => errors.push(Error::invalid(format!("nobody owns the namespace {namespace}")).hint("Add it to `teams`.")),
//!         }
//!     }
//!     errors.or(objects)
//! }
//!
//! transformer!(transform);
//! # let object = Object::from_json(r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": "shop"}}"#).unwrap();
//! # let teams = BTreeMap::from([("shop".to_owned(), "payments".to_owned())]);
//! # let objects = transform(vec![object], Parameters { teams }).unwrap();
//! # assert_eq!(objects[0].label("team"), Some("payments"));
//! ```
//!
//! What a step has granted is read with [`secrets`], [`cluster`], [`http`], [`clock`] and [`random`]; a plugin that calls none of their functions imports none of these interfaces. The
//! message macros are [`trace!`], [`debug!`], [`info!`] and [`warn!`].
//!
//! Off WASM the same code runs in ordinary unit tests: [`Tree::in_memory`] is a tree, and [`testing`] plays the host.
//!
//! Do not read the clock, random numbers, files or the environment through `std`: a plugin has none of them.

pub mod clock;
pub mod cluster;
mod error;
#[doc(hidden)]
#[cfg(target_family = "wasm")]
pub mod guest;
mod health;
mod host;
pub mod http;
pub mod log;
mod macros;
mod object;
pub mod random;
pub mod secrets;
mod select;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
mod tree;
mod validate;

pub use error::{Error, ErrorKind, Errors};
pub use health::{Report, Status};
pub use object::{InvalidObject, Object};
pub use select::Selector;
pub use tree::{Entry, File, Node, NodeKind, Tree, TreeError, Unreadable};
pub use validate::{Finding, Severity};
