//! The conditions of a status: how an object is doing, in words that `kubectl wait`, `flux get` and kstatus understand.

mod words;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use schemars::{Schema, SchemaGenerator, json_schema};

pub use words::{ConditionType, Reason};

/// The status of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// Nobody can tell, or not yet.
    Unknown,
}

impl ConditionStatus {
    /// The status as text.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// The longest message that Kubernetes allows, counted as the API server does, in characters.
pub const MAX_MESSAGE_LENGTH: usize = 32768;

/// Sets a condition: puts it in, or changes the one of the same type. `lastTransitionTime` becomes `now` only when the status
/// changes. A message that is too long is cut and ends in `...`.
pub fn set_condition(
    conditions: &mut Vec<Condition>,
    type_: ConditionType,
    status: ConditionStatus,
    reason: Reason,
    message: &str,
    observed_generation: Option<i64>,
    now: Timestamp,
) {
    let unchanged = find(conditions, type_).filter(|before| before.status == status.as_str());
    // A Time is written in whole seconds; a condition must equal itself after it was written and read.
    let since =
        unchanged.map_or_else(|| Time(whole_seconds(now)), |before| before.last_transition_time.clone());
    let condition = Condition {
        type_: type_.as_str().to_owned(),
        status: status.as_str().to_owned(),
        reason: reason.as_str().to_owned(),
        message: truncated(message),
        observed_generation,
        last_transition_time: since,
    };
    remove(conditions, type_);
    conditions.push(condition);
    conditions.sort_by(|a, b| order(a).cmp(&order(b)));
}

/// The condition of a type.
pub fn find(conditions: &[Condition], type_: ConditionType) -> Option<&Condition> {
    conditions.iter().find(|condition| condition.type_ == type_.as_str())
}

/// Whether the condition of a type is there and true.
pub fn is_true(conditions: &[Condition], type_: ConditionType) -> bool {
    find(conditions, type_).is_some_and(|condition| condition.status == "True")
}

/// Takes the condition of a type out, if it is there.
pub fn remove(conditions: &mut Vec<Condition>, type_: ConditionType) {
    conditions.retain(|condition| condition.type_ != type_.as_str());
}

/// Stalled, Reconciling and Ready first, as Flux does for those who read the first line, then the others by name.
fn order(condition: &Condition) -> (usize, &str) {
    let first = [ConditionType::Stalled, ConditionType::Reconciling, ConditionType::Ready];
    let place = first.iter().position(|type_| type_.as_str() == condition.type_);
    (place.unwrap_or(first.len()), &condition.type_)
}

fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

fn truncated(message: &str) -> String {
    const END: &str = "...";
    match message.char_indices().nth(MAX_MESSAGE_LENGTH) {
        None => message.to_owned(),
        Some(_) => message.chars().take(MAX_MESSAGE_LENGTH - END.len()).chain(END.chars()).collect(),
    }
}

/// The schema of a list of conditions, as `k8s.io/apimachinery` has it. (k8s-openapi's own would come without the limits.)
pub(crate) fn conditions_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "items": {
            "description": "One aspect of the state of an object.",
            "type": "object",
            "required": ["lastTransitionTime", "message", "reason", "status", "type"],
            "properties": {
                "lastTransitionTime": {
                    "description": "When the status last changed from one value to another.",
                    "type": "string",
                    "format": "date-time",
                },
                "message": {
                    "description": "What people should know about it. It may be empty.",
                    "type": "string",
                    "maxLength": MAX_MESSAGE_LENGTH,
                },
                "observedGeneration": {
                    "description": "The generation of the object that the condition is about. When it is lower than metadata.generation, the condition is out of date.",
                    "type": "integer",
                    "format": "int64",
                    "minimum": 0,
                },
                "reason": {
                    "description": "The reason for the status, as one word for programs.",
                    "type": "string",
                    "minLength": 1,
                    "maxLength": 1024,
                    "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
                },
                "status": {
                    "description": "Whether it holds: True, False or Unknown.",
                    "type": "string",
                    "enum": ["True", "False", "Unknown"],
                },
                "type": {
                    "description": "Which aspect it is, for example Ready.",
                    "type": "string",
                    "maxLength": 316,
                    "pattern": r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$",
                },
            },
        },
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use ConditionStatus::{False, True, Unknown};
    use rstest::rstest;

