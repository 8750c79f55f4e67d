use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use plumb_api::Sensitive;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use url::Url;

use super::{KeyUser, OfMachine, read, send, unusable};
use crate::identity::azure::{Application, PUBLIC_AUTHORITY, Proof};
use crate::identity::cache::Key;
use crate::identity::error::IdentityError;
use crate::identity::exchange::Answered;
use crate::identity::{Token, Tokens};
use crate::transport::{InvalidSecret, Transport};

pub(super) const SECRET_KEY: &str = "sops.azure-kv";
/// What the names of vaults end in. Only Azure itself gives such names, and what a token is for is all after the first point.
const VAULTS: [&str; 6] = [
    "vault.azure.net",
    "vault.azure.cn",
    "vault.usgovcloudapi.net",
    "managedhsm.azure.net",
    "managedhsm.azure.cn",
    "managedhsm.usgovcloudapi.net",
];
const QUERY: &str = "api-version=7.4";
/// How long the word of an application is good for, in seconds. It is used at once.
const LIFETIME_SECONDS: i64 = 120;
/// How far Azure's clock may be behind ours, in seconds.
const SKEW_SECONDS: i64 = 30;

/// A vault of Azure, as the URL of the request that decrypts with a key of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeyVault {
    url: Url,
    scope: String,
}

impl KeyVault {
    pub(super) fn of(url: &Url) -> Option<Self> {
        let (name, domain) = url.host_str()?.split_once('.')?;
        let is_name = |name: &str| {
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        let ["", "keys", key, version, "decrypt"] = url.path().split('/').collect::<Vec<_>>()[..] else {
            return None;
        };
        let is_there = is_name(name) && VAULTS.contains(&domain) && url.query() == Some(QUERY);
        let is_key = is_name(key) && (version.is_empty() || is_name(version));
        (is_there && is_key).then(|| Self { url: url.clone(), scope: format!("https://{domain}/.default") })
    }

    /// Source: Azure, `Decrypt` of the keys of Key Vault.
    pub(super) async fn decrypt(
        &self,
        tokens: &Tokens,
        user: &KeyUser,
        body: String,
        transport: &Transport,
    ) -> Result<Answered, IdentityError> {
        let token = match user {
            KeyUser::Secret { value, environment, machine } => match Named::of_secret(value.expose())? {
                Named::Principal(principal) => principal.token(&self.scope, tokens, transport).await?,
                Named::OfMachine(client) if *machine == OfMachine::Allowed => {
                    tokens.azure_managed(environment, Some(&client), &self.scope).await?
                }
                Named::OfMachine(_) => {
                    let reason = "it names an identity of the machine, which stands for the controller only and not for a service account";
                    return Err(unusable(SECRET_KEY, reason).into());
                }
            },
            KeyUser::Workload(workload) => tokens.azure(workload, &self.scope, transport).await?,
        };
        send(self.url.clone(), &token, body, transport).await
    }
}

/// Whom a Secret names.
enum Named {
    Principal(Principal),
    /// A managed identity of the machine, by its client id.
    OfMachine(String),
}

/// A service principal with a password or a certificate.
struct Principal {
    application: Application,
    shown: Shown,
}

/// What it shows.
enum Shown {
    Password(Sensitive<String>),
    Certificate(Certificate),
}

/// A certificate with its key.
struct Certificate {
    key: Sensitive<String>,
    /// In DER; first its own.
    chain: Vec<CertificateDer<'static>>,
    sends_chain: bool,
}

/// As Flux has it, and as `az ad sp create-for-rbac` prints it.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct File {
    tenant_id: String,
    client_id: String,
    client_secret: String,
    client_certificate: String,
    client_certificate_password: String,
    client_certificate_send_chain: bool,
    authority_host: String,
    app_id: String,
    tenant: String,
    password: String,
}

