use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::Context as _;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// A small repository, and which of its directories is rendered.
#[derive(Clone, Debug)]
pub struct Case {
    /// The name of its folder: what it shows.
    pub name: String,
    /// Its folder: the root of the tree.
    pub root: PathBuf,
    /// The directory that is rendered, from the root; empty for the root.
    pub path: String,
    /// Set where the plugin cannot say what kustomize says.
    pub own_words: Option<OwnWords>,
}

/// An error that the plugin words otherwise than kustomize: both fail, each in the words that are expected of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnWords {
    /// What the plugin says.
    pub plugin: String,
    /// Why it does not say the same as kustomize.
    pub because: String,
}

/// The file `case.json` of a case, which most do without.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Marker {
    #[serde(default)]
    path: String,
    own_words: Option<OwnWords>,
}

/// All cases of a folder, in the order of their names.
pub fn cases(folder: &Path) -> anyhow::Result<Vec<Case>> {
    let case = |(name, root): (String, PathBuf)| {
        let Marker { path, own_words } = marker(&root)?;
        Ok(Case { name, root, path, own_words })
    };
    folders(folder)?.into_iter().map(case).collect()
}

/// The folders in a folder with their names, in the order of these.
pub(crate) fn folders(folder: &Path) -> anyhow::Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("listing {}", folder.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            let name =
                entry.file_name().into_string().map_err(|name| anyhow::anyhow!("{name:?} is not UTF-8"))?;
            found.push((name, entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

/// What the file `case.json` of a case says, where there is one.
pub(crate) fn marker<T: DeserializeOwned + Default>(root: &Path) -> anyhow::Result<T> {
    let file = root.join("case.json");
    let reading = || format!("reading {}", file.display());
    match fs::read(&file) {
        Ok(text) => serde_json::from_slice(&text).with_context(reading),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(T::default()),
        Err(error) => Err(error).with_context(reading),
    }
}
