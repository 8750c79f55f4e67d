use jiff::{SignedDuration, Timestamp};
use plumb_api::Sensitive;
use reqwest::Method;
use serde::Deserialize;
use url::Url;

use crate::identity::cache::Key;
use crate::identity::error::IdentityError;
use crate::identity::exchange::Endpoint;
use crate::identity::workload::Environment;
use crate::identity::{Token, Tokens};

/// The variable by which Azure's libraries find the service elsewhere.
const METADATA: &str = "AZURE_POD_IDENTITY_AUTHORITY_HOST";
const DEFAULT: &str = "http://169.254.169.254/";
const VERSION: &str = "2018-02-01";
const WHAT: &str = "a token of the managed identity";

/// What a scope ends in that names all that a resource lets one do.
const ALL: &str = "/.default";

impl Tokens {
    /// A token of a managed identity that the machine of this controller has, for a scope: of the one with this client id, or of the only one. Only the controller's own
    /// environment says where to ask, and no source leads there. Source: Azure, "How to use managed identities for Azure resources on an Azure VM to acquire an access token".
    pub(crate) async fn azure_managed(
        &self,
        environment: &Environment,
        client: Option<&str>,
        scope: &str,
    ) -> Result<Token, IdentityError> {
        let url = question(environment, client, scope)?;
        let key = Key::of(&[b"azure managed", url.as_str().as_bytes()]);
        self.tokens.get_or(key, ask(url)).await
    }
}

async fn ask(url: Url) -> Result<Token, IdentityError> {
    let now = Timestamp::now();
    let answer: Answer = Endpoint::of_this_machine()?
        // Who can be made to fetch a URL cannot be made to send it.
        .ask(Method::GET, url, WHAT, |request| request.header("metadata", "true"))
        .await
        .map_err(not_there)?;
    Ok(answer.token(now))
}

fn question(environment: &Environment, client: Option<&str>, scope: &str) -> Result<Url, IdentityError> {
    let mut url = environment.endpoint(METADATA, DEFAULT)?;
    url.set_path("/metadata/identity/oauth2/token");
    let resource = scope.strip_suffix(ALL).unwrap_or(scope);
    url.query_pairs_mut()
        .clear()
        .append_pair("api-version", VERSION)
        .append_pair("resource", resource)
        .extend_pairs(client.map(|client| ("client_id", client)));
    Ok(url)
}

fn not_there(error: IdentityError) -> IdentityError {
    match error {
        IdentityError::Unreachable { reason, .. } => IdentityError::NoMetadata {
            of: "Azure",
            reason,
            hint: "elsewhere give the controller a workload identity: the webhook of Azure Workload Identity sets AZURE_FEDERATED_TOKEN_FILE in pods with the label azure.workload.identity/use",
        },
        other => other,
    }
}

#[derive(Deserialize)]
struct Answer {
    access_token: String,
    expires_in: Seconds,
}

/// The service writes them as text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Seconds {
    Number(u32),
    Text(String),
}

impl Answer {
    /// Without a time it is used once.
    fn token(self, now: Timestamp) -> Token {
        let seconds = match self.expires_in {
            Seconds::Number(number) => number,
            Seconds::Text(text) => text.parse().unwrap_or_default(),
        };
        let lasts = SignedDuration::from_secs(i64::from(seconds));
        Token { secret: Sensitive::new(self.access_token), expires: now + lasts }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(None, "https://management.azure.com/.default", "resource=https%3A%2F%2Fmanagement.azure.com")]
    #[case(Some("a-b"), "499b84ac/.default", "resource=499b84ac&client_id=a-b")]
    #[case(Some("a&b=c"), "499b84ac", "resource=499b84ac&client_id=a%26b%3Dc")]
    fn it_is_asked_for_a_resource(#[case] client: Option<&str>, #[case] scope: &str, #[case] query: &str) {
        let url = question(&Environment::default(), client, scope).unwrap();
        let start = "http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01&";
        assert_eq!(url.as_str(), format!("{start}{query}"));
    }
}
