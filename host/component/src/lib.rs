//! Makes components of what compilers write: what `plumb plugin build` and the build of the built-in plugins share.
//!
//! In goes the core module that Go or rustc wrote, and the [`Contract`] in WIT; out comes a component that imports nothing but what its world allows. A
//! Go module gets its data segments merged ([`merge_segments`]), and is encoded together with our stand-in for WASI ([`encode_go`]); its bindings are
//! made by [`go_bindings`]. Initialising a component once and for all, which takes an engine, is left to `xtask/componentize`.
#![forbid(unsafe_code)]

mod contract;
mod encode;
mod go;
mod segments;

pub use contract::{Contract, INITIALIZE, Shape};
pub use encode::{encode_go, encode_rust};
pub use go::{go_bindings, go_overlay};
pub use segments::merge as merge_segments;
