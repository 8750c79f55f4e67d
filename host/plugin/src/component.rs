//! Whether some bytes are a component that may be used in a world.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::compiled::{Form, Names};
use crate::printable::one_line;
use crate::{CallError, Capability, Wants};

/// The package of the contract, and the version that this host speaks. A plugin made for another patch version fits as well.
const PACKAGE: &str = "plumbline:plugin/";
const VERSION: &str = "0.1";

/// What programs for WASI are known by. A core module has a function by this name, a component this interface.
const START: &str = "_start";
const RUN: &str = "wasi:cli/run";
const MODULE_IMPORTS: &str = "wasi_snapshot_preview1";
const WASI_PACKAGES: [&str; 6] =
    ["wasi:cli/", "wasi:clocks/", "wasi:filesystem/", "wasi:io/", "wasi:random/", "wasi:sockets/"];
const WASI_VERSION: &str = "@0.2.";

/// What a plugin is used for: a world of the WIT package `plumbline:plugin`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum World {
    /// Turns files into objects.
    Renderer,
    /// Turns objects into other objects.
    Transformer,
    /// Says what is wrong with objects.
    Validator,
    /// Says how an object of the cluster is doing.
    HealthCheck,
    /// A program for WASI that turns objects into other objects, as the KRM Functions Specification says.
    KrmFunction,
}

impl World {
    /// All worlds.
    pub const ALL: [Self; 5] =
        [Self::Renderer, Self::Transformer, Self::Validator, Self::HealthCheck, Self::KrmFunction];

    /// What a plugin of this world exports, as it is told.
    fn export(self, form: Form) -> String {
        let interface = match (self, form) {
            (Self::Renderer, _) => "render",
            (Self::Transformer, _) => "transform",
            (Self::Validator, _) => "validate",
            (Self::HealthCheck, _) => "health",
            (Self::KrmFunction, Form::Component) => return format!("{RUN}{WASI_VERSION}0"),
            (Self::KrmFunction, Form::Module) => return START.to_owned(),
        };
        format!("{PACKAGE}{interface}@{VERSION}.0")
    }

    /// Whether one of the exports is that of this world.
    fn is_exported_by(self, names: &Names) -> bool {
        match self {
            Self::KrmFunction if names.form == Form::Module => names.exports.iter().any(|name| name == START),
            Self::KrmFunction => names
                .exports
                .iter()
                .any(|name| name.strip_prefix(RUN).is_some_and(|version| version.starts_with(WASI_VERSION))),
            _ => {
                let export = self.export(names.form);
                names
                    .exports
                    .iter()
                    .any(|name| interface(name).is_some_and(|i| interface(&export) == Some(i)))
            }
        }
    }

    /// Whether a plugin of this world may import something of this name.
    fn may_import(self, form: Form, name: &str) -> bool {
        match (self, form) {
            (Self::KrmFunction, Form::Module) => name == MODULE_IMPORTS,
            (Self::KrmFunction, Form::Component) => {
                name.contains(WASI_VERSION) && WASI_PACKAGES.iter().any(|package| name.starts_with(package))
            }
            _ => interface(name).is_some_and(|interface| self.imports().contains(&interface)),
        }
    }

    /// The interfaces that a plugin of this world may import. `types` has no functions.
    fn imports(self) -> &'static [&'static str] {
        match self {
            Self::Renderer => &["log", "tree", "types", "secrets", "cluster-read", "http", "clock", "random"],
            Self::Transformer | Self::Validator => {
                &["log", "types", "secrets", "cluster-read", "http", "clock", "random"]
            }
            Self::HealthCheck => &["log", "types"],
            Self::KrmFunction => &[],
        }
    }
}

/// As in WIT: `renderer`, `transformer`, `validator`, `health-check`; and `krm-function`.
impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Renderer => "renderer",
            Self::Transformer => "transformer",
            Self::Validator => "validator",
            Self::HealthCheck => "health-check",
            Self::KrmFunction => "krm-function",
        })
    }
}

