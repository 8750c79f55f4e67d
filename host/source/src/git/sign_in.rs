use std::collections::BTreeMap;

use jiff::Timestamp;
use plumb_api::{GitProvider, Sensitive};
use url::Url;

use crate::git::credentials::Login;
use crate::git::error::GitError;
use crate::git::url::GitUrl;
use crate::identity::{DEVOPS_SCOPE, GitHubApp, Tokens, Workload, code_commit_login, code_commit_region};
use crate::transport::Transport;

/// Who it is that a token of GitHub is the password of.
const GITHUB_USER: &str = "x-access-token";

/// Signs in as `spec.provider` asks for. `None` for `generic`: then the Secret tells, see [`Credentials::from_secret`](crate::git::Credentials::from_secret).
///
/// `secret` is the data of `spec.secretRef`, if there is one, and `workload` the identity towards the cloud. `transport` is the way to the repository, proxy included, which
/// is the way to the endpoint of the provider, too; the certificates in it are for GitHub only. Tokens of a cloud are given to servers of that cloud and to no
/// others: who may write a URL would otherwise get hold of the identity of the controller.
pub async fn sign_in(
    provider: GitProvider,
    url: &GitUrl,
    secret: Option<&BTreeMap<String, Vec<u8>>>,
    workload: &Workload,
    transport: &Transport,
    tokens: &Tokens,
) -> Result<Option<Login>, GitError> {
    let misconfigured = |reason| GitError::Provider { url: url.to_string(), reason };
    let failed = |error| GitError::Identity { url: url.to_string(), error };
    let cloud = Transport { ca: None, client_certificate: None, ..transport.clone() };
    let is_cloud = matches!(provider, GitProvider::Azure | GitProvider::Aws);
    if is_cloud && matches!(workload, Workload::Controller(_)) && transport.ca.is_some() {
        // Who brings the authority and the proxy could read the login on its way.
        return Err(misconfigured(
            "the controller's own identity is shown to no server that only ca.crt vouches for; set spec.serviceAccountName, or remove ca.crt from the Secret",
        ));
    }
    match provider {
        GitProvider::Generic => match secret {
            Some(secret) if GitHubApp::is_in(secret) => {
                Err(misconfigured("the secret is that of a GitHub App; set spec.provider to github"))
            }
            _ => Ok(None),
        },
        GitProvider::Github => {
            let secret = secret.filter(|secret| GitHubApp::is_in(secret));
            let secret = secret.ok_or_else(|| {
                misconfigured("the provider github needs spec.secretRef with the keys of a GitHub App")
            })?;
            if !matches!(url.address().scheme(), "http" | "https") {
                return Err(misconfigured("the provider github signs in over https only"));
            }
            let app = GitHubApp::from_secret(secret)?;
            let token = tokens.github(&app, transport).await.map_err(failed)?;
            Ok(Some(Login::Basic { username: GITHUB_USER.to_owned(), password: token.secret }))
        }
        GitProvider::Azure => {
            if !is_azure_devops(url.address()) {
                return Err(misconfigured(
                    "the provider azure is for https://dev.azure.com/ORGANIZATION/PROJECT/_git/REPOSITORY",
                ));
            }
            let token = tokens.azure(workload, DEVOPS_SCOPE, &cloud).await.map_err(failed)?;
            Ok(Some(Login::Bearer(token.secret)))
        }
        GitProvider::Aws => {
            let region = code_commit_region(url.address()).ok_or_else(|| {
                misconfigured(
                    "the provider aws is for https://git-codecommit.REGION.amazonaws.com/v1/repos/REPOSITORY",
                )
            })?;
            let credentials = tokens.aws(workload, region, &cloud).await.map_err(failed)?;
            let (username, password): (String, Sensitive<String>) =
                code_commit_login(url.address(), region, &credentials, Timestamp::now());
            Ok(Some(Login::Basic { username, password }))
        }
    }
}

