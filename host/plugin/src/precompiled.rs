//! The only unsafe code of the repository.

use std::path::Path;

use wasmtime::Engine;
use wasmtime::component::Component;

use crate::cache::Sealed;

/// Maps the machine code that an earlier run of this host compiled.
#[expect(unsafe_code, reason = "wasmtime cannot check that a file holds machine code that it made itself")]
pub(crate) fn component(engine: &Engine, file: &Sealed<'_>) -> wasmtime::Result<Component> {
    let path: &Path = file.path();
    // SAFETY: `deserialize_file` asks for a file whose content `Engine::precompile_component` returned and which is not modified
    // while the component lives.
    // - A `Sealed` is only made by `crate::cache`, for a file whose content and name match a seal that was made with the
    //   random key of the cache directory when the compiler's output was written there.
    // - The directory and the file belong to our own user, and nobody else may write to them (both are checked), so nobody
    //   but us can put another file in its place or change it after the check.
    // - We never change an entry: a new one is written beside it and renamed, and an old one is unlinked, which leaves
    //   what is mapped as it is.
    // - The compiler's version and settings and the features of the CPU are part of the sealed name. wasmtime compares
    //   them with the engine's once more, and fails when they differ.
    unsafe { Component::deserialize_file(engine, path) }
}
