use jiff::Timestamp;
use plumb_api::Sensitive;
use reqwest::{Method, RequestBuilder};
use serde::Deserialize;
use url::{Url, form_urlencoded};

use super::{KeyUser, WHAT, read, unusable};
use crate::identity::Tokens;
use crate::identity::aws::{Assumed, AwsCredentials, AwsPartition, given, is_region, sts_endpoint};
use crate::identity::cache::Key;
use crate::identity::error::IdentityError;
use crate::identity::exchange::{Answered, Endpoint};
use crate::identity::signature::{Signer, time_of};
use crate::transport::{InvalidSecret, Transport};

pub(super) const SECRET_KEY: &str = "sops.aws-kms";
const TARGET: &str = "TrentService.Decrypt";
/// How a session of a role that a file names is called.
const SESSION: &str = "sops@plumbline";

/// AWS KMS in a region. Which key it is, is in the ciphertext, and in the body of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AwsKms {
    region: String,
}

impl AwsKms {
    pub(super) fn of(url: &Url) -> Option<Self> {
        let (region, domain) = url.host_str()?.strip_prefix("kms.")?.split_once('.')?;
        let is_there = is_region(region) && domain == AwsPartition::of_region(region).domain();
        let is_bare = url.path() == "/" && url.query().is_none();
        (is_there && is_bare).then(|| Self { region: region.to_owned() })
    }

    /// Source: AWS, `Decrypt` of KMS.
    pub(super) async fn decrypt(
        &self,
        tokens: &Tokens,
        user: &KeyUser,
        role: Option<&str>,
        body: String,
        transport: &Transport,
    ) -> Result<Answered, IdentityError> {
        let region = &self.region;
        let default = format!("https://kms.{region}.{}/", AwsPartition::of_region(region).domain());
        let endpoint = user.environment().endpoint("AWS_ENDPOINT_URL_KMS", &default)?;
        let mut credentials = match user {
            KeyUser::Secret { value, .. } => of_secret(value.expose())?,
            KeyUser::Workload(workload) => tokens.aws(workload, region, transport).await?,
        };
        if let Some(role) = role {
            let assuming = Assuming { region, role, endpoint: sts_endpoint(user.environment(), region)? };
            credentials = assuming.assume(tokens, &credentials, transport).await?;
        }
        let time = format!("{}Z", time_of(Timestamp::now()));
        let signer = Signer { credentials: &credentials, region, service: "kms", time };
        let headers = signer.headers(&endpoint, TARGET, &body);
        let fill = |request| with(request, &headers).body(body);
        Endpoint::new(transport)?.try_send(Method::POST, endpoint, WHAT, fill).await
    }
}

/// A role that is assumed with other credentials.
struct Assuming<'a> {
    region: &'a str,
    role: &'a str,
    endpoint: Url,
}

impl Assuming<'_> {
    /// Source: AWS, `AssumeRole` of STS.
    async fn assume(
        &self,
        tokens: &Tokens,
        with_those: &AwsCredentials,
        transport: &Transport,
    ) -> Result<AwsCredentials, IdentityError> {
        if !is_role(self.role) {
            return Err(IdentityError::Malformed { what: "the ARN of the role" });
        }
        let key = Key::of(&[
            b"aws role",
            with_those.access_key_id.as_bytes(),
            with_those.secret_access_key.expose().as_bytes(),
            with_those.session_token.as_ref().map_or(&[], |token| token.expose().as_bytes()),
            self.role.as_bytes(),
            self.endpoint.as_str().as_bytes(),
        ]);
        tokens.aws.get_or(key, self.ask(with_those, transport)).await
    }

    async fn ask(
        &self,
        with_those: &AwsCredentials,
        transport: &Transport,
    ) -> Result<AwsCredentials, IdentityError> {
        let now = Timestamp::now();
        let pairs = [
            ("Action", "AssumeRole"),
            ("Version", "2011-06-15"),
            ("RoleArn", self.role),
            ("RoleSessionName", SESSION),
        ];
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        let time = format!("{}Z", time_of(now));
        let signer = Signer { credentials: with_those, region: self.region, service: "sts", time };
        let headers = signer.form_headers(&self.endpoint, &body);
        // Without that header, it answers in XML.
        let fill = |request| with(request, &headers).header("accept", "application/json").body(body);
        let answer: Assumed = Endpoint::new(transport)?
            .ask(Method::POST, self.endpoint.clone(), "keys of the role that the file names", fill)
            .await?;
        Ok(answer.credentials(now))
    }
}

