//! Single requests to the API server: each with a time limit, a place in the throttle, and a retry where that can help.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER, WARNING};
use kube::Client;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::client::Body;
use kube::core::request::Request;
use kube::core::{DynamicObject, Resource, Status};
use kube::discovery::ApiResource;
use plumb_api::Object;
use serde_json::Value;
use tokio::time::Instant;

use crate::refusal::Refusal;
use crate::throttle::{Load, Throttle};

/// The longest a single request may take. The API server itself gives up after 60 s, an admission webhook after at most 30 s.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(35);

/// What a request does, for those who count them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// Reads an object.
    Get,
    /// Server-side apply without effect.
    DryRun,
    /// Server-side apply.
    Apply,
    /// JSON Patch.
    Patch,
    /// Deletes an object.
    Delete,
}

/// Is told of every request before it is sent, each attempt counted; for `plumb_api_requests_total`.
pub trait CountRequests: Send + Sync {
    /// A request is about to be sent.
    fn count(&self, verb: Verb);
}

/// The API server answered with the object.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) object: Object,
    /// Whether there was no such object before (201).
    pub(crate) created: bool,
    /// What the server wants the author to know (RFC 9110 `Warning`), such as a deprecated version.
    pub(crate) warnings: Vec<String>,
}

/// Where an object is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) resource: &'a ApiResource,
    pub(crate) namespace: Option<&'a str>,
    pub(crate) name: &'a str,
}

/// How an object is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Only tell what would happen.
    DryRun,
    /// Do it.
    Real,
}

/// What becomes of what a deleted object owns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Propagation {
    /// The object goes at once, what it owns follows.
    #[default]
    Background,
    /// What it owns goes first.
    Foreground,
    /// What it owns stays.
    Orphan,
}

impl Propagation {
    fn params(self) -> DeleteParams {
        match self {
            Self::Background => DeleteParams::background(),
            Self::Foreground => DeleteParams::foreground(),
            Self::Orphan => DeleteParams::orphan(),
        }
    }
}

/// One API server, as one user.
#[derive(Clone)]
pub struct ApiServer {
    client: Client,
    throttle: Arc<Throttle>,
    counter: Arc<dyn CountRequests>,
}

impl ApiServer {
    /// The API server that the client speaks to, as the user that it speaks for.
    pub fn new(client: Client, counter: Arc<dyn CountRequests>) -> Self {
        Self { client, throttle: Arc::new(Throttle::new()), counter }
    }

    /// The same API server, as another user: requests of both count together as its load.
    pub fn as_user(&self, client: Client) -> Self {
        Self { client, ..self.clone() }
    }

    pub(crate) async fn get(&self, place: Place<'_>, deadline: Instant) -> Result<Answer, Refusal> {
        let request = place.request()?.get(&place.segment()?, &kube::api::GetParams::default());
        self.send_for_object(Verb::Get, request.map_err(malformed)?, deadline).await
    }

    /// Server-side apply with `force`: in a pull of what Git says, Git wins. Unknown fields are errors of the apply itself (the
    /// patch has to fit the schema), so `fieldValidation` stays at the default, as in Flux.
    pub(crate) async fn apply(
        &self,
        effect: Effect,
        place: Place<'_>,
        object: &Object,
        manager: &str,
        deadline: Instant,
    ) -> Result<Answer, Refusal> {
        let dry_run = effect == Effect::DryRun;
        let params = PatchParams { dry_run, ..PatchParams::apply(manager).force() };
        let request =
            place.request()?.patch(&place.segment()?, &params, &Patch::Apply(object)).map_err(malformed)?;
        let verb = if dry_run { Verb::DryRun } else { Verb::Apply };
        self.send_for_object(verb, request, deadline).await
    }

