//! What the API server says when it does not do what it was asked, as sentences for people, and whether to ask again.

use std::time::Duration;

use kube::core::Status;
use plumb_api::ObjectId;

/// Why a request did not do what it should.
#[derive(Clone, Debug)]
pub enum Refusal {
    /// The API server said no.
    Status(Box<Status>),
    /// There was no answer: the connection could not be made, or broke.
    Unreachable(String),
    /// There was no answer in time.
    TimedOut,
    /// The request could not be made (a name that is no path segment), or the answer was not an object.
    Malformed(String),
}

/// What kind of failure it is, for those who count them or decide what to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// The object is not valid, or an admission webhook or policy does not want it: it has to be changed.
    Rejected,
    /// A field cannot be changed in place, and recreating was not allowed.
    Immutable,
    /// RBAC does not allow it.
    Forbidden,
    /// The namespace, or the kind, is not there.
    NotFound,
    /// Somebody else changed the object at the same time, more often than was worth trying.
    Conflict,
    /// The API server did not answer, not in time, or is overloaded: try again later.
    Unavailable,
    /// The object was applied and did not get ready, or was deleted and did not go, in time.
    NotReady,
}

/// One object that could not be brought to where it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", .id.human())]
pub struct Failure {
    /// The object.
    pub id: ObjectId,
    /// A sentence that tells why and, where there is something to do, what. Never a value of a Secret.
    pub message: String,
    /// What kind of failure.
    pub kind: FailureKind,
}

/// How long to wait before the next attempt at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How often a request is sent before its refusal is final.
const ATTEMPTS: u32 = 8;

impl Refusal {
    /// The HTTP status; 0 when there was no answer.
    pub fn code(&self) -> u16 {
        match self {
            Self::Status(status) => status.code,
            Self::Unreachable(_) | Self::TimedOut | Self::Malformed(_) => 0,
        }
    }

    /// Whether the object, or its path, is not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Status(status) if status.is_not_found())
    }

    /// Whether the refusal is what a server says that does not know yet what a CRD has just brought: its kind, or a field.
    pub(crate) fn is_of_old_schema(&self) -> bool {
        self.is_not_found() || matches!(self, Self::Status(status) if lacks_field(status))
    }

    /// Whether the path itself is not served, so that the kind is gone.
    pub(crate) fn is_not_served(&self) -> bool {
        let says = |status: &Status| {
            ["could not find the requested resource", "404 page not found"]
                .iter()
                .any(|words| status.message.contains(words))
        };
        matches!(self, Self::Status(status) if status.is_not_found() && says(status))
    }

    /// Whether the refusal says that the server has too much to do.
    pub(crate) fn is_overload(&self) -> bool {
        matches!(self.code(), 429 | 503 | 504) || matches!(self, Self::TimedOut)
    }

    /// How long to wait before sending the same request again, counting attempts from 1; `None` when it would be refused again.
    /// A 500 is final unless it says when to come back: an apply with an unknown field is answered so.
    pub(crate) fn pause_before_retry(&self, attempt: u32) -> Option<Duration> {
        if attempt >= ATTEMPTS {
            return None;
        }
        let pause = (Duration::from_millis(100) * 2u32.saturating_pow(attempt - 1)).min(LONGEST_PAUSE);
        match self {
            Self::Unreachable(_) | Self::TimedOut => Some(pause),
            Self::Malformed(_) => None,
            Self::Status(status) => {
                let asked = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
                match status.code {
                    429 | 500 if asked > 0 => Some(Duration::from_secs(asked.into())),
                    429 | 502..=504 => Some(pause.max(Duration::from_secs(asked.into()))),
                    // Two writers at once: the server has merged the other's change first and wants to be asked again.
                    409 => Some(pause),
                    _ => None,
                }
            }
        }
    }

    /// Whether the object could be had by deleting and creating it anew. Flux takes every 422 and 409 for that; then a typing
    /// error in a forced object deletes it. Here it has to be said that the field cannot be changed.
    pub(crate) fn is_immutable(&self) -> bool {
        let Self::Status(status) = self else { return false };
        let says = |text: &str| IMMUTABLE.iter().any(|words| text.contains(words));
        let causes = status.details.iter().flat_map(|details| &details.causes);
        status.code != 404 && (says(&status.message) || causes.into_iter().any(|cause| says(&cause.message)))
    }

    /// The refusal as a failure of the object that the request was about.
    pub fn explain(&self, id: &ObjectId) -> Failure {
        let hides = id.group_kind.group.is_empty() && id.group_kind.kind == "Secret";
        let (message, kind) = match self {
            Self::Status(status) => explain_status(status, id, hides, self.is_immutable()),
            Self::Unreachable(why) => {
                (format!("the API server cannot be reached: {why}"), FailureKind::Unavailable)
            }
            Self::TimedOut => ("the API server did not answer in time".to_owned(), FailureKind::Unavailable),
            Self::Malformed(why) => (why.clone(), FailureKind::Rejected),
        };
        Failure { id: id.clone(), message, kind }
    }
}

