use std::collections::BTreeMap;
use std::sync::Arc;

use object_store::CredentialProvider;
use object_store::aws::AwsCredential;
use object_store::azure::AzureCredential;
use object_store::gcp::GcpCredential;
use url::Url;

use crate::identity::{AwsCredentials, IdentityError, LdapLogin, Token, Tokens, Workload};
use crate::transport::Transport;

/// What tokens for Azure Blob Storage are for, in all of its clouds.
const AZURE_SCOPE: &str = "https://storage.azure.com/.default";

/// What one signs in to an object store with: what a Bucket refers to, and whose identity towards a cloud it has.
#[derive(Clone)]
pub struct Access {
    /// The data of the Secret that `secretRef` names.
    pub secret: Option<BTreeMap<String, Vec<u8>>>,
    /// The data of the Secret that `sts.secretRef` names.
    pub sts_secret: Option<BTreeMap<String, Vec<u8>>>,
    /// Whose identity is used where there is no Secret.
    pub workload: Workload,
    /// What was got before.
    pub tokens: Arc<Tokens>,
    /// How those are reached who tell who one is: the token service of `sts`, with the certificates for it, and the endpoints of the cloud.
    pub transport: Transport,
}

impl Access {
    /// That of a workload, without any Secret.
    pub fn of(workload: Workload, tokens: Arc<Tokens>) -> Self {
        Self { secret: None, sts_secret: None, workload, tokens, transport: Transport::default() }
    }

    pub(crate) fn is_of_controller(&self) -> bool {
        matches!(self.workload, Workload::Controller(_))
    }
}

/// Somebody who has to ask who he is. The library asks him whenever it signs a request; what he was told is kept by [`Tokens`].
pub(crate) struct Asking<Whom> {
    pub(crate) access: Access,
    pub(crate) whom: Whom,
}

/// AWS, for keys to be used in a region.
pub(crate) struct Aws {
    pub(crate) region: String,
    /// Another token service than that of the region.
    pub(crate) sts: Option<Url>,
}

/// The token service of a store that knows a directory.
pub(crate) struct Ldap(pub(crate) LdapLogin);

/// Google Cloud.
pub(crate) struct Google;

/// Azure.
pub(crate) struct Azure {
    /// Of the identities of this machine the one that a Secret names.
    pub(crate) of_machine: Option<String>,
}

impl<Whom> std::fmt::Debug for Asking<Whom> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Asking")
    }
}

#[async_trait::async_trait]
impl CredentialProvider for Asking<Aws> {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let Access { workload, tokens, transport, .. } = &self.access;
        let region = &self.whom.region;
        let keys = match &self.whom.sts {
            Some(sts) => tokens.aws_by(sts, workload, region, transport).await,
            None => tokens.aws(workload, region, transport).await,
        };
        keys.map(signing).map_err(failed)
    }
}

#[async_trait::async_trait]
impl CredentialProvider for Asking<Ldap> {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let Access { tokens, transport, .. } = &self.access;
        tokens.ldap(&self.whom.0, transport).await.map(signing).map_err(failed)
    }
}

#[async_trait::async_trait]
impl CredentialProvider for Asking<Google> {
    type Credential = GcpCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<GcpCredential>> {
        let Access { workload, tokens, transport, .. } = &self.access;
        let token = tokens.gcp(workload, transport).await.map_err(failed)?;
        Ok(Arc::new(GcpCredential { bearer: bearer(&token) }))
    }
}

#[async_trait::async_trait]
impl CredentialProvider for Asking<Azure> {
    type Credential = AzureCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AzureCredential>> {
        let Access { workload, tokens, transport, .. } = &self.access;
        let token = match &self.whom.of_machine {
            Some(client) => {
                tokens.azure_managed(workload.environment(), Some(client.as_str()), AZURE_SCOPE).await
            }
            None => tokens.azure(workload, AZURE_SCOPE, transport).await,
        };
        Ok(Arc::new(AzureCredential::BearerToken(bearer(&token.map_err(failed)?))))
    }
}

fn signing(keys: AwsCredentials) -> Arc<AwsCredential> {
    Arc::new(AwsCredential {
        key_id: keys.access_key_id,
        secret_key: keys.secret_access_key.expose().clone(),
        token: keys.session_token.map(|token| token.expose().clone()),
    })
}

fn bearer(token: &Token) -> String {
    token.secret.expose().clone()
}

/// Carries the error through the library, out of which [`refusal`] takes it.
fn failed(error: IdentityError) -> object_store::Error {
    object_store::Error::Generic { store: "identity", source: Box::new(error) }
}

/// Why there was no identity to sign with, if that is what went wrong.
pub(crate) fn refusal(error: &object_store::Error) -> Option<&IdentityError> {
    let first: &(dyn std::error::Error + 'static) = error;
    std::iter::successors(Some(first), |error| error.source()).find_map(|error| error.downcast_ref())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use plumb_test_support::{ApiRequest, ApiServer};
    use serde_json::json;

    use super::*;
    use crate::identity::Environment;

    fn machine() -> ApiServer {
        ApiServer::start(|request: &ApiRequest| match request.path.as_str() {
            "/computeMetadata/v1/instance/service-accounts/default/token" => {
                (200, json!({ "access_token": "of google", "expires_in": 3599 }))
            }
            "/metadata/identity/oauth2/token" => {
                (200, json!({ "access_token": "of azure", "expires_in": "3599" }))
            }
            _ => (404, json!({})),
        })
        .unwrap()
    }

    fn on(machine: &ApiServer) -> Access {
        let variables = [
            ("GCE_METADATA_HOST", machine.origin().replace("http://", "")),
            ("AZURE_POD_IDENTITY_AUTHORITY_HOST", machine.origin()),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value));
        let environment: Environment = variables.into_iter().collect();
        Access::of(Workload::Controller(environment), Arc::new(Tokens::new()))
    }

    #[tokio::test]
    async fn tokens_of_clouds_are_shown_to_the_store() {
        let machine = machine();
        let google = Asking { access: on(&machine), whom: Google }.get_credential().await.unwrap();
        assert_eq!(google.bearer, "of google");
        for of_machine in [None, Some("client".to_owned())] {
            let asking = Asking { access: on(&machine), whom: Azure { of_machine } };
            let AzureCredential::BearerToken(token) = &*asking.get_credential().await.unwrap() else {
                panic!("it is a token")
            };
            assert_eq!(token, "of azure");
        }
    }

    #[tokio::test]
    async fn why_there_is_no_identity_is_found_in_what_the_library_says() {
        let machine = ApiServer::start(|_| (403, json!({}))).unwrap();
        let error = Asking { access: on(&machine), whom: Google }.get_credential().await.unwrap_err();
        assert!(matches!(refusal(&error), Some(IdentityError::Denied { status: 403, .. })), "{error}");
    }
}