    pub(crate) async fn json_patch(
        &self,
        place: Place<'_>,
        patch: &[Value],
        manager: &str,
        deadline: Instant,
    ) -> Result<Answer, Refusal> {
        let params = PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() };
        let mut request =
            place.request()?.patch(&place.segment()?, &params, &Patch::Merge(patch)).map_err(malformed)?;
        // kube has a type for JSON Patch only together with the crate json-patch; the request differs in this header.
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json-patch+json"));
        self.send_for_object(Verb::Patch, request, deadline).await
    }

    /// Deletes. Success says that the object is gone, or going: then the answer is the object as it is.
    pub(crate) async fn delete(
        &self,
        place: Place<'_>,
        uid: Option<&str>,
        propagation: Propagation,
        deadline: Instant,
    ) -> Result<Option<Object>, Refusal> {
        let preconditions =
            uid.map(|uid| Preconditions { uid: Some(uid.to_owned()), resource_version: None });
        let params = DeleteParams { preconditions, ..propagation.params() };
        let request = place.request()?.delete(&place.segment()?, &params).map_err(malformed)?;
        let (_, body) = self.send(Verb::Delete, request, deadline).await?;
        // A `Status` of success has no name.
        Ok(serde_json::from_slice(&body).ok().and_then(|value| Object::new(value).ok()))
    }

    async fn send_for_object(
        &self,
        verb: Verb,
        request: http::Request<Vec<u8>>,
        deadline: Instant,
    ) -> Result<Answer, Refusal> {
        let (parts, body) = self.send(verb, request, deadline).await?;
        let not_an_object = |error: &dyn std::fmt::Display| {
            Refusal::Malformed(format!("the API server's answer is not an object: {error}"))
        };
        let value: Value = serde_json::from_slice(&body).map_err(|error| not_an_object(&error))?;
        let object = Object::new(value).map_err(|error| not_an_object(&error))?;
        Ok(Answer {
            object,
            created: parts.status == http::StatusCode::CREATED,
            warnings: warnings(&parts.headers),
        })
    }

    async fn send(
        &self,
        verb: Verb,
        request: http::Request<Vec<u8>>,
        deadline: Instant,
    ) -> Result<(http::response::Parts, Vec<u8>), Refusal> {
        let mut attempt = 1;
        loop {
            let refusal = match self.send_once(verb, request.clone(), deadline).await {
                Ok(answer) => return Ok(answer),
                Err(refusal) => refusal,
            };
            let pause = refusal.pause_before_retry(attempt).filter(|_| !is_final(verb, &refusal));
            match pause {
                Some(pause) if Instant::now() + pause < deadline => tokio::time::sleep(pause).await,
                _ => return Err(refusal),
            }
            attempt += 1;
        }
    }

    async fn send_once(
        &self,
        verb: Verb,
        request: http::Request<Vec<u8>>,
        deadline: Instant,
    ) -> Result<(http::response::Parts, Vec<u8>), Refusal> {
        let place =
            tokio::time::timeout_at(deadline, self.throttle.place()).await.map_err(|_| Refusal::TimedOut)?;
        self.counter.count(verb);
        let begun = Instant::now();
        let limit = deadline.min(begun + REQUEST_TIMEOUT);
        let result = match tokio::time::timeout_at(limit, exchange(&self.client, request)).await {
            Ok(result) => result,
            Err(_) => Err(Refusal::TimedOut),
        };
        self.throttle.observe(match &result {
            Err(refusal) if refusal.is_overload() => Load::Overloaded,
            Ok(_) | Err(_) => Load::Answered(begun.elapsed()),
        });
        drop(place);
        result
    }
}

/// A conflict on deletion means that the precondition does not hold: it never will. One on a JSON Patch means that the patch was
/// made for another state.
fn is_final(verb: Verb, refusal: &Refusal) -> bool {
    matches!(verb, Verb::Delete | Verb::Patch) && refusal.code() == 409
}

impl Place<'_> {
    /// Namespace and name go into the path and come from a repository, or from an inventory that somebody else may have written; kube takes
    /// them as they are.
    fn request(&self) -> Result<Request, Refusal> {
        if let Some(namespace) = self.namespace
            && !is_dns_label(namespace)
        {
            return Err(Refusal::Malformed(format!(
                "metadata.namespace {namespace:?} is not a namespace: lower-case letters, digits and - only, at most 63"
            )));
        }
        Ok(Request::new(DynamicObject::url_path(self.resource, self.namespace)))
    }

    /// The name as a segment of the path. The API server lets some names have every character but these (RBAC, for one).
    fn segment(&self) -> Result<String, Refusal> {
        if !is_path_segment(self.name) {
            return Err(Refusal::Malformed(format!(
                "metadata.name {:?} cannot be a name: it must not be empty, . or .., and must not have / or %",
                self.name
            )));
        }
        Ok(encoded(self.name))
    }
}

/// As Kubernetes has it (`ValidatePathSegmentName`).
pub(crate) fn is_path_segment(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains(['/', '%'])
}

/// Percent-encoded, but for what may stand in a segment (RFC 3986, 3.3).
fn encoded(name: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte);
    let encode =
        |byte: u8| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    name.bytes().map(encode).collect()
}

pub(crate) fn is_dns_label(text: &str) -> bool {
    let inside = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    inside && (1..=63).contains(&text.len())
}

