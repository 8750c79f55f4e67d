//! Key services of clouds. A request to one has no credentials: the host knows by the URL what it is, adds those of whoever decrypts, and says who that is. It
//! does so for requests that decrypt with a key of a cloud, and for no others.

use plumbline_plugin::http::{self, Request};
use serde_json::Value;
use zeroize::Zeroizing;

/// The header in which the host says who has asked.
const USER: &str = "x-plumbline-user";

/// What a key service has answered.
pub(super) struct Answer {
    pub(super) status: u16,
    /// Who has asked, as the host calls him.
    pub(super) user: String,
    body: Zeroizing<Vec<u8>>,
}

/// Sends a request with a body in JSON.
pub(super) fn ask(request: Request, body: &Value) -> Result<Answer, String> {
    let request = request.header("content-type", "application/json").body(body.to_string());
    let response = http::send(request).map_err(|error| error.message)?;
    let user = response.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(USER));
    let user = user.and_then(|(_, value)| String::from_utf8(value.clone()).ok());
    let user = user.unwrap_or_else(|| "whoever decrypts".to_owned());
    Ok(Answer { status: response.status, user, body: Zeroizing::new(response.body) })
}

impl Answer {
    /// A text of the answer, by its JSON pointer. What a service says in words is never repeated.
    pub(super) fn text(&self, pointer: &str) -> Option<Zeroizing<String>> {
        let answer: Value = serde_json::from_slice(&self.body).ok()?;
        Some(Zeroizing::new(answer.pointer(pointer)?.as_str()?.to_owned()))
    }
}

/// Whether a name can stand in the path of a URL as it is.
pub(super) fn is_name(name: &str, more: &str) -> bool {
    !name.is_empty() && name.chars().all(|char| char.is_ascii_alphanumeric() || more.contains(char))
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use plumbline_plugin::http::{Refused, Response};
    use plumbline_plugin::testing::Host;

    use super::*;

    /// What a service says to requests, asked by the controller.
    pub(crate) fn answering<T>(
        answer: impl Fn(&Request, Value) -> (u16, Value) + 'static,
        run: impl FnOnce() -> T,
    ) -> T {
        let answer = move |request: &Request| -> Result<Response, Refused> {
            let is_shown =
                |(name, _): &(String, Vec<u8>)| matches!(name.as_str(), "content-type" | "x-plumbline-role");
            assert!(request.method == "POST" && request.headers.iter().all(is_shown), "nothing else is sent");
            let (status, body) = answer(request, serde_json::from_slice(&request.body).unwrap());
            let headers = vec![(USER.to_owned(), b"the controller".to_vec())];
            Ok(Response { status, headers, body: body.to_string().into_bytes() })
        };
        Host::default().http(answer).run(run).result
    }
}
