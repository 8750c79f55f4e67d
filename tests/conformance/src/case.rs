use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::Context as _;
use serde::Deserialize;

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
    let mut cases = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("listing {}", folder.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            let name =
                entry.file_name().into_string().map_err(|name| anyhow::anyhow!("{name:?} is not UTF-8"))?;
            cases.push(Case::read(name, entry.path())?);
        }
    }
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(cases)
}

impl Case {
    fn read(name: String, root: PathBuf) -> anyhow::Result<Self> {
        let file = root.join("case.json");
        let marker: Marker = match fs::read(&file) {
            Ok(text) => {
                serde_json::from_slice(&text).with_context(|| format!("reading {}", file.display()))?
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Marker::default(),
            Err(error) => return Err(error).with_context(|| format!("reading {}", file.display())),
        };
        Ok(Self { name, root, path: marker.path, own_words: marker.own_words })
    }
}
