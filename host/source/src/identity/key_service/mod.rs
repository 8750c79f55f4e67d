//! Key services of clouds, which decrypt the data keys of files that SOPS has encrypted.
//!
//! Which key is asked for is in a file that a tenant has written. So a request is looked at before credentials are added to it: it goes to a host that only the
//! cloud itself has, and can do nothing there but decrypt.
//!
//! Source: getsops/sops, `kms`, `gcpkms` and `azkv`; Flux, "Kustomization", Decryption.

mod aws;
mod azure;
mod gcp;

use plumb_api::Sensitive;
use reqwest::{Method, RequestBuilder};
use serde::de::DeserializeOwned;
use url::Url;

use crate::identity::error::IdentityError;
use crate::identity::exchange::{Answered, Endpoint};
use crate::identity::workload::{Environment, Workload};
use crate::identity::{Token, Tokens};
use crate::transport::{InvalidSecret, Transport};

use aws::AwsKms;
use azure::KeyVault;
use gcp::GoogleKms;

/// What is asked for, in errors.
const WHAT: &str = "a data key";

/// A key service of a cloud, and for some of them the key there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyService(Service);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Service {
    Aws(AwsKms),
    Azure(KeyVault),
    Google(GoogleKms),
}

/// Who asks.
#[derive(Clone)]
pub enum KeyUser {
    /// Whom a value of a Secret tells.
    Secret {
        /// The value, in the form that Flux has for it: [`KeyService::secret_key`] says under which key.
        value: Sensitive<Vec<u8>>,
        /// The variables of this controller.
        environment: Environment,
        /// Whether it may be an identity of the machine that this controller runs on.
        machine: OfMachine,
    },
    /// A workload with an identity.
    Workload(Workload),
}

/// Whether a Secret may name an identity of the machine that the controller runs on, as one of Azure can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfMachine {
    /// Yes: without the Secret, the controller itself would ask.
    Allowed,
    /// No: a service account is to ask, and whoever writes the Secret must not become somebody else by it.
    Refused,
}

/// What a key service has answered.
pub struct KeyAnswer {
    /// The status.
    pub status: u16,
    /// The body: a data key, or what is wrong.
    pub body: Sensitive<Vec<u8>>,
}

impl KeyService {
    /// The key service that a URL asks to decrypt something; `None` when it does not. `POST` is the only method of these requests.
    ///
    /// - AWS KMS: `https://kms.REGION.amazonaws.com/`
    /// - Google Cloud KMS: `https://cloudkms.googleapis.com/v1/projects/…/locations/…/keyRings/…/cryptoKeys/…:decrypt`
    /// - Azure Key Vault: `https://NAME.vault.azure.net/keys/NAME/VERSION/decrypt?api-version=7.4`
    pub fn of(url: &Url) -> Option<Self> {
        let is_plain = url.scheme() == "https"
            && url.port().is_none()
            && url.username().is_empty()
            && url.password().is_none()
            && url.fragment().is_none();
        if !is_plain {
            return None;
        }
        let aws = || AwsKms::of(url).map(Service::Aws);
        let azure = || KeyVault::of(url).map(Service::Azure);
        let google = || GoogleKms::of(url).map(Service::Google);
        aws().or_else(azure).or_else(google).map(Self)
    }

    /// Under which key a Secret has credentials for it.
    pub fn secret_key(&self) -> &'static str {
        match self.0 {
            Service::Aws(_) => aws::SECRET_KEY,
            Service::Azure(_) => azure::SECRET_KEY,
            Service::Google(_) => gcp::SECRET_KEY,
        }
    }

    /// All keys of Secrets under which there are credentials for key services.
    pub fn secret_keys() -> [&'static str; 3] {
        [aws::SECRET_KEY, azure::SECRET_KEY, gcp::SECRET_KEY]
    }
}

impl Tokens {
    /// Asks a key service to decrypt: `body` is what its API wants. `role` is the ARN of a role of AWS that is assumed first; other services know none.
    ///
    /// # Errors
    ///
    /// When there are no credentials, or the service cannot be reached. What it refuses is an answer.
    pub async fn ask_key_service(
        &self,
        service: &KeyService,
        user: &KeyUser,
        role: Option<&str>,
        body: String,
        transport: &Transport,
    ) -> Result<KeyAnswer, IdentityError> {
        let Answered { status, body } = match &service.0 {
            Service::Aws(kms) => kms.decrypt(self, user, role, body, transport).await?,
            Service::Azure(vault) => vault.decrypt(self, user, body, transport).await?,
            Service::Google(kms) => kms.decrypt(self, user, body, transport).await?,
        };
        Ok(KeyAnswer { status, body })
    }
}

impl KeyUser {
    fn environment(&self) -> &Environment {
        match self {
            Self::Secret { environment, .. } => environment,
            Self::Workload(workload) => workload.environment(),
        }
    }
}

/// Sends a request that decrypts, with a token.
async fn send(
    url: Url,
    token: &Token,
    body: String,
    transport: &Transport,
) -> Result<Answered, IdentityError> {
    let fill = |request: RequestBuilder| {
        request.bearer_auth(token.secret.expose()).header("content-type", "application/json").body(body)
    };
    Endpoint::new(transport)?.try_send(Method::POST, url, WHAT, fill).await
}