    use super::*;

    fn second(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn set(
        conditions: &mut Vec<Condition>,
        type_: ConditionType,
        status: ConditionStatus,
        message: &str,
        at: i64,
    ) {
        set_condition(conditions, type_, status, Reason::Progressing, message, Some(1), second(at));
    }

    #[rstest]
    #[case::same_status(True, True, 1)]
    #[case::other_status(True, False, 2)]
    #[case::unknown_is_a_status(Unknown, True, 2)]
    fn the_time_changes_with_the_status_only(
        #[case] before: ConditionStatus,
        #[case] after: ConditionStatus,
        #[case] since: i64,
    ) {
        let mut conditions = Vec::new();
        set(&mut conditions, ConditionType::Ready, before, "before", 1);
        set_condition(
            &mut conditions,
            ConditionType::Ready,
            after,
            Reason::ReconciliationSucceeded,
            "after",
            Some(7),
            second(2),
        );
        let expected = Condition {
            type_: "Ready".into(),
            status: after.as_str().into(),
            reason: "ReconciliationSucceeded".into(),
            message: "after".into(),
            observed_generation: Some(7),
            last_transition_time: Time(second(since)),
        };
        assert_eq!(conditions, [expected]);
    }

    #[test]
    fn they_are_listed_in_the_order_of_flux() {
        let mut conditions = Vec::new();
        for type_ in ConditionType::ALL.iter().rev() {
            set(&mut conditions, *type_, True, "", 1);
        }
        let listed: Vec<&str> = conditions.iter().map(|condition| condition.type_.as_str()).collect();
        assert_eq!(
            listed,
            [
                "Stalled",
                "Reconciling",
                "Ready",
                "ArtifactInStorage",
                "ArtifactOutdated",
                "BuildFailed",
                "Drifted",
                "FetchFailed",
                "Healthy",
                "IncludeUnavailable",
                "Released",
                "Remediated",
                "SourceVerified",
                "StorageOperationFailed",
                "TestSuccess",
            ]
        );
    }

    #[test]
    fn they_are_found_and_removed_by_type() {
        let mut conditions = Vec::new();
        set(&mut conditions, ConditionType::Ready, False, "", 1);
        set(&mut conditions, ConditionType::Reconciling, True, "", 1);
        assert!(is_true(&conditions, ConditionType::Reconciling));
        assert!(!is_true(&conditions, ConditionType::Ready), "it is there, but false");
        assert!(!is_true(&conditions, ConditionType::Stalled), "it is not there");
        remove(&mut conditions, ConditionType::Reconciling);
        assert_eq!(find(&conditions, ConditionType::Reconciling), None);
        assert_eq!(find(&conditions, ConditionType::Ready).unwrap().status, "False");
    }

    #[rstest]
    #[case::fits("ä".repeat(MAX_MESSAGE_LENGTH), "ä".repeat(MAX_MESSAGE_LENGTH))]
    #[case::one_too_many("ä".repeat(MAX_MESSAGE_LENGTH + 1), format!("{}...", "ä".repeat(MAX_MESSAGE_LENGTH - 3)))]
    #[case::empty(String::new(), String::new())]
    fn a_long_message_is_cut_between_characters(#[case] message: String, #[case] kept: String) {
        let mut conditions = Vec::new();
        set(&mut conditions, ConditionType::Ready, False, &message, 1);
        assert!(conditions[0].message == kept);
    }

    #[test]
    fn a_condition_equals_itself_after_it_was_stored() {
        let mut conditions = Vec::new();
        let now = Timestamp::new(1, 999_999_999).unwrap();
        set_condition(&mut conditions, ConditionType::Ready, True, Reason::Succeeded, "", Some(1), now);
        let stored: Vec<Condition> =
            serde_json::from_str(&serde_json::to_string(&conditions).unwrap()).unwrap();
        assert_eq!(stored, conditions);
    }

    #[test]
    fn every_reason_is_one_that_kubernetes_allows() {
        for reason in Reason::ALL {
            assert!(reason.as_str().bytes().all(|byte| byte.is_ascii_alphanumeric()), "{reason}");
        }
    }
}