/// Also by the name that it had as Visual Studio Team Services.
fn is_azure_devops(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let is_its_host = host == "dev.azure.com" || host.ends_with(".visualstudio.com");
    is_its_host && url.scheme() == "https" && url.port().is_none()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use rstest::rstest;

    use super::*;
    use crate::identity::Environment;

    async fn sign(provider: GitProvider, url: &str, keys: &[&str]) -> Result<bool, String> {
        let secret = keys.iter().map(|key| ((*key).to_owned(), b"1".to_vec())).collect();
        let workload = Workload::Controller(Environment::default());
        let (url, tokens) = (GitUrl::parse(url).unwrap(), Tokens::new());
        let transport = Transport::default();
        let login = sign_in(provider, &url, Some(&secret), &workload, &transport, &tokens).await;
        login.map(|login| login.is_some()).map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn the_generic_provider_leaves_it_to_the_secret() {
        assert_eq!(sign(GitProvider::Generic, "https://h/r", &["username"]).await, Ok(false));
    }

    // A tenant who writes a URL must not get the token of the cloud.
    #[rstest]
    #[case(GitProvider::Generic, "https://h/r", &["githubAppID"], "the secret is that of a GitHub App; set spec.provider to github")]
    #[case(GitProvider::Github, "https://h/r", &["username"], "the provider github needs spec.secretRef with the keys of a GitHub App")]
    #[case(GitProvider::Github, "ssh://h/r", &["githubAppID"], "the provider github signs in over https only")]
    #[case(GitProvider::Azure, "https://dev.azure.com.evil.com/o/p/_git/r", &[], "the provider azure is for https://dev.azure.com/ORGANIZATION/PROJECT/_git/REPOSITORY")]
    #[case(GitProvider::Azure, "http://dev.azure.com/o/p/_git/r", &[], "the provider azure is for https://dev.azure.com/ORGANIZATION/PROJECT/_git/REPOSITORY")]
    #[case(GitProvider::Azure, "https://evilvisualstudio.com/o", &[], "the provider azure is for https://dev.azure.com/ORGANIZATION/PROJECT/_git/REPOSITORY")]
    #[case(GitProvider::Azure, "https://dev.azure.com@evil.com/o", &[], "the provider azure is for https://dev.azure.com/ORGANIZATION/PROJECT/_git/REPOSITORY")]
    #[case(GitProvider::Aws, "https://git.example.com/v1/repos/r", &[], "the provider aws is for https://git-codecommit.REGION.amazonaws.com/v1/repos/REPOSITORY")]
    #[tokio::test]
    async fn a_provider_that_does_not_fit_is_told(
        #[case] provider: GitProvider,
        #[case] url: &str,
        #[case] keys: &[&str],
        #[case] reason: &str,
    ) {
        let error = sign(provider, url, keys).await.unwrap_err();
        assert!(error.ends_with(reason), "{error}");
    }

    #[rstest]
    #[case(GitProvider::Azure, "https://dev.azure.com/o/p/_git/r")]
    #[case(GitProvider::Azure, "https://o.visualstudio.com/p/_git/r")]
    #[case(GitProvider::Aws, "https://git-codecommit.eu-west-1.amazonaws.com/v1/repos/r")]
    #[tokio::test]
    async fn a_controller_without_an_identity_is_told(#[case] provider: GitProvider, #[case] url: &str) {
        let variables = [("AZURE_FEDERATED_TOKEN_FILE", "/token"), ("AWS_WEB_IDENTITY_TOKEN_FILE", "/token")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let workload = Workload::Controller(variables.into_iter().collect());
        let (url, tokens) = (GitUrl::parse(url).unwrap(), Tokens::new());
        let error = sign_in(provider, &url, None, &workload, &Transport::default(), &tokens).await;
        let error = error.err().unwrap().to_string();
        assert!(
            error.contains("_ID of the controller is not set") || error.contains("AWS_ROLE_ARN"),
            "{error}"
        );
    }
}
