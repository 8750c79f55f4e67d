//! Git's smart HTTP over reqwest: one deadline for everything, credentials to one host only, and bounded answers.

use std::any::Any;
use std::cell::RefCell;
use std::future::Future;
use std::io::{self, BufRead, Read, Write};
use std::rc::Rc;

use gix::protocol::transport::client::blocking_io::http::{
    GetResponse, Http, PostBodyDataKind, PostResponse,
};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::{Method, StatusCode, Url};

use crate::deadline::{Deadline, TICK};
use crate::git::credentials::{Credentials, Login};
use crate::git::error::{GitError, printable, with_causes};
use crate::git::meter::Meter;
use crate::git::url::GitUrl;
use crate::transport::{AddressPolicy, AddressRefused};

const MAX_REDIRECTS: usize = 5;

/// Sends the requests of one fetch.
pub(crate) struct HttpClient {
    connection: Rc<Connection>,
    /// Where the server has sent us; the base of all further requests.
    redirected: Option<Url>,
}

struct Connection {
    runtime: tokio::runtime::Runtime,
    client: reqwest::Client,
    addresses: AddressPolicy,
    /// The address of the proxy in the Secret.
    proxy: Option<String>,
    url: GitUrl,
    /// Goes to the origin of `url` and nowhere else.
    authorization: Option<HeaderValue>,
    deadline: Deadline,
    meter: Meter,
}

impl HttpClient {
    pub(crate) fn new(
        url: &GitUrl,
        credentials: &Credentials,
        deadline: &Deadline,
        meter: &Meter,
    ) -> Result<Self, GitError> {
        let host = |reason: String| GitError::Host { url: url.to_string(), reason };
        let transport = &credentials.transport;
        // Redirects are followed by hand: reqwest does not know which of them Git allows.
        let client = transport
            .client_builder()
            .and_then(|client| transport.build(client.redirect(reqwest::redirect::Policy::none())))
            .map_err(|error| GitError::of_transport(url, error))?;
        let connection = Connection {
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|error| host(with_causes(&error)))?,
            client,
            addresses: transport.addresses.clone(),
            proxy: transport.proxy.as_ref().map(|proxy| proxy.url().to_string()),
            authorization: authorization(url, &credentials.login)?,
            url: url.clone(),
            deadline: deadline.clone(),
            meter: meter.clone(),
        };
        Ok(Self { connection: Rc::new(connection), redirected: None })
    }

    fn exchange(&self, method: Method, url: &str, headers: HeaderMap) -> io::Result<Exchange> {
        let url = Url::parse(url).map_err(io::Error::other)?;
        let sending = Sending { method, url, headers, body: Vec::new() };
        Ok(Exchange { connection: Rc::clone(&self.connection), state: State::Sending(sending) })
    }
}

