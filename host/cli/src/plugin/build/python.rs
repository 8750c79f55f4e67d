//! Python, by componentize-py: the source and CPython become one component, in which WASI is answered.

use std::path::PathBuf;
use std::process::Command;

use super::super::project::Project;
use super::super::runner::read;

/// Makes a component of `plugin.py`.
pub(super) fn build(project: &Project) -> anyhow::Result<Vec<u8>> {
    let component = super::work_directory(project, "python")?.join("component.wasm");
    super::run(
        project,
        Command::new(tool(project))
            .args([
                "--wit-path",
                "wit",
                "--world",
                "plugin",
                "componentize",
                "--stub-wasi",
                "plugin",
                "--output",
            ])
            .arg(&component),
        "install it with `python3 -m venv .venv && .venv/bin/pip install --requirement requirements.txt` in the plugin's folder \
         (it needs Python 3.10 or later)",
    )?;
    read(&component)
}

/// That of the plugin's own environment, or the one in the path.
fn tool(project: &Project) -> PathBuf {
    let own = project.directory.join(".venv/bin/componentize-py");
    if own.is_file() { own } else { PathBuf::from("componentize-py") }
}
