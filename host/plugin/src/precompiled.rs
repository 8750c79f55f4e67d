//! The only unsafe code of the repository.

use wasmtime::Engine;
use wasmtime::component::Component;

use crate::cache::Sealed;

/// Maps the machine code that an earlier run of this host compiled.
#[expect(unsafe_code, reason = "wasmtime cannot check that a file holds machine code that it made itself")]
pub(crate) fn component(engine: &Engine, file: &Sealed) -> wasmtime::Result<Component> {
    // SAFETY: `deserialize_file` asks for a file whose content `Engine::precompile_component` returned and which is not
    // modified while the component lives.
    // - A `Sealed` is only made by `crate::cache`: for a file that it has just written itself, and for one whose content
    //   and name match a seal that was made with the random key of the cache directory when the compiler's output was
    //   written there.
    // - The path leads to the open file that was checked, not to whatever has its name now.
    // - The file belongs to our own user and nobody else may write to it (both are checked), so nobody but us can change
    //   it after the check, and we never do: a new entry is written beside the old one and renamed, and an old one is
    //   unlinked, which leaves what is mapped as it is.
    // - The compiler's version and settings and the features of the CPU are part of the sealed name. wasmtime compares
    //   them with the engine's once more, and fails when they differ.
    unsafe { Component::deserialize_file(engine, file.path()) }
}