fn with(request: RequestBuilder, headers: &[(&'static str, Sensitive<String>)]) -> RequestBuilder {
    headers.iter().fold(request, |request, (name, value)| request.header(*name, value.expose()))
}

/// `arn:aws:iam::ACCOUNT:role/NAME`.
fn is_role(arn: &str) -> bool {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let ["arn", partition, "iam", "", account, role] = parts.as_slice() else { return false };
    let is_name = |char: char| char.is_ascii_alphanumeric() || "+=,.@_-/".contains(char);
    let is_one = role.strip_prefix("role/").is_some_and(|name| !name.is_empty() && name.chars().all(is_name));
    partition.starts_with("aws")
        && !account.is_empty()
        && account.bytes().all(|byte| byte.is_ascii_digit())
        && is_one
}

/// As Flux has it.
#[derive(Deserialize)]
struct Static {
    aws_access_key_id: String,
    aws_secret_access_key: String,
    #[serde(default)]
    aws_session_token: String,
}

fn of_secret(value: &[u8]) -> Result<AwsCredentials, InvalidSecret> {
    const EXPECTED: &str = "it is not YAML with aws_access_key_id and aws_secret_access_key";
    let read: Static = read(SECRET_KEY, value, EXPECTED)?;
    let is_name = |char: char| char.is_ascii_alphanumeric();
    if read.aws_access_key_id.is_empty() || !read.aws_access_key_id.chars().all(is_name) {
        return Err(unusable(SECRET_KEY, "its aws_access_key_id is none"));
    }
    Ok(AwsCredentials {
        access_key_id: read.aws_access_key_id,
        secret_access_key: Sensitive::new(read.aws_secret_access_key),
        session_token: given(read.aws_session_token),
        expires: Timestamp::MAX,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("arn:aws:iam::123456789012:role/sops", true)]
    #[case("arn:aws-cn:iam::123456789012:role/team/sops", true)]
    #[case("arn:aws:iam::123456789012:user/sops", false)]
    #[case("arn:aws:iam::123456789012:role/", false)]
    #[case("arn:aws:iam::x:role/sops", false)]
    #[case("arn:aws:iam::123456789012:role/sops&Action=GetSessionToken", false)]
    #[case("sops", false)]
    fn a_role_has_an_arn(#[case] arn: &str, #[case] is_one: bool) {
        assert_eq!(is_role(arn), is_one);
    }

    #[rstest]
    #[case("aws_access_key_id: AKID\naws_secret_access_key: key\n", Ok(""))]
    #[case(
        "{\"aws_access_key_id\": \"AKID\", \"aws_secret_access_key\": \"key\", \"aws_session_token\": \"s\"}",
        Ok("s")
    )]
    #[case("hunter2", Err("it is not YAML with aws_access_key_id and aws_secret_access_key"))]
    #[case(
        "aws_access_key_id: hunter2",
        Err("it is not YAML with aws_access_key_id and aws_secret_access_key")
    )]
    #[case(
        "aws_access_key_id: 'a/hunter2'\naws_secret_access_key: key\n",
        Err("its aws_access_key_id is none")
    )]
    fn credentials_are_read_as_flux_has_them(#[case] value: &str, #[case] expected: Result<&str, &str>) {
        let read = of_secret(value.as_bytes()).map(|read| {
            assert_eq!((&*read.access_key_id, &**read.secret_access_key.expose()), ("AKID", "key"));
            read.session_token.map_or_else(String::new, |token| token.expose().clone())
        });
        let told = |reason| format!("the value of \"sops.aws-kms\" in the secret cannot be used: {reason}");
        assert_eq!(read.map_err(|error| error.to_string()), expected.map(str::to_owned).map_err(told));
    }
}
