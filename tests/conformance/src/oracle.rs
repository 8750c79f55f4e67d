use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::{NativeRelease, Rendering, Substituted, UsedFunctions, folder};

/// The Go program that says what upstream kustomize makes of the cases.
#[derive(Debug)]
pub struct Oracle {
    program: PathBuf,
}

/// What upstream kustomize makes of a case.
#[derive(Clone, Debug, Deserialize)]
pub struct Native {
    /// The name of the case.
    pub case: String,
    /// The directory that was rendered, from the case's root.
    pub path: String,
    /// What `kustomize build` prints.
    pub yaml: String,
    objects: Vec<String>,
    error: Option<String>,
}

/// What the kustomizations of a case use.
#[derive(Clone, Debug, Deserialize)]
pub struct Used {
    /// The name of the case.
    pub case: String,
    /// The paths of fields, as [`Oracle::fields`] has them.
    pub fields: Vec<String>,
}

impl Native {
    /// The same as the plugin would return it.
    pub fn rendering(&self) -> Rendering {
        match &self.error {
            Some(error) => Rendering::Error(error.clone()),
            None => Rendering::Objects(self.objects.clone()),
        }
    }
}

impl Oracle {
    /// Builds the program with `go` and puts it into the folder `into`. Go keeps what it compiled, so this is quick when
    /// nothing has changed.
    pub fn build(into: &Path) -> anyhow::Result<Self> {
        Ok(Self { program: build("oracle", into)? })
    }

    /// Renders every case of a folder, in the order of their names.
    pub fn render(&self, cases: &Path) -> anyhow::Result<Vec<Native>> {
        self.lines(&["render".as_ref(), cases.as_os_str()])
    }

    /// Puts variables into the objects of every case of a file.
    pub fn substitute(&self, file: &Path) -> anyhow::Result<Vec<Substituted>> {
        self.lines(&["substitute".as_ref(), file.as_os_str()])
    }

    /// The dotted path of every field of a kustomization, such as `patches.target.kind`, and every builtin plugin, such
    /// as `builtin:PatchTransformer`.
    pub fn fields(&self) -> anyhow::Result<Vec<String>> {
        Ok(run(Command::new(&self.program).arg("fields"))?.lines().map(str::to_owned).collect())
    }

    /// Which of these every case of a folder uses.
    pub fn used(&self, cases: &Path) -> anyhow::Result<Vec<Used>> {
        self.lines(&["used".as_ref(), cases.as_os_str()])
    }

    fn lines<T: DeserializeOwned>(&self, arguments: &[&OsStr]) -> anyhow::Result<Vec<T>> {
        lines(&self.program, arguments)
    }
}

/// The Go program that says what upstream Helm makes of charts.
#[derive(Debug)]
pub struct HelmOracle {
    program: PathBuf,
}

impl HelmOracle {
    /// Builds the program as [`Oracle::build`] does.
    pub fn build(into: &Path) -> anyhow::Result<Self> {
        Ok(Self { program: build("helm", into)? })
    }

    /// Renders every case of a folder, in the order of their names.
    pub fn render(&self, cases: &Path) -> anyhow::Result<Vec<NativeRelease>> {
        lines(&self.program, &["render".as_ref(), cases.as_os_str()])
    }

    /// The name of every function of templates that Helm knows.
    pub fn functions(&self) -> anyhow::Result<Vec<String>> {
        Ok(run(Command::new(&self.program).arg("functions"))?.lines().map(str::to_owned).collect())
    }

    /// How long each of some renders of one case took, in one process.
    pub fn time(&self, case: &Path, runs: usize) -> anyhow::Result<Vec<Duration>> {
        let took: Vec<u64> =
            lines(&self.program, &["time".as_ref(), case.as_os_str(), runs.to_string().as_ref()])?;
        Ok(took.into_iter().map(Duration::from_nanos).collect())
    }

    /// Which of these every case of a folder calls.
    pub fn used(&self, cases: &Path) -> anyhow::Result<Vec<UsedFunctions>> {
        lines(&self.program, &["used".as_ref(), cases.as_os_str()])
    }
}

/// Builds the program in a folder of this crate, and puts it under the folder's name into the folder `into`.
fn build(name: &str, into: &Path) -> anyhow::Result<PathBuf> {
    let program = into.join(name);
    // No version control stamp: with `buildMetadata: [managedByLabel]`, kustomize writes it into the objects.
    let mut go = Command::new("go");
    go.args(["build", "-trimpath", "-buildvcs=false", "-o"])
        .arg(&program)
        .arg(".")
        .current_dir(folder().join(name));
    run(&mut go).with_context(|| format!("building the oracle in {name}"))?;
    Ok(program)
}

/// What a program writes, one value a line. A plugin is in no time zone, and so is the program.
fn lines<T: DeserializeOwned>(program: &Path, arguments: &[&OsStr]) -> anyhow::Result<Vec<T>> {
    run(Command::new(program).args(arguments).env("TZ", "UTC"))?
        .lines()
        .map(|line| {
            serde_json::from_str(line).with_context(|| format!("reading what the oracle says: {line}"))
        })
        .collect()
}

/// Runs a program to its end and returns what it wrote to its output.
fn run(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output().with_context(|| format!("running {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} failed ({}):\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    String::from_utf8(output.stdout).with_context(|| format!("reading the output of {command:?}"))
}