/// How Kubernetes, and those who write CRDs and webhooks, say that a field cannot be changed.
const IMMUTABLE: [&str; 6] = [
    "is immutable",
    "immutable field",
    "may not change once set",
    "updates to statefulset spec for fields other than",
    "pod updates may not change fields other than",
    "cannot change roleRef",
];

fn explain_status(status: &Status, id: &ObjectId, hides: bool, immutable: bool) -> (String, FailureKind) {
    let said = if hides { without_values(status) } else { without_preamble(status, id) };
    if immutable {
        let hint = "this cannot be changed in place; to delete the object and create it anew, annotate it with \
                    kustomize.toolkit.fluxcd.io/force: enabled, or set spec.force";
        return (format!("{said} ({hint})"), FailureKind::Immutable);
    }
    if status.message.contains("failed calling webhook") {
        let hint = "the webhook has to answer, or be removed with its ValidatingWebhookConfiguration or MutatingWebhookConfiguration";
        return (format!("{said} ({hint})"), FailureKind::Unavailable);
    }
    let kind = match status.code {
        _ if lacks_field(status) => FailureKind::Rejected,
        401 => FailureKind::Forbidden,
        403 if is_rbac(status) => FailureKind::Forbidden,
        404 => FailureKind::NotFound,
        409 => FailureKind::Conflict,
        429 | 500 | 502..=504 => FailureKind::Unavailable,
        _ => FailureKind::Rejected,
    };
    (said, kind)
}

/// Whether the object has a field that its schema does not have. Servers answer an apply of that with a 500.
fn lacks_field(status: &Status) -> bool {
    status.message.contains("field not declared in schema")
}

/// Whether a 403 comes from authorization; admission answers with the same status.
fn is_rbac(status: &Status) -> bool {
    status.message.contains(" cannot ") && status.message.contains(" resource ")
}

/// `Deployment.apps "web" is invalid: spec.replicas: …` without what the reader already knows.
fn without_preamble(status: &Status, id: &ObjectId) -> String {
    let invalid = format!("{} \"{}\" is invalid: ", id.group_kind, id.name);
    let message = status.message.strip_prefix(&invalid).unwrap_or(&status.message);
    if message.is_empty() {
        format!("the API server answered {} {}", status.code, status.reason)
    } else {
        message.to_owned()
    }
}

/// The admission webhook that a refusal names: it does not answer, or says no. Its name is that of a DNS record, which has no room for a
/// value.
fn webhook(message: &str) -> Option<&str> {
    let (_, rest) = ["failed calling webhook \"", "admission webhook \""]
        .iter()
        .find_map(|before| message.split_once(before))?;
    let (name, _) = rest.split_once('"')?;
    let is_dns = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte));
    (is_dns && name.len() <= 253).then_some(name)
}

