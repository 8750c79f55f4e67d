use jiff::{SignedDuration, Timestamp};
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

/// What a token for Azure DevOps is for.
pub const DEVOPS_SCOPE: &str = "499b84ac-1321-427f-aa17-267ca6975798/.default";
/// Whom the tokens of service accounts are for.
const AUDIENCE: &str = "api://AzureADTokenExchange";
pub(super) const PUBLIC_AUTHORITY: &str = "https://login.microsoftonline.com/";
/// What the controller shows that it is its application.
const SECRET: &str = "AZURE_CLIENT_SECRET";
const TOKEN_FILE: &str = "AZURE_FEDERATED_TOKEN_FILE";
const HINT: &str =
    "the webhook of Azure Workload Identity sets it in pods with the label azure.workload.identity/use";

/// An application of a tenant of Microsoft Entra.
pub(super) struct Application {
    tenant: String,
    client: String,
    authority: Url,
}

impl Application {
    fn of(workload: &Workload) -> Result<Self, IdentityError> {
        let (tenant, client, environment) = match workload {
            Workload::Controller(environment) => (
                environment.need("AZURE_TENANT_ID", HINT)?,
                environment.need("AZURE_CLIENT_ID", HINT)?,
                environment,
            ),
            Workload::ServiceAccount(account) => (
                account.annotation("azure.workload.identity/tenant-id")?,
                account.annotation("azure.workload.identity/client-id")?,
                &account.environment,
            ),
        };
        let authority = environment.endpoint("AZURE_AUTHORITY_HOST", PUBLIC_AUTHORITY)?;
        Self::new(tenant.to_owned(), client.to_owned(), authority)
    }

    /// The tenant becomes a part of the path of a URL.
    pub(super) fn new(tenant: String, client: String, authority: Url) -> Result<Self, IdentityError> {
        let is_name = |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '.');
        if !tenant.chars().all(is_name) || tenant.starts_with('.') {
            return Err(IdentityError::Malformed { what: "the id of the tenant" });
        }
        Ok(Self { tenant, client, authority })
    }

    /// Its id.
    pub(super) fn client(&self) -> &str {
        &self.client
    }

    /// Source: Microsoft identity platform, "OAuth 2.0 client credentials flow".
    pub(super) async fn token(
        &self,
        scope: &str,
        proof: &Proof,
        transport: &Transport,
    ) -> Result<Token, IdentityError> {
        let now = Timestamp::now();
        let mut form =
            vec![("grant_type", "client_credentials"), ("client_id", &*self.client), ("scope", scope)];
        form.extend(proof.fields());
        let answer: AccessToken = Endpoint::new(transport)?
            .ask(Method::POST, self.token_url(), "a token of Azure", |request| request.form(&form))
            .await?;
        let lasts = SignedDuration::from_secs(i64::from(answer.expires_in));
        Ok(Token { secret: Sensitive::new(answer.access_token), expires: now + lasts })
    }

    pub(super) fn token_url(&self) -> Url {
        let mut url = self.authority.clone();
        // It has a host, so it has a path.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend([self.tenant.as_str(), "oauth2", "v2.0", "token"]);
        }
        url
    }
}

/// How an application shows who it is.
pub(super) enum Proof {
    Secret(Sensitive<String>),
    /// A token of somebody whom it trusts.
    Token(Sensitive<String>),
}

impl Proof {
    async fn of(workload: &Workload) -> Result<Self, IdentityError> {
        match workload {
            Workload::Controller(environment) => match environment.get(SECRET) {
                Some(secret) => Ok(Self::Secret(Sensitive::new(secret.to_owned()))),
                None => environment.token(TOKEN_FILE, HINT).await.map(Self::Token),
            },
            Workload::ServiceAccount(account) => account.token(AUDIENCE).await.map(Self::Token),
        }
    }

    fn fields(&self) -> Vec<(&'static str, &str)> {
        match self {
            Self::Secret(secret) => vec![("client_secret", secret.expose().as_str())],
            Self::Token(token) => vec![
                ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
                ("client_assertion", token.expose().as_str()),
            ],
        }
    }
}

impl Tokens {
    /// A token of Azure for a scope, for example [`DEVOPS_SCOPE`]. Source: Microsoft identity platform, client credentials, also with a federated credential.
    ///
    /// A service account is an application, as its annotations tell. The controller is what Azure's own libraries find, in their order: an application with the secret in
    /// `AZURE_CLIENT_SECRET`, one by the token in a file (`AZURE_FEDERATED_TOKEN_FILE`), or the managed identity of the machine that it runs on; where that has several,
    /// `AZURE_CLIENT_ID` tells which. The machine is asked whatever `transport` refuses, and for nobody but the controller.
    pub async fn azure(
        &self,
        workload: &Workload,
        scope: &str,
        transport: &Transport,
    ) -> Result<Token, IdentityError> {
        if let Workload::Controller(environment) = workload
            && [SECRET, TOKEN_FILE].iter().all(|variable| environment.get(variable).is_none())
        {
            return self.azure_managed(environment, environment.get("AZURE_CLIENT_ID"), scope).await;
        }
        let application = Application::of(workload)?;
        let key = Key::of(&[
            b"azure",
            whose(workload).as_bytes(),
            application.token_url().as_str().as_bytes(),
            application.client.as_bytes(),
            scope.as_bytes(),
        ]);
        let asking = async { application.token(scope, &Proof::of(workload).await?, transport).await };
        self.tokens.get_or(key, asking).await
    }
}

#[derive(Deserialize)]
struct AccessToken {
    access_token: String,
    expires_in: u32,
}

/// Tells identities apart that may have the same annotations.
pub(super) fn whose(workload: &Workload) -> String {
    match workload {
        Workload::Controller(_) => "the controller".to_owned(),
        Workload::ServiceAccount(account) => account.account(),
    }
}
