use jiff::Timestamp;
use plumb_api::Sensitive;
use reqwest::Method;
use serde::Deserialize;
use url::Url;

use crate::identity::Tokens;
use crate::identity::aws_local::Own;
use crate::identity::azure::whose;
use crate::identity::cache::{Expiring, Key};
use crate::identity::error::IdentityError;
use crate::identity::exchange::Endpoint;
use crate::identity::signature::{Signer, time_of};
use crate::identity::workload::{Environment, ServiceAccount, Workload};
use crate::transport::Transport;

/// Whom the tokens of service accounts are for.
const AUDIENCE: &str = "sts.amazonaws.com";
const ROLE: &str = "eks.amazonaws.com/role-arn";
/// The variable that names the file with the token of this controller.
pub(super) const TOKEN_FILE: &str = "AWS_WEB_IDENTITY_TOKEN_FILE";
pub(super) const HINT: &str =
    "EKS sets it in pods whose service account has the annotation eks.amazonaws.com/role-arn";
/// What is asked for.
pub(super) const KEYS: &str = "keys of AWS";
/// Of the name of a session.
const MAX_NAME: usize = 64;

/// Keys of AWS.
#[derive(Clone)]
pub struct AwsCredentials {
    /// The name of the key.
    pub access_key_id: String,
    /// The key.
    pub secret_access_key: Sensitive<String>,
    /// What has to be sent along with everything that the key signs; keys that do not end have none.
    pub session_token: Option<Sensitive<String>>,
    /// When they are over.
    pub expires: Timestamp,
}

impl Expiring for AwsCredentials {
    fn expires(&self) -> Timestamp {
        self.expires
    }
}

/// A part of AWS with names and accounts of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AwsPartition {
    /// All but China.
    World,
    /// China.
    China,
}

impl AwsPartition {
    /// The one of a region.
    pub fn of_region(region: &str) -> Self {
        if region.starts_with("cn-") { Self::China } else { Self::World }
    }

    /// What the names of its hosts end in.
    pub fn domain(self) -> &'static str {
        match self {
            Self::World => "amazonaws.com",
            Self::China => "amazonaws.com.cn",
        }
    }
}

/// A role, and how a session of it is called.
struct Role {
    arn: String,
    session: String,
}

impl Role {
    fn of_controller(environment: &Environment) -> Result<Self, IdentityError> {
        let session = environment.get("AWS_ROLE_SESSION_NAME").unwrap_or("plumbline");
        Ok(Self::new(environment.need("AWS_ROLE_ARN", HINT)?, session))
    }

    fn of_account(account: &ServiceAccount, region: &str) -> Result<Self, IdentityError> {
        // As Flux calls it: policies may ask for the name.
        let session = format!("{}.{}.{region}.fluxcd.io", account.name, account.namespace);
        Ok(Self::new(account.annotation(ROLE)?, &session))
    }

    fn new(arn: &str, session: &str) -> Self {
        Self { arn: arn.to_owned(), session: session.chars().take(MAX_NAME).collect() }
    }
}

/// Where AWS says who one is, in a region.
pub(super) fn sts_endpoint(environment: &Environment, region: &str) -> Result<Url, IdentityError> {
    if !is_region(region) {
        return Err(IdentityError::Malformed { what: "the name of the region" });
    }
    let default = format!("https://sts.{region}.{}/", AwsPartition::of_region(region).domain());
    environment.endpoint("AWS_ENDPOINT_URL_STS", &default)
}

