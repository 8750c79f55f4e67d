//! Requests over HTTP, sent by the host to the hosts that were granted. Needs `capabilities.http` of the step. Redirects are not followed, and the
//! result of the plugin is not cached.

use crate::{Error, host};

/// What to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `POST`, ….
    pub method: String,
    /// The whole URL.
    pub url: String,
    /// Headers besides those that the host sets: `host`, `content-length`. A name may occur more than once.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body; empty for none.
    pub body: Vec<u8>,
}

impl Request {
    /// A request without headers and body.
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Self {
        Self { method: method.into(), url: url.into(), headers: Vec::new(), body: Vec::new() }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status, for example 200.
    pub status: u16,
    /// The headers.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The whole body, up to the host's limit.
    pub body: Vec<u8>,
}

/// Why there is no response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The host, port, scheme or address was not granted. The text says what to grant.
    Denied(String),
    /// The request is not one that can be sent. The text says why.
    Invalid(String),
    /// The body is larger than the host takes; the limit in bytes.
    TooLarge(u64),
    /// The server could not be reached, or took too long. The text says why.
    Failed(String),
}

/// Sends a request and waits for the whole response, whatever its status.
///
/// Fails with an error that says what to grant, or why there is no response. It does not name the URL, which may hold a secret.
pub fn send(request: Request) -> Result<Response, Error> {
    host::http_send(request).map_err(|refused| match refused {
        Refused::Denied(why) => Error::denied(format!("the request was not sent: {why}"))
            .hint("Add the host to `capabilities.http` of the step."),
        Refused::Invalid(why) => Error::invalid(format!("the request cannot be sent: {why}")),
        Refused::TooLarge(limit) => {
            Error::invalid(format!("the response is larger than the limit of {limit} bytes"))
        }
        Refused::Failed(why) => Error::internal(format!("there is no response: {why}")),
    })
}

/// `GET` without headers.
///
/// Fails as [`send`] does.
pub fn get(url: &str) -> Result<Response, Error> {
    send(Request::new("GET", url))
}
