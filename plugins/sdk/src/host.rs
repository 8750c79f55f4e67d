//! The host: the real one on WASM, and the one that [`crate::testing`] plays elsewhere.

#[cfg(not(target_family = "wasm"))]
pub(crate) use crate::testing::host::*;

#[cfg(target_family = "wasm")]
pub(crate) use crate::guest::host::*;
