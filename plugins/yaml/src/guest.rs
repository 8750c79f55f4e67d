//! Connects the plugin with the host.

#![allow(missing_docs, reason = "the contract documents what is generated from it")]

mod bindings {
    wit_bindgen::generate!({ path: "../../wit", world: "renderer" });

    use super::Yaml;
    export!(Yaml);
}

use bindings::exports::plumbline::plugin::render::Guest;
use bindings::plumbline::plugin::tree::{Dir, NodeKind, TreeError};
use bindings::plumbline::plugin::types;

use crate::collect::{self, Node};
use crate::read::{Error, Kind};

struct Yaml;

impl Guest for Yaml {
    fn render(root: &Dir, parameters: String) -> Result<Vec<String>, Vec<types::Error>> {
        collect::render(&HostTree(root), &parameters)
            .map_err(|errors| errors.into_iter().map(types::Error::from).collect())
    }
}

struct HostTree<'a>(&'a Dir);

impl collect::Tree for HostTree<'_> {
    fn list(&self, path: &str) -> Result<Vec<String>, Error> {
        Ok(self.0.list(path)?.into_iter().map(|entry| entry.name).collect())
    }

    fn stat(&self, path: &str) -> Result<Node, Error> {
        let node = self.0.stat(path)?;
        Ok(match node.kind {
            NodeKind::File => Node::File,
            NodeKind::Directory => Node::Directory { resolved: node.resolved },
            NodeKind::Opaque => Node::Opaque,
        })
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, Error> {
        Ok(self.0.read(path)?)
    }
}

impl From<TreeError> for Error {
    fn from(error: TreeError) -> Self {
        match error {
            TreeError::NotFound => Self::not_found(),
            TreeError::NotADirectory => Self::invalid("it is not a directory".to_owned()),
            TreeError::IsADirectory => Self::invalid("it is a directory".to_owned()),
            TreeError::Denied => Self::denied(),
            TreeError::TooLarge(limit) => {
                Self::invalid(format!("the file is larger than the limit of {limit} bytes"))
            }
            TreeError::Failed(why) => Self::internal(&why),
        }
    }
}

impl From<Error> for types::Error {
    fn from(error: Error) -> Self {
        Self {
            kind: match error.kind {
                Kind::InvalidInput => types::ErrorKind::InvalidInput,
                Kind::NotFound => types::ErrorKind::NotFound,
                Kind::Denied => types::ErrorKind::Denied,
                Kind::Internal => types::ErrorKind::Internal,
            },
            message: error.message,
            file: error.file,
            line: error.line,
            hint: error.hint,
        }
    }
}