impl Named {
    fn of_secret(value: &[u8]) -> Result<Self, IdentityError> {
        const EXPECTED: &str = "it is not YAML or JSON with tenantId, clientId and clientSecret or clientCertificate, or with clientId";
        let text = Sensitive::new(utf8(value).ok_or_else(|| unusable(SECRET_KEY, EXPECTED))?);
        let file: File = read(SECRET_KEY, text.expose().as_bytes(), EXPECTED)?;
        let authority = match file.authority_host.as_str() {
            "" => PUBLIC_AUTHORITY,
            host => host,
        };
        let authority = Url::parse(authority).ok().filter(Url::has_host);
        let authority = authority.ok_or_else(|| unusable(SECRET_KEY, "its authorityHost is no URL"))?;
        let is_there = |texts: [&String; 3]| texts.iter().all(|text| !text.is_empty());
        let (tenant, client, shown) = if is_there([&file.tenant_id, &file.client_id, &file.client_secret]) {
            (file.tenant_id, file.client_id, Shown::Password(Sensitive::new(file.client_secret)))
        } else if is_there([&file.tenant_id, &file.client_id, &file.client_certificate]) {
            let password = Sensitive::new(file.client_certificate_password);
            if !password.expose().is_empty() {
                let reason = "its clientCertificate has a password; write the key without one";
                return Err(unusable(SECRET_KEY, reason).into());
            }
            let shown = Certificate::read(file.client_certificate, file.client_certificate_send_chain)?;
            (file.tenant_id, file.client_id, Shown::Certificate(shown))
        } else if is_there([&file.tenant, &file.app_id, &file.password]) {
            (file.tenant, file.app_id, Shown::Password(Sensitive::new(file.password)))
        } else if file.tenant_id.is_empty() && !file.client_id.is_empty() {
            return Ok(Self::OfMachine(file.client_id));
        } else {
            return Err(unusable(SECRET_KEY, EXPECTED).into());
        };
        let application = Application::new(tenant, client, authority)?;
        Ok(Self::Principal(Principal { application, shown }))
    }
}

impl Principal {
    async fn token(
        &self,
        scope: &str,
        tokens: &Tokens,
        transport: &Transport,
    ) -> Result<Token, IdentityError> {
        let shown = match &self.shown {
            Shown::Password(password) => password,
            Shown::Certificate(certificate) => &certificate.key,
        };
        let url = self.application.token_url();
        let key = Key::of(&[
            b"azure principal",
            url.as_str().as_bytes(),
            self.application.client().as_bytes(),
            shown.expose().as_bytes(),
            scope.as_bytes(),
        ]);
        let asking = async { self.application.token(scope, &self.proof(&url)?, transport).await };
        tokens.tokens.get_or(key, asking).await
    }

    fn proof(&self, audience: &Url) -> Result<Proof, InvalidSecret> {
        Ok(match &self.shown {
            Shown::Password(password) => Proof::Secret(password.clone()),
            Shown::Certificate(certificate) => {
                Proof::Token(certificate.word(self.application.client(), audience, Timestamp::now())?)
            }
        })
    }
}

impl Certificate {
    fn read(pem: String, sends_chain: bool) -> Result<Self, InvalidSecret> {
        let wrong = |reason| unusable(SECRET_KEY, reason);
        let key = Sensitive::new(pem);
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(key.expose().as_bytes()).collect();
        let chain = chain.ok().filter(|chain| !chain.is_empty());
        let chain = chain.ok_or_else(|| wrong("its clientCertificate is no certificate in PEM"))?;
        Ok(Self { key, chain, sends_chain })
    }

    /// What the application says of itself, signed. Source: Microsoft identity platform, "Application authentication certificate credentials".
    fn word(&self, client: &str, audience: &Url, now: Timestamp) -> Result<Sensitive<String>, InvalidSecret> {
        use base64::Engine as _;
        use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
        #[derive(Serialize)]
        struct Claims<'a> {
            aud: &'a str,
            iss: &'a str,
            sub: &'a str,
            jti: String,
            nbf: i64,
            exp: i64,
        }
        let begins = now.as_second() - SKEW_SECONDS;
        let jti = now.as_nanosecond().to_string();
        let exp = begins + LIFETIME_SECONDS;
        let claims = Claims { aud: audience.as_str(), iss: client, sub: client, jti, nbf: begins, exp };
        let own = self.chain.first().map(|own| URL_SAFE_NO_PAD.encode(Sha256::digest(own)));
        let chain = || self.chain.iter().map(|certificate| STANDARD.encode(certificate)).collect();
        let header =
            Header { x5t_s256: own, x5c: self.sends_chain.then(chain), ..Header::new(Algorithm::PS256) };
        let key = key_in(self.key.expose()).and_then(|key| EncodingKey::from_rsa_pem(key.as_bytes()).ok());
        let word = key.and_then(|key| jsonwebtoken::encode(&header, &claims, &key).ok());
        let cannot_sign = || unusable(SECRET_KEY, "its clientCertificate has no RSA key that can sign");
        word.map(Sensitive::new).ok_or_else(cannot_sign)
    }
}