/// Why something cannot be loaded as a plugin.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("the plugin {name} cannot be read from {path}: {source}", path = .path.display())]
    Read {
        /// The name that the plugin was to have.
        name: String,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is larger than [`crate::HostConfig::component_bytes`].
    #[error("the plugin {name} is larger than the {limit} bytes that a component may have")]
    TooLarge {
        /// The name that the plugin was to have.
        name: String,
        /// How many bytes a component may have.
        limit: u64,
    },
    /// One of its functions is larger than [`crate::HostConfig::function_bytes`]. To compile it could take very long.
    #[error("the plugin {name} has a function of {bytes} bytes, and one may have {limit}")]
    FunctionTooLarge {
        /// The name that the plugin was to have.
        name: String,
        /// How many bytes the function has.
        bytes: usize,
        /// How many one may have.
        limit: usize,
    },
    /// It was not compiled within [`crate::HostConfig::compile_time`]. In a thread of this process compiling goes on, and if it ends, the plugin can be loaded then; a
    /// [`crate::CompileProgram`] was killed.
    #[error("the plugin {name} was not compiled within {limit:?}; make it smaller, or load it again later")]
    TooSlow {
        /// The name that the plugin was to have.
        name: String,
        /// How long compiling may take.
        limit: Duration,
    },
    /// It could not be compiled for a reason that does not lie in it, such as a lack of memory. Another time it may be.
    #[error("the plugin {name} could not be compiled: {reason}")]
    NotCompiled {
        /// The name that the plugin was to have.
        name: String,
        /// What went wrong.
        reason: String,
    },
    /// The bytes do not start as those of a component do.
    #[error("the plugin {name} is not a WebAssembly component but {found}; {hint}")]
    NotAComponent {
        /// The name that the plugin was to have.
        name: String,
        /// What it seems to be, with its article.
        found: &'static str,
        /// What to do about it.
        hint: &'static str,
    },
    /// It is damaged, or uses something of WebAssembly that this host does not support.
    #[error("the plugin {name} is not a valid component: {reason}")]
    Invalid {
        /// The name that the plugin was to have.
        name: String,
        /// What the compiler says.
        reason: String,
    },
    /// It imports more than the world allows, or does not export what the world is for, or both.
    #[error("the plugin {name} does not fit the world {world}: {}", misfit(.forbidden_imports, .missing_export))]
    Misfit {
        /// The name that the plugin was to have.
        name: String,
        /// The world it was to be used in.
        world: World,
        /// All that it imports beyond what the world allows, by name.
        forbidden_imports: Vec<String>,
        /// The export that it lacks, if it lacks it.
        missing_export: Option<MissingExport>,
    },
    /// It exports nothing that makes it a plugin of any world.
    #[error("the plugin {name} is made for none of the worlds; {}", exports_of(.exports))]
    NoWorld {
        /// The name that the plugin was to have.
        name: String,
        /// The names of what it exports.
        exports: Vec<String>,
    },
    /// It can be used in several worlds, and nobody said in which.
    #[error("the plugin {name} can be used in several worlds; say in which: {}", told(.worlds, ", "))]
    SeveralWorlds {
        /// The name that the plugin was to have.
        name: String,
        /// The worlds.
        worlds: Vec<World>,
    },
    /// It imports and exports the right names, but a function has another type than the contract says.
    #[error(
        "the plugin {name} does not fit the world {world}: {reason}; build it with the WIT files of this version"
    )]
    OtherTypes {
        /// The name that the plugin was to have.
        name: String,
        /// The world it was to be used in.
        world: World,
        /// Which function, and how it differs.
        reason: String,
    },
    /// No instance could be made of it.
    #[error("the plugin {name} was loaded but does not start: {error}")]
    NotStarted {
        /// The name that the plugin was to have.
        name: String,
        /// Why.
        error: CallError,
    },
}

/// The export that a world asks for and a component does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingExport {
    /// Its name.
    pub name: String,
    /// The worlds whose export it has.
    pub made_for: Vec<World>,
    /// The names of what it does export.
    pub exports: Vec<String>,
}

fn misfit(imports: &[String], missing: &Option<MissingExport>) -> String {
    let mut sentences = Vec::new();
    if let Some(missing) = missing {
        let what = match missing.made_for.as_slice() {
            [] => exports_of(&missing.exports),
            worlds => format!("it seems to be made for the world {}", told(worlds, " and ")),
        };
        sentences.push(format!("it does not export {}; {what}", missing.name));
    }
    if !imports.is_empty() {
        sentences.push(format!("it imports what is not allowed there: {}", imports.join(", ")));
    }
    sentences.join("; ")
}

fn exports_of(exports: &[String]) -> String {
    if exports.is_empty() {
        "it exports nothing".to_owned()
    } else {
        format!("it exports {}", exports.join(", "))
    }
}

fn told(worlds: &[World], separator: &str) -> String {
    worlds.iter().map(ToString::to_string).collect::<Vec<_>>().join(separator)
}

