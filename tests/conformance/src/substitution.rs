use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Deserialize;

use crate::{Rendering, folder};

/// Variables to put into objects, and what the plugin says when it cannot.
#[derive(Clone, Debug, Deserialize)]
pub struct Substitution {
    /// What it shows; `error-…` if it fails.
    pub name: String,
    /// The variables, as `spec.postBuild.substitute` has them.
    pub variables: BTreeMap<String, String>,
    /// What the plugin says. Flux stops at the first mistake and says where in the text of the YAML it is; the plugin tells all mistakes,
    /// with object and field.
    #[serde(default)]
    pub own_words: Option<String>,
}

/// What Flux makes of a case.
#[derive(Clone, Debug, Deserialize)]
pub struct Substituted {
    /// The name of the case.
    pub case: String,
    /// The objects before, each as JSON text.
    pub given: Vec<String>,
    objects: Vec<String>,
    error: Option<String>,
}

impl Substituted {
    /// The same as the plugin would return it.
    pub fn rendering(&self) -> Rendering {
        match &self.error {
            Some(error) => Rendering::Error(error.clone()),
            None => Rendering::Objects(self.objects.clone()),
        }
    }
}

/// The file of all substitutions.
pub fn substitutions_file() -> PathBuf {
    folder().join("substitutions.yaml")
}

/// All substitutions of a file.
pub fn substitutions(file: &Path) -> anyhow::Result<Vec<Substitution>> {
    let text = fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    serde_yaml::from_str(&text).with_context(|| format!("reading {}", file.display()))
}
