//! `spec.provider` of a GitRepository: signing in as a GitHub App, or as a workload in a cloud.

use jiff::Timestamp;
use kube::ResourceExt as _;
use plumb_api::{GitProvider, GitRepository, Reason};
use plumb_source::git::Login;
use plumb_source::identity::{DEVOPS_SCOPE, GitHubApp, IdentityError, code_commit_login, code_commit_region};
use plumb_source::transport::Transport;
use url::Url;

use crate::context::Context;
use crate::sources::failure::{Failure, Stage};
use crate::sources::secrets::{self, Data};
use crate::sources::workload::workload;

/// How to sign in, where that is not said by the Secret alone; `None` with the provider `generic`.
pub(super) async fn login(
    object: &GitRepository,
    data: &Data,
    transport: &Transport,
    context: &Context,
) -> Result<Option<Login>, Failure> {
    let tokens = &context.sources.tokens;
    let namespace = object.namespace().unwrap_or_default();
    let account = object.spec.service_account_name.as_deref();
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
            let workload = workload(context, namespace, account).await?;
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
            let workload = workload(context, namespace, account).await?;
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
