use std::collections::BTreeMap;

use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use plumb_api::Sensitive;
use reqwest::{Method, RequestBuilder};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::identity::cache::Key;
use crate::identity::error::IdentityError;
use crate::identity::exchange::Endpoint;
use crate::identity::{Token, Tokens};
use crate::transport::{InvalidSecret, Transport, text};

/// How far GitHub's clock may be behind ours, in seconds.
const SKEW_SECONDS: i64 = 30;
/// How long the word of the App is good for, in seconds. It is used at once; GitHub takes up to 600.
const LIFETIME_SECONDS: i64 = 120;

/// A GitHub App that is installed somewhere.
#[derive(Clone)]
pub struct GitHubApp {
    id: String,
    installation: Installation,
    private_key: Sensitive<Vec<u8>>,
    api: Url,
}

/// Where an App is installed.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Installation {
    Id(u64),
    /// An organisation or a user.
    Owner(String),
}

impl GitHubApp {
    /// Whether a Secret is one of a GitHub App.
    pub fn is_in(data: &BTreeMap<String, Vec<u8>>) -> bool {
        data.contains_key("githubAppID")
    }

    /// Reads the data of a Secret with the keys of Flux: `githubAppID`, `githubAppPrivateKey`, one of `githubAppInstallationID` and
    /// `githubAppInstallationOwner`, and `githubAppBaseURL` for GitHub Enterprise Server. Source: Flux, "Git Repositories", GitHub.
    pub fn from_secret(data: &BTreeMap<String, Vec<u8>>) -> Result<Self, InvalidSecret> {
        const BECAUSE: &str = "to sign in as a GitHub App";
        let value =
            |key| Ok(text(data, key)?.map(|value| value.trim().to_owned()).filter(|value| !value.is_empty()));
        let missing = |missing| InvalidSecret::Missing { missing, because: BECAUSE };
        let unusable = |key, reason: &str| InvalidSecret::Unusable { key, reason: reason.to_owned() };
        let id = value("githubAppID")?.ok_or_else(|| missing("githubAppID"))?;
        let installation = match (value("githubAppInstallationID")?, value("githubAppInstallationOwner")?) {
            (Some(id), None) => Installation::Id(
                id.parse().map_err(|_| unusable("githubAppInstallationID", "it is not a number"))?,
            ),
            (None, Some(owner)) => Installation::Owner(owner),
            (None, None) => return Err(missing("githubAppInstallationID")),
            (Some(_), Some(_)) => {
                let reason = "githubAppInstallationOwner is there, too; keep one of them";
                return Err(unusable("githubAppInstallationID", reason));
            }
        };
        let private_key =
            data.get("githubAppPrivateKey").cloned().ok_or_else(|| missing("githubAppPrivateKey"))?;
        let api = match value("githubAppBaseURL")? {
            None => "https://api.github.com".to_owned(),
            Some(base) => base,
        };
        let api = api_url(&api).map_err(|reason| unusable("githubAppBaseURL", &reason))?;
        let private_key = Sensitive::new(private_key);
        EncodingKey::from_rsa_pem(private_key.expose())
            .map_err(|_| unusable("githubAppPrivateKey", "it is not an RSA key in PEM"))?;
        Ok(Self { id, installation, private_key, api })
    }

    /// What the App says of itself, signed.
    fn word(&self, now: Timestamp) -> Result<Sensitive<String>, IdentityError> {
        #[derive(Serialize)]
        struct Claims<'a> {
            iat: i64,
            exp: i64,
            iss: &'a str,
        }
        let unusable =
            |_| InvalidSecret::Unusable { key: "githubAppPrivateKey", reason: "it cannot sign".to_owned() };
        let issued = now.as_second() - SKEW_SECONDS;
        let claims = Claims { iat: issued, exp: issued + LIFETIME_SECONDS, iss: &self.id };
        let key = EncodingKey::from_rsa_pem(self.private_key.expose()).map_err(unusable)?;
        let word = jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, &key).map_err(unusable)?;
        Ok(Sensitive::new(word))
    }

    fn key(&self) -> Key {
        let installation = match &self.installation {
            Installation::Id(id) => format!("id {id}"),
            Installation::Owner(owner) => format!("owner {owner}"),
        };
        Key::of(&[
            b"github",
            self.id.as_bytes(),
            installation.as_bytes(),
            self.private_key.expose(),
            self.api.as_str().as_bytes(),
        ])
    }

    fn at(&self, path: &[&str]) -> Url {
        let mut url = self.api.clone();
        // A URL that was read by `api_url` has a path.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }
}

/// As Flux reads it: the API of Enterprise Server is below `/api/v3`, unless the host says that it is the API.
fn api_url(base: &str) -> Result<Url, String> {
    let mut url = Url::parse(base).map_err(|error| error.to_string())?;
    let host = match (url.scheme(), url.host_str()) {
        ("http" | "https", Some(host)) => host,
        _ => return Err("it is not a URL that starts with https://".to_owned()),
    };
    let is_api = host.starts_with("api.") || host.contains(".api.");
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&if is_api || path.ends_with("/api/v3") { path } else { format!("{path}/api/v3") });
    Ok(url)
}

