use reqwest::header::{HeaderMap, LOCATION};
use reqwest::{Client, Response, StatusCode, redirect};
use url::Url;

use crate::foreign::with_causes;
use crate::helm::{HelmLogin, RepositoryError};
use crate::transport::{AddressRefused, Transport, TransportError};

/// As many as browsers and Go follow, about.
const MAX_REDIRECTS: usize = 10;

/// How the servers of a repository are reached, and which of them learn who one is.
///
/// The server of the repository does: the same scheme, host and port as its URL. Others, where the index says that a chart is, do only with `passCredentials`. Where a server
/// redirects to, nobody does, whatever comes after it.
pub(crate) struct Http<'a> {
    pub(crate) repository: &'a Url,
    pub(crate) transport: &'a Transport,
    pub(crate) login: Option<&'a HelmLogin>,
    pub(crate) pass_credentials: bool,
}

impl Http<'_> {
    /// Asks for `url`, through redirects. The answer is what was asked for, or `304` where `headers` asked for that.
    pub(crate) async fn get(&self, url: Url, headers: HeaderMap) -> Result<Response, RepositoryError> {
        let mut is_trusted = self.is_trusted(&url);
        let mut at = url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let response = self.ask(&at, is_trusted, headers.clone()).await?;
            let Some(next) = redirected(&at, &response) else {
                return self.successful(&at, is_trusted, response);
            };
            if !matches!(next.scheme(), "http" | "https") {
                return Err(redirect(&url, "to a URL that is not one of http or https"));
            }
            if at.scheme() == "https" && next.scheme() != "https" {
                return Err(redirect(&url, "from https to http"));
            }
            is_trusted &= next.origin() == at.origin();
            at = next;
        }
        Err(redirect(&url, "too often"))
    }

    fn is_trusted(&self, url: &Url) -> bool {
        let is_downgrade = self.repository.scheme() == "https" && url.scheme() != "https";
        url.origin() == self.repository.origin() || (self.pass_credentials && !is_downgrade)
    }

    async fn ask(&self, at: &Url, is_trusted: bool, headers: HeaderMap) -> Result<Response, RepositoryError> {
        let client = self.client(is_trusted).map_err(|reason| self.unreached(at, reason))?;
        self.transport.check(at).map_err(|reason| self.unreached(at, reason.into()))?;
        let mut request = client.get(at.clone()).headers(headers);
        if let Some(HelmLogin { username, password }) = self.login.filter(|_| is_trusted) {
            request = request.basic_auth(username, Some(password.expose()));
        }
        request.send().await.map_err(|error| unreachable(at, error))
    }

    /// The certificate of the client is a credential, too; that of the authority is not.
    fn client(&self, is_trusted: bool) -> Result<Client, TransportError> {
        let client_certificate = self.transport.client_certificate.clone().filter(|_| is_trusted);
        let transport = Transport { client_certificate, ..self.transport.clone() };
        transport.build(transport.client_builder()?.redirect(redirect::Policy::none()))
    }

    fn unreached(&self, at: &Url, reason: TransportError) -> RepositoryError {
        RepositoryError::Transport { url: shown(at), reason }
    }

    fn successful(
        &self,
        at: &Url,
        is_trusted: bool,
        response: Response,
    ) -> Result<Response, RepositoryError> {
        let (url, status) = (shown(at), response.status());
        match status {
            StatusCode::NOT_MODIFIED => Ok(response),
            _ if status.is_success() => Ok(response),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let has_credentials = self.login.is_some() || self.transport.client_certificate.is_some();
                let withheld = has_credentials && !is_trusted;
                Err(RepositoryError::Unauthorized { url, status: status.as_u16(), withheld })
            }
            _ => Err(RepositoryError::Status { url, status: status.as_u16() }),
        }
    }
}

fn redirected(at: &Url, response: &Response) -> Option<Url> {
    let is_redirect = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    let location = response.headers().get(LOCATION).filter(|_| is_redirect)?;
    at.join(location.to_str().ok()?).ok()
}

fn redirect(url: &Url, reason: &'static str) -> RepositoryError {
    RepositoryError::Redirect { url: shown(url), reason }
}

pub(crate) fn unreachable(at: &Url, error: reqwest::Error) -> RepositoryError {
    match AddressRefused::among(&error) {
        Some(refused) => RepositoryError::Transport { url: shown(at), reason: refused.clone().into() },
        None => RepositoryError::Unreachable { url: shown(at), reason: with_causes(&error.without_url()) },
    }
}

/// A URL as messages have it: without what may be a password or a token.
pub(crate) fn shown(url: &Url) -> String {
    let mut shown = url.clone();
    // They fail for URLs that have no host, and nothing to hide.
    let _ = shown.set_username("");
    let _ = shown.set_password(None);
    shown.set_query(None);
    shown.set_fragment(None);
    shown.to_string()
}