/// What of a refusal can be shown when the object is a Secret, whose values the API server quotes in what it finds wrong: the
/// fields, and messages that have no room for a value.
fn without_values(status: &Status) -> String {
    if status.is_not_found() || status.code == 429 || (status.code == 403 && is_rbac(status)) {
        return status.message.clone();
    }
    let causes = status.details.iter().flat_map(|details| &details.causes);
    let fields: Vec<_> =
        causes.filter(|cause| !cause.field.is_empty()).map(|cause| cause.field.as_str()).collect();
    let webhook = webhook(&status.message).map(|name| format!(" (webhook {name:?})")).unwrap_or_default();
    let at = if fields.is_empty() { String::new() } else { format!(" at {}", fields.join(", ")) };
    let immutable = if IMMUTABLE.iter().any(|words| status.message.contains(words)) {
        ": the field is immutable"
    } else {
        ""
    };
    format!(
        "the API server refuses the Secret ({} {}){webhook}{at}{immutable}; its message is withheld because it can quote the secret. \
         Values under data must be base64, those under stringData text",
        status.code,
        if status.reason.is_empty() { "without a reason" } else { &status.reason },
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use plumb_api::GroupKind;
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn refusal(code: u16, reason: &str, message: &str) -> Refusal {
        let status = json!({"status": "Failure", "code": code, "reason": reason, "message": message});
        Refusal::Status(serde_json::from_value(status).unwrap())
    }

    fn id(group: &str, kind: &str) -> ObjectId {
        ObjectId {
            namespace: "default".to_owned(),
            name: "web".to_owned(),
            group_kind: GroupKind::new(group, kind),
        }
    }

    #[test]
    fn an_invalid_field_is_told_without_repeating_the_object() {
        let refusal = refusal(
            422,
            "Invalid",
            r#"Deployment.apps "web" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0"#,
        );
        let failure = refusal.explain(&id("apps", "Deployment"));
        insta::assert_snapshot!(failure, @"Deployment/default/web: spec.replicas: Invalid value: -1: must be greater than or equal to 0");
        assert_eq!(failure.kind, FailureKind::Rejected);
    }

    #[test]
    fn an_immutable_field_comes_with_what_to_do() {
        let failure = refusal(
            422,
            "Invalid",
            r#"Job.batch "web" is invalid: spec.template: Invalid value: {}: field is immutable"#,
        )
        .explain(&id("batch", "Job"));
        insta::assert_snapshot!(failure, @"Job/default/web: spec.template: Invalid value: {}: field is immutable (this cannot be changed in place; to delete the object and create it anew, annotate it with kustomize.toolkit.fluxcd.io/force: enabled, or set spec.force)");
        assert_eq!(failure.kind, FailureKind::Immutable);
    }

    #[rstest]
    #[case(
        422,
        "Invalid",
        r#"Secret "web" is invalid: data[hunter2]: Invalid value: "hunter2": a valid config key"#
    )]
    #[case(400, "BadRequest", "failed to create typed patch object: .data.p: expected string, got hunter2")]
    #[case(403, "Forbidden", "admission webhook \"w\" denied the request: weak password hunter2")]
    #[case(422, "Invalid", "data: Forbidden: field is immutable when hunter2 is set")]
    #[case(500, "InternalError", "hunter2")]
    #[case(409, "Conflict", "hunter2")]
    fn the_answer_about_a_secret_is_shown_without_its_values(
        #[case] code: u16,
        #[case] reason: &str,
        #[case] message: &str,
    ) {
        let shown = refusal(code, reason, message).explain(&id("", "Secret")).to_string();
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains(reason), "{shown}");
    }

    #[rstest]
    #[case(422, "metadata.name: Invalid value: \"a_b\"", false)]
    #[case(422, "spec.clusterIP: Invalid value: \"10.0.0.2\": may not change once set", true)]
    #[case(
        422,
        "spec: Forbidden: updates to statefulset spec for fields other than 'replicas' are forbidden",
        true
    )]
    #[case(422, "spec.field: Invalid value: \"string\": field is immutable once set", true)]
    #[case(409, "the object has been modified; please apply your changes to the latest version", false)]
    #[case(422, "roleRef: Invalid value: {}: cannot change roleRef", true)]
    fn only_what_says_so_is_immutable(#[case] code: u16, #[case] message: &str, #[case] expected: bool) {
        assert_eq!(refusal(code, "Invalid", message).is_immutable(), expected);
    }

    #[rstest]
    #[case(refusal(429, "TooManyRequests", ""), true)]
    #[case(refusal(503, "ServiceUnavailable", ""), true)]
    #[case(refusal(409, "Conflict", ""), true)]
    #[case(refusal(500, "InternalError", "failed to create typed patch object"), false)]
    #[case(refusal(422, "Invalid", ""), false)]
    #[case(refusal(403, "Forbidden", ""), false)]
    #[case(Refusal::TimedOut, true)]
    #[case(Refusal::Unreachable("connection refused".to_owned()), true)]
    #[case(Refusal::Malformed("a name with a slash".to_owned()), false)]
    fn what_may_pass_is_tried_again_but_not_for_ever(#[case] refusal: Refusal, #[case] expected: bool) {
        assert_eq!(refusal.pause_before_retry(1).is_some(), expected);
        assert_eq!(refusal.pause_before_retry(ATTEMPTS), None);
    }

    #[test]
    fn the_server_decides_when_to_come_back() {
        let status = json!({"code": 429, "reason": "TooManyRequests", "details": {"retryAfterSeconds": 7}});
        let refusal = Refusal::Status(serde_json::from_value(status).unwrap());
        assert_eq!(refusal.pause_before_retry(1), Some(Duration::from_secs(7)));
    }
}
