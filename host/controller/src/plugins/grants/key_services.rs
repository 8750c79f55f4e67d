//! Key services of clouds, asked to decrypt for those whose files name keys there.
//!
//! Whoever asks has no credentials and sees none: a request that decrypts with the key of a cloud gets them here, those of the Secret with the keys or else the
//! identity of a workload. All other requests are left to somebody else.

use std::collections::BTreeMap;
use std::sync::Arc;

use plumb_api::Sensitive;
use plumb_plugin::{HttpClient, HttpError, HttpRequest, HttpResponse};
use plumb_source::identity::{Environment, KeyAnswer, KeyService, KeyUser, OfMachine, Tokens};
use plumb_source::transport::Transport;
use url::Url;

use super::identity::Identity;
use crate::context::Context;

/// The header in which a request names a role of AWS that is assumed first.
const ROLE: &str = "x-plumbline-role";
/// The header in which an answer says who has asked, for people.
const USER: &str = "x-plumbline-user";

/// The values of a Secret that are credentials for key services, by their keys.
pub(in crate::plugins) struct Credentials(BTreeMap<&'static str, Sensitive<Vec<u8>>>);

impl Credentials {
    /// Takes them out of what a step hands over: a plugin has no use for them.
    pub(in crate::plugins) fn take(secrets: &mut BTreeMap<String, Sensitive<Vec<u8>>>) -> Self {
        let keys = KeyService::secret_keys().into_iter();
        Self(keys.filter_map(|key| Some((key, secrets.remove(key)?))).collect())
    }
}

/// Asks key services, and leaves what is for nobody of them to another.
pub(in crate::plugins) struct KeyServices {
    credentials: Credentials,
    identity: Identity,
    environment: Environment,
    tokens: Arc<Tokens>,
    transport: Transport,
    elsewhere: Arc<dyn HttpClient>,
}

impl KeyServices {
    /// `identity` asks where there are no credentials.
    pub(in crate::plugins) fn new(
        context: &Context,
        identity: Identity,
        credentials: Credentials,
        elsewhere: Arc<dyn HttpClient>,
    ) -> Self {
        Self {
            credentials,
            identity,
            environment: Environment::of_process(),
            tokens: context.sources.tokens.clone(),
            transport: Transport { addresses: context.config.addresses.clone(), ..Transport::default() },
            elsewhere,
        }
    }

    async fn ask(&self, service: &KeyService, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let invalid = |text: &str| HttpError::Invalid(text.to_owned());
        if request.method != "POST" {
            return Err(invalid("a key service is asked with POST"));
        }
        let role = request.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(ROLE));
        let role = role.map(|(_, role)| std::str::from_utf8(role)).transpose();
        let role = role.map_err(|_| invalid("the role is not text"))?;
        let body = String::from_utf8(request.body).map_err(|_| invalid("the body is not text"))?;
        let (user, name) = self.user(service).await.map_err(HttpError::Denied)?;
        let asked = self.tokens.ask_key_service(service, &user, role, body, &self.transport).await;
        let KeyAnswer { status, body } = asked.map_err(|error| {
            let why = match user {
                KeyUser::Secret { .. } => error.to_string(),
                KeyUser::Workload(_) => {
                    format!(
                        "the Secret with the keys has nothing under {}, and {error}",
                        service.secret_key()
                    )
                }
            };
            if error.needs_a_change() { HttpError::Denied(why) } else { HttpError::Failed(why) }
        })?;
        let headers = vec![(USER.to_owned(), name.into_bytes())];
        Ok(HttpResponse { status, headers, body: body.expose().clone() })
    }

    /// Who asks, and what people call him.
    async fn user(&self, service: &KeyService) -> Result<(KeyUser, String), String> {
        let key = service.secret_key();
        if let Some(value) = self.credentials.0.get(key) {
            let machine = match self.identity.is_controller() {
                true => OfMachine::Allowed,
                false => OfMachine::Refused,
            };
            let (value, environment) = (value.clone(), self.environment.clone());
            let user = KeyUser::Secret { value, environment, machine };
            return Ok((user, format!("the user of {key}")));
        }
        let workload = self.identity.workload(&self.environment).await?;
        Ok((KeyUser::Workload(workload), self.identity.to_string()))
    }
}

#[async_trait::async_trait]
impl HttpClient for KeyServices {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let service = Url::parse(&request.url).ok().and_then(|url| KeyService::of(&url));
        match service {
            Some(service) => self.ask(&service, request).await,
            None => self.elsewhere.send(request).await,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use plumb_source::transport::AddressPolicy;
    use plumb_test_support::{ApiRequest, ApiServer};
    use serde_json::{Value, json};

    use super::*;

    /// Says who was asked.
    struct Elsewhere;

    #[async_trait::async_trait]
    impl HttpClient for Elsewhere {
        async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
            Err(HttpError::Denied(format!("{} is not listed", request.url)))
        }
    }