/// Looks at the first bytes only.
pub(crate) fn form(name: &str, bytes: &[u8]) -> Result<Form, LoadError> {
    let (found, hint) = match bytes {
        [0, b'a', b's', b'm', rest @ ..] => match Form::of(bytes) {
            Some(form) => return Ok(form),
            None if rest.len() < 4 => ("cut off", "get it again"),
            None => ("WebAssembly of another version", "build it with current tools"),
        },
        [0x7f, b'E', b'L', b'F', ..] => (
            "machine code",
            "compiled components are never loaded; give the component that it was compiled from",
        ),
        [] => ("an empty file", "build it again"),
        [b'(', ..] => ("text", "turn it into a binary, for example with `wasm-tools parse`"),
        _ => ("something else", "give a .wasm file that holds a component"),
    };
    Err(LoadError::NotAComponent { name: name.to_owned(), found, hint })
}

/// The worlds whose export is there.
pub(crate) fn worlds(names: &Names) -> Vec<World> {
    World::ALL.into_iter().filter(|world| world.is_exported_by(names)).collect()
}

/// The only world that it can be used in.
pub(crate) fn only_world(name: &str, names: &Names) -> Result<World, LoadError> {
    match *worlds(names) {
        [world] => Ok(world),
        [] => {
            check_module(name, names)?;
            Err(LoadError::NoWorld { name: name.to_owned(), exports: shown(&names.exports) })
        }
        ref worlds => Err(LoadError::SeveralWorlds { name: name.to_owned(), worlds: worlds.to_vec() }),
    }
}

/// Compares the names of what is imported and exported with those of a world.
pub(crate) fn check_names(name: &str, names: &Names, world: World) -> Result<(), LoadError> {
    check_module(name, names)?;
    let is_decryptor = world == World::Transformer && decrypts(&names.exports);
    let may_import = |import: &str| {
        world.may_import(names.form, import) || (is_decryptor && interface(import) == Some("tree"))
    };
    let forbidden_imports: Vec<String> =
        names.imports.iter().filter(|import| !may_import(import)).cloned().collect();
    let missing_export = (!world.is_exported_by(names)).then(|| MissingExport {
        name: world.export(names.form),
        made_for: worlds(names),
        exports: shown(&names.exports),
    });
    if forbidden_imports.is_empty() && missing_export.is_none() {
        return Ok(());
    }
    let forbidden_imports = shown(&forbidden_imports);
    Err(LoadError::Misfit { name: name.to_owned(), world, forbidden_imports, missing_export })
}

/// A core module is of use as a program only.
fn check_module(name: &str, names: &Names) -> Result<(), LoadError> {
    if names.form == Form::Component || World::KrmFunction.is_exported_by(names) {
        return Ok(());
    }
    Err(LoadError::NotAComponent {
        name: name.to_owned(),
        found: "a core module",
        hint: "make a component of it, for example with `wasm-tools component new`",
    })
}

pub(crate) fn shown(names: &[String]) -> Vec<String> {
    names.iter().map(|name| one_line(name)).collect()
}

/// Whether a transformer decrypts files, too: it is made for the world `decryptor`.
pub(crate) fn decrypts(exports: &[String]) -> bool {
    exports.iter().any(|export| interface(export) == Some("decrypt"))
}

/// The capabilities among the names of imports.
pub(crate) fn wants(imports: &[String]) -> Wants {
    let wanted =
        |capability: &Capability| imports.iter().any(|import| interface(import) == Some(capability.name()));
    Capability::ALL.into_iter().filter(wanted).collect()
}

/// `render` for `plumbline:plugin/render@0.1.7`; nothing for another package or version.
fn interface(name: &str) -> Option<&str> {
    let (interface, version) = name.strip_prefix(PACKAGE)?.split_once('@')?;
    let patch = version.strip_prefix(VERSION)?.strip_prefix('.')?;
    patch.bytes().all(|byte| byte.is_ascii_digit()).then_some(interface)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    #[rstest]
    #[case("plumbline:plugin/render@0.1.0", Some("render"))]
    #[case("plumbline:plugin/tree@0.1.12", Some("tree"))]
    #[case("plumbline:plugin/tree@0.2.0", None)]
    #[case("plumbline:plugin/tree@0.10.0", None)]
    #[case("plumbline:plugin/tree@0.1.0-beta", None)]
    #[case("plumbline:plugin/tree", None)]
    #[case("wasi:filesystem/types@0.1.0", None)]
    #[case("tree", None)]
    fn an_interface_is_of_our_package_and_version(#[case] name: &str, #[case] interface: Option<&str>) {
        assert_eq!(super::interface(name), interface);
    }
}
