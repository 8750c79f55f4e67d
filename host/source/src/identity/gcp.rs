use jiff::{SignedDuration, Timestamp};
use plumb_api::Sensitive;
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;
use url::Url;

use crate::identity::azure::whose;
use crate::identity::cache::Key;
use crate::identity::error::IdentityError;
use crate::identity::exchange::Endpoint;
use crate::identity::external_account::{CONFIGURATION, Configured};
use crate::identity::metadata::Metadata;
use crate::identity::workload::{Environment, ServiceAccount, Workload};
use crate::identity::{Token, Tokens};
use crate::transport::Transport;

/// What tokens are for. As in Flux; what they let one do is told by IAM.
pub(super) const SCOPES: [&str; 2] =
    ["https://www.googleapis.com/auth/cloud-platform", "https://www.googleapis.com/auth/userinfo.email"];
const ACCOUNT: &str = "iam.gke.io/gcp-service-account";
const PROVIDER: &str = "gcp.auth.fluxcd.io/workload-identity-provider";
const STS: &str = "https://sts.googleapis.com/";
const IAM: &str = "https://iamcredentials.googleapis.com/";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
pub(super) const WHAT: &str = "a token of Google Cloud";

/// How a token of Kubernetes, or of somebody else, becomes one of Google Cloud. Source: Google, "Workload Identity Federation".
pub(super) struct Federation {
    /// Who vouches for it.
    pub(super) audience: String,
    pub(super) subject_token_type: String,
    /// The token service.
    pub(super) exchange: Url,
    /// Where one becomes a service account of Google, if one does.
    pub(super) impersonation: Option<Url>,
}

impl Federation {
    /// That of a service account of Kubernetes, and the audience of its tokens.
    async fn of(account: &ServiceAccount) -> Result<(Self, String), IdentityError> {
        let (audience, of_tokens) = match account.optional(PROVIDER) {
            Some(provider) if is_provider(provider) => {
                let audience = format!("//iam.googleapis.com/{provider}");
                (audience.clone(), audience)
            }
            Some(_) => {
                return Err(IdentityError::Malformed { what: "the name of the workload identity provider" });
            }
            // The cluster is one of GKE, or else the annotation is missing.
            None => {
                let cluster = Metadata::of(&account.environment)?.cluster().await?;
                (format!("identitynamespace:{}:{}", cluster.pool, cluster.url), cluster.pool)
            }
        };
        // The variables by which `gcloud` finds APIs elsewhere.
        let mut exchange = account.environment.endpoint("CLOUDSDK_API_ENDPOINT_OVERRIDES_STS", STS)?;
        exchange.set_path("/v1/token");
        let impersonation = match account.optional(ACCOUNT) {
            Some(email) if is_email(email) => {
                let variable = "CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS";
                let mut url = account.environment.endpoint(variable, IAM)?;
                url.set_path(&format!("/v1/projects/-/serviceAccounts/{email}:generateAccessToken"));
                Some(url)
            }
            Some(_) => {
                return Err(IdentityError::Malformed {
                    what: "the address of the service account of Google",
                });
            }
            None => None,
        };
        let federation = Self { audience, subject_token_type: JWT.to_owned(), exchange, impersonation };
        Ok((federation, of_tokens))
    }

    async fn token(
        &self,
        subject: &Sensitive<String>,
        transport: &Transport,
    ) -> Result<Token, IdentityError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Impersonated {
            access_token: String,
            expire_time: Timestamp,
        }
        let now = Timestamp::now();
        let endpoint = Endpoint::new(transport)?;
        let scope = match self.impersonation {
            Some(_) => SCOPES[0].to_owned(),
            None => SCOPES.join(" "),
        };
        let form = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("audience", &self.audience),
            ("scope", &scope),
            ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
            ("subject_token_type", &self.subject_token_type),
            ("subject_token", subject.expose()),
        ];
        let exchange = self.exchange.clone();
        let answer: AccessToken =
            endpoint.ask(Method::POST, exchange, WHAT, |request| request.form(&form)).await?;
        let token = answer.token(now);
        let Some(url) = self.impersonation.clone() else { return Ok(token) };
        let what = "a token of the service account of Google";
        let answer: Impersonated = endpoint
            .ask(Method::POST, url, what, |request| {
                request.bearer_auth(token.secret.expose()).json(&json!({ "scope": SCOPES }))
            })
            .await?;
        Ok(Token { secret: Sensitive::new(answer.access_token), expires: answer.expire_time })
    }
}

