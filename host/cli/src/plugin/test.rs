//! `plumb plugin test`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use plumb_plugin::{Limits, Plugin, Usage};
use similar::TextDiff;

use super::cases::{self, Case, Outcome};
use super::inspect::size;
use super::project::ProjectArg;
use super::runner;
use crate::output::{self, Color};

/// Runs the golden cases of a plugin: the folders in tests/.
///
/// A case is given input.yaml (objects; a renderer is given the files in tree/ instead), parameters.yaml and grants.yaml (secrets, objects of the
/// cluster, answers over HTTP, the clock), all of which may be missing. What comes of it must be expected.yaml (objects, findings or a report) or
/// errors.yaml, and warnings.yaml where it warns.
#[derive(Debug, Args)]
pub(crate) struct Test {
    #[command(flatten)]
    project: ProjectArg,
    /// The component to test, instead of the one that was built in the plugin's folder.
    #[arg(long)]
    component: Option<PathBuf>,
    /// Write down what comes of each case as what must come of it.
    #[arg(long)]
    update: bool,
}

/// How a case went.
enum Verdict {
    Same,
    Updated,
    /// With what to show of it.
    Differs(String),
}

impl Test {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let project = self.project.open()?;
        let component = self.component.map_or_else(|| project.built(), Ok)?;
        let plugin = runner::load(&runner::host()?, &component)?;
        let cases = cases::find(&project.directory)?;
        let mut differ = 0;
        for case in &cases {
            let (verdict, usage) = match judge(case, &plugin, self.update) {
                Ok((verdict, usage)) => (verdict, Some(usage)),
                Err(error) => (Verdict::Differs(format!("{error:#}\n")), None),
            };
            differ += usize::from(matches!(verdict, Verdict::Differs(_)));
            tell(case, &verdict, usage)?;
        }
        output::line(format_args!("{} of {} cases passed", cases.len() - differ, cases.len()))?;
        Ok(if differ == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) })
    }
}

fn judge(case: &Case, plugin: &Plugin, update: bool) -> anyhow::Result<(Verdict, Usage)> {
    let input = case.input()?;
    let call = input.call()?;
    let outcome = case.run(plugin, &input, &call)?;
    let usage = call.used.usage();
    let expected = case.expected()?;
    if expected.as_ref() == Some(&outcome) {
        return Ok((Verdict::Same, usage));
    }
    if update {
        case.accept(&outcome)?;
        return Ok((Verdict::Updated, usage));
    }
    let verdict = match expected {
        Some(expected) => difference(&expected, &outcome)?,
        None => format!(
            "it has neither expected.yaml nor errors.yaml; this came of it, and `plumb plugin test --update` keeps it:\n{}",
            cases::text(&outcome)?
        ),
    };
    Ok((Verdict::Differs(verdict), usage))
}

fn difference(expected: &Outcome, outcome: &Outcome) -> anyhow::Result<String> {
    let (expected, outcome) = (cases::text(expected)?, cases::text(outcome)?);
    Ok(TextDiff::from_lines(&expected, &outcome)
        .unified_diff()
        .header("expected", "what came of it")
        .to_string())
}

fn tell(case: &Case, verdict: &Verdict, usage: Option<Usage>) -> anyhow::Result<()> {
    let (word, color, more) = match verdict {
        Verdict::Same => ("ok", Color::Green, ""),
        Verdict::Updated => ("updated", Color::Yellow, ""),
        Verdict::Differs(more) => ("FAILED", Color::Red, more.as_str()),
    };
    let word = output::paint(word, color, output::colored());
    let used = usage.map(|usage| format!("   {}", used(&usage))).unwrap_or_default();
    output::line(format_args!("{word} {}{used}", case.name))?;
    for line in more.lines() {
        output::line(format_args!("    {line}"))?;
    }
    Ok(())
}

/// What a call used, and of how much where that is worth knowing.
pub(super) fn used(usage: &Usage) -> String {
    let limits = Limits::default();
    format!(
        "{:.1} ms, memory {} of {}, {} host calls",
        usage.wall_time.as_secs_f64() * 1000.0,
        size(usage.memory_bytes),
        size(limits.memory_bytes),
        usage.host_calls,
    )
}