impl Tokens {
    /// Keys for the identity, to be used in a region.
    ///
    /// A service account has a role, as its annotation tells. The controller has what AWS's own libraries find, in their order: keys in `AWS_ACCESS_KEY_ID` and
    /// `AWS_SECRET_ACCESS_KEY`, a role by the token in a file (`AWS_WEB_IDENTITY_TOKEN_FILE`), what the agent beside its container gives (EKS Pod Identity), or
    /// the role of the machine that it runs on. The agent and the machine are asked whatever `transport` refuses, and for nobody but the controller.
    /// Source: AWS, "Standardized credential providers".
    pub async fn aws(
        &self,
        workload: &Workload,
        region: &str,
        transport: &Transport,
    ) -> Result<AwsCredentials, IdentityError> {
        let sts = sts_endpoint(workload.environment(), region)?;
        self.aws_by(&sts, workload, region, transport).await
    }

    /// The same, where roles are taken at another token service than that of the region.
    pub(crate) async fn aws_by(
        &self,
        sts: &Url,
        workload: &Workload,
        region: &str,
        transport: &Transport,
    ) -> Result<AwsCredentials, IdentityError> {
        let role = match workload {
            Workload::ServiceAccount(account) => Role::of_account(account, region)?,
            Workload::Controller(environment) => match Own::of(environment)? {
                Own::Given(keys) => return Ok(keys),
                Own::Local(local) => return self.aws_of_machine(&local).await,
                Own::Role => Role::of_controller(environment)?,
            },
        };
        let key = Key::of(&[
            b"aws",
            whose(workload).as_bytes(),
            role.arn.as_bytes(),
            role.session.as_bytes(),
            sts.as_str().as_bytes(),
        ]);
        self.aws.get_or(key, role.assume(sts, workload, transport)).await
    }
}

impl Role {
    /// Source: AWS, `AssumeRoleWithWebIdentity` of STS.
    async fn assume(
        &self,
        sts: &Url,
        workload: &Workload,
        transport: &Transport,
    ) -> Result<AwsCredentials, IdentityError> {
        let token = match workload {
            Workload::Controller(environment) => environment.token(TOKEN_FILE, HINT).await?,
            Workload::ServiceAccount(account) => account.token(AUDIENCE).await?,
        };
        let form = [
            ("Action", "AssumeRoleWithWebIdentity"),
            ("Version", "2011-06-15"),
            ("RoleArn", self.arn.as_str()),
            ("RoleSessionName", self.session.as_str()),
            ("WebIdentityToken", token.expose()),
        ];
        // Without the header, it answers in XML.
        let answer: Assumed = Endpoint::new(transport)?
            .ask(Method::POST, sts.clone(), KEYS, |request| {
                request.header("accept", "application/json").form(&form)
            })
            .await?;
        Ok(answer.credentials(Timestamp::now()))
    }
}

/// As the token service answers in JSON.
#[derive(Deserialize)]
pub(super) struct Assumed {
    #[serde(rename = "AssumeRoleWithWebIdentityResponse", alias = "AssumeRoleResponse")]
    response: Response,
}

impl Assumed {
    pub(super) fn credentials(self, now: Timestamp) -> AwsCredentials {
        // Seconds since 1970, with a fraction. What is no time is over at once.
        let end = |seconds: f64| Timestamp::from_second(seconds as i64).unwrap_or(now);
        self.response.result.credentials.until(end)
    }
}

#[derive(Deserialize)]
struct Response {
    #[serde(rename = "AssumeRoleWithWebIdentityResult", alias = "AssumeRoleResult")]
    result: Outcome,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Outcome {
    credentials: HandedOut<f64>,
}

/// As all that hand out keys write them, but for the form of the time.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct HandedOut<Time> {
    access_key_id: String,
    secret_access_key: String,
    /// Of a machine it is the `Token`.
    #[serde(default, alias = "Token")]
    session_token: String,
    expiration: Time,
}

impl<Time> HandedOut<Time> {
    /// `end` reads the time.
    pub(super) fn until(self, end: impl FnOnce(Time) -> Timestamp) -> AwsCredentials {
        AwsCredentials {
            access_key_id: self.access_key_id,
            secret_access_key: Sensitive::new(self.secret_access_key),
            session_token: given(self.session_token),
            expires: end(self.expiration),
        }
    }
}

