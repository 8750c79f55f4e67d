use base64::Engine as _;
use jiff::Timestamp;
use plumb_api::Sensitive;
use reqwest::Method;
use serde::Deserialize;
use url::Url;

use crate::identity::cache::Key;
use crate::identity::error::IdentityError;
use crate::identity::exchange::Endpoint;
use crate::identity::workload::Workload;
use crate::identity::{Token, Tokens};
use crate::transport::Transport;

/// What registries end in, and what their tokens are for: the resource manager of the cloud, as in Flux.
const CLOUDS: [(&str, &str); 3] = [
    (".azurecr.io", "https://management.azure.com/.default"),
    (".azurecr.cn", "https://management.chinacloudapi.cn/.default"),
    (".azurecr.us", "https://management.usgovcloudapi.net/.default"),
];
const WHAT: &str = "a token of the registry";

/// A registry of Azure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Acr {
    host: String,
    scope: &'static str,
    exchange: Url,
}

impl Acr {
    /// The one at a host, without a port; `None` when the host is none of Azure.
    pub(crate) fn of_host(host: &str) -> Option<Self> {
        let (name, scope) =
            CLOUDS.iter().find_map(|(domain, scope)| Some((host.strip_suffix(domain)?, *scope)))?;
        let is_name = |part: &str| {
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        if !name.split('.').all(is_name) {
            return None;
        }
        let exchange = Url::parse(&format!("https://{host}/oauth2/exchange")).ok()?;
        Some(Self { host: host.to_owned(), scope, exchange })
    }
}

impl Tokens {
    /// A token that the token server of a registry exchanges for others, for some three hours. Source: Azure, "Authenticate with Azure Container Registry", `POST /oauth2/exchange`.
    pub(crate) async fn acr(
        &self,
        workload: &Workload,
        registry: &Acr,
        transport: &Transport,
    ) -> Result<Token, IdentityError> {
        let access = self.azure(workload, registry.scope, transport).await?;
        let key =
            Key::of(&[b"acr", registry.exchange.as_str().as_bytes(), access.secret.expose().as_bytes()]);
        self.tokens.get_or(key, registry.sign_in(&access, transport)).await
    }
}

impl Acr {
    async fn sign_in(&self, access: &Token, transport: &Transport) -> Result<Token, IdentityError> {
        let form = [
            ("grant_type", "access_token"),
            ("service", self.host.as_str()),
            ("access_token", access.secret.expose()),
        ];
        let answer: Answer = Endpoint::new(transport)?
            .ask(Method::POST, self.exchange.clone(), WHAT, |request| request.form(&form))
            .await?;
        // Without a time it is used once.
        let secret = Sensitive::new(answer.refresh_token);
        let expires = expiry(secret.expose()).unwrap_or_else(Timestamp::now);
        Ok(Token { secret, expires })
    }
}

#[derive(Deserialize)]
struct Answer {
    refresh_token: String,
}

/// When a token in the form of a JWT is over. Nothing is decided by it but when to ask again: its signature is for the registry to look at.
fn expiry(token: &str) -> Option<Timestamp> {
    #[derive(Deserialize)]
    struct Claims {
        exp: i64,
    }
    let claims = token.split('.').nth(1)?;
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(claims).ok()?;
    let claims: Claims = serde_json::from_slice(&claims).ok()?;
    Timestamp::from_second(claims.exp).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use std::collections::BTreeMap;

    use plumb_test_support::{ApiRequest, ApiServer};
    use rstest::rstest;
    use serde_json::json;

    use super::*;
    use crate::identity::Environment;

    #[rstest]
    #[case("myorg.azurecr.io", "https://management.azure.com/.default")]
    #[case("myorg.westeurope.data.azurecr.io", "https://management.azure.com/.default")]
    #[case("myorg.azurecr.cn", "https://management.chinacloudapi.cn/.default")]
    #[case("myorg.azurecr.us", "https://management.usgovcloudapi.net/.default")]
    fn a_registry_belongs_to_a_cloud(#[case] host: &str, #[case] scope: &str) {
        let registry = Acr::of_host(host).unwrap();
        assert_eq!(
            (registry.scope, registry.exchange.as_str()),
            (scope, format!("https://{host}/oauth2/exchange").as_str())
        );
    }

    #[rstest]
    #[case("ghcr.io")]
    #[case("azurecr.io")]
    #[case(".azurecr.io")]
    #[case("myorg.azurecr.io.evil.org")]
    #[case("evil.org:1/.azurecr.io")]
    #[case("myorgazurecr.io")]
    #[case("myorg.azurecr.io:5000")]
    fn other_hosts_are_none(#[case] host: &str) {
        assert_eq!(Acr::of_host(host), None);
    }

    /// Microsoft Entra and a registry in one. `exp` is what the registry's token says of its end.
    fn azure(exp: Option<i64>) -> ApiServer {
        ApiServer::start(move |request: &ApiRequest| {
            let form: BTreeMap<_, _> =
                url::form_urlencoded::parse(request.body.as_bytes()).into_owned().collect();
            match request.path.as_str() {
                "/tenant/oauth2/v2.0/token" if form["scope"] == "https://management.azure.com/.default" => {
                    (200, json!({ "access_token": format!("for {}", form["client_id"]), "expires_in": 3599 }))
                }
                "/oauth2/exchange"
                    if form["grant_type"] == "access_token"
                        && form["service"] == "myorg.azurecr.io"
                        && form["access_token"] == "for reader" =>
                {
                    let claims = exp.map_or(json!({}), |exp| json!({ "exp": exp })).to_string();
                    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(claims);
                    (200, json!({ "refresh_token": format!("e30.{claims}.hunter2") }))
                }
                _ => (401, json!({ "errors": "hunter2" })),
            }
        })
        .unwrap()
    }

    fn ask(
        tokens: &Tokens,
        azure: &ApiServer,
        client: &str,
        file: &tempfile::NamedTempFile,
    ) -> Result<Token, IdentityError> {
        let variables = [
            ("AZURE_AUTHORITY_HOST", azure.origin()),
            ("AZURE_TENANT_ID", "tenant".to_owned()),
            ("AZURE_CLIENT_ID", client.to_owned()),
            ("AZURE_FEDERATED_TOKEN_FILE", file.path().to_str().unwrap().to_owned()),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value));
        let workload = Workload::Controller(variables.into_iter().collect::<Environment>());
        let exchange = Url::parse(&format!("{}/oauth2/exchange", azure.origin())).unwrap();
        let registry = Acr { exchange, ..Acr::of_host("myorg.azurecr.io").unwrap() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(tokens.acr(&workload, &registry, &Transport::default()))
    }

    #[test]
    fn the_token_of_the_cloud_is_exchanged_for_one_of_the_registry() {
        let in_3_hours = Timestamp::now().as_second() + 3 * 3600;
        let (azure, tokens, file) = (azure(Some(in_3_hours)), Tokens::new(), tempfile::NamedTempFile::new());
        let file = file.unwrap();
        for _ in 0..2 {
            let token = ask(&tokens, &azure, "reader", &file).unwrap();
            assert!(token.secret.expose().ends_with(".hunter2"));
            assert_eq!(token.expires.as_second(), in_3_hours);
        }
        let paths: Vec<String> = azure.seen().into_iter().map(|request| request.path).collect();
        assert_eq!(paths, ["/tenant/oauth2/v2.0/token", "/oauth2/exchange"]);
    }

    #[rstest]
    #[case::over(Some(1))]
    #[case::untold(None)]
    fn a_token_that_is_over_is_asked_for_again(#[case] exp: Option<i64>) {
        let (azure, tokens, file) = (azure(exp), Tokens::new(), tempfile::NamedTempFile::new().unwrap());
        for _ in 0..2 {
            ask(&tokens, &azure, "reader", &file).unwrap();
        }
        let exchanges = azure.seen().into_iter().filter(|request| request.path == "/oauth2/exchange");
        assert_eq!(exchanges.count(), 2);
    }

    #[test]
    fn a_registry_that_lets_one_not_in_is_told() {
        let (azure, file) = (azure(None), tempfile::NamedTempFile::new().unwrap());
        let error = ask(&Tokens::new(), &azure, "eve", &file).err().unwrap();
        assert_eq!(error.to_string(), "127.0.0.1 answers 401 to the request for a token of the registry");
    }
}