impl Tokens {
    /// A token that lets one read what the App may. GitHub takes it as the password of `x-access-token`.
    pub async fn github(&self, app: &GitHubApp, transport: &Transport) -> Result<Token, IdentityError> {
        self.tokens.get_or(app.key(), app.sign_in(transport)).await
    }
}

impl GitHubApp {
    async fn sign_in(&self, transport: &Transport) -> Result<Token, IdentityError> {
        let word = self.word(Timestamp::now())?;
        let endpoint = Endpoint::new(transport)?;
        let signed = |request: RequestBuilder| {
            request.bearer_auth(word.expose()).header("accept", "application/vnd.github+json")
        };
        let installation = installation_id(&endpoint, self, &signed).await?;
        let path = ["app", "installations", &installation, "access_tokens"];
        let what = "a token of the GitHub App";
        let answer: AccessToken = endpoint.ask(Method::POST, self.at(&path), what, signed).await?;
        Ok(Token { secret: Sensitive::new(answer.token), expires: answer.expires_at })
    }
}

async fn installation_id(
    endpoint: &Endpoint,
    app: &GitHubApp,
    signed: &impl Fn(RequestBuilder) -> RequestBuilder,
) -> Result<String, IdentityError> {
    #[derive(Deserialize)]
    struct Found {
        id: u64,
    }
    const WHAT: &str = "the installation of the GitHub App";
    let owner = match &app.installation {
        Installation::Id(id) => return Ok(id.to_string()),
        Installation::Owner(owner) => owner,
    };
    let organisation = app.at(&["orgs", owner, "installation"]);
    let found: Found = match endpoint.ask(Method::GET, organisation, WHAT, signed).await {
        Err(IdentityError::Denied { status: 404, .. }) => {
            endpoint.ask(Method::GET, app.at(&["users", owner, "installation"]), WHAT, signed).await?
        }
        found => found?,
    };
    Ok(found.id.to_string())
}

#[derive(Deserialize)]
struct AccessToken {
    token: String,
    expires_at: Timestamp,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("https://api.github.com", "https://api.github.com/app")]
    #[case("https://api.github.com/", "https://api.github.com/app")]
    #[case("https://tenant.api.ghe.com/", "https://tenant.api.ghe.com/app")]
    #[case("https://ghe.example.com", "https://ghe.example.com/api/v3/app")]
    #[case("https://ghe.example.com/api/v3", "https://ghe.example.com/api/v3/app")]
    #[case("https://example.com/github/", "https://example.com/github/api/v3/app")]
    fn the_api_is_found_as_in_flux(#[case] base: &str, #[case] url: &str) {
        let app = GitHubApp {
            id: String::new(),
            installation: Installation::Id(1),
            private_key: Sensitive::new(Vec::new()),
            api: api_url(base).unwrap(),
        };
        assert_eq!(app.at(&["app"]).as_str(), url);
        assert!(app.at(&["orgs", "../../x?y"]).as_str().ends_with("/orgs/..%2F..%2Fx%3Fy"));
    }

    #[rstest]
    #[case(&[], "the secret has no key \"githubAppID\", which is needed to sign in as a GitHub App")]
    #[case(&[("githubAppID", "1")], "the secret has no key \"githubAppInstallationID\", which is needed to sign in as a GitHub App")]
    #[case(&[("githubAppID", "1"), ("githubAppInstallationID", "2")], "the secret has no key \"githubAppPrivateKey\", which is needed to sign in as a GitHub App")]
    #[case(&[("githubAppID", "1"), ("githubAppInstallationID", "x")], "the value of \"githubAppInstallationID\" in the secret cannot be used: it is not a number")]
    #[case(&[("githubAppID", "1"), ("githubAppInstallationID", "2"), ("githubAppInstallationOwner", "o")], "the value of \"githubAppInstallationID\" in the secret cannot be used: githubAppInstallationOwner is there, too; keep one of them")]
    #[case(&[("githubAppID", "1"), ("githubAppInstallationID", "2"), ("githubAppPrivateKey", "hunter2")], "the value of \"githubAppPrivateKey\" in the secret cannot be used: it is not an RSA key in PEM")]
    #[case(&[("githubAppID", "1"), ("githubAppInstallationID", "2"), ("githubAppPrivateKey", "k"), ("githubAppBaseURL", "ftp://x")], "the value of \"githubAppBaseURL\" in the secret cannot be used: it is not a URL that starts with https://")]
    fn what_cannot_be_used_is_told(#[case] pairs: &[(&str, &str)], #[case] message: &str) {
        let data = pairs.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect();
        assert_eq!(GitHubApp::from_secret(&data).err().unwrap().to_string(), message);
    }
}