/// `Authorization` as the login asks for it, sent without waiting to be asked, as Flux does.
fn authorization(url: &GitUrl, login: &Login) -> Result<Option<HeaderValue>, GitError> {
    let basic =
        |username: &str, password: &str| format!("Basic {}", base64(&format!("{username}:{password}")));
    let text = match (login, url.user(), url.password()) {
        (Login::Basic { username, password }, ..) => basic(username, password.expose()),
        (Login::Bearer(token), ..) => format!("Bearer {}", token.expose().trim()),
        (Login::Anonymous, None, None) => return Ok(None),
        (Login::Anonymous, user, password) => {
            basic(user.unwrap_or_default(), password.map_or("", |password| password.expose().as_str()))
        }
        (Login::Ssh(_), ..) => {
            let reason = "a key was given, which is for ssh".to_owned();
            return Err(GitError::AuthenticationFailed { url: url.to_string(), reason });
        }
    };
    let text = plumb_api::Sensitive::new(text);
    let mut value = HeaderValue::from_str(text.expose()).map_err(|_| GitError::AuthenticationFailed {
        url: url.to_string(),
        reason: "the token holds a character that a header cannot hold, such as a line break".to_owned(),
    })?;
    value.set_sensitive(true);
    Ok(Some(value))
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

impl Connection {
    /// Waits for a future, but not beyond the deadline.
    fn wait<T>(&self, future: impl Future<Output = reqwest::Result<T>>) -> io::Result<T> {
        let guarded = async {
            let mut future = std::pin::pin!(future);
            loop {
                tokio::select! {
                    done = &mut future => return Ok(done),
                    () = tokio::time::sleep(TICK) => self.deadline.check()?,
                }
            }
        };
        // A stop needs no words here: who fails asks the deadline first.
        let done: Result<_, crate::deadline::Stopped> = self.runtime.block_on(guarded);
        done.map_err(|_| io::Error::other("stopped"))?
            .map_err(|error| self.meter.fail(self.unreachable(error)))
    }

    fn unreachable(&self, error: reqwest::Error) -> GitError {
        if let Some(refused) = AddressRefused::among(&error) {
            return GitError::AddressRefused { url: self.url.to_string(), refused: refused.clone() };
        }
        let (url, reason) = (self.url.to_string(), with_causes(&error.without_url()));
        if let Some(proxy) = &self.proxy
            && ["tunnel error", "socks proxy"].iter().any(|words| reason.contains(words))
        {
            GitError::Proxy { url, proxy: proxy.clone(), reason }
        } else if is_about_our_certificate(&reason) {
            GitError::ClientCertificate { url, reason }
        } else if reason.contains("certificate") {
            GitError::UntrustedCertificate { url, reason }
        } else {
            GitError::Unreachable { url, reason }
        }
    }

    fn send(&self, sending: Sending) -> io::Result<reqwest::Response> {
        let Sending { method, url, mut headers, body } = sending;
        // The client looks at what names lead to, but not at addresses.
        self.addresses.check(&url).map_err(|refused| {
            self.meter.fail(GitError::AddressRefused { url: self.url.to_string(), refused })
        })?;
        if let Some(authorization) =
            self.authorization.as_ref().filter(|_| url.origin() == self.url.address().origin())
        {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        let request = self.client.request(method, url).headers(headers).body(body);
        self.wait(request.send())
    }

    /// Turns everything but success into an error.
    fn accept(&self, response: reqwest::Response) -> io::Result<reqwest::Response> {
        let url = self.url.to_string();
        let status = response.status();
        let error = match status {
            _ if status.is_success() => return Ok(response),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let given = if self.authorization.is_some() {
                    "the credentials that were given"
                } else {
                    "no credentials"
                };
                GitError::AuthenticationFailed {
                    url,
                    reason: format!("the server answers {status} to {given}"),
                }
            }
            StatusCode::PROXY_AUTHENTICATION_REQUIRED => GitError::Proxy {
                url,
                proxy: self.proxy.clone().unwrap_or_else(|| "of the environment".to_owned()),
                reason: format!("it answers {status}"),
            },
            StatusCode::NOT_FOUND | StatusCode::GONE => GitError::RepositoryNotFound { url },
            _ => GitError::Server { url, reason: printable(&format!("it answers {status}")) },
        };
        Err(self.meter.fail(error))
    }

    fn refuse(&self, target: &Url, reason: &'static str) -> io::Error {
        let mut target = target.clone();
        let _ = target.set_username("");
        let _ = target.set_password(None);
        target.set_query(None);
        self.meter.fail(GitError::RedirectRefused {
            url: self.url.to_string(),
            target: target.to_string(),
            reason,
        })
    }
}

/// Whether it was the server that closed the connection because of a certificate (RFC 8446, 6.2).
fn is_about_our_certificate(reason: &str) -> bool {
    let alerts = ["CertificateRequired", "BadCertificate", "CertificateUnknown", "UnknownCA", "DecryptError"];
    alerts.iter().any(|alert| reason.contains(&format!("received fatal alert: {alert}")))
}

impl From<crate::deadline::Stopped> for io::Error {
    fn from(_: crate::deadline::Stopped) -> Self {
        Self::other("stopped")
    }
}

/// Where a redirect of `from` leads; `Err` says why it is not followed.
fn redirect_target(
    from: &Url,
    location: Option<&HeaderValue>,
    tail: &str,
) -> Result<Url, (Url, &'static str)> {
    let location = location.and_then(|value| value.to_str().ok()).unwrap_or_default();
    let target = from.join(location).map_err(|_| (from.clone(), "its address cannot be read"))?;
    if !matches!(target.scheme(), "http" | "https")
        || (from.scheme() == "https" && target.scheme() != "https")
    {
        return Err((target, "it leads away from https"));
    }
    if !target.as_str().ends_with(tail) {
        return Err((target, "it does not lead to a Git repository"));
    }
    Ok(target)
}

impl Http for HttpClient {
    type Headers = Headers;
    type ResponseBody = Body;
    type PostBody = PostBody;

    /// The first request: only it may be redirected, as Git does with `http.followRedirects=initial`.
    fn get(
        &mut self,
        url: &str,
        base_url: &str,
        headers: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> gix::Result<GetResponse<Headers, Body>> {
        let tail = url.strip_prefix(base_url).unwrap_or(url);
        let headers = header_map(headers);
        let mut url = Url::parse(url).map_err(gix::Error::from_error)?;
        let mut response = None;
        for _ in 0..=MAX_REDIRECTS {
            let sending =
                Sending { method: Method::GET, url: url.clone(), headers: headers.clone(), body: Vec::new() };
            let answer = self.connection.send(sending).map_err(gix::Error::from_error)?;
            if !answer.status().is_redirection() {
                response = Some(answer);
                break;
            }
            url =
                redirect_target(&url, answer.headers().get(LOCATION), tail).map_err(|(target, reason)| {
                    gix::Error::from_error(self.connection.refuse(&target, reason))
                })?;
            let base = url.as_str().strip_suffix(tail).unwrap_or_default();
            self.redirected = Url::parse(base).ok();
        }
        let response = response
            .ok_or_else(|| self.connection.refuse(&url, "there are too many in a row"))
            .and_then(|response| self.connection.accept(response))
            .map_err(gix::Error::from_error)?;
        let exchange =
            Exchange { connection: Rc::clone(&self.connection), state: State::Receiving(response) };
        let exchange = Rc::new(RefCell::new(exchange));
        Ok(GetResponse { headers: Headers::of(&exchange), body: Body::of(&exchange) })
    }

    fn post(
        &mut self,
        url: &str,
        _base_url: &str,
        headers: impl IntoIterator<Item = impl AsRef<str>>,
        _body: PostBodyDataKind,
    ) -> gix::Result<PostResponse<Headers, Body, PostBody>> {
        let exchange =
            self.exchange(Method::POST, url, header_map(headers)).map_err(gix::Error::from_error)?;
        let exchange = Rc::new(RefCell::new(exchange));
        Ok(PostResponse {
            post_body: PostBody(Rc::clone(&exchange)),
            headers: Headers::of(&exchange),
            body: Body::of(&exchange),
        })
    }

    fn configure(&mut self, _config: &dyn Any) -> gix::Result<()> {
        Ok(())
    }

    fn redirected_base_url(&self) -> Option<String> {
        self.redirected.as_ref().map(|url| url.as_str().trim_end_matches('/').to_owned())
    }
}

fn header_map(headers: impl IntoIterator<Item = impl AsRef<str>>) -> HeaderMap {
    let parse = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.parse::<HeaderName>().ok()?, HeaderValue::from_str(value.trim()).ok()?))
    };
    headers.into_iter().filter_map(|line| parse(line.as_ref())).collect()
}

