//! `plumb test`: pipelines with what they are to make.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, bail};
use clap::Args;
use plumb_api::Object;
use plumb_plugin::{Clock, Random};
use similar::TextDiff;

use crate::local::{PluginDir, Source};
use crate::renderer::Renderer;
use crate::substitution::Substitution;
use crate::workbench::{Chance, Laptop};
use crate::{applier, diff, objects, output};

const PIPELINE: &str = "pipeline.yaml";
const SOURCE: &str = "source";
const VALUES: &str = "values.yaml";
const CLUSTER: &str = "cluster.yaml";
const EXPECTED: &str = "expected.yaml";
const ERROR: &str = "error.txt";

/// Renders pipelines and compares what they make with what they are to make. Needs no cluster.
///
/// Every directory with a pipeline.yaml is a case. That file holds a Pipeline or a Flux Kustomization, and the Plugins that it uses. Beside it
/// are `source`, the files to render; where they are needed `values.yaml`, with ConfigMaps and Secrets, and `cluster.yaml`, with the
/// objects that plugins find in the cluster; and either `expected.yaml` with the objects, or `error.txt` with the error that is to come.
///
/// Exits with 0 when all cases are as expected, with 1 when one is not, with 2 on an error.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  plumb test\n  plumb test pipelines --plugin labels=target/labels.wasm\n  plumb test --update"
)]
pub(crate) struct Test {
    /// The directory with the cases, in it or anywhere below.
    #[arg(default_value = ".")]
    path: PathBuf,
    /// The directory that stands for the root of the repository in cases that have no directory `source`.
    #[arg(long)]
    root: Option<PathBuf>,
    /// Write what was made to expected.yaml and error.txt instead of comparing it.
    #[arg(long)]
    update: bool,
    #[command(flatten)]
    substitution: Substitution,
    #[command(flatten)]
    laptop: Laptop,
    #[command(flatten)]
    plugins: PluginDir,
}

impl Test {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let mut cases = Vec::new();
        find(&self.path, &mut cases)?;
        if cases.is_empty() {
            bail!("there is no {PIPELINE} in {} or below", self.path.display());
        }
        let renderer = Renderer::new(&self.plugins)?;
        let mut failed = 0;
        for case in &cases {
            let made = self.made(case, &renderer);
            let name = case.display();
            if self.update {
                let word = if update(case, &made)? { "written" } else { "ok" };
                output::line(format_args!("{word:7} {name}"))?;
            } else if let Some(difference) = compare(case, &made)? {
                failed += 1;
                output::line(format_args!("FAILED  {name}"))?;
                diff::print(&difference)?;
            } else {
                output::line(format_args!("ok      {name}"))?;
            }
        }
        if failed == 0 {
            return Ok(ExitCode::SUCCESS);
        }
        let of = cases.len();
        output::note(format_args!(
            "{failed} of {of} cases failed; where what was made is right, write it with --update"
        ));
        Ok(ExitCode::from(1))
    }

    /// The objects of a case, or its error, as text.
    fn made(&self, case: &Path, renderer: &Renderer) -> Result<String, String> {
        let objects = self.rendered(case, renderer).map_err(|error| format!("{error:#}\n"))?;
        output::documents(&objects).map_err(|error| format!("{error:#}\n"))
    }

    fn rendered(&self, case: &Path, renderer: &Renderer) -> anyhow::Result<Vec<Object>> {
        let present = |name: &str| Some(case.join(name)).filter(|path| path.is_file());
        let mut substitution = self.substitution.clone();
        if let Some(values) = present(VALUES) {
            substitution = substitution.and(values);
        }
        let mut laptop = self.laptop.clone();
        laptop.cluster_objects.extend(present(CLUSTER));
        let given = substitution.read()?;
        // Where a case lies is no part of what is wrong with it.
        let text = std::fs::read_to_string(case.join(PIPELINE)).context(PIPELINE)?;
        let applier = applier::of_text(&text, &given).context(PIPELINE)?;
        let root = match &self.root {
            _ if case.join(SOURCE).is_dir() => case.join(SOURCE),
            Some(root) => root.clone(),
            None => {
                bail!("there is no directory {SOURCE}; make one with the files to render, or give --root")
            }
        };
        let source = Source::open(&root, Some(&root))?;
        let values = given.values(&applier.spec, applier.owner.kind);
        let chance = Chance { clock: Arc::new(Standing), random: Arc::new(Fixed) };
        renderer.applier(&applier, &values, &laptop, chance, &source.tree)
    }
}

