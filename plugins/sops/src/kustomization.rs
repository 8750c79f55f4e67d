//! The files that kustomize puts into objects as they are. They have to be decrypted before it runs: values of variables become single values, and the
//! name of a generated object has a hash of them.

use std::collections::{BTreeMap, BTreeSet};

use plumbline_plugin::{Error, Errors, File, Node, NodeKind, Tree, TreeError};
use serde::Deserialize;

use crate::document;
use crate::format::Format;
use crate::keys::Keyring;

/// The names that a kustomization can have, in the order in which kustomize looks for them.
const NAMES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];
/// No larger file is looked at, as in Flux. No object can hold as much.
const LARGEST: u64 = 5 << 20;

/// The parameters of a renderer, as far as they matter here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Parameters {
    /// The directory that is rendered.
    pub path: String,
    /// What a Flux Kustomization adds to the kustomization there.
    pub overlay: Overlay,
}

/// What a Flux Kustomization adds.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Overlay {
    /// Directories with components.
    pub components: Vec<String>,
}

/// A `kustomization.yaml`, as far as it matters here. What is wrong with it is for kustomize to tell.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Kustomization {
    resources: Option<Vec<String>>,
    bases: Option<Vec<String>>,
    components: Option<Vec<String>>,
    #[serde(rename = "secretGenerator")]
    secrets: Option<Vec<Generator>>,
    #[serde(rename = "configMapGenerator")]
    config_maps: Option<Vec<Generator>>,
    patches: Option<Vec<Patch>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Generator {
    files: Option<Vec<String>>,
    envs: Option<Vec<String>>,
    env: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Patch {
    path: Option<String>,
}

/// A file that is put into an object, and what its format is told by: its name there.
struct Source {
    path: String,
    name: String,
}

impl Kustomization {
    fn sources(&self) -> Vec<Source> {
        let generators = self.secrets.iter().chain(&self.config_maps).flatten();
        let mut sources = Vec::new();
        for generator in generators {
            let files = generator.files.iter().flatten().map(|file| match file.split_once('=') {
                Some((name, path)) => Source { path: path.to_owned(), name: name.to_owned() },
                None => Source { path: file.clone(), name: file.clone() },
            });
            let envs = generator.envs.iter().flatten().chain(&generator.env);
            let envs = envs.map(|path| Source { path: path.clone(), name: path.clone() });
            sources.extend(files.chain(envs));
        }
        let patches = self.patches.iter().flatten().filter_map(|patch| patch.path.clone());
        sources.extend(patches.map(|path| Source { name: path.clone(), path }));
        sources
    }

    fn directories(&self) -> impl Iterator<Item = &String> {
        self.resources.iter().chain(&self.bases).chain(&self.components).flatten()
    }
}

/// The files that are encrypted, decrypted. `keys` are asked for when there is one.
///
/// # Errors
///
/// Every file that cannot be decrypted.
pub fn decrypt(
    tree: &Tree<'_>,
    parameters: &Parameters,
    keys: impl FnOnce() -> Result<Keyring, Errors>,
) -> Result<Vec<File>, Errors> {
    let mut found = Found { tree, visited: BTreeSet::new(), encrypted: BTreeMap::new() };
    found.start(parameters)?;
    if found.encrypted.is_empty() {
        return Ok(Vec::new());
    }
    let keys = keys()?;
    let (mut files, mut errors) = (Vec::new(), Errors::default());
    for (path, (format, bytes)) in found.encrypted {
        match document::decrypt(&bytes, format, &keys) {
            Ok(content) => files.push(File { path, content }),
            Err(wrong) => {
                let error = Error::invalid(format!("it cannot be decrypted: {wrong}")).file(path.as_str());
                errors.push(match wrong.line() {
                    Some(line) => error.line(line),
                    None => error,
                });
            }
        }
    }
    errors.or(files)
}

struct Found<'a> {
    tree: &'a Tree<'a>,
    /// Directories, links followed.
    visited: BTreeSet<String>,
    /// What is encrypted, by its path with links followed.
    encrypted: BTreeMap<String, (Format, Vec<u8>)>,
}

