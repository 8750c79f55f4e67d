use std::collections::BTreeMap;

use plumb_api::ObjectId;

use super::{Health, HealthStatus};

/// One line for a status condition or an event: how many objects are current, and of the others how many are in which state, the
/// worst by name with what ails them, at most `name_at_most` of them.
pub fn summarise<'a>(
    objects: impl IntoIterator<Item = (&'a ObjectId, &'a Health)>,
    name_at_most: usize,
) -> String {
    let mut objects: Vec<_> = objects.into_iter().collect();
    let mut counts: BTreeMap<HealthStatus, usize> = BTreeMap::new();
    for (_, health) in &objects {
        *counts.entry(health.status).or_default() += 1;
    }
    let total = objects.len();
    let current = counts.remove(&HealthStatus::Current).unwrap_or_default();
    let all = if total == 1 { "object" } else { "objects" };
    if counts.is_empty() {
        return format!("{current} of {total} {all} current");
    }
    let others: Vec<_> = counts.iter().rev().map(|(status, count)| format!("{count} {status}")).collect();

    objects.retain(|(_, health)| health.status != HealthStatus::Current);
    objects.sort_by(|left, right| right.1.status.cmp(&left.1.status).then_with(|| left.0.cmp(right.0)));
    let named: Vec<_> = objects
        .iter()
        .take(name_at_most)
        .map(|(id, health)| format!("{} {}: {}", id.human(), health.status, health.message))
        .collect();
    let unnamed = objects.len() - named.len();
    let mut summary = format!("{current} of {total} {all} current, {}", others.join(", "));
    if !named.is_empty() {
        summary.push_str(": ");
        summary.push_str(&named.join("; "));
    }
    if unnamed > 0 && !named.is_empty() {
        summary.push_str(&format!("; and {unnamed} more"));
    }
    summary
}
