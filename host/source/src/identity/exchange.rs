use std::time::Duration;

use plumb_api::Sensitive;
use reqwest::{Method, RequestBuilder, Response};
use serde::de::DeserializeOwned;
use url::Url;

use crate::foreign::with_causes;
use crate::identity::error::IdentityError;
use crate::transport::{AddressPolicy, AddressRefused, Transport};

/// How long an endpoint may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How long something on the machine itself may take, which is there at once or not at all.
const TIMEOUT_OF_MACHINE: Duration = Duration::from_secs(10);
/// Tokens have a few KiB.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;
/// GitHub answers nobody without a name.
const AGENT: &str = concat!("plumbline/", env!("CARGO_PKG_VERSION"));

/// Asks an endpoint for tokens.
pub(crate) struct Endpoint {
    client: reqwest::Client,
    transport: Transport,
}

/// What an endpoint has answered, whether or not it does what it was asked for.
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) body: Sensitive<Vec<u8>>,
}

impl Endpoint {
    pub(crate) fn new(transport: &Transport) -> Result<Self, IdentityError> {
        // Credentials are never sent where an answer leads.
        let builder = transport
            .client_builder()?
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(AGENT)
            .timeout(TIMEOUT);
        Ok(Self { client: transport.build(builder)?, transport: transport.clone() })
    }

    /// One for the machine itself: where its cloud tells it who it is. Such a place is refused to everybody else, and is not behind a proxy.
    pub(crate) fn of_this_machine() -> Result<Self, IdentityError> {
        let transport = Transport { addresses: AddressPolicy::refusing([]), ..Transport::default() };
        let builder = transport
            .client_builder()?
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .user_agent(AGENT)
            .timeout(TIMEOUT_OF_MACHINE);
        Ok(Self { client: transport.build(builder)?, transport })
    }

    /// Sends a request that `fill` completes, and reads the answer in JSON.
    pub(crate) async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        url: Url,
        what: &'static str,
        fill: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Result<T, IdentityError> {
        let endpoint = url.host_str().unwrap_or_default().to_owned();
        let body = self.send(method, url, what, fill).await?;
        serde_json::from_slice(body.expose()).map_err(|_| IdentityError::Answer { endpoint, what })
    }

    /// Sends a request that `fill` completes, and gives what is answered.
    pub(crate) async fn send(
        &self,
        method: Method,
        url: Url,
        what: &'static str,
        fill: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Result<Sensitive<Vec<u8>>, IdentityError> {
        let (answer, endpoint) = self.begin(method, url, fill).await?;
        if !answer.status().is_success() {
            return Err(IdentityError::Denied { endpoint, status: answer.status().as_u16(), what });
        }
        read(answer, &endpoint, what).await
    }

    /// As [`send`](Self::send), for those who want to know why something was not done.
    pub(crate) async fn try_send(
        &self,
        method: Method,
        url: Url,
        what: &'static str,
        fill: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Result<Answered, IdentityError> {
        let (answer, endpoint) = self.begin(method, url, fill).await?;
        let status = answer.status().as_u16();
        Ok(Answered { status, body: read(answer, &endpoint, what).await? })
    }

    /// The beginning of an answer, and whose it is.
    async fn begin(
        &self,
        method: Method,
        url: Url,
        fill: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Result<(Response, String), IdentityError> {
        self.transport.check(&url)?;
        let endpoint = url.host_str().unwrap_or_default().to_owned();
        let sent = fill(self.client.request(method, url)).send().await;
        let answer = sent.map_err(|error| unreachable(error, &endpoint))?;
        Ok((answer, endpoint))
    }
}

async fn read(
    mut answer: Response,
    endpoint: &str,
    what: &'static str,
) -> Result<Sensitive<Vec<u8>>, IdentityError> {
    let mut body = Sensitive::new(Vec::new());
    while let Some(chunk) = answer.chunk().await.map_err(|error| unreachable(error, endpoint))? {
        if body.expose().len() + chunk.len() > MAX_ANSWER_BYTES {
            return Err(IdentityError::Answer { endpoint: endpoint.to_owned(), what });
        }
        body = Sensitive::new([body.expose().as_slice(), &chunk].concat());
    }
    Ok(body)
}

fn unreachable(error: reqwest::Error, endpoint: &str) -> IdentityError {
    match AddressRefused::among(&error) {
        Some(refused) => refused.clone().into(),
        None => IdentityError::Unreachable {
            endpoint: endpoint.to_owned(),
            reason: with_causes(&error.without_url()),
        },
    }
}
