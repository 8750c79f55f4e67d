//! Sends requests for a plugin to the hosts that were granted, and to no private addresses unless that was granted too.

use std::time::Duration;

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use plumb_api::HttpGrant;
use plumb_plugin::{HttpClient, HttpError, HttpRequest, HttpResponse};
use plumb_source::transport::{AddressPolicy, AddressRefused, Transport};
use reqwest::redirect::Policy;
use url::Url;

use super::super::policy::covers_host;

/// How long a server has, from the connection to the last byte.
const ANSWER: Duration = Duration::from_secs(30);
/// The most bytes of a body, either way.
const MAX_BODY: u64 = 16 << 20;
/// The host sets these, or they are about the connection, which is the host's.
const RESERVED: [HeaderName; 6] = [HOST, CONTENT_LENGTH, CONNECTION, TRANSFER_ENCODING, TE, UPGRADE];

/// Sends what was granted.
pub(super) struct Sender {
    granted: Vec<HttpGrant>,
    /// For public addresses only.
    public: Way,
    /// For wherever the controller may go.
    private: Way,
}

/// A client, and where it goes.
struct Way {
    addresses: AddressPolicy,
    client: reqwest::Client,
}

impl Sender {
    /// `addresses` are those that nobody may reach through the controller.
    pub(super) fn new(granted: Vec<HttpGrant>, addresses: &AddressPolicy) -> Result<Self, String> {
        let public = Way::new(addresses.clone().public_only())?;
        Ok(Self { granted, public, private: Way::new(addresses.clone())? })
    }

    /// The grant for a URL.
    fn grant(&self, url: &Url) -> Result<&HttpGrant, HttpError> {
        let (host, port) = (url.host_str().unwrap_or_default(), url.port_or_known_default());
        let asked = HttpGrant {
            host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port,
            insecure: url.scheme() == "http",
            allow_private_addresses: false,
        };
        let is_web = matches!(url.scheme(), "http" | "https");
        // Of several the one that allows most.
        let fitting = self.granted.iter().filter(|grant| is_web && covers_host(grant, &asked));
        fitting.max_by_key(|grant| grant.allow_private_addresses).ok_or_else(|| {
            HttpError::Denied(format!(
                "the step hands over no requests to {}://{host} on port {}; add it to capabilities.http of the step",
                url.scheme(),
                port.unwrap_or_default()
            ))
        })
    }
}

impl Way {
    /// The client follows no redirects, and knows no proxy: that would look up names elsewhere, where nobody looks at the addresses.
    fn new(addresses: AddressPolicy) -> Result<Self, String> {
        let transport = Transport { addresses: addresses.clone(), ..Transport::default() };
        let builder = transport.client_builder().map_err(|error| error.to_string())?;
        let builder = builder.redirect(Policy::none()).no_proxy().timeout(ANSWER);
        Ok(Self { addresses, client: transport.build(builder).map_err(|error| error.to_string())? })
    }
}

#[async_trait::async_trait]
impl HttpClient for Sender {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let invalid = |text: &str| HttpError::Invalid(text.to_owned());
        let url =
            Url::parse(&request.url).map_err(|error| HttpError::Invalid(format!("the URL: {error}")))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(invalid("the URL has a user or a password; send the header authorization"));
        }
        let method =
            Method::from_bytes(request.method.as_bytes()).map_err(|_| invalid("the method is not one"))?;
        if method == Method::CONNECT || method == Method::TRACE {
            return Err(invalid("the methods CONNECT and TRACE are not sent"));
        }
        if request.body.len() as u64 > MAX_BODY {
            return Err(HttpError::Invalid(format!("the body is larger than {MAX_BODY} bytes")));
        }
        let headers = headers(request.headers)?;
        let grant = self.grant(&url)?;
        let way = if grant.allow_private_addresses { &self.private } else { &self.public };
        // A host that is written as an address is not looked up.
        way.addresses.check(&url).map_err(|refused| private(&refused))?;
        let sent = way.client.request(method, url).headers(headers).body(request.body).send().await;
        receive(sent.map_err(failed)?).await
    }
}

fn headers(given: Vec<(String, Vec<u8>)>) -> Result<HeaderMap, HttpError> {
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        // The value may be a secret.
        let invalid = |what: &str| HttpError::Invalid(format!("the header {name:?} {what}"));
        let parsed =
            HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid("has no name of a header"))?;
        if RESERVED.contains(&parsed) || parsed.as_str().starts_with("proxy-") {
            return Err(invalid("is set by the host"));
        }
        let value =
            HeaderValue::from_bytes(&value).map_err(|_| invalid("holds what a header cannot hold"))?;
        headers.append(parsed, value);
    }
    Ok(headers)
}

async fn receive(mut response: reqwest::Response) -> Result<HttpResponse, HttpError> {
    let status = response.status().as_u16();
    let headers =
        response.headers().iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()));
    let headers = headers.collect();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if (body.len() + chunk.len()) as u64 > MAX_BODY {
            return Err(HttpError::TooLarge(MAX_BODY));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(HttpResponse { status, headers, body })
}

