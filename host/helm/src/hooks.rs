//! Hooks: what runs when, in which order, and what is deleted when.

use jiff::Timestamp;
use plumb_api::TestPhase;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, json};

use crate::record::time_text;

/// The annotation that makes an object a hook.
pub const HOOK: &str = "helm.sh/hook";
/// The annotation with the weight of a hook.
pub const WEIGHT: &str = "helm.sh/hook-weight";
/// The annotation that says when a hook is deleted.
pub const DELETE_POLICY: &str = "helm.sh/hook-delete-policy";
/// The annotation that says when the logs of a hook are shown.
pub const OUTPUT_LOG_POLICY: &str = "helm.sh/hook-output-log-policy";

/// When a hook runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HookEvent {
    /// Before the objects of an install are applied.
    PreInstall,
    /// After the objects of an install are applied.
    PostInstall,
    /// Before the objects of an upgrade are applied.
    PreUpgrade,
    /// After the objects of an upgrade are applied.
    PostUpgrade,
    /// Before the objects of a rollback are applied.
    PreRollback,
    /// After the objects of a rollback are applied.
    PostRollback,
    /// Before the objects are deleted.
    PreDelete,
    /// After the objects are deleted.
    PostDelete,
    /// When the release is tested.
    #[serde(alias = "test-success")]
    Test,
}

/// When a hook is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DeletePolicy {
    /// After it, and all that ran with it, succeeded.
    HookSucceeded,
    /// After it failed.
    HookFailed,
    /// Before it is created anew.
    BeforeHookCreation,
}

impl DeletePolicy {
    /// The policy, as it stands in the annotation.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HookSucceeded => "hook-succeeded",
            Self::HookFailed => "hook-failed",
            Self::BeforeHookCreation => "before-hook-creation",
        }
    }
}

/// A hook, as a record has it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hook {
    /// The name of the object.
    #[serde(default)]
    pub name: String,
    /// The kind of the object.
    #[serde(default)]
    pub kind: String,
    /// The template that it comes from.
    #[serde(default)]
    pub path: String,
    /// The object, as YAML.
    #[serde(default)]
    pub manifest: String,
    /// When it runs.
    #[serde(default, deserialize_with = "known")]
    pub events: Vec<HookEvent>,
    /// Its place among those of the same event: lower ones run first.
    #[serde(default)]
    pub weight: i64,
    /// When it is deleted, as [`DeletePolicy`] has it. Without any it is deleted before it is created anew; with one that Helm does not have,
    /// never.
    #[serde(default, alias = "delete_policies", deserialize_with = "list")]
    pub delete_policies: Vec<String>,
    /// When its logs are shown: `hook-succeeded`, `hook-failed`.
    #[serde(default, alias = "output_log_policies", deserialize_with = "list")]
    pub output_log_policies: Vec<String>,
    /// How it ran the last time.
    #[serde(default, skip_deserializing)]
    pub last_run: HookRun,
}

/// Words that a later Helm has are left out, as Helm does with those of an earlier one.
fn known<'de, D: Deserializer<'de>, T: for<'a> Deserialize<'a>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    let values = Option::<Vec<Value>>::deserialize(deserializer)?.unwrap_or_default();
    Ok(values.into_iter().filter_map(|value| serde_json::from_value(value).ok()).collect())
}

fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Ok(Option::<Vec<String>>::deserialize(deserializer)?.unwrap_or_default())
}

/// How a hook ran.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HookRun {
    /// When it was created.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub completed_at: Option<Timestamp>,
    /// How it ended; `None` when it has never run.
    pub phase: Option<TestPhase>,
}

impl HookRun {
    /// The hook is being created.
    pub fn started(at: Timestamp) -> Self {
        Self { started_at: Some(at), completed_at: None, phase: Some(TestPhase::Running) }
    }

    /// The hook has ended.
    pub fn ended(self, at: Timestamp, phase: TestPhase) -> Self {
        Self { completed_at: Some(at), phase: Some(phase), ..self }
    }

    pub(crate) fn to_record(&self) -> Value {
        let mut fields = Map::new();
        fields.extend(self.started_at.map(|at| ("started_at".to_owned(), time_text(at).into())));
        fields.extend(self.completed_at.map(|at| ("completed_at".to_owned(), time_text(at).into())));
        fields.insert("phase".to_owned(), self.phase.map_or("", TestPhase::as_str).into());
        Value::Object(fields)
    }

    fn from_record(value: &Value) -> Self {
        let time = |field: &str| value.get(field).and_then(Value::as_str).and_then(|text| text.parse().ok());
        let phase = value.get("phase").and_then(Value::as_str).filter(|phase| !phase.is_empty());
        Self {
            started_at: time("started_at"),
            completed_at: time("completed_at"),
            phase: phase.map(|phase| serde_json::from_value(phase.into()).unwrap_or(TestPhase::Unknown)),
        }
    }
}

impl Hook {
    pub(crate) fn from_record(value: &Value) -> Option<Self> {
        let hook: Self = serde_json::from_value(value.clone()).ok()?;
        let last_run = value.get("last_run").map(HookRun::from_record).unwrap_or_default();
        Some(Self { last_run, ..hook })
    }

    pub(crate) fn to_record(&self) -> Value {
        let record = json!({
            "name": self.name,
            "kind": self.kind,
            "path": self.path,
            "manifest": self.manifest,
            "events": self.events,
            "weight": self.weight,
            "delete_policies": self.delete_policies,
            "output_log_policies": self.output_log_policies,
        });
        let Value::Object(mut fields) = record else { return record };
        fields.retain(|_, value| !crate::go::is_empty(value));
        fields.insert("last_run".to_owned(), self.last_run.to_record());
        Value::Object(fields)
    }

    /// Whether the hook runs at an event.
    pub fn runs_at(&self, event: HookEvent) -> bool {
        self.events.contains(&event)
    }

    /// Whether the hook is deleted at some time. Definitions of kinds never are, since all their objects would be deleted too.
    pub fn is_deleted(&self, when: DeletePolicy) -> bool {
        let default = self.delete_policies.is_empty() && when == DeletePolicy::BeforeHookCreation;
        self.kind != "CustomResourceDefinition"
            && (default || self.delete_policies.iter().any(|policy| policy == when.as_str()))
    }
}

/// The hooks that run at an event, as indices into `hooks`, in the order in which they run, one after the other: by weight, then by name, then
/// by kind, which is the order of the record.
pub fn at(hooks: &[Hook], event: HookEvent) -> Vec<usize> {
    let mut running: Vec<usize> = (0..hooks.len()).filter(|index| hooks[*index].runs_at(event)).collect();
    running.sort_by_key(|index| (hooks[*index].weight, hooks[*index].name.as_str()));
    running
}

/// Which hooks to delete after those of an event have ended, as indices. `running` is what [`at`] gave, and `failed` the place in it of the
/// one that failed.
///
/// Those that succeeded are deleted from the last to the first; where one failed, that one first and then those that ran before it.
pub fn to_delete(hooks: &[Hook], running: &[usize], failed: Option<usize>) -> Vec<usize> {
    let succeeded = |index: &usize| hooks[*index].is_deleted(DeletePolicy::HookSucceeded);
    let Some(failed) = failed else { return running.iter().rev().copied().filter(succeeded).collect() };
    let (before, from) = running.split_at(failed.min(running.len()));
    let itself =
        from.iter().take(1).copied().filter(|index| hooks[*index].is_deleted(DeletePolicy::HookFailed));
    itself.chain(before.iter().copied().filter(succeeded)).collect()
}

#[cfg(test)]
#[path = "hooks/tests.rs"]
mod tests;