/// A request and its answer. The request is sent when somebody asks for the answer, so its body is complete by then.
struct Exchange {
    connection: Rc<Connection>,
    state: State,
}

enum State {
    Sending(Sending),
    Receiving(reqwest::Response),
    Failed,
}

struct Sending {
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Exchange {
    fn response(&mut self) -> io::Result<&mut reqwest::Response> {
        if let State::Sending(_) = self.state
            && let State::Sending(sending) = std::mem::replace(&mut self.state, State::Failed)
        {
            let response = self.connection.send(sending)?;
            self.state = State::Receiving(self.connection.accept(response)?);
        }
        match &mut self.state {
            State::Receiving(response) => Ok(response),
            _ => Err(io::Error::other("the request failed before")),
        }
    }

    fn next_chunk(&mut self) -> io::Result<Vec<u8>> {
        let connection = Rc::clone(&self.connection);
        let response = self.response()?;
        let chunk = connection.wait(response.chunk())?.unwrap_or_default();
        connection.meter.take(chunk.len())?;
        Ok(chunk.into())
    }
}

/// The body of a request, collected until it is sent. Git's requests are small: what we want and what we have.
pub(crate) struct PostBody(Rc<RefCell<Exchange>>);

impl Write for PostBody {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.0.borrow_mut().state {
            State::Sending(sending) => sending.body.extend_from_slice(bytes),
            _ => return Err(io::Error::other("the request was sent already")),
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The headers of an answer, a line each.
pub(crate) struct Headers {
    exchange: Rc<RefCell<Exchange>>,
    lines: Option<io::Cursor<Vec<u8>>>,
}

impl Headers {
    fn of(exchange: &Rc<RefCell<Exchange>>) -> Self {
        Self { exchange: Rc::clone(exchange), lines: None }
    }
}

impl BufRead for Headers {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.lines.is_none() {
            let mut lines = Vec::new();
            for (name, value) in self.exchange.borrow_mut().response()?.headers() {
                lines.extend_from_slice(name.as_str().as_bytes());
                lines.extend_from_slice(b": ");
                // A header that is not text is none that Git looks at.
                lines.extend_from_slice(value.to_str().unwrap_or_default().as_bytes());
                lines.push(b'\n');
            }
            self.lines = Some(io::Cursor::new(lines));
        }
        self.lines.get_or_insert_default().fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.lines.get_or_insert_default().consume(amount);
    }
}

impl Read for Headers {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        read_buffered(self, buffer)
    }
}

/// The body of an answer.
pub(crate) struct Body {
    exchange: Rc<RefCell<Exchange>>,
    chunk: io::Cursor<Vec<u8>>,
}

impl Body {
    fn of(exchange: &Rc<RefCell<Exchange>>) -> Self {
        Self { exchange: Rc::clone(exchange), chunk: io::Cursor::default() }
    }
}

impl BufRead for Body {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.chunk.position() >= self.chunk.get_ref().len() as u64 {
            self.chunk = io::Cursor::new(self.exchange.borrow_mut().next_chunk()?);
        }
        self.chunk.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.chunk.consume(amount);
    }
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        read_buffered(self, buffer)
    }
}