impl Found<'_> {
    fn start(&mut self, parameters: &Parameters) -> Result<(), TreeError> {
        let Some(directory) = self.directory(&parameters.path)? else { return Ok(()) };
        match self.kustomization(&directory)? {
            Some(_) => self.visit(&directory)?,
            None => self.scan(&directory)?,
        }
        for component in &parameters.overlay.components {
            self.visit_if_there(&directory, component)?;
        }
        Ok(())
    }

    /// A directory without a kustomization has those below it.
    fn scan(&mut self, directory: &str) -> Result<(), TreeError> {
        let mut left = vec![directory.to_owned()];
        while let Some(directory) = left.pop() {
            if !self.visited.insert(directory.clone()) {
                continue;
            }
            for entry in self.tree.list(&directory)? {
                if entry.kind != NodeKind::Directory || entry.name == ".git" {
                    continue;
                }
                let Some(below) = self.directory(&join(&directory, &entry.name))? else { continue };
                match self.kustomization(&below)? {
                    Some(_) => self.visit(&below)?,
                    None => left.push(below),
                }
            }
        }
        Ok(())
    }

    /// Looks into a kustomization and into those that it is made of.
    fn visit(&mut self, directory: &str) -> Result<(), TreeError> {
        let mut left = vec![directory.to_owned()];
        while let Some(directory) = left.pop() {
            if !self.visited.insert(directory.clone()) {
                continue;
            }
            let Some(file) = self.kustomization(&directory)? else { continue };
            let text = self.tree.read_text(&file).unwrap_or_default();
            let kustomization: Kustomization = serde_saphyr::from_str(&text).unwrap_or_default();
            for source in kustomization.sources() {
                self.source(&directory, &source)?;
            }
            for relative in kustomization.directories().filter(|path| is_local(path)) {
                left.extend(self.directory(&join(&directory, relative))?);
            }
        }
        Ok(())
    }

    fn visit_if_there(&mut self, base: &str, relative: &str) -> Result<(), TreeError> {
        match self.directory(&join(base, relative))? {
            Some(directory) if is_local(relative) => self.visit(&directory),
            _ => Ok(()),
        }
    }

    fn source(&mut self, directory: &str, source: &Source) -> Result<(), TreeError> {
        if !is_local(&source.path) {
            return Ok(());
        }
        let path = join(directory, &source.path);
        let Some(node) = self.there(&path)? else { return Ok(()) };
        if node.kind != NodeKind::File || node.size > LARGEST || self.encrypted.contains_key(&node.resolved) {
            return Ok(());
        }
        let bytes = self.tree.read(&path)?;
        if let Some(format) = Format::of_file(&source.name, &bytes) {
            self.encrypted.insert(node.resolved, (format, bytes));
        }
        Ok(())
    }

    /// The file that makes a directory a kustomization.
    fn kustomization(&self, directory: &str) -> Result<Option<String>, TreeError> {
        for name in NAMES {
            let path = join(directory, name);
            if self.there(&path)?.is_some_and(|node| node.kind == NodeKind::File) {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }

    /// A directory, links followed.
    fn directory(&self, path: &str) -> Result<Option<String>, TreeError> {
        let node = self.there(path)?.filter(|node| node.kind == NodeKind::Directory);
        Ok(node.map(|node| node.resolved))
    }

    /// What is at a path, if anything can be. Whatever is wrong with it otherwise is for kustomize to tell.
    fn there(&self, path: &str) -> Result<Option<Node>, TreeError> {
        use plumbline_plugin::Unreadable::Failed;
        match self.tree.stat(path) {
            Ok(node) => Ok(Some(node)),
            Err(error) if matches!(error.reason, Failed(_)) => Err(error),
            Err(_) => Ok(None),
        }
    }
}

fn join(directory: &str, relative: &str) -> String {
    if directory.is_empty() { relative.to_owned() } else { format!("{directory}/{relative}") }
}

/// Neither a URL nor a path from the root, nor an object that is written there.
fn is_local(path: &str) -> bool {
    !path.starts_with('/') && !path.contains("://") && !path.contains('\n')
}

#[cfg(test)]
mod tests;
