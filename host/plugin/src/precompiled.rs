//! The only unsafe code of the repository.

use wasmtime::component::Component;
use wasmtime::{Engine, Module};

use crate::cache::Sealed;
use crate::compiled::{Compiled, Form};

/// Maps the machine code that an earlier run of this host compiled.
#[expect(unsafe_code, reason = "wasmtime cannot check that a file holds machine code that it made itself")]
pub(crate) fn map(engine: &Engine, form: Form, file: &Sealed) -> wasmtime::Result<Compiled> {
    // SAFETY: Both forms of `deserialize_file` ask for a file whose content `Engine::precompile_component` or `Engine::precompile_module` returned,
    // and which is not modified while the component or module lives. They tell one from the other themselves.
    // - A `Sealed` is only made by `crate::cache`: for a file that it has just written itself, and for one whose content
    //   and name match a seal that was made with the random key of the cache directory when the compiler's output was
    //   written there.
    // - The path leads to the open file that was checked, not to whatever has its name now.
    // - The file belongs to our own user and nobody else may write to it (both are checked), so nobody but us can change
    //   it after the check, and we never do: a new entry is written beside the old one and renamed, and an old one is
    //   unlinked, which leaves what is mapped as it is.
    // - The compiler's version and settings and the features of the CPU are part of the sealed name. wasmtime compares
    //   them with the engine's once more, and fails when they differ.
    unsafe {
        Ok(match form {
            Form::Component => Compiled::Component(Component::deserialize_file(engine, file.path())?),
            Form::Module => Compiled::Module(Module::deserialize_file(engine, file.path())?),
        })
    }
}