fn read_buffered(reader: &mut impl BufRead, buffer: &mut [u8]) -> io::Result<usize> {
    let mut available = reader.fill_buf()?;
    let read = available.read(buffer)?;
    reader.consume(read);
    Ok(read)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use rstest::rstest;

    use super::*;

    const TAIL: &str = "/info/refs?service=git-upload-pack";

    #[rstest]
    #[case("http://a/r", "https://a/r", Ok("https://a/r"))]
    #[case("https://a/r", "https://b/other", Ok("https://b/other"))]
    #[case("https://a/r", "/moved", Ok("https://a/moved"))]
    #[case("https://a/r", "http://a/r", Err("it leads away from https"))]
    #[case("https://a/r", "file:///etc", Err("it leads away from https"))]
    fn a_redirect_leads_to_the_same_repository_elsewhere(
        #[case] from: &str,
        #[case] to: &str,
        #[case] expected: Result<&str, &str>,
    ) {
        let from = Url::parse(&format!("{from}{TAIL}")).unwrap();
        let location = HeaderValue::from_str(&format!("{to}{TAIL}")).unwrap();
        let found = redirect_target(&from, Some(&location), TAIL).map_err(|(_, reason)| reason);
        let expected = expected.map(|base| Url::parse(&format!("{base}{TAIL}")).unwrap());
        assert_eq!(found, expected);
    }

    #[test]
    fn a_redirect_to_a_sign_in_page_is_refused() {
        let from = Url::parse(&format!("https://a/r{TAIL}")).unwrap();
        let location = HeaderValue::from_static("https://a/login");
        let refused = redirect_target(&from, Some(&location), TAIL).map_err(|(_, reason)| reason);
        assert_eq!(refused, Err("it does not lead to a Git repository"));
    }
}
