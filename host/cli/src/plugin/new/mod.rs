//! `plumb plugin new`: everything that a project needs is in the binary.

mod templates;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};

use super::project::{Language, check_name};
use crate::output;

/// Starts a new plugin: a folder that can be built, tested and changed at once, with all that it needs but the language's own tools.
#[derive(Debug, Args)]
pub(crate) struct New {
    /// The name of the plugin, and of the folder.
    name: String,
    /// What it is written in.
    #[arg(long, value_enum)]
    lang: Language,
    /// What it does.
    #[arg(long, value_enum, default_value_t = Kind::Transformer)]
    kind: Kind,
    /// Where the folder is made.
    #[arg(long, default_value = ".")]
    directory: PathBuf,
}

/// What a plugin does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Turns objects into other objects.
    Transformer,
    /// Turns files into objects.
    Renderer,
    /// Says what is wrong with objects.
    Validator,
    /// Says how an object of the cluster is doing.
    HealthCheck,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Transformer => "transformer",
            Self::Renderer => "renderer",
            Self::Validator => "validator",
            Self::HealthCheck => "health-check",
        }
    }
}

impl New {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        check_name(&self.name)?;
        let directory = self.directory.join(&self.name);
        if directory.exists() {
            bail!("{} exists already", directory.display());
        }
        for (path, text) in templates::files(&self.name, self.lang, self.kind) {
            write(&directory.join(path), &text)?;
        }
        output::line(format_args!("{} is a new {} in {}", directory.display(), self.kind.name(), self.lang))?;
        let first = match self.lang {
            Language::Rust | Language::Go => "",
            Language::Js => "npm install && ",
            Language::Python => {
                "python3 -m venv .venv && .venv/bin/pip install --requirement requirements.txt && "
            }
        };
        output::note(format_args!(
            "next: cd {} && {first}plumb plugin build && plumb plugin test",
            directory.display()
        ));
        Ok(ExitCode::SUCCESS)
    }
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(path, text));
    written.with_context(|| format!("cannot write {}", path.display()))
}
