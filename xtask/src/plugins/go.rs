//! Builds the plugins that are written in Go, each a module with its command in `guest`, as components.

use std::path::Path;
use std::process::Command;

use crate::plugins::Context;

/// Builds the plugin and writes the finished component to `out`.
///
/// Fails with the output of the step that failed.
pub(super) fn build(context: &Context<'_>, out: &Path) -> anyhow::Result<()> {
    let folder = format!("plugins/{}", context.name());
    let componentize = context.componentize()?;
    let bindings = context.work_dir().join("bindings");
    context.run(
        "write the Go bindings",
        Command::new(&componentize)
            .current_dir(context.root())
            // Where the bindings belong, as an import path and as a folder.
            .args(["go-bindings", "--package", &format!("plumbline.dev/{folder}/guest")])
            .args(["--place", &format!("{folder}/guest"), "--out"])
            .arg(&bindings),
    )?;

    let module = context.work_dir().join("core.wasm");
    let overlay = bindings.join("overlay.json");
    context.run(
        "compile it",
        context
            .command("go")
            .current_dir(context.root().join(&folder))
            .envs([("GOOS", "wasip1"), ("GOARCH", "wasm"), ("CGO_ENABLED", "0")])
            .args(["build", "-mod=readonly", "-buildvcs=false", "-trimpath", "-buildmode=c-shared"])
            // The runtime of the bindings reaches into Go's own, which the linker must be told to allow.
            .arg("-ldflags=-s -w -checklinkname=0")
            .arg("-overlay")
            .arg(&overlay)
            .arg("-o")
            .arg(&module)
            .arg("./guest"),
    )?;

    context.run(
        "make it a component and initialise it",
        Command::new(&componentize).current_dir(context.root()).arg("go").arg(&module).arg("--out").arg(out),
    )
}
