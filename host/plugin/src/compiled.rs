//! What is compiled: a component, or a core module that is a program for WASI.

use wasmparser::{Parser, Payload};
use wasmtime::component::Component;
use wasmtime::{Engine, Module};

/// What some bytes are, as their first eight say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// A component.
    Component,
    /// A core module.
    Module,
}

/// The machine code of either.
#[derive(Clone)]
pub(crate) enum Compiled {
    Component(Component),
    Module(Module),
}

impl Form {
    /// By the preamble: the magic number, the version, and the layer.
    pub(crate) fn of(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0, b'a', b's', b'm', 0x0d, 0, 1, 0, ..] => Some(Self::Component),
            [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => Some(Self::Module),
            _ => None,
        }
    }

    /// For the cache on disk.
    pub(crate) fn precompile(self, engine: &Engine, bytes: &[u8]) -> wasmtime::Result<Vec<u8>> {
        match self {
            Self::Component => engine.precompile_component(bytes),
            Self::Module => engine.precompile_module(bytes),
        }
    }

    /// For this process alone.
    pub(crate) fn compile(self, engine: &Engine, bytes: &[u8]) -> wasmtime::Result<Compiled> {
        Ok(match self {
            Self::Component => Compiled::Component(Component::from_binary(engine, bytes)?),
            Self::Module => Compiled::Module(Module::from_binary(engine, bytes)?),
        })
    }
}

/// How many bytes the largest function has. What cannot be read is for the compiler to tell.
pub(crate) fn largest_function(bytes: &[u8]) -> usize {
    let bodies = Parser::new(0).parse_all(bytes).map_while(Result::ok).filter_map(|payload| match payload {
        Payload::CodeSectionEntry(body) => Some(body.as_bytes().len()),
        _ => None,
    });
    bodies.max().unwrap_or(0)
}

/// The names that something asks for and offers.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    pub(crate) form: Form,
    pub(crate) imports: Vec<String>,
    pub(crate) exports: Vec<String>,
}

impl Compiled {
    /// Of a module, the names of the modules that it imports from, each once.
    pub(crate) fn names(&self, engine: &Engine) -> Names {
        match self {
            Self::Component(component) => {
                let kind = component.component_type();
                Names {
                    form: Form::Component,
                    imports: kind.imports(engine).map(|(name, _)| name.to_owned()).collect(),
                    exports: kind.exports(engine).map(|(name, _)| name.to_owned()).collect(),
                }
            }
            Self::Module(module) => {
                let mut imports: Vec<_> = module.imports().map(|import| import.module().to_owned()).collect();
                imports.sort();
                imports.dedup();
                let exports = module.exports().map(|export| export.name().to_owned()).collect();
                Names { form: Form::Module, imports, exports }
            }
        }
    }
}
