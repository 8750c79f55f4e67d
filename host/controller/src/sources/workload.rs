//! Whose identity towards a cloud a source is fetched with.

use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount as ServiceAccountObject;
use kube::api::{Api, PostParams};
use kube::{Client, ResourceExt as _};
use plumb_api::Sensitive;
use plumb_source::identity::{Environment, ServiceAccount, ServiceAccountTokens, Workload};

use super::failure::Failure;
use super::secrets;
use crate::context::Context;
use crate::status::{bounded, said};

/// Whose identity is used: that of the service account of the namespace, or of this controller.
pub(super) async fn workload(
    context: &Context,
    namespace: String,
    account: Option<&str>,
) -> Result<Workload, Failure> {
    let Some(name) = account else { return Ok(Workload::Controller(Environment::of_process())) };
    let found = secrets::service_account(context, &namespace, name).await?;
    Ok(of_account(&context.client, namespace, found))
}

/// The identity of a service account, which gets its tokens from the API server of `client`.
pub(crate) fn of_account(client: &Client, namespace: String, account: ServiceAccountObject) -> Workload {
    let name = account.name_any();
    Workload::ServiceAccount(service_account(client, namespace, name, account))
}

/// A service account of this name with the annotations of `object`, which gets its tokens from the API server of `client`.
pub(crate) fn service_account(
    client: &Client,
    namespace: String,
    name: String,
    object: ServiceAccountObject,
) -> ServiceAccount {
    let api = Api::namespaced(client.clone(), &namespace);
    ServiceAccount {
        annotations: object.metadata.annotations.unwrap_or_default(),
        tokens: Arc::new(Requests { api, name: name.clone() }),
        environment: Environment::of_process(),
        namespace,
        name,
    }
}

/// Asks the API server for tokens of a service account.
struct Requests {
    api: Api<ServiceAccountObject>,
    name: String,
}

impl ServiceAccountTokens for Requests {
    fn token<'a>(&'a self, audience: &'a str) -> BoxFuture<'a, Result<Sensitive<String>, String>> {
        let request = TokenRequest {
            spec: Some(TokenRequestSpec {
                audiences: Some(vec![audience.to_owned()]),
                ..TokenRequestSpec::default()
            }),
            ..TokenRequest::default()
        };
        async move {
            let params = PostParams::default();
            let asked = bounded(self.api.create_token_request(&self.name, &params, &request)).await;
            let status = asked.map_err(|error| said(&error))?.status;
            let token = status.and_then(|status| status.token);
            token.map(Sensitive::new).ok_or_else(|| "the API server gave no token".to_owned())
        }
        .boxed()
    }
}
