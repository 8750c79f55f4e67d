//! Whether some bytes are a component that may be used in a world.

use std::fmt;
use std::path::PathBuf;

use wasmtime::Engine;
use wasmtime::component::Component;

use crate::printable::one_line;
use crate::{CallError, Capability, Wants};

/// The package of the contract, and the version that this host speaks. A plugin made for another patch version fits as well.
const PACKAGE: &str = "plumbline:plugin/";
const VERSION: &str = "0.1";

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
}

impl World {
    /// All worlds.
    pub const ALL: [Self; 4] = [Self::Renderer, Self::Transformer, Self::Validator, Self::HealthCheck];

    /// The interface that a plugin of this world exports.
    fn export(self) -> &'static str {
        match self {
            Self::Renderer => "render",
            Self::Transformer => "transform",
            Self::Validator => "validate",
            Self::HealthCheck => "health",
        }
    }

    /// The interfaces that a plugin of this world may import. `types` has no functions.
    fn imports(self) -> &'static [&'static str] {
        match self {
            Self::Renderer => &["log", "tree", "types", "secrets", "cluster-read", "http", "clock"],
            Self::Transformer | Self::Validator => {
                &["log", "types", "secrets", "cluster-read", "http", "clock"]
            }
            Self::HealthCheck => &["log", "types"],
        }
    }
}

/// As in WIT: `renderer`, `transformer`, `validator`, `health-check`.
impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Renderer => "renderer",
            Self::Transformer => "transformer",
            Self::Validator => "validator",
            Self::HealthCheck => "health-check",
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
        let made_for: Vec<_> = missing.made_for.iter().map(ToString::to_string).collect();
        sentences.push(match (made_for.as_slice(), missing.exports.as_slice()) {
            ([], []) => format!("it does not export {}; it exports nothing", missing.name),
            ([], exports) => {
                format!("it does not export {}; it exports {}", missing.name, exports.join(", "))
            }
            (worlds, _) => {
                format!(
                    "it does not export {}; it seems to be made for the world {}",
                    missing.name,
                    worlds.join(" and ")
                )
            }
        });
    }
    if !imports.is_empty() {
        sentences.push(format!("it imports what is not allowed there: {}", imports.join(", ")));
    }
    sentences.join("; ")
}

/// Looks at the first bytes only.
pub(crate) fn check_kind(name: &str, bytes: &[u8]) -> Result<(), LoadError> {
    let (found, hint) = match bytes {
        [0, b'a', b's', b'm', 0x0d, 0, 1, 0, ..] => return Ok(()),
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => {
            ("a core module", "make a component of it, for example with `wasm-tools component new`")
        }
        [0, b'a', b's', b'm', ..] => ("WebAssembly of another version", "build it with current tools"),
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

/// Compares the names of what a component imports and exports with those of a world. Returns its imports.
pub(crate) fn check_names(
    name: &str,
    engine: &Engine,
    component: &Component,
    world: World,
) -> Result<Vec<String>, LoadError> {
    let kind = component.component_type();
    let imports: Vec<String> = kind.imports(engine).map(|(name, _)| name.to_owned()).collect();
    let exports: Vec<String> = kind.exports(engine).map(|(name, _)| name.to_owned()).collect();
    let allowed =
        |import: &&String| interface(import).is_some_and(|interface| world.imports().contains(&interface));
    let forbidden_imports: Vec<String> =
        imports.iter().filter(|import| !allowed(import)).map(|name| one_line(name)).collect();
    let has = |world: World| exports.iter().any(|export| interface(export) == Some(world.export()));
    let missing_export = (!has(world)).then(|| MissingExport {
        name: format!("{PACKAGE}{}@{VERSION}.0", world.export()),
        made_for: World::ALL.into_iter().filter(|world| has(*world)).collect(),
        exports: exports.iter().map(|name| one_line(name)).collect(),
    });
    if forbidden_imports.is_empty() && missing_export.is_none() {
        return Ok(imports);
    }
    Err(LoadError::Misfit { name: name.to_owned(), world, forbidden_imports, missing_export })
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
