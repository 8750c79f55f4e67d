//! JavaScript, by ComponentizeJS: the source and the engine SpiderMonkey become one component.
//!
//! `package.json` names `preview2-shim` because ComponentizeJS imports it without saying so, and works with some versions only.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, bail};

use super::super::project::Project;
use super::super::runner::read;

/// Everything of WASI is switched off, so that the engine imports nothing but our contract.
const SCRIPT: &str = r#"import { componentize } from "@bytecodealliance/componentize-js";
import { writeFileSync } from "node:fs";

const disableFeatures = ["stdio", "random", "clocks", "http", "fetch-event"];
const { component } = await componentize({ sourcePath: "plugin.js", witPath: "wit", worldName: "plugin", disableFeatures });
writeFileSync("target/js/component.wasm", component);
"#;

/// Makes a component of `plugin.js`.
pub(super) fn build(project: &Project) -> anyhow::Result<Vec<u8>> {
    let tool = project.directory.join("node_modules/@bytecodealliance/componentize-js");
    if !tool.exists() {
        bail!(
            "ComponentizeJS is not installed for this plugin; run `npm install` in {} (it needs Node.js 20 or later, from https://nodejs.org)",
            project.directory.display()
        );
    }
    let work = super::work_directory(project, "js")?;
    let script = work.join("componentize.mjs");
    fs::write(&script, SCRIPT).with_context(|| format!("cannot write {}", script.display()))?;
    super::run(
        project,
        Command::new("node").arg("target/js/componentize.mjs"),
        "install Node.js 20 or later from https://nodejs.org",
    )?;
    read(&work.join("component.wasm"))
}