/// Some who hand out keys write an empty token where there is none.
pub(super) fn given(token: String) -> Option<Sensitive<String>> {
    (!token.is_empty()).then(|| Sensitive::new(token))
}

pub(crate) fn is_region(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|char| char.is_ascii_alphanumeric() || char == '-')
}

/// The region of a repository of CodeCommit; `None` when the URL is not that of one.
pub(crate) fn code_commit_region(url: &Url) -> Option<&str> {
    let host = url.host_str().filter(|_| url.scheme() == "https" && url.port().is_none())?;
    let rest = host.strip_prefix("git-codecommit.").or_else(|| host.strip_prefix("git-codecommit-fips."))?;
    let (region, domain) = rest.split_once('.')?;
    (is_region(region) && domain == AwsPartition::of_region(region).domain()).then_some(region)
}

/// The user name and the password with which CodeCommit lets one in for some 15 minutes: a signature (SigV4) of a request that only has a host and a path.
pub(crate) fn code_commit_login(
    url: &Url,
    region: &str,
    credentials: &AwsCredentials,
    now: Timestamp,
) -> (String, Sensitive<String>) {
    let time = time_of(now);
    let request = format!("GIT\n{}\n\nhost:{}\n\nhost\n", url.path(), url.host_str().unwrap_or_default());
    let signature = Signer { credentials, region, service: "codecommit", time: time.clone() }.sign(&request);
    let session = credentials.session_token.as_ref().map(|token| format!("%{}", token.expose()));
    let username = format!("{}{}", credentials.access_key_id, session.unwrap_or_default());
    (username, Sensitive::new(format!("{time}Z{signature}")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("https://git-codecommit.eu-west-1.amazonaws.com/v1/repos/app", Some("eu-west-1"))]
    #[case("https://git-codecommit-fips.us-east-1.amazonaws.com/v1/repos/app", Some("us-east-1"))]
    #[case("https://git-codecommit.cn-north-1.amazonaws.com.cn/v1/repos/app", Some("cn-north-1"))]
    #[case("http://git-codecommit.eu-west-1.amazonaws.com/v1/repos/app", None)]
    #[case("https://git-codecommit.eu-west-1.amazonaws.com:8443/v1/repos/app", None)]
    #[case("https://git-codecommit.eu-west-1.amazonaws.com.example.com/v1/repos/app", None)]
    #[case("https://git-codecommit.eu-west-1.evil.amazonaws.com/v1/repos/app", None)]
    #[case("https://git-codecommit.eu-west-1.amazonaws.com.cn/v1/repos/app", None)]
    #[case("https://example.com/git-codecommit.eu-west-1.amazonaws.com", None)]
    fn the_region_is_that_of_the_url(#[case] url: &str, #[case] region: Option<&str>) {
        assert_eq!(code_commit_region(&Url::parse(url).unwrap()), region);
    }

    /// The expected signature was computed with Python's `hmac`, after the description of Signature Version 4.
    #[test]
    fn the_login_of_code_commit_is_a_signature() {
        let url = Url::parse("https://git-codecommit.eu-west-1.amazonaws.com/v1/repos/app").unwrap();
        let credentials = AwsCredentials {
            access_key_id: "ASIAEXAMPLE".to_owned(),
            secret_access_key: Sensitive::new("secret".to_owned()),
            session_token: Some(Sensitive::new("session".to_owned())),
            expires: Timestamp::MAX,
        };
        let now = "2026-11-23T08:09:10.5Z".parse().unwrap();
        let (username, password) = code_commit_login(&url, "eu-west-1", &credentials, now);
        assert_eq!(username, "ASIAEXAMPLE%session");
        assert_eq!(
            password.expose(),
            "20261123T080910Z962bdf7e106e2027e51cb38f4305a6d8abb06a551d8f1a29e01952475a37758d"
        );
    }
}
