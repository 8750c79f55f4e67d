use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use plumb_lint::{Finding, Report, Rule, Settings, Severity, lint_rendered, lint_tree};
use plumb_pipeline::Values;
use plumb_tree::{Directory, Tree};

use crate::applier::Applier;
use crate::local::PluginDir;
use crate::output::{self, Color, Format};
use crate::renderer::Renderer;
use crate::workbench::{Chance, Laptop};

/// Finds common mistakes in the Flux objects of a repository. Needs no cluster.
///
/// The rules are described in docs/lint.md. One is switched off by --disable, or for an object by the annotation
/// plumbline.dev/lint-ignore.
///
/// Exits with 0 when there is nothing worse than a warning, with 1 on errors, and with --strict on warnings.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  plumb lint\n  plumb lint k8s-manifests --strict --disable no-health-checks\n  plumb lint -o github"
)]
pub(crate) struct Lint {
    /// The root of the repository.
    #[arg(default_value = ".")]
    directory: PathBuf,
    /// Fail on warnings too.
    #[arg(long)]
    strict: bool,
    /// Rules to leave out, with commas between them.
    #[arg(long, value_delimiter = ',', value_name = "RULE")]
    disable: Vec<Rule>,
    /// Also render the Kustomizations whose path is here, and look for plain Secrets in what comes out.
    #[arg(long)]
    render: bool,
    /// How the findings are printed.
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    output: Output,
    #[command(flatten)]
    plugins: PluginDir,
}

/// How findings are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people: file, line, object, what is wrong and what to do.
    Text,
    /// One list, for programs.
    Json,
    /// Annotations of a GitHub workflow.
    Github,
}

impl Lint {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let directory = &self.directory;
        let cannot_read = || format!("cannot read {}", directory.display());
        let tree: Arc<dyn Tree> = Arc::new(Directory::open(directory).with_context(cannot_read)?);
        let disabled: BTreeSet<Rule> = self.disable.iter().copied().collect();
        let settings = Settings { disabled, own_urls: remotes(directory) };
        let mut report = lint_tree(&tree, &settings).with_context(cannot_read)?;
        if self.render {
            report.findings.extend(self.rendered(&tree, &report)?);
        }
        match self.output {
            Output::Text => {
                output::write(format_args!("{}", text(&report.findings, report.objects, output::colored())))?
            }
            Output::Json => output::structured(&report.findings, Format::Json)?,
            Output::Github => output::write(format_args!("{}", github(&report.findings)))?,
        }
        let limit = if self.strict { Severity::Warning } else { Severity::Error };
        let fails = report.findings.iter().any(|finding| finding.severity >= limit);
        Ok(if fails { ExitCode::from(1) } else { ExitCode::SUCCESS })
    }

    /// Plain Secrets that are in no file: those that kustomize makes. Those that were found in a file are not told again.
    fn rendered(&self, tree: &Arc<dyn Tree>, report: &Report) -> anyhow::Result<Vec<Finding>> {
        let renderer = Renderer::new(&self.plugins)?;
        let mut found: Vec<Finding> = Vec::new();
        for kustomization in &report.renderable {
            let mut kustomization = kustomization.clone();
            // What the cluster holds is not known here.
            if let Some(post_build) = &mut kustomization.spec.post_build {
                post_build.substitute_from.clear();
            }
            // Nor are keys: what is encrypted stays so.
            kustomization.spec.decryption = None;
            let applier = Applier::kustomization(&kustomization);
            let (values, laptop) = (Values::default(), Laptop::default());
            match renderer.objects(&applier, &values, &laptop, Chance::of_this_machine(), tree) {
                Ok(rendered) => found.extend(lint_rendered(&rendered)),
                Err(error) => {
                    let name = applier.owner.name;
                    output::note(format_args!("Kustomization {name} was not rendered: {error:#}"));
                }
            }
        }
        let names = |finding: &Finding| finding.object.rsplit('/').next().map(str::to_owned);
        let told: BTreeSet<_> =
            report.findings.iter().filter(|finding| finding.rule == Rule::PlainSecret).map(names).collect();
        found.retain(|finding| !told.contains(&names(finding)) && !self.disable.contains(&finding.rule));
        found.dedup_by(|a, b| a.object == b.object);
        Ok(found)
    }
}

/// The addresses of the remotes in `.git/config` (git-config(1)); none where that cannot be read.
fn remotes(directory: &Path) -> Vec<String> {
    let config = std::fs::read_to_string(directory.join(".git/config")).unwrap_or_default();
    let url = |line: &str| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == "url").then(|| value.trim().to_owned())
    };
    config.lines().filter_map(url).collect()
}

fn text(findings: &[Finding], objects: usize, colored: bool) -> String {
    let mut text = String::new();
    for finding in findings {
        let color = match finding.severity {
            Severity::Error => Color::Red,
            Severity::Warning | Severity::Info => Color::Yellow,
        };
        let severity = output::paint(&finding.severity.to_string(), color, colored);
        let object = if finding.object.is_empty() { String::new() } else { format!("{}: ", finding.object) };
        let Finding { message, hint, rule, .. } = finding;
        text.push_str(&format!("{}{severity}: {object}{message} [{rule}]\n    {hint}\n", place(finding)));
    }
    let of = |severity: Severity, word: &str| {
        let count = findings.iter().filter(|finding| finding.severity == severity).count();
        format!("{count} {word}{}", if count == 1 { "" } else { "s" })
    };
    let counts = [of(Severity::Error, "error"), of(Severity::Warning, "warning"), of(Severity::Info, "note")];
    let objects = format!("{objects} object{}", if objects == 1 { "" } else { "s" });
    text + &format!("{} in {objects}\n", counts.join(", "))
}

fn place(finding: &Finding) -> String {
    match (&finding.file, finding.line) {
        (Some(file), Some(line)) => format!("{file}:{line}: "),
        (Some(file), None) => format!("{file}: "),
        (None, _) => String::new(),
    }
}

/// Workflow commands (<https://docs.github.com/actions/reference/workflow-commands>), one a line.
fn github(findings: &[Finding]) -> String {
    // What a message holds cannot begin another command.
    let escape = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let property = |text: &str| escape(text).replace(':', "%3A").replace(',', "%2C");
    let line = |finding: &Finding| {
        let command = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Info => "notice",
        };
        let file =
            finding.file.as_deref().map(|file| format!("file={},", property(file))).unwrap_or_default();
        let line = finding.line.map(|line| format!("line={line},")).unwrap_or_default();
        let message = escape(&format!("{}: {}; {}", finding.object, finding.message, finding.hint));
        format!("::{command} {file}{line}title={}::{message}\n", finding.rule)
    };
    findings.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_message_cannot_begin_another_command() {
        let finding = Finding {
            rule: Rule::MissingPath,
            severity: Severity::Error,
            object: "Kustomization/a".to_owned(),
            file: Some("a,b:c.yaml".to_owned()),
            line: Some(3),
            message: "100%\n::error::forged".to_owned(),
            hint: "mend it".to_owned(),
        };
        let expected = "::error file=a%2Cb%3Ac.yaml,line=3,title=missing-path::Kustomization/a: 100%25%0A::error::forged; mend it\n";
        assert_eq!(github(&[finding]), expected);
    }
}
