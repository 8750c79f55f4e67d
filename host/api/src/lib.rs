//! The Flux API as Rust types, and the vocabulary that the other crates share. No I/O.
//!
//! In goes what people write: YAML and JSON of Kubernetes objects. Out come types whose constructors validate:
//! [`Object`], [`ObjectId`], [`Inventory`], [`Revision`], the custom resources, and their conditions.
#![forbid(unsafe_code)]

mod inventory;
mod object;
mod revision;
mod sensitive;

pub use inventory::{Inventory, InventoryEntry};
pub use object::{GroupKind, GroupVersionKind, InvalidObject, Object, ObjectId};
pub use revision::{InvalidRevision, Revision};
pub use sensitive::Sensitive;
