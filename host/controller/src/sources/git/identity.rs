//! `spec.provider` of a GitRepository: signing in as a GitHub App, or as a workload in a cloud.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount as ServiceAccountObject;
use kube::ResourceExt as _;
use kube::api::{Api, PostParams};
use plumb_api::{GitProvider, GitRepository, Reason, Sensitive};
use plumb_source::git::Login;
use plumb_source::identity::{
    DEVOPS_SCOPE, Environment, GitHubApp, IdentityError, ServiceAccount, ServiceAccountTokens, Workload,
    code_commit_login, code_commit_region,
};
use plumb_source::transport::Transport;
use url::Url;

use crate::context::Context;
use crate::sources::failure::{Failure, Stage};
use crate::sources::secrets::{self, Data};
use crate::status::{bounded, said};

/// How to sign in, where that is not said by the Secret alone; `None` with the provider `generic`.
pub(super) async fn login(
    object: &GitRepository,
    data: &Data,
    transport: &Transport,
    context: &Context,
) -> Result<Option<Login>, Failure> {
    let tokens = &context.sources.tokens;
    Ok(match object.spec.provider() {
        GitProvider::Generic if GitHubApp::is_in(data) => {
            return Err(misconfigured("the secret is one of a GitHub App; set spec.provider to github"));
        }
        GitProvider::Generic => None,
        GitProvider::Github if !GitHubApp::is_in(data) => {
            return Err(misconfigured(
                "spec.provider is github, but spec.secretRef names no secret of a GitHub App",
            ));
        }
        GitProvider::Github => {
            let app = GitHubApp::from_secret(data).map_err(|error| secrets::unusable(&error))?;
            let token = tokens.github(&app, transport).await.map_err(|error| failed(&error))?;
            Some(Login::Basic { username: "x-access-token".to_owned(), password: token.secret })
        }
        GitProvider::Azure => {
            let workload = workload(object, context).await?;
            let token = tokens.azure(&workload, DEVOPS_SCOPE, transport).await;
            Some(Login::Bearer(token.map_err(|error| failed(&error))?.secret))
        }
        GitProvider::Aws => {
            let url = Url::parse(&object.spec.url).ok();
            let Some((url, region)) = url.as_ref().and_then(|url| Some((url, code_commit_region(url)?)))
            else {
                return Err(misconfigured(
                    "spec.provider is aws, but spec.url is not that of a repository of CodeCommit",
                ));
            };
            let workload = workload(object, context).await?;
            let keys = tokens.aws(&workload, region, transport).await.map_err(|error| failed(&error))?;
            let (username, password) = code_commit_login(url, region, &keys, Timestamp::now());
            Some(Login::Basic { username, password })
        }
    })
}

/// It can be the Secret that has to be mended: it is looked at again.
fn misconfigured(message: &str) -> Failure {
    Failure::new(Stage::Fetch, Reason::InvalidProviderConfiguration, message)
}

fn failed(error: &IdentityError) -> Failure {
    Failure::new(Stage::Fetch, Reason::AuthenticationFailed, error.to_string())
}

/// Whose identity is used: that of the service account of the namespace, or of this controller.
async fn workload(object: &GitRepository, context: &Context) -> Result<Workload, Failure> {
    let environment = Environment::of_process();
    let Some(name) = &object.spec.service_account_name else { return Ok(Workload::Controller(environment)) };
    let namespace = object.namespace().unwrap_or_default();
    let found = secrets::service_account(context, &namespace, name).await?;
    let api = Api::namespaced(context.client.clone(), &namespace);
    let annotations: BTreeMap<String, String> = found.annotations().clone();
    let tokens = Arc::new(Requests { api, name: name.clone() });
    Ok(Workload::ServiceAccount(ServiceAccount {
        namespace,
        name: name.clone(),
        annotations,
        tokens,
        environment,
    }))
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
