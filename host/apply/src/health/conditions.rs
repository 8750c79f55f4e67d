use plumb_api::Object;
use serde_json::Value;

/// One entry of `status.conditions`.
#[derive(Clone, Copy)]
pub(super) struct Condition<'a> {
    /// Its type.
    pub(super) kind: &'a str,
    pub(super) state: ConditionState,
    pub(super) reason: &'a str,
    pub(super) message: &'a str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ConditionState {
    True,
    False,
    Unknown,
    /// Not a value that the API conventions know.
    Other,
}

impl Condition<'_> {
    /// The message, or else the reason, or else what the condition is.
    pub(super) fn explain(&self) -> String {
        let state = match self.state {
            ConditionState::True => "True",
            ConditionState::False => "False",
            ConditionState::Unknown => "Unknown",
            ConditionState::Other => "not set",
        };
        match (self.message, self.reason) {
            ("", "") => format!("{} is {state}", self.kind),
            ("", reason) => format!("{} is {state}: {reason}", self.kind),
            (message, _) => message.to_owned(),
        }
    }
}

/// The conditions of an object.
pub(super) fn conditions(object: &Object) -> impl Iterator<Item = Condition<'_>> {
    let list = object.pointer("/status/conditions").and_then(Value::as_array);
    list.into_iter().flatten().map(|condition| {
        let text = |field| condition.get(field).and_then(Value::as_str).unwrap_or_default();
        let state = match text("status") {
            "True" => ConditionState::True,
            "False" => ConditionState::False,
            "Unknown" => ConditionState::Unknown,
            _ => ConditionState::Other,
        };
        Condition { kind: text("type"), state, reason: text("reason"), message: text("message") }
    })
}

/// The condition of a type.
pub(super) fn condition<'a>(object: &'a Object, kind: &str) -> Option<Condition<'a>> {
    conditions(object).find(|condition| condition.kind == kind)
}

/// The condition of a type, when it is in a state.
pub(super) fn condition_in<'a>(
    object: &'a Object,
    kind: &str,
    state: ConditionState,
) -> Option<Condition<'a>> {
    condition(object, kind).filter(|condition| condition.state == state)
}
