//! What people are told of a release.

use plumb_api::{ConditionStatus, ConditionType, Reason, conditions};
use plumb_helm::report::Told;

use super::Turn;
use crate::events::Severity;
use crate::notifications::metadata;

impl Turn<'_> {
    /// Publishes an event about a release of this version of the chart.
    pub(super) async fn publish_told(&self, told: &Told, version: &str) {
        let severity = if told.warning { Severity::Warning } else { Severity::Normal };
        match severity {
            Severity::Normal => tracing::info!(object = %self.id, reason = %told.reason, "{}", told.message),
            Severity::Warning => {
                tracing::warn!(object = %self.id, reason = %told.reason, message = told.message, "not reconciled");
            }
        }
        let metadata = metadata(self.object.meta(), self.id.kind.group(), Some(version));
        let about = self.object.reference();
        let reason = told.reason.as_str();
        self.context.events.publish(&about, severity, reason, &told.message, &metadata).await;
    }

    /// Adds to what is said about an action that is under way what it waits for.
    pub(super) fn tell_of_wait(&mut self, what: &str) {
        for type_ in [ConditionType::Reconciling, ConditionType::Ready] {
            let Some(condition) = conditions::find(&self.status.conditions, type_) else { continue };
            if condition.reason != Reason::Progressing.as_str() {
                continue;
            }
            let said = condition.message.split(": ").next().unwrap_or_default();
            let message = format!("{said}: {what}");
            let holds = match type_ {
                ConditionType::Reconciling => ConditionStatus::True,
                _ => ConditionStatus::Unknown,
            };
            self.report().set(&mut self.status, type_, holds, Reason::Progressing, &message);
        }
    }
}
