use base64::Engine as _;
use jiff::Timestamp;
use plumb_api::Sensitive;
use reqwest::Method;
use serde::Deserialize;
use url::Url;

use crate::identity::aws::{AwsCredentials, AwsPartition, is_region};
use crate::identity::cache::Key;
use crate::identity::error::IdentityError;
use crate::identity::exchange::Endpoint;
use crate::identity::signature::{Signer, time_of};
use crate::identity::workload::Workload;
use crate::identity::{Token, Tokens};
use crate::transport::Transport;

/// Who it is that the tokens are the passwords of.
pub(crate) const ECR_USER: &str = "AWS";
const PUBLIC_HOST: &str = "public.ecr.aws";
/// The only region with tokens for the public registry.
const PUBLIC_REGION: &str = "us-east-1";
const WHAT: &str = "a token of ECR";

/// A registry of Amazon ECR.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ecr {
    /// That of an account: `ACCOUNT.dkr.ecr.REGION.amazonaws.com`.
    Private {
        /// Its region.
        region: String,
        /// Whether it is one of those that only use what FIPS 140 permits.
        fips: bool,
    },
    /// `public.ecr.aws`.
    Public,
}

impl Ecr {
    /// The one at a host, without a port; `None` when the host is none of AWS.
    pub(crate) fn of_host(host: &str) -> Option<Self> {
        if host == PUBLIC_HOST {
            return Some(Self::Public);
        }
        let (account, rest) = host.split_once(".dkr.")?;
        let (service, rest) = rest.split_once('.')?;
        let (region, domain) = rest.split_once('.')?;
        let fips = match service {
            "ecr" => false,
            "ecr-fips" => true,
            _ => return None,
        };
        let is_account = !account.is_empty() && account.bytes().all(|byte| byte.is_ascii_digit());
        let is_one = is_account && is_region(region) && domain == AwsPartition::of_region(region).domain();
        is_one.then(|| Self::Private { region: region.to_owned(), fips })
    }

    fn region(&self) -> &str {
        match self {
            Self::Private { region, .. } => region,
            Self::Public => PUBLIC_REGION,
        }
    }

    /// As requests for it are signed.
    fn service(&self) -> &'static str {
        match self {
            Self::Private { .. } => "ecr",
            Self::Public => "ecr-public",
        }
    }

    /// The name of the action, as the API has it.
    fn target(&self) -> &'static str {
        match self {
            Self::Private { .. } => "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken",
            Self::Public => "SpencerFrontendService.GetAuthorizationToken",
        }
    }

    fn endpoint(&self, workload: &Workload) -> Result<Url, IdentityError> {
        let (variable, default) = match self {
            Self::Private { region, fips } => {
                let name = if *fips { "ecr-fips" } else { "api.ecr" };
                let domain = AwsPartition::of_region(region).domain();
                ("AWS_ENDPOINT_URL_ECR", format!("https://{name}.{region}.{domain}/"))
            }
            Self::Public => (
                "AWS_ENDPOINT_URL_ECR_PUBLIC",
                format!("https://api.ecr-public.{PUBLIC_REGION}.amazonaws.com/"),
            ),
        };
        workload.environment().endpoint(variable, &default)
    }
}

impl Tokens {
    /// The password for a registry of ECR. Source: AWS, `GetAuthorizationToken` of ECR and of ECR Public.
    pub(crate) async fn ecr(
        &self,
        workload: &Workload,
        registry: &Ecr,
        transport: &Transport,
    ) -> Result<Token, IdentityError> {
        let endpoint = registry.endpoint(workload)?;
        let credentials = self.aws(workload, registry.region(), transport).await?;
        // Other credentials, another token: it gives no more than who asked for it may.
        let key = Key::of(&[
            b"ecr",
            credentials.access_key_id.as_bytes(),
            credentials.session_token.as_ref().map(|token| token.expose().as_bytes()).unwrap_or_default(),
            registry.target().as_bytes(),
            endpoint.as_str().as_bytes(),
        ]);
        self.tokens.get_or(key, registry.sign_in(endpoint, &credentials, transport)).await
    }
}

