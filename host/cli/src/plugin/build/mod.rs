//! `plumb plugin build`: each language has a file, and all end in the same check.

mod go;
mod js;
mod python;
mod rust;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, bail};
use clap::Args;

use super::project::{Language, Project, ProjectArg};
use super::{inspect, runner};
use crate::output;

/// Builds the plugin in a folder as a component: target/NAME.wasm.
///
/// The component is loaded afterwards, so what was built is known to start and to import nothing that a plugin may not have.
#[derive(Debug, Args)]
pub(crate) struct Build {
    #[command(flatten)]
    project: ProjectArg,
    /// Where the component is written, instead of target/NAME.wasm.
    #[arg(long, short)]
    out: Option<PathBuf>,
}

impl Build {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let project = self.project.open()?;
        let out = self.out.unwrap_or_else(|| project.component());
        let language = project.manifest.language;
        output::note(format_args!("building {} ({language})", project.manifest.name));
        let component = match language {
            Language::Rust => rust::build(&project),
            Language::Go => go::build(&project),
            Language::Js => js::build(&project),
            Language::Python => python::build(&project),
        }?;
        let plugin = runner::host()?.load(&project.manifest.name, &component)?;
        write(&out, &component)?;
        output::line(format_args!(
            "{}: a {} of {}, {}",
            out.display(),
            plugin.world(),
            inspect::size(component.len()),
            plugin.digest()
        ))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Writes next to the target and renames, so that nobody ever loads half a component.
fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
    }
    let unfinished = path.with_extension("wasm.unfinished");
    fs::write(&unfinished, bytes).with_context(|| format!("cannot write {}", unfinished.display()))?;
    fs::rename(&unfinished, path).with_context(|| format!("cannot write {}", path.display()))
}

/// A folder for intermediate files, empty at first.
fn work_directory(project: &Project, name: &str) -> anyhow::Result<PathBuf> {
    let directory = project.directory.join("target").join(name);
    let failed = || format!("cannot make {} anew", directory.display());
    match fs::remove_dir_all(&directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error).with_context(failed),
        _ => {}
    }
    fs::create_dir_all(&directory).with_context(failed)?;
    Ok(directory)
}

/// Runs a tool in the folder of the plugin, its output shown as it comes: on standard error, since our standard output is the result.
/// `missing` says what to install when there is no such program.
fn run(project: &Project, command: &mut Command, missing: &str) -> anyhow::Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status =
        command.current_dir(&project.directory).stdin(Stdio::null()).stdout(std::io::stderr()).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => bail!("{program} failed ({status}); what it said is above"),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            bail!("there is no program {program}; {missing}")
        }
        Err(error) => Err(error).with_context(|| format!("cannot run {program}")),
    }
}
