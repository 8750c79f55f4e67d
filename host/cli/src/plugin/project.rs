//! The folder of a plugin: `plugin.yaml`, and what its language needs.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

/// The file that makes a folder a plugin's.
pub(super) const FILE: &str = "plugin.yaml";

/// What a plugin is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Language {
    Rust,
    Go,
    /// JavaScript.
    Js,
    Python,
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rust => "Rust",
            Self::Go => "Go",
            Self::Js => "JavaScript",
            Self::Python => "Python",
        })
    }
}

/// What `plugin.yaml` says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    pub(super) name: String,
    pub(super) language: Language,
    #[serde(default)]
    pub(super) version: Option<String>,
    #[serde(default)]
    pub(super) description: Option<String>,
}

/// A plugin and the folder it is in.
#[derive(Debug)]
pub(super) struct Project {
    pub(super) directory: PathBuf,
    pub(super) manifest: Manifest,
}

/// Which plugin a command is about.
#[derive(Debug, Args)]
pub(super) struct ProjectArg {
    /// The folder of the plugin.
    #[arg(default_value = ".")]
    directory: PathBuf,
}

impl ProjectArg {
    pub(super) fn open(&self) -> anyhow::Result<Project> {
        Project::open(&self.directory)
    }
}

impl Project {
    pub(super) fn open(directory: &Path) -> anyhow::Result<Self> {
        let file = directory.join(FILE);
        let text = match std::fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => bail!(
                "{} is not the folder of a plugin: it has no {FILE}; `plumb plugin new` makes one",
                directory.display()
            ),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
        };
        let manifest: Manifest =
            serde_yaml::from_str(&text).with_context(|| format!("cannot use {}", file.display()))?;
        check_name(&manifest.name).with_context(|| format!("in {}", file.display()))?;
        let directory =
            directory.canonicalize().with_context(|| format!("cannot open {}", directory.display()))?;
        Ok(Self { directory, manifest })
    }

    /// Where `plumb plugin build` puts the component.
    pub(super) fn component(&self) -> PathBuf {
        self.directory.join("target").join(format!("{}.wasm", self.manifest.name))
    }

    /// The component that was built.
    pub(super) fn built(&self) -> anyhow::Result<PathBuf> {
        let component = self.component();
        if !component.is_file() {
            bail!("{} does not exist; run `plumb plugin build` first", component.display());
        }
        Ok(component)
    }
}

/// A name becomes that of a crate, a Go module, a file and a repository of a registry.
pub(super) fn check_name(name: &str) -> anyhow::Result<()> {
    let starts_with_letter = name.starts_with(|first: char| first.is_ascii_lowercase());
    let of_few = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if !starts_with_letter || !of_few || name.ends_with('-') || name.contains("--") || name.len() > 63 {
        bail!(
            "{name:?} is no name for a plugin: it takes up to 63 of a-z, 0-9 and single -, and starts with a letter"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    #[rstest]
    #[case("team-label", true)]
    #[case("a1", true)]
    #[case("", false)]
    #[case("1a", false)]
    #[case("Team", false)]
    #[case("a--b", false)]
    #[case("a-", false)]
    #[case("../a", false)]
    fn a_name_fits_everywhere(#[case] name: &str, #[case] fits: bool) {
        assert_eq!(super::check_name(name).is_ok(), fits);
    }
}
