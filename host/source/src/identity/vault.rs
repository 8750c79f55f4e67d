use jiff::{SignedDuration, Timestamp};
use plumb_api::Sensitive;
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;
use url::Url;

use crate::identity::cache::Key;
use crate::identity::error::IdentityError;
use crate::identity::exchange::Endpoint;
use crate::identity::workload::ServiceAccount;
use crate::identity::{Token, Tokens};
use crate::transport::Transport;

/// Where a server of Vault or OpenBao lets service accounts of Kubernetes sign in. Source: Flux, "Kustomization", OpenBao/Vault Kubernetes auth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VaultLogin {
    /// As somebody has written it: whom the tokens of service accounts are for.
    address: String,
    url: Url,
}

impl VaultLogin {
    /// The one of the server at `address`, at a path such as `auth/kubernetes/login`; `None` when these make no URL.
    pub fn new(address: &str, path: &str) -> Option<Self> {
        let path = path.trim_matches('/');
        let is_name = |part: &str| {
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
            !matches!(part, "" | "." | "..") && part.bytes().all(is_plain)
        };
        let url = Url::parse(&format!("{}/v1/{path}", address.trim_end_matches('/'))).ok()?;
        let is_web = matches!(url.scheme(), "http" | "https") && url.has_host();
        (is_web && path.split('/').all(is_name)).then(|| Self { address: address.to_owned(), url })
    }
}

impl Tokens {
    /// A token of Vault for a service account, as the role `NAMESPACE_NAME`.
    pub async fn vault(
        &self,
        login: &VaultLogin,
        account: &ServiceAccount,
        transport: &Transport,
    ) -> Result<Token, IdentityError> {
        let key = Key::of(&[
            b"vault",
            account.account().as_bytes(),
            login.address.as_bytes(),
            login.url.as_str().as_bytes(),
        ]);
        self.tokens.get_or(key, login.sign_in(account, transport)).await
    }
}

impl VaultLogin {
    async fn sign_in(&self, account: &ServiceAccount, transport: &Transport) -> Result<Token, IdentityError> {
        let now = Timestamp::now();
        let word = account.token(&self.address).await?;
        let role = format!("{}_{}", account.namespace, account.name);
        let body = json!({ "role": role, "jwt": word.expose() });
        let answer: Answer = Endpoint::new(transport)?
            .ask(Method::POST, self.url.clone(), "a token of Vault", |request| request.json(&body))
            .await?;
        let Auth { client_token, lease_duration } = answer.auth;
        let expires = now + SignedDuration::from_secs(i64::from(lease_duration));
        Ok(Token { secret: Sensitive::new(client_token), expires })
    }
}

#[derive(Deserialize)]
struct Answer {
    auth: Auth,
}

#[derive(Deserialize)]
struct Auth {
    client_token: String,
    /// In seconds.
    #[serde(default)]
    lease_duration: u32,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(
        "https://vault.example.com:8200",
        "auth/kubernetes/login",
        Some("https://vault.example.com:8200/v1/auth/kubernetes/login")
    )]
    #[case(
        "https://vault.example.com/",
        "/ns1/ns2/auth/jwt/login/",
        Some("https://vault.example.com/v1/ns1/ns2/auth/jwt/login")
    )]
    #[case("vault.example.com", "auth/kubernetes/login", None)]
    #[case("https://vault.example.com", "", None)]
    #[case("https://vault.example.com", "../sys", None)]
    #[case("https://vault.example.com", "auth/kubernetes/login?x=y", None)]
    fn a_login_is_below_its_server(#[case] address: &str, #[case] path: &str, #[case] url: Option<&str>) {
        let login = VaultLogin::new(address, path);
        assert_eq!(login.as_ref().map(|login| login.url.as_str()), url);
    }
}
