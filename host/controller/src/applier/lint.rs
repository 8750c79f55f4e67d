//! Common mistakes, told as events when they come in with a change. After a restart nothing is told again.

use plumb_api::KustomizationStatus;
use plumb_lint::{Severity as Gravity, lint_rendered};
use plumb_pipeline::Rendered;

use super::run::Run;
use super::state::ApplierStatus;
use crate::events::{LINT, Severity, finding_note};

/// How many findings are remembered; more, and the memory starts anew.
const REMEMBERED: usize = 256;

/// Tells what is likely to hurt in a spec, or in rendered objects, that were not applied before. Each is told once.
pub(super) async fn warn(run: &mut Run<'_, KustomizationStatus>, rendered: &Rendered, revision: &str) {
    let is_new_spec = run.written.observed_generation != run.object.meta().generation;
    let is_new_revision = run.written.last_applied_revision.as_deref() != Some(revision);
    let mut findings = Vec::new();
    if is_new_spec {
        findings.extend(run.object.lint());
    }
    if is_new_spec || is_new_revision {
        findings.extend(lint_rendered(&rendered.objects));
    }
    for finding in findings.iter().filter(|finding| finding.severity != Gravity::Info) {
        run.warn_once(LINT, finding_note(finding)).await;
    }
}

impl<S: ApplierStatus> Run<'_, S> {
    /// Warns of something that is no failure, and not again.
    pub(super) async fn warn_once(&mut self, reason: &str, note: String) {
        if self.memory.linted.len() > REMEMBERED {
            self.memory.linted.clear();
        }
        if self.memory.linted.insert(note.clone()) {
            self.publish(Severity::Warning, reason, &note).await;
        }
    }
}