/// A value of a Secret in YAML, of which JSON is a part.
fn read<T: DeserializeOwned>(key: &'static str, value: &[u8], expected: &str) -> Result<T, InvalidSecret> {
    // What a parser says could quote the value.
    serde_yaml::from_slice(value).map_err(|_| unusable(key, expected))
}

fn unusable(key: &'static str, reason: &str) -> InvalidSecret {
    InvalidSecret::Unusable { key, reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("https://kms.eu-west-1.amazonaws.com/", "sops.aws-kms")]
    #[case("https://kms.us-gov-west-1.amazonaws.com/", "sops.aws-kms")]
    #[case("https://kms.cn-north-1.amazonaws.com.cn/", "sops.aws-kms")]
    #[case(
        "https://cloudkms.googleapis.com/v1/projects/p/locations/global/keyRings/r/cryptoKeys/k:decrypt",
        "sops.gcp-kms"
    )]
    #[case(
        "https://cloudkms.googleapis.com/v1/projects/example.com:p/locations/eu/keyRings/r/cryptoKeys/k:decrypt",
        "sops.gcp-kms"
    )]
    #[case("https://shop.vault.azure.net/keys/sops/0123abcd/decrypt?api-version=7.4", "sops.azure-kv")]
    #[case("https://shop.vault.azure.net/keys/sops//decrypt?api-version=7.4", "sops.azure-kv")]
    #[case("https://shop.vault.azure.cn/keys/sops/0123abcd/decrypt?api-version=7.4", "sops.azure-kv")]
    #[case("https://shop.managedhsm.azure.net/keys/sops/0123abcd/decrypt?api-version=7.4", "sops.azure-kv")]
    fn a_key_service_is_known_by_its_host(#[case] url: &str, #[case] secret_key: &str) {
        let service = KeyService::of(&Url::parse(url).unwrap()).unwrap();
        assert_eq!(service.secret_key(), secret_key);
        assert!(KeyService::secret_keys().contains(&secret_key));
    }

    // Attack 18 (Secrets): a file that has credentials sent to a host of the attacker's choice, or used for something else than to decrypt.
    #[rstest]
    #[case::plain("http://kms.eu-west-1.amazonaws.com/")]
    #[case::port("https://kms.eu-west-1.amazonaws.com:8443/")]
    #[case::user("https://kms.eu-west-1.amazonaws.com@evil.example/")]
    #[case::password("https://a:b@kms.eu-west-1.amazonaws.com/")]
    #[case::other_domain("https://kms.eu-west-1.evil.example/")]
    #[case::longer_domain("https://kms.eu-west-1.amazonaws.com.evil.example/")]
    #[case::domain_in_the_region("https://kms.evil.example.amazonaws.com/")]
    #[case::other_partition("https://kms.eu-west-1.amazonaws.com.cn/")]
    #[case::no_region("https://kms.amazonaws.com/")]
    #[case::other_service("https://sts.eu-west-1.amazonaws.com/")]
    #[case::other_path("https://kms.eu-west-1.amazonaws.com/x")]
    #[case::query("https://kms.eu-west-1.amazonaws.com/?Action=Encrypt")]
    #[case::address("https://169.254.169.254/")]
    #[case::other_api(
        "https://storage.googleapis.com/v1/projects/p/locations/l/keyRings/r/cryptoKeys/k:decrypt"
    )]
    #[case::other_verb(
        "https://cloudkms.googleapis.com/v1/projects/p/locations/l/keyRings/r/cryptoKeys/k:encrypt"
    )]
    #[case::version(
        "https://cloudkms.googleapis.com/v1/projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1:destroy"
    )]
    #[case::escaped(
        "https://cloudkms.googleapis.com/v1/projects/p/locations/l/keyRings/r%2fx/cryptoKeys/k:decrypt"
    )]
    #[case::googles_query(
        "https://cloudkms.googleapis.com/v1/projects/p/locations/l/keyRings/r/cryptoKeys/k:decrypt?alt=media"
    )]
    #[case::no_vault("https://vault.azure.net/keys/sops/1/decrypt?api-version=7.4")]
    #[case::deeper("https://a.shop.vault.azure.net/keys/sops/1/decrypt?api-version=7.4")]
    #[case::longer("https://shop.vault.azure.net.evil.example/keys/sops/1/decrypt?api-version=7.4")]
    #[case::beside("https://shop.evilvault.azure.net/keys/sops/1/decrypt?api-version=7.4")]
    #[case::secrets("https://shop.vault.azure.net/secrets/sops/1?api-version=7.4")]
    #[case::sign("https://shop.vault.azure.net/keys/sops/1/sign?api-version=7.4")]
    #[case::up("https://shop.vault.azure.net/keys/../secrets/sops?api-version=7.4")]
    #[case::more("https://shop.vault.azure.net/keys/sops/1/decrypt?api-version=7.4&x=y")]
    #[case::none("https://shop.vault.azure.net/keys/sops/1/decrypt")]
    fn what_is_anything_else_gets_no_credentials(#[case] url: &str) {
        assert_eq!(KeyService::of(&Url::parse(url).unwrap()), None);
    }
}