fn malformed(error: kube::core::request::Error) -> Refusal {
    Refusal::Malformed(error.to_string())
}

/// Sends the request and reads the answer. Not by kube's own `Client::request`: that logs the body of a refusal, which can quote
/// a Secret, and drops the headers.
async fn exchange(
    client: &Client,
    request: http::Request<Vec<u8>>,
) -> Result<(http::response::Parts, Vec<u8>), Refusal> {
    let response = client.send(request.map(Body::from)).await.map_err(|error| unreachable_because(&error))?;
    let (parts, body) = response.into_parts();
    let body = body.collect_bytes().await.map_err(|error| unreachable_because(&error))?.to_vec();
    if parts.status.is_success() {
        return Ok((parts, body));
    }
    Err(Refusal::Status(Box::new(read_status(parts.status.as_u16(), &parts.headers, &body))))
}

/// The `Status` of a refusal. A proxy between us and the API server answers with a page of its own; its text is the message then.
fn read_status(code: u16, headers: &HeaderMap, body: &[u8]) -> Status {
    let mut status: Status = serde_json::from_slice(body).unwrap_or_else(|_| {
        let text = String::from_utf8_lossy(body);
        Status::failure(text.trim().chars().take(300).collect::<String>().as_str(), "")
    });
    status.code = code;
    if let Some(seconds) = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok()) {
        status.details.get_or_insert_with(no_details).retry_after_seconds = seconds;
    }
    status
}

fn no_details() -> kube::core::response::StatusDetails {
    kube::core::response::StatusDetails {
        name: String::new(),
        group: String::new(),
        kind: String::new(),
        uid: String::new(),
        causes: Vec::new(),
        retry_after_seconds: 0,
    }
}

/// The whole chain of causes: the outermost one only says that a service failed.
fn unreachable_because(error: &kube::Error) -> Refusal {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    Refusal::Unreachable(text)
}

/// `299 - "text"`, one a header.
fn warnings(headers: &HeaderMap) -> Vec<String> {
    let text = |value: &HeaderValue| {
        let (_, quoted) = value.to_str().ok()?.split_once('"')?;
        let (text, _) = quoted.rsplit_once('"')?;
        Some(text.replace("\\\"", "\"").replace("\\\\", "\\"))
    };
    headers.get_all(WARNING).iter().filter_map(text).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("default", true)]
    #[case("team-1", true)]
    #[case("", false)]
    #[case("a/secrets", false)]
    #[case("..", false)]
    #[case("a?force=true", false)]
    #[case("a%2fb", false)]
    fn a_namespace_never_changes_the_path(#[case] namespace: &str, #[case] expected: bool) {
        let resource = ApiResource::from_gvk(&kube::core::GroupVersionKind::gvk("", "v1", "ConfigMap"));
        let place = Place { resource: &resource, namespace: Some(namespace), name: "a" };
        assert_eq!(place.request().is_ok(), expected);
    }

    #[rstest]
    #[case("web", Some("web"))]
    #[case("system:node", Some("system:node"))]
    #[case("a b?c#d", Some("a%20b%3Fc%23d"))]
    #[case("ü", Some("%C3%BC"))]
    #[case("a/status", None)]
    #[case("..", None)]
    #[case(".", None)]
    #[case("", None)]
    #[case("a%2fb", None)]
    fn a_name_is_one_segment_of_the_path(#[case] name: &str, #[case] expected: Option<&str>) {
        let resource = ApiResource::from_gvk(&kube::core::GroupVersionKind::gvk("", "v1", "ConfigMap"));
        let place = Place { resource: &resource, namespace: None, name };
        assert_eq!(place.segment().ok().as_deref(), expected);
    }

    #[test]
    fn warnings_are_read_from_the_headers() {
        let mut headers = HeaderMap::new();
        headers.append(WARNING, HeaderValue::from_static(r#"299 - "unknown field \"spec.replica\"""#));
        headers.append(WARNING, HeaderValue::from_static("nonsense"));
        assert_eq!(warnings(&headers), [r#"unknown field "spec.replica""#]);
    }

    #[test]
    fn a_page_of_a_proxy_becomes_the_message_and_the_header_says_when_to_come_back() {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_static("3"));
        let status = read_status(502, &headers, b"<html>bad gateway</html>\n");
        assert_eq!((status.code, status.message.as_str()), (502, "<html>bad gateway</html>"));
        assert_eq!(status.details.unwrap().retry_after_seconds, 3);
    }
}
