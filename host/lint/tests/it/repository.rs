//! A repository in memory.

use std::sync::Arc;

use plumb_lint::{Finding, Settings, lint_tree};
use plumb_tree::{Memory, Tree, TreePath};

/// What is found in these files.
pub(crate) fn lint(files: &[(&str, &str)]) -> Vec<Finding> {
    lint_with(files, &Settings::default())
}

pub(crate) fn lint_with(files: &[(&str, &str)], settings: &Settings) -> Vec<Finding> {
    let add =
        |tree: Memory, (path, text): &(&str, &str)| tree.with_file(&TreePath::new(path).unwrap(), *text);
    let tree: Arc<dyn Tree> = Arc::new(files.iter().fold(Memory::new(), add));
    lint_tree(&tree, settings).unwrap().findings
}

/// `file:line: severity: object: message [rule]`, one a line.
pub(crate) fn told(findings: &[Finding]) -> String {
    let line = |finding: &Finding| {
        let file = finding.file.as_deref().unwrap_or("-");
        let line = finding.line.unwrap_or_default();
        format!(
            "{file}:{line}: {}: {}: {} [{}]",
            finding.severity, finding.object, finding.message, finding.rule
        )
    };
    findings.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// The names of the rules, each once.
pub(crate) fn rules(findings: &[Finding]) -> Vec<&'static str> {
    let mut rules: Vec<_> = findings.iter().map(|finding| finding.rule.name()).collect();
    rules.sort_unstable();
    rules.dedup();
    rules
}

/// A Kustomization about which there is nothing to say, with more lines of its spec.
pub(crate) fn kustomization(name: &str, more: &str) -> String {
    let more: String = more.lines().map(|line| format!("  {line}\n")).collect();
    format!(
        "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata:\n  name: {name}\n  namespace: flux-system\n\
         spec:\n  interval: 5m\n  prune: true\n  wait: true\n  sourceRef:\n    kind: GitRepository\n    name: repo\n{more}"
    )
}

/// A GitRepository about which there is nothing to say, with more lines of its spec.
pub(crate) fn source(more: &str) -> String {
    let more: String = more.lines().map(|line| format!("  {line}\n")).collect();
    format!(
        "apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata:\n  name: repo\n  namespace: flux-system\n\
         spec:\n  interval: 1m\n  url: https://git.example/org/repo\n{more}"
    )
}