/// The clock of tests stands at 2000-01-01T00:00:00Z.
struct Standing;

impl Clock for Standing {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(946_684_800)
    }
}

/// What is random in a test is the same every time.
struct Fixed;

impl Random for Fixed {
    fn seed(&self) -> Option<[u8; 32]> {
        Some([0; 32])
    }
}

/// The cases in a directory and below it, in alphabetical order. There are none inside a case, or in hidden directories.
fn find(directory: &Path, cases: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    if directory.join(PIPELINE).is_file() {
        cases.push(directory.to_owned());
        return Ok(());
    }
    let cannot = || format!("cannot read {}", directory.display());
    let mut below = Vec::new();
    for entry in directory.read_dir().with_context(cannot)? {
        let entry = entry.with_context(cannot)?;
        // A link may lead back.
        if entry.file_type().with_context(cannot)?.is_dir() && !is_hidden(&entry.path()) {
            below.push(entry.path());
        }
    }
    below.sort();
    below.iter().try_for_each(|directory| find(directory, cases))
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

/// How what was made differs from what was expected; `None` when it does not.
fn compare(case: &Path, made: &Result<String, String>) -> anyhow::Result<Option<String>> {
    let (expected, error) = (read(&case.join(EXPECTED))?, read(&case.join(ERROR))?);
    let differs = |name: &str, before: &str, after: &str| {
        let diff = TextDiff::from_lines(before, after);
        let text = diff.unified_diff().context_radius(3).header(name, "made").to_string();
        (before != after).then_some(text)
    };
    Ok(match (expected, error, made) {
        (Some(_), Some(_), _) => Some(format!("it has both {EXPECTED} and {ERROR}; delete one of them\n")),
        (None, None, _) => {
            Some(format!("it has neither {EXPECTED} nor {ERROR}; write what was made with --update\n"))
        }
        (Some(expected), None, Ok(made)) => differs(EXPECTED, &canonical(&expected)?, made),
        (None, Some(error), Err(made)) => differs(ERROR, &format!("{}\n", error.trim()), made),
        (Some(_), None, Err(made)) => Some(format!("it is to make objects, and failed:\n{made}")),
        (None, Some(_), Ok(made)) => Some(format!("it is to fail, and made objects:\n{made}")),
    })
}

/// The same objects as they are printed: how a file is written is no difference.
fn canonical(text: &str) -> anyhow::Result<String> {
    let mut objects = Vec::new();
    for document in objects::documents(text).context(EXPECTED)? {
        objects.push(Object::new(document).context(EXPECTED)?);
    }
    output::documents(&objects)
}

/// Writes what was made; `false` when it is there already.
fn update(case: &Path, made: &Result<String, String>) -> anyhow::Result<bool> {
    if compare(case, made)?.is_none() {
        return Ok(false);
    }
    let (wanted, other, text) = match made {
        Ok(text) => (EXPECTED, ERROR, text),
        Err(text) => (ERROR, EXPECTED, text),
    };
    let path = case.join(wanted);
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    let other = case.join(other);
    if other.exists() {
        std::fs::remove_file(&other).with_context(|| format!("cannot delete {}", other.display()))?;
    }
    Ok(true)
}

fn read(path: &Path) -> anyhow::Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}