/// The private key among the certificates.
fn key_in(pem: &str) -> Option<&str> {
    ["PRIVATE KEY", "RSA PRIVATE KEY"].iter().find_map(|label| {
        let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
        let key = &pem[pem.find(&begin)?..];
        Some(&key[..key.find(&end)? + end.len()])
    })
}

/// The text of a file, which programs of Windows write in UTF-16.
fn utf8(value: &[u8]) -> Option<String> {
    let text = |rest: &[u8], unit: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = rest.chunks_exact(2).map(|pair| unit([pair[0], pair[1]])).collect();
        String::from_utf16(&units).ok()
    };
    match value {
        [0xff, 0xfe, rest @ ..] => text(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => text(rest, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] | rest => String::from_utf8(rest.to_vec()).ok(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use std::collections::BTreeMap;

    use jsonwebtoken::{DecodingKey, Validation};
    use plumb_test_support::{ApiRequest, ApiServer};
    use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256};
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;
    use crate::identity::workload::Environment;

    /// A vault that is at a server of a test, where names cannot be Azure's.
    fn vault(azure: &ApiServer, key: &str) -> KeyVault {
        let url = format!("{}/keys/{key}/0123abcd/decrypt?{QUERY}", azure.origin());
        KeyVault { url: Url::parse(&url).unwrap(), scope: "https://vault.azure.net/.default".to_owned() }
    }

    /// Microsoft Entra and a vault in one. `knows` looks at what is shown.
    fn azure(knows: impl Fn(&BTreeMap<String, String>) -> bool + Send + Sync + 'static) -> ApiServer {
        ApiServer::start(move |request: &ApiRequest| {
            if request.path == "/tenant/oauth2/v2.0/token" {
                let form: BTreeMap<_, _> =
                    url::form_urlencoded::parse(request.body.as_bytes()).into_owned().collect();
                let is_right = form["grant_type"] == "client_credentials"
                    && form["scope"] == "https://vault.azure.net/.default"
                    && form["client_id"] == "client"
                    && knows(&form);
                return match is_right {
                    true => (200, json!({"access_token": "a token", "expires_in": 3599})),
                    false => (401, json!({"error": "invalid_client", "error_description": "hunter2"})),
                };
            }
            if request.path == "/metadata/identity/oauth2/token" {
                let token = json!({"access_token": "a token", "expires_in": "3599"});
                return (200, token);
            }
            let body: Value = serde_json::from_str(&request.body).unwrap();
            match (request.method.as_str(), request.path.as_str(), request.authorization.as_deref()) {
                ("POST", "/keys/sops/0123abcd/decrypt", Some("Bearer a token")) => {
                    (200, json!({"value": body["value"]}))
                }
                _ => (403, json!({"error": {"code": "Forbidden"}})),
            }
        })
        .unwrap()
    }

    fn ask(azure: &ApiServer, key: &str, tokens: &Tokens, value: &str) -> Result<(u16, String), String> {
        ask_on(Environment::default(), OfMachine::Refused, azure, key, tokens, value)
    }

    /// The same on a machine, where a Secret may name an identity of it or not.
    fn ask_on(
        environment: Environment,
        machine: OfMachine,
        azure: &ApiServer,
        key: &str,
        tokens: &Tokens,
        value: &str,
    ) -> Result<(u16, String), String> {
        let value = Sensitive::new(value.as_bytes().to_vec());
        let user = KeyUser::Secret { value, environment, machine };
        let (vault, transport) = (vault(azure, key), Transport::default());
        let asking = vault.decrypt(tokens, &user, json!({"value": "AQID"}).to_string(), &transport);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let answer = runtime.block_on(asking).map_err(|error| error.to_string())?;
        Ok((answer.status, String::from_utf8(answer.body.expose().clone()).unwrap()))
    }

    #[test]
    fn a_password_becomes_a_token_which_is_kept() {
        let (azure, tokens) = (azure(|form| form["client_secret"] == "correct"), Tokens::new());
        let value = format!(
            "tenantId: tenant\nclientId: client\nclientSecret: correct\nauthorityHost: {}\n",
            azure.origin()
        );
        for _ in 0..2 {
            assert_eq!(ask(&azure, "sops", &tokens, &value), Ok((200, r#"{"value":"AQID"}"#.to_owned())));
        }
        assert_eq!(azure.seen().len(), 3);
        assert_eq!(ask(&azure, "other", &tokens, &value).unwrap().0, 403);
        let az = json!({"appId": "client", "displayName": "a", "password": "correct", "tenant": "tenant", "authorityHost": azure.origin()});
        assert_eq!(ask(&azure, "sops", &Tokens::new(), &az.to_string()).unwrap().0, 200);
        let wrong = ask(&azure, "sops", &tokens, &value.replace("correct", "hunter2")).unwrap_err();
        assert_eq!(wrong, "127.0.0.1 answers 401 to the request for a token of Azure");
    }

    #[test]
    fn an_identity_of_the_machine_is_used_where_the_controllers_would_be() {
        let azure = azure(|_| false);
        let variables = [("AZURE_POD_IDENTITY_AUTHORITY_HOST".to_owned(), azure.origin())];
        let environment: Environment = variables.into_iter().collect();
        let ask = |machine| {
            ask_on(environment.clone(), machine, &azure, "sops", &Tokens::new(), "clientId: of-the-node")
        };
        assert_eq!(ask(OfMachine::Allowed), Ok((200, r#"{"value":"AQID"}"#.to_owned())));
        assert_eq!(azure.seen()[0].path, "/metadata/identity/oauth2/token");
        assert!(ask(OfMachine::Refused).unwrap_err().contains("not for a service account"));
        assert_eq!(azure.seen().len(), 2);
    }

    #[test]
    fn a_certificate_becomes_a_token() {
        let key = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
        let certificate = CertificateParams::new(Vec::<String>::new()).unwrap().self_signed(&key).unwrap();
        let (public, own) =
            (DecodingKey::from_rsa_der(key.public_key_raw()), Sha256::digest(certificate.der()));
        let azure = azure(move |form| {
            use base64::Engine as _;
            let mut validation = Validation::new(Algorithm::PS256);
            validation.set_issuer(&["client"]);
            validation.validate_aud = false;
            let word = &form["client_assertion"];
            let decoded = jsonwebtoken::decode::<Value>(word, &public, &validation);
            let thumbprint = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(&own[..]);
            decoded.is_ok_and(|word| {
                word.claims["sub"] == "client"
                    && word.claims["aud"]
                        .as_str()
                        .is_some_and(|aud| aud.ends_with("/tenant/oauth2/v2.0/token"))
                    && word.header.x5t_s256 == Some(thumbprint)
                    && word.header.x5c.is_some_and(|chain| chain.len() == 1)
            })
        });
        let value = json!({
            "tenantId": "tenant", "clientId": "client", "clientCertificateSendChain": true, "authorityHost": azure.origin(),
            "clientCertificate": format!("{}{}", key.serialize_pem(), certificate.pem()),
        });
        assert_eq!(ask(&azure, "sops", &Tokens::new(), &value.to_string()).unwrap().0, 200);
    }

    // Attack 19 (Secrets): what cannot be used is told without its value.
    #[rstest]
    #[case::nothing(
        "hunter2",
        "it is not YAML or JSON with tenantId, clientId and clientSecret or clientCertificate, or with clientId"
    )]
    #[case::half(
        "tenantId: t\nclientSecret: hunter2",
        "it is not YAML or JSON with tenantId, clientId and clientSecret or clientCertificate, or with clientId"
    )]
    #[case::of_the_machine(
        "clientId: hunter2",
        "it names an identity of the machine, which stands for the controller only and not for a service account"
    )]
    #[case::authority(
        "authorityHost: hunter2\ntenantId: t\nclientId: c\nclientSecret: s",
        "its authorityHost is no URL"
    )]
    #[case::certificate(
        "tenantId: t\nclientId: c\nclientCertificate: hunter2",
        "its clientCertificate is no certificate in PEM"
    )]
    #[case::locked(
        "tenantId: t\nclientId: c\nclientCertificate: c\nclientCertificatePassword: hunter2",
        "its clientCertificate has a password; write the key without one"
    )]
    fn what_is_no_principal_is_told(#[case] value: &str, #[case] expected: &str) {
        let azure = ApiServer::start(|_| (200, json!({}))).unwrap();
        let told = ask(&azure, "sops", &Tokens::new(), value).unwrap_err();
        assert_eq!(told, format!("the value of \"sops.azure-kv\" in the secret cannot be used: {expected}"));
        assert!(azure.seen().is_empty());
    }

    #[test]
    fn a_file_of_windows_is_read() {
        let text = "tenantId: t";
        let le: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let be: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        let files =
            [[&[0xff, 0xfe][..], &le].concat(), [&[0xfe, 0xff][..], &be].concat(), text.as_bytes().to_vec()];
        for file in files {
            assert_eq!(utf8(&file).as_deref(), Some(text));
        }
        assert_eq!(utf8(&[0xc0]), None);
    }
}
