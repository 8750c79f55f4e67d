//! What can be told of a plugin without running it.

use std::collections::BTreeSet;

use wasmparser::{KnownCustom, Parser, Payload};

use crate::printable::one_line;
use crate::{Form, Wants, World};

/// How many bytes of a name or version are told, and how many of them.
const LONGEST: usize = 200;
const MOST: usize = 50;

/// What a plugin is, and what it asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// A component or a core module.
    pub form: Form,
    /// The worlds whose export it has: most plugins are made for one.
    pub worlds: Vec<World>,
    /// The names of what it imports.
    pub imports: Vec<String>,
    /// The names of what it exports.
    pub exports: Vec<String>,
    /// The capabilities among its imports.
    pub wants: Wants,
    /// How large it is.
    pub bytes: u64,
    /// Its SHA-256: `sha256:…`.
    pub digest: String,
    /// What it was made with.
    pub producers: Vec<Producer>,
}

/// A tool that had a part in making a plugin, or the language that it is written in. Nobody checks that it is true. Source: WebAssembly tool
/// conventions, "Producers Section".
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Producer {
    /// `language`, `processed-by`, or `sdk`.
    pub role: String,
    /// For example `Rust`.
    pub name: String,
    /// For example `1.95.0`; may be empty.
    pub version: String,
}

/// What the sections of that name tell, in the component and in the modules in it. What cannot be read is left out.
pub(crate) fn producers(bytes: &[u8]) -> Vec<Producer> {
    let mut found = BTreeSet::new();
    for payload in Parser::new(0).parse_all(bytes) {
        let Ok(payload) = payload else { break };
        let Payload::CustomSection(section) = payload else { continue };
        let KnownCustom::Producers(fields) = section.as_known() else { continue };
        for field in fields.into_iter().map_while(Result::ok) {
            for value in field.values.into_iter().map_while(Result::ok) {
                if found.len() == MOST {
                    break;
                }
                found.insert(Producer {
                    role: told(field.name),
                    name: told(value.name),
                    version: told(value.version),
                });
            }
        }
    }
    found.into_iter().collect()
}

fn told(text: &str) -> String {
    one_line(&text.chars().take(LONGEST).collect::<String>())
}
