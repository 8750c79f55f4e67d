//! Finds the files to read.

use serde::Deserialize;

use crate::read::{Error, Kind, read};

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A file.
    File,
    /// A directory, and where it really is once links are followed.
    Directory {
        /// From the root of the tree.
        resolved: String,
    },
    /// A link that leads nowhere, or a submodule that was not fetched.
    Opaque,
}

/// The tree that the host hands over. Paths start at its root.
pub trait Tree {
    /// The names in a directory, in the order of their bytes.
    ///
    /// # Errors
    /// When there is no such directory, or it cannot be read.
    fn list(&self, path: &str) -> Result<Vec<String>, Error>;

    /// What is at a path.
    ///
    /// # Errors
    /// When there is nothing, or it cannot be asked about.
    fn stat(&self, path: &str) -> Result<Node, Error>;

    /// The bytes of a file.
    ///
    /// # Errors
    /// When there is no such file, or it cannot be read.
    fn read(&self, path: &str) -> Result<Vec<u8>, Error>;
}

/// What the step is called with.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    /// The file or directory to read, from the root of the tree; empty for the root.
    #[serde(default)]
    path: String,
}

/// The objects of a file, or of every `.yaml`, `.yml` and `.json` file below a directory, each as the text of a JSON object.
///
/// Directories whose name starts with a dot are passed over, and so are links to directories.
///
/// # Errors
/// Everything that is wrong with any of the files.
pub fn render(tree: &dyn Tree, parameters: &str) -> Result<Vec<String>, Vec<Error>> {
    let parameters: Parameters = serde_json::from_str(parameters).map_err(|error| {
        vec![Error::invalid(format!("the parameters of the step yaml are not valid: {error}"))]
    })?;
    let path = clean(&parameters.path);
    let mut found = Found::default();
    match tree.stat(&path) {
        Ok(Node::Directory { resolved }) => found.directory(tree, &resolved),
        Ok(Node::File) => found.file(tree, &path),
        Ok(Node::Opaque) => found.errors.push(Error {
            hint: Some("A link must lead to something in the same repository.".to_owned()),
            ..Error::invalid(format!("the path {path:?} is a link that leads nowhere"))
        }),
        Err(error) => found.errors.push(Error {
            message: format!("the path {path:?} cannot be read: {}", error.message),
            hint: Some("Set path to a file or directory of this revision of the source.".to_owned()),
            ..error
        }),
    }
    if found.errors.is_empty() { Ok(found.objects) } else { Err(found.errors) }
}

#[derive(Default)]
struct Found {
    objects: Vec<String>,
    errors: Vec<Error>,
}

impl Found {
    fn directory(&mut self, tree: &dyn Tree, path: &str) {
        let names = match tree.list(path) {
            Ok(names) => names,
            Err(error) => return self.errors.push(error.in_file(path)),
        };
        for name in names {
            let below = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
            match tree.stat(&below) {
                Ok(Node::File) if is_manifest(&name) => self.file(tree, &below),
                // A link to a directory may lead in a circle; what it leads to is read where it really is.
                Ok(Node::Directory { resolved }) if resolved == below && !name.starts_with('.') => {
                    self.directory(tree, &below);
                }
                Ok(Node::Opaque) if is_manifest(&name) => self.errors.push(
                    Error::invalid("the link leads to nothing in this repository".to_owned()).in_file(&below),
                ),
                Ok(Node::File | Node::Directory { .. } | Node::Opaque) => {}
                Err(error) => self.errors.push(error.in_file(&below)),
            }
        }
    }

    fn file(&mut self, tree: &dyn Tree, path: &str) {
        match tree.read(path) {
            Ok(text) => {
                let mut errors = Vec::new();
                read(&text, &mut self.objects, &mut errors);
                self.errors.extend(errors.into_iter().map(|error| error.in_file(path)));
            }
            Err(error) => self.errors.push(error.in_file(path)),
        }
    }
}

fn is_manifest(name: &str) -> bool {
    [".yaml", ".yml", ".json"].iter().any(|ending| name.ends_with(ending))
}

/// The path without `.`, empty parts and a slash in front. What `..` means is for the host to say.
fn clean(path: &str) -> String {
    path.split('/').filter(|part| !part.is_empty() && *part != ".").collect::<Vec<_>>().join("/")
}

impl Error {
    /// There is nothing at a path.
    #[must_use]
    pub fn not_found() -> Self {
        Self { kind: Kind::NotFound, ..Self::invalid("there is nothing at this path".to_owned()) }
    }

    /// A path leads out of the tree.
    #[must_use]
    pub fn denied() -> Self {
        Self { kind: Kind::Denied, ..Self::invalid("the path leads out of the repository".to_owned()) }
    }

    /// The tree could not be read.
    #[must_use]
    pub fn internal(why: &str) -> Self {
        Self { kind: Kind::Internal, ..Self::invalid(why.to_owned()) }
    }
}

#[cfg(test)]
#[path = "collect_tests.rs"]
mod tests;
