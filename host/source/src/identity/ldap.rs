use jiff::Timestamp;
use plumb_api::Sensitive;
use reqwest::Method;
use serde::Deserialize;
use url::Url;

use crate::identity::Tokens;
use crate::identity::aws::{AwsCredentials, HandedOut};
use crate::identity::cache::Key;
use crate::identity::error::IdentityError;
use crate::identity::exchange::Endpoint;
use crate::transport::Transport;

const WHAT: &str = "keys of the object store";

/// Somebody whom a directory (LDAP) knows, and the token service of an object store that asks the directory. Source: MinIO, `AssumeRoleWithLDAPIdentity`.
#[derive(Clone)]
pub(crate) struct LdapLogin {
    /// The token service.
    pub(crate) endpoint: Url,
    /// The name in the directory.
    pub(crate) username: String,
    /// The password there.
    pub(crate) password: Sensitive<String>,
}

impl Tokens {
    /// Keys for the object store, which are good for an hour or as long as the store says.
    pub(crate) async fn ldap(
        &self,
        login: &LdapLogin,
        transport: &Transport,
    ) -> Result<AwsCredentials, IdentityError> {
        // Who has another password does not get what was given for the right one.
        let key = Key::of(&[
            b"ldap",
            login.endpoint.as_str().as_bytes(),
            login.username.as_bytes(),
            login.password.expose().as_bytes(),
        ]);
        self.aws.get_or(key, login.sign_in(transport)).await
    }
}

impl LdapLogin {
    async fn sign_in(&self, transport: &Transport) -> Result<AwsCredentials, IdentityError> {
        let form = [
            ("Action", "AssumeRoleWithLDAPIdentity"),
            ("Version", "2011-06-15"),
            ("LDAPUsername", self.username.as_str()),
            ("LDAPPassword", self.password.expose()),
        ];
        let endpoint = self.endpoint.clone();
        let host = endpoint.host_str().unwrap_or_default().to_owned();
        let answer = Endpoint::new(transport)?
            .send(Method::POST, endpoint, WHAT, |request| request.form(&form))
            .await?;
        read(answer.expose()).ok_or(IdentityError::Answer { endpoint: host, what: WHAT })
    }
}

/// The service answers in XML only.
fn read(answer: &[u8]) -> Option<AwsCredentials> {
    let text = std::str::from_utf8(answer).ok()?;
    let response: Response = quick_xml::de::from_str(text).ok()?;
    Some(response.result.credentials.until(|end| end))
}

#[derive(Deserialize)]
struct Response {
    #[serde(rename = "AssumeRoleWithLDAPIdentityResult")]
    result: Outcome,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Outcome {
    credentials: HandedOut<Timestamp>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use rstest::rstest;

    use super::*;

    /// The example of MinIO, "AssumeRoleWithLDAPIdentity".
    #[test]
    fn the_answer_of_minio_is_read() {
        let answer = r#"<?xml version="1.0" encoding="UTF-8"?>
<AssumeRoleWithLDAPIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <AssumeRoleWithLDAPIdentityResult>
    <AssumedRoleUser><Arn/><AssumeRoleId/></AssumedRoleUser>
    <Credentials>
      <AccessKeyId>Y4RJU1RNFGK48LGO9I2S</AccessKeyId>
      <SecretAccessKey>sYLRKS1Z7hSjluf6gEbb9066hnx315wHTiACPAjg</SecretAccessKey>
      <Expiration>2026-11-23T09:08:18Z</Expiration>
      <SessionToken>a.b&amp;c</SessionToken>
    </Credentials>
  </AssumeRoleWithLDAPIdentityResult>
  <ResponseMetadata/>
</AssumeRoleWithLDAPIdentityResponse>"#;
        let keys = read(answer.as_bytes()).unwrap();
        assert_eq!(keys.access_key_id, "Y4RJU1RNFGK48LGO9I2S");
        assert_eq!(keys.secret_access_key.expose(), "sYLRKS1Z7hSjluf6gEbb9066hnx315wHTiACPAjg");
        assert_eq!(keys.session_token.unwrap().expose(), "a.b&c");
        assert_eq!(keys.expires, "2026-11-23T09:08:18Z".parse().unwrap());
    }

    #[rstest]
    #[case("")]
    #[case("<AssumeRoleWithLDAPIdentityResponse/>")]
    #[case("<!DOCTYPE x [<!ENTITY y SYSTEM \"file:///etc/passwd\">]><x>&y;</x>")]
    #[case("{}")]
    fn what_is_no_answer_is_none(#[case] answer: &str) {
        assert!(read(answer.as_bytes()).is_none());
    }
}