    fn services(aws: &ApiServer, credentials: &[(&str, &str)]) -> KeyServices {
        let mut secrets = credentials
            .iter()
            .map(|(key, value)| ((*key).to_owned(), Sensitive::new(value.as_bytes().to_vec())))
            .collect();
        let credentials = Credentials::take(&mut secrets);
        let left: Vec<&String> = secrets.keys().collect();
        assert_eq!(left, ["identity.agekey"], "only what the plugin needs is left to it");
        KeyServices {
            credentials,
            identity: Identity::of_controller(),
            environment: [
                ("AWS_ENDPOINT_URL_KMS".to_owned(), aws.origin()),
                ("AWS_EC2_METADATA_DISABLED".to_owned(), "true".to_owned()),
            ]
            .into_iter()
            .collect(),
            tokens: Arc::default(),
            transport: Transport::default(),
            elsewhere: Arc::new(Elsewhere),
        }
    }

    /// A service that gives back what it was sent.
    fn aws() -> ApiServer {
        ApiServer::start(|request: &ApiRequest| (200, json!({"Plaintext": request.body}))).unwrap()
    }

    const CREDENTIALS: [(&str, &str); 2] = [
        ("identity.agekey", "AGE-SECRET-KEY-1"),
        ("sops.aws-kms", "aws_access_key_id: AKID\naws_secret_access_key: hunter2\n"),
    ];
    const KMS: &str = "https://kms.eu-west-1.amazonaws.com/";

    fn request(method: &str, url: &str) -> HttpRequest {
        // The guest cannot send headers of its own to the service.
        let headers = [("x-amz-target", "TrentService.Encrypt"), ("authorization", "evil")];
        HttpRequest {
            method: method.to_owned(),
            url: url.to_owned(),
            headers: headers.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).into(),
            body: b"{}".to_vec(),
        }
    }

    #[tokio::test]
    async fn a_request_to_a_key_service_gets_the_credentials_of_the_secret() {
        let aws = aws();
        let answer = services(&aws, &CREDENTIALS).send(request("POST", KMS)).await.ok().unwrap();
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!((answer.status, body), (200, json!({"Plaintext": "{}"})));
        assert_eq!(answer.headers, [(USER.to_owned(), b"the user of sops.aws-kms".to_vec())]);
        let seen = aws.seen();
        let [request] = seen.as_slice() else { panic!("{seen:?}") };
        let authorization = request.authorization.as_deref().unwrap();
        assert!(authorization.starts_with("AWS4-HMAC-SHA256 Credential=AKID/"), "{authorization}");
        assert!(authorization.contains("/eu-west-1/kms/aws4_request"), "{authorization}");
        assert_eq!(request.headers["x-amz-target"], "TrentService.Decrypt");
    }

    // Attack 18 (Secrets): a file that names a key at a host of the attacker's choice.
    #[tokio::test]
    async fn what_is_for_somebody_else_gets_none() {
        let aws = aws();
        let services = services(&aws, &CREDENTIALS);
        for url in ["https://kms.eu-west-1.evil.example/", &*aws.origin(), "http://169.254.169.254/latest"] {
            let told = services.send(request("POST", url)).await.err().unwrap();
            assert_eq!(told, HttpError::Denied(format!("{url} is not listed")));
        }
        let told = services.send(request("GET", KMS)).await.err().unwrap();
        assert_eq!(told, HttpError::Invalid("a key service is asked with POST".to_owned()));
        assert!(aws.seen().is_empty());
    }

    #[tokio::test]
    async fn whoever_has_no_credentials_is_told_where_they_would_be() {
        let aws = aws();
        let told = async |services: KeyServices| match services.send(request("POST", KMS)).await {
            Err(HttpError::Denied(told)) => told,
            other => panic!("{:?}", other.map(|answer| answer.status)),
        };
        let nobody = told(services(&aws, &CREDENTIALS[..1])).await;
        assert!(
            nobody.starts_with(
                "the Secret with the keys has nothing under sops.aws-kms, and the variable AWS_WEB_IDENTITY_TOKEN_FILE"
            ),
            "{nobody}"
        );
        let wrong = [CREDENTIALS[0], ("sops.aws-kms", "hunter2")];
        let wrong = told(services(&aws, &wrong)).await;
        assert_eq!(
            wrong,
            "the value of \"sops.aws-kms\" in the secret cannot be used: it is not YAML with aws_access_key_id and aws_secret_access_key"
        );
        // What a private network of the operator forbids is forbidden here as well.
        let addresses = AddressPolicy::parse("127.0.0.0/8").unwrap();
        let closed = KeyServices {
            transport: Transport { addresses, ..Transport::default() },
            ..services(&aws, &CREDENTIALS)
        };
        let closed = closed.send(request("POST", KMS)).await.err().unwrap();
        assert!(closed.to_string().contains("is at an address that must not be reached"), "{closed}");
        assert!(aws.seen().is_empty());
    }
}
