//! The objects that the files of a repository hold.

use std::collections::HashSet;

use plumb_tree::{EntryKind, Tree, TreeError, TreePath};
use serde_json::Value;

use crate::document::{Broken, Document, documents};

/// A manifest is smaller than this; what is larger is not looked at.
const MAX_FILE_BYTES: u64 = 4 << 20;
/// More files are not looked at.
const MAX_FILES: usize = 100_000;

/// What the files of a repository hold.
#[derive(Debug, Default)]
pub(crate) struct Repository {
    pub(crate) documents: Vec<Document>,
    pub(crate) broken: Vec<Broken>,
}

impl Repository {
    /// Reads every YAML file. Hidden directories are left out, and templates of Helm charts, which are not YAML. Links are not followed: what
    /// they lead to is looked at where it is.
    pub(crate) fn read(tree: &dyn Tree) -> Result<Self, TreeError> {
        let mut repository = Self::default();
        let (mut ahead, mut files) = (vec![TreePath::root()], 0);
        while let Some(directory) = ahead.pop() {
            let entries = tree.list(&directory)?;
            let is_chart = entries.iter().any(|entry| entry.name == "Chart.yaml");
            let mut below = Vec::new();
            for entry in entries {
                let Ok(path) = directory.join(&entry.name) else { continue };
                match entry.kind {
                    EntryKind::Directory if entry.name.starts_with('.') => {}
                    EntryKind::Directory
                        if is_chart && ["templates", "charts"].contains(&entry.name.as_str()) => {}
                    EntryKind::Directory => below.push(path),
                    EntryKind::File if is_manifest(&entry.name) && files < MAX_FILES => {
                        files += 1;
                        repository.add(tree, &path)?;
                    }
                    EntryKind::File | EntryKind::Link | EntryKind::Opaque => {}
                }
            }
            below.reverse();
            ahead.extend(below);
        }
        repository.leave_out_patches();
        Ok(repository)
    }

    fn add(&mut self, tree: &dyn Tree, path: &TreePath) -> Result<(), TreeError> {
        let bytes = match tree.read(path, MAX_FILE_BYTES) {
            Err(TreeError::TooLarge { .. }) => return Ok(()),
            read => read?,
        };
        let Ok(text) = String::from_utf8(bytes) else { return Ok(()) };
        let (documents, broken) = documents(path.as_str(), &text);
        self.documents.extend(documents);
        self.broken.extend(broken);
        Ok(())
    }

    /// A patch looks like an object that lacks most of its fields.
    fn leave_out_patches(&mut self) {
        let mut patches = HashSet::new();
        for document in self.documents.iter().filter(|document| is_kustomize(document)) {
            let list =
                |field: &str| document.value.get(field).and_then(Value::as_array).into_iter().flatten();
            let named = ["patches", "patchesJson6902"]
                .into_iter()
                .flat_map(list)
                .filter_map(|patch| patch.get("path"));
            for path in named.chain(list("patchesStrategicMerge")).filter_map(Value::as_str) {
                patches.extend(beside(document, path));
            }
        }
        self.documents.retain(|document| !patches.contains(&document.place.file));
    }
}

/// The path of a file that a document names, relative to its own.
pub(crate) fn beside(document: &Document, path: &str) -> Option<String> {
    let directory = TreePath::new(&document.place.file).ok()?.parent()?;
    Some(directory.join(path).ok()?.as_str().to_owned())
}

/// Whether a document tells kustomize what to build.
pub(crate) fn is_kustomize(document: &Document) -> bool {
    let text = |field: &str| document.value.get(field).and_then(Value::as_str);
    let name = document.place.file.rsplit('/').next().unwrap_or_default();
    let is_named_so = ["kustomization.yaml", "kustomization.yml", "Kustomization"].contains(&name);
    match (text("apiVersion"), text("kind")) {
        (Some(version), _) => version.starts_with("kustomize.config.k8s.io/"),
        (None, _) => is_named_so,
    }
}

fn is_manifest(name: &str) -> bool {
    name.ends_with(".yaml") || name.ends_with(".yml") || name == "Kustomization"
}