impl Tokens {
    /// A token of Google Cloud. Registries take it as the password of `oauth2accesstoken`.
    ///
    /// The controller has the identity of the file that `GOOGLE_APPLICATION_CREDENTIALS` names, which is one of workload identity federation (`external_account`) or the key of
    /// a service account (`service_account`), or else that which the metadata server of Google Cloud tells. That server is asked whatever `transport` refuses.
    pub async fn gcp(&self, workload: &Workload, transport: &Transport) -> Result<Token, IdentityError> {
        match workload {
            Workload::Controller(environment) => {
                self.gcp_of_controller(environment, workload, transport).await
            }
            Workload::ServiceAccount(account) => {
                let (federation, audience) = Federation::of(account).await?;
                let asking = async { federation.token(&account.token(&audience).await?, transport).await };
                self.tokens.get_or(key(workload, &federation), asking).await
            }
        }
    }

    async fn gcp_of_controller(
        &self,
        environment: &Environment,
        workload: &Workload,
        transport: &Transport,
    ) -> Result<Token, IdentityError> {
        if environment.get(CONFIGURATION).is_none() {
            let metadata = Metadata::of(environment)?;
            let key = Key::of(&[b"gcp metadata", metadata.origin().as_bytes()]);
            return self.tokens.get_or(key, metadata.token()).await;
        }
        match Configured::read(environment).await? {
            Configured::External(account) => {
                let asking = async { account.federation.token(&account.subject().await?, transport).await };
                self.tokens.get_or(key(workload, &account.federation), asking).await
            }
            Configured::Key(account) => {
                let key = Key::of(&[b"gcp key of the controller", account.email.as_bytes()]);
                self.tokens.get_or(key, account.token(transport)).await
            }
        }
    }
}

fn key(workload: &Workload, federation: &Federation) -> Key {
    let impersonation = federation.impersonation.as_ref().map(Url::as_str).unwrap_or_default();
    Key::of(&[
        b"gcp",
        whose(workload).as_bytes(),
        federation.audience.as_bytes(),
        federation.exchange.as_str().as_bytes(),
        impersonation.as_bytes(),
    ])
}

/// As the token service and the metadata server answer.
#[derive(Deserialize)]
pub(super) struct AccessToken {
    access_token: String,
    #[serde(default)]
    expires_in: u32,
}

impl AccessToken {
    pub(super) fn token(self, now: Timestamp) -> Token {
        let lasts = SignedDuration::from_secs(i64::from(self.expires_in));
        Token { secret: Sensitive::new(self.access_token), expires: now + lasts }
    }
}

/// `projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER`.
fn is_provider(name: &str) -> bool {
    let parts: Vec<&str> = name.split('/').collect();
    let is_id =
        |id: &str| !id.is_empty() && id.chars().all(|char| char.is_ascii_alphanumeric() || char == '-');
    match parts[..] {
        [
            "projects",
            project,
            "locations",
            "global",
            "workloadIdentityPools",
            pool,
            "providers",
            provider,
        ] => [project, pool, provider].into_iter().all(is_id),
        _ => false,
    }
}

/// It becomes a part of the path of a URL.
fn is_email(text: &str) -> bool {
    let is_part = |part: &str| {
        part.chars().all(|char| char.is_ascii_alphanumeric() || matches!(char, '-' | '.'))
            && !part.starts_with('.')
    };
    text.split_once('@').is_some_and(|(name, host)| !name.is_empty() && is_part(name) && is_part(host))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("projects/1/locations/global/workloadIdentityPools/p/providers/k8s", true)]
    #[case("//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/k8s", false)]
    #[case("projects/1/locations/global/workloadIdentityPools/p/providers/", false)]
    #[case("projects/1/locations/global/workloadIdentityPools/p/providers/a/b", false)]
    #[case("kubernetes.default.svc", false)]
    fn a_provider_has_a_full_name(#[case] name: &str, #[case] is_one: bool) {
        assert_eq!(is_provider(name), is_one);
    }

    #[rstest]
    #[case("reader@project.iam.gserviceaccount.com", true)]
    #[case("1-compute@developer.gserviceaccount.com", true)]
    #[case("reader", false)]
    #[case("../x@y", false)]
    #[case("x@y/../../z", false)]
    #[case("x@y?a=b", false)]
    #[case("x@y:z", false)]
    fn an_address_is_no_path(#[case] text: &str, #[case] is_one: bool) {
        assert_eq!(is_email(text), is_one);
    }
}
