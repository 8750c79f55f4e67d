//! Reads files and imports, from the tree and nowhere else.

use std::path::PathBuf;

use jrsonnet_evaluator::async_import::AsyncImportResolver;
use jrsonnet_evaluator::{AsPathLike, SourcePath};
use jrsonnet_ir::SourceFile;
use plumbline_plugin::{Error, NodeKind, Tree, Unreadable};

/// How deep brackets may be nested in a file. The parser works by recursion.
const NESTING: usize = 256;

/// The file of a directory that is rendered.
const MAIN: &str = "main.jsonnet";

/// The files of a tree, and the directories that imports are looked for in.
pub struct Files<'a> {
    /// The tree.
    pub tree: &'a Tree<'a>,
    /// Directories from its root.
    pub lib: &'a [String],
}

/// The file that a path names, which may be its directory.
///
/// # Errors
///
/// When there is none.
pub fn entry(tree: &Tree<'_>, path: &str) -> Result<String, Error> {
    let path = normal("", path)?;
    if tree.stat(&path)?.kind != NodeKind::Directory {
        return Ok(path);
    }
    let main = normal(&path, MAIN)?;
    tree.stat(&main)?;
    Ok(main)
}

impl Files<'_> {
    fn resolve(&self, from: &str, import: &str) -> Result<String, Error> {
        self.find(from, import).map_err(|error| match error.file {
            None if !from.is_empty() => error.file(from),
            _ => error,
        })
    }

    fn find(&self, from: &str, import: &str) -> Result<String, Error> {
        if import.starts_with('/') {
            let error = Error::denied(format!("{import:?} leads out of the source"));
            return Err(
                error.hint("Imports are relative to the file that has them, or to a directory of `lib`.")
            );
        }
        let beside = from.rsplit_once('/').map_or("", |(directory, _)| directory);
        let mut tried = Vec::new();
        for directory in std::iter::once(beside).chain(self.lib.iter().map(String::as_str)) {
            let path = normal(directory, import)?;
            match self.tree.stat(&path) {
                Ok(node) if node.kind == NodeKind::File => return Ok(path),
                Ok(_) => {}
                Err(error) if error.reason == Unreadable::NotFound => {}
                Err(error) => return Err(error.into()),
            }
            tried.push(path);
        }
        Err(Error::not_found(format!("there is no file {import:?}; looked for {}", tried.join(", ")))
            .hint("Name the directory that has it under `lib`."))
    }
}

impl AsyncImportResolver for Files<'_> {
    type Error = Error;

    async fn resolve_from(&self, from: &SourcePath, path: &dyn AsPathLike) -> Result<SourcePath, Error> {
        let import = path.as_path().to_owned().to_string();
        let path = self.resolve(name_of(from).unwrap_or_default(), &import)?;
        Ok(SourcePath::new(SourceFile::new(PathBuf::from(path))))
    }

    async fn load_file_contents(&self, resolved: &SourcePath) -> Result<Vec<u8>, Error> {
        let path = name_of(resolved).unwrap_or_default();
        let bytes = self.tree.read(path)?;
        let code = std::str::from_utf8(&bytes).unwrap_or_default();
        if is_code(path) && nesting(code) > NESTING {
            return Err(Error::invalid(format!(
                "brackets or operators are nested deeper than {NESTING} levels"
            ))
            .file(path));
        }
        Ok(bytes)
    }
}

/// Whether a file is evaluated; others are taken as they are, by `importstr`.
fn is_code(path: &str) -> bool {
    [".jsonnet", ".libsonnet", ".json"].iter().any(|end| path.ends_with(end))
}

/// The path of a file of the tree.
pub fn name_of(source: &SourcePath) -> Option<&str> {
    source.downcast_ref::<SourceFile>()?.path().to_str()
}

/// A path from the root, without `.` and `..`.
fn normal(directory: &str, path: &str) -> Result<String, Error> {
    let mut parts = Vec::new();
    for part in directory.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." if parts.pop().is_none() => {
                return Err(Error::denied(format!("{path:?} leads out of the source")));
            }
            ".." => {}
            part => parts.push(part),
        }
    }
    Ok(parts.join("/"))
}

/// How deep brackets, and operators in front of each other, are nested; those in texts and comments count, too.
fn nesting(code: &str) -> usize {
    let (mut open, mut before, mut deepest) = (0_usize, 0_usize, 0);
    for byte in code.bytes() {
        match byte {
            b'(' | b'[' | b'{' => open += 1,
            b')' | b']' | b'}' => open = open.saturating_sub(1),
            b'!' | b'-' | b'+' | b'~' => before += 1,
            byte if byte.is_ascii_whitespace() => {}
            _ => before = 0,
        }
        deepest = deepest.max(open + before);
    }
    deepest
}