fn failed(error: reqwest::Error) -> HttpError {
    if let Some(refused) = AddressRefused::among(&error) {
        return private(refused);
    }
    // The URL may hold a secret.
    let error = error.without_url();
    let causes = std::iter::successors(std::error::Error::source(&error), |cause| cause.source());
    let causes: Vec<String> = causes.map(ToString::to_string).collect();
    let text = if causes.is_empty() { error.to_string() } else { format!("{error}: {}", causes.join(": ")) };
    HttpError::Failed(text)
}

fn private(refused: &AddressRefused) -> HttpError {
    HttpError::Denied(format!(
        "{refused}; allowPrivateAddresses of capabilities.http allows those that are private"
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use axum::Router;
    use axum::routing::get;
    use rstest::rstest;

    use super::*;

    fn sender(granted: &str) -> Sender {
        // As by default, and as an operator has it for the address of the test.
        Sender::new(serde_yaml::from_str(granted).unwrap(), &AddressPolicy::default()).unwrap()
    }

    fn request(method: &str, url: &str, header: Option<(&str, &str)>) -> HttpRequest {
        let headers = header.into_iter().map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
        HttpRequest {
            method: method.to_owned(),
            url: url.to_owned(),
            headers: headers.collect(),
            body: Vec::new(),
        }
    }

    async fn server() -> u16 {
        let router = Router::new()
            .route("/", get(|| async { "hello" }))
            .route("/away", get(|| async { axum::response::Redirect::temporary("http://169.254.169.254/") }))
            .route("/large", get(|| async { vec![0_u8; usize::try_from(MAX_BODY).unwrap() + 1] }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move { axum::serve(listener, router).await });
        port
    }

    // Attack 6 (sources): requests of a plugin to the services of a cluster and of a cloud.
    #[rstest]
    #[case::not_granted("https://other.example/", "the step hands over no requests to https://other.example")]
    #[case::other_port(
        "https://a.example:444/",
        "the step hands over no requests to https://a.example on port 444"
    )]
    #[case::plain("http://a.example/", "the step hands over no requests to http://a.example on port 80")]
    #[case::plain_at_that_port(
        "http://a.example:443/",
        "the step hands over no requests to http://a.example on port 443"
    )]
    #[case::file("file:///etc/passwd", "the step hands over no requests to file://")]
    #[case::loopback("https://127.0.0.1/", "the host 127.0.0.1 is at an address that must not be reached")]
    #[case::private("https://10.0.0.1/", "the host 10.0.0.1 is at an address that must not be reached")]
    #[case::mapped(
        "https://[::ffff:10.0.0.1]/",
        "the host [::ffff:a00:1] is at an address that must not be reached"
    )]
    #[case::unique_local(
        "https://[fd00::1]/",
        "the host [fd00::1] is at an address that must not be reached"
    )]
    #[case::name("https://localhost/", "the host localhost is at an address that must not be reached")]
    #[case::metadata(
        "https://169.254.169.254/",
        "the host 169.254.169.254 is at an address that must not be reached"
    )]
    #[tokio::test]
    async fn what_was_not_granted_is_not_sent(#[case] url: &str, #[case] told: &str) {
        let hosts = "[{host: a.example}, {host: 127.0.0.1}, {host: 10.0.0.1}, {host: '::ffff:a00:1'}, {host: 'fd00::1'}, \
                     {host: localhost}, {host: 169.254.169.254, allowPrivateAddresses: true}]";
        match sender(hosts).send(request("GET", url, None)).await {
            Err(HttpError::Denied(text)) => assert!(text.starts_with(told), "{text}"),
            other => panic!("{:?}", other.map(|response| response.status)),
        }
    }

    #[rstest]
    #[case::user("GET", "https://me:secret@a.example/", None)]
    #[case::method("CONNECT", "https://a.example/", None)]
    #[case::no_method("GET /", "https://a.example/", None)]
    #[case::host("GET", "https://a.example/", Some(("Host", "b.example")))]
    #[case::smuggled("GET", "https://a.example/", Some(("transfer-encoding", "chunked")))]
    #[case::line("GET", "https://a.example/", Some(("x", "a\r\nhost: b")))]
    #[case::url("GET", "a.example", None)]
    #[tokio::test]
    async fn what_is_no_plain_request_is_not_sent(
        #[case] method: &str,
        #[case] url: &str,
        #[case] header: Option<(&str, &str)>,
    ) {
        let sent = sender("[{host: a.example}]").send(request(method, url, header)).await;
        let Err(HttpError::Invalid(text)) = sent else { panic!("it was not refused") };
        assert!(!text.contains("secret"), "{text}");
    }

    #[tokio::test]
    async fn a_private_address_that_was_granted_is_reached_and_no_redirect_followed() {
        let port = server().await;
        let sender = sender(&format!(
            "[{{host: 127.0.0.1, port: {port}, insecure: true, allowPrivateAddresses: true}}]"
        ));
        let url = |path: &str| format!("http://127.0.0.1:{port}{path}");
        let response = sender.send(request("GET", &url("/"), Some(("x-note", "1")))).await.ok().unwrap();
        assert_eq!((response.status, response.body.as_slice()), (200, b"hello".as_slice()));
        let response = sender.send(request("GET", &url("/away"), None)).await.ok().unwrap();
        assert_eq!(response.status, 307);
        let large = sender.send(request("GET", &url("/large"), None)).await.err();
        assert_eq!(large, Some(HttpError::TooLarge(MAX_BODY)));
    }
}