impl Ecr {
    async fn sign_in(
        &self,
        endpoint: Url,
        credentials: &AwsCredentials,
        transport: &Transport,
    ) -> Result<Token, IdentityError> {
        let (region, service, now) = (self.region(), self.service(), Timestamp::now());
        let signer = Signer { credentials, region, service, time: format!("{}Z", time_of(now)) };
        let body = "{}";
        let headers = signer.headers(&endpoint, self.target(), body);
        let host = endpoint.host_str().unwrap_or_default().to_owned();
        let answer: Answer = Endpoint::new(transport)?
            .ask(Method::POST, endpoint, WHAT, |request| {
                let fill = |request: reqwest::RequestBuilder, (name, value): &(&str, Sensitive<String>)| {
                    request.header(*name, value.expose())
                };
                headers.iter().fold(request, fill).body(body)
            })
            .await?;
        let (password, expires) =
            answer.password().ok_or(IdentityError::Answer { endpoint: host, what: WHAT })?;
        Ok(Token { secret: password, expires: expires.min(credentials.expires) })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    authorization_data: OneOrMany,
}

/// The public registry has one, the private one has a list.
#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(Authorization),
    Many(Vec<Authorization>),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Authorization {
    authorization_token: String,
    /// Seconds since 1970, with a fraction.
    expires_at: f64,
}

impl Answer {
    /// The token is the Base64 of `AWS:PASSWORD`.
    fn password(self) -> Option<(Sensitive<String>, Timestamp)> {
        let Authorization { authorization_token, expires_at } = match self.authorization_data {
            OneOrMany::One(one) => one,
            OneOrMany::Many(many) => many.into_iter().next()?,
        };
        let encoded = Sensitive::new(authorization_token);
        let decoded = base64::engine::general_purpose::STANDARD.decode(encoded.expose()).ok()?;
        let decoded = Sensitive::new(String::from_utf8(decoded).ok()?);
        let password = decoded.expose().strip_prefix(ECR_USER)?.strip_prefix(':')?;
        Some((Sensitive::new(password.to_owned()), Timestamp::from_second(expires_at as i64).ok()?))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use rstest::rstest;

    use super::*;
    use crate::identity::Environment;

    #[rstest]
    #[case(
        "123456789012.dkr.ecr.eu-west-1.amazonaws.com",
        "eu-west-1",
        "https://api.ecr.eu-west-1.amazonaws.com/"
    )]
    #[case(
        "1.dkr.ecr-fips.us-east-1.amazonaws.com",
        "us-east-1",
        "https://ecr-fips.us-east-1.amazonaws.com/"
    )]
    #[case(
        "1.dkr.ecr.cn-north-1.amazonaws.com.cn",
        "cn-north-1",
        "https://api.ecr.cn-north-1.amazonaws.com.cn/"
    )]
    #[case("public.ecr.aws", "us-east-1", "https://api.ecr-public.us-east-1.amazonaws.com/")]
    fn a_registry_has_an_api_in_its_region(#[case] host: &str, #[case] region: &str, #[case] endpoint: &str) {
        let registry = Ecr::of_host(host).unwrap();
        let workload = Workload::Controller(Environment::default());
        assert_eq!((registry.region(), registry.endpoint(&workload).unwrap().as_str()), (region, endpoint));
    }

    #[rstest]
    #[case("ghcr.io")]
    #[case("1.dkr.ecr.eu-west-1.amazonaws.com.evil.org")]
    #[case("1.dkr.ecr.evil.org")]
    #[case("1.dkr.ecr.evil.org.amazonaws.com")]
    #[case("1.dkr.ecr.cn-north-1.amazonaws.com")]
    #[case("1.dkr.ecr.eu-west-1.amazonaws.com.cn")]
    #[case("1.dkr.ecr.eu-west-1.amazonaws.com:5000")]
    #[case("evil.dkr.ecr.eu-west-1.amazonaws.com")]
    #[case(".dkr.ecr.eu-west-1.amazonaws.com")]
    #[case("1.dkr.s3.eu-west-1.amazonaws.com")]
    #[case("evil.public.ecr.aws")]
    #[case("public.ecr.aws:5000")]
    fn other_hosts_are_none(#[case] host: &str) {
        assert_eq!(Ecr::of_host(host), None);
    }
}
