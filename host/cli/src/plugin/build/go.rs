//! Go, by its own compiler for WASI, which our stand-in answers inside the component.

use std::fs;
use std::process::Command;

use anyhow::Context as _;
use plumb_component::{Contract, encode_go, go_bindings, merge_segments};

use super::super::project::Project;
use super::super::runner::read;

/// The folder for what is made from the contract.
const GENERATED: &str = "internal/wit";

/// What connects the functions of `plugin/` with the contract, by the interface that is exported.
const GLUE: [(&str, &str); 4] = [
    ("health", include_str!("../templates/go/glue/health.go")),
    ("render", include_str!("../templates/go/glue/render.go")),
    ("transform", include_str!("../templates/go/glue/transform.go")),
    ("validate", include_str!("../templates/go/glue/validate.go")),
];
/// What each of them needs beside it.
const SHARED: &str = include_str!("../templates/go/glue/shared.go");

/// Writes the bindings, builds the module and makes a component of it.
pub(super) fn build(project: &Project) -> anyhow::Result<Vec<u8>> {
    let contract = Contract::load(&project.directory.join("wit"), "plugin")?;
    write_bindings(project, &contract)?;
    let module = super::work_directory(project, "go")?.join("module.wasm");
    super::run(
        project,
        Command::new("go")
            .envs([("GOOS", "wasip1"), ("GOARCH", "wasm"), ("CGO_ENABLED", "0"), ("GOWORK", "off")])
            .args(["build", "-buildvcs=false", "-trimpath", "-buildmode=c-shared"])
            // The runtime of the bindings reaches into Go's own, which the linker must be told to allow.
            .arg("-ldflags=-s -w -checklinkname=0")
            .arg("-o")
            .arg(&module)
            .arg("."),
        "install Go 1.25 or later from https://go.dev/dl",
    )?;
    let module = merge_segments(&read(&module)?).context("cannot merge the data segments")?;
    encode_go(module, &contract)
}

/// Anew each time, so that they are never stale.
fn write_bindings(project: &Project, contract: &Contract) -> anyhow::Result<()> {
    let place = project.directory.join(GENERATED);
    if place.exists() {
        fs::remove_dir_all(&place).with_context(|| format!("cannot remove {}", place.display()))?;
    }
    let module = &project.manifest.name;
    go_bindings(contract, &format!("{module}/{GENERATED}"), &place)?;
    for export in contract.shape().exports.iter().filter_map(|name| interface(name)) {
        let (_, glue) = GLUE.iter().find(|(name, _)| *name == export).with_context(|| {
            format!("there is no Go side for the interface {export} yet; write it in another language")
        })?;
        let package = format!("export_plumbline_plugin_{export}");
        let folder = place.join("exports").join(&package);
        fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        for (name, text) in [("glue.go", *glue), ("shared.go", SHARED)] {
            let file = folder.join(name);
            fs::write(&file, text.replace("PACKAGE", &package).replace("NAME", module))
                .with_context(|| format!("cannot write {}", file.display()))?;
        }
    }
    Ok(())
}

/// `render` for `plumbline:plugin/render@0.1.0`.
fn interface(name: &str) -> Option<&str> {
    let (interface, _version) = name.strip_prefix("plumbline:plugin/")?.split_once('@')?;
    Some(interface)
}
