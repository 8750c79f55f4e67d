use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use plumb_api::Sensitive;
use plumb_source::identity::{Environment, KeyAnswer, KeyService, KeyUser, OfMachine, Tokens, Workload};
use plumb_source::transport::{AddressPolicy, Transport};
use plumb_test_support::{ApiRequest, ApiServer, Aws, AwsKeys};
use rcgen::{KeyPair, PKCS_RSA_SHA256};
use rstest::rstest;
use serde_json::{Value, json};
use url::Url;

use crate::workloads::{Kubernetes, account, block_on, environment};

const KMS: &str = "https://kms.eu-west-1.amazonaws.com/";
const GOOGLE: &str =
    "https://cloudkms.googleapis.com/v1/projects/shop/locations/global/keyRings/sops/cryptoKeys/key:decrypt";

/// What a service answers to somebody.
fn ask(
    tokens: &Tokens,
    url: &str,
    user: &KeyUser,
    role: Option<&str>,
    body: &Value,
) -> Result<(u16, Value), String> {
    let service = KeyService::of(&Url::parse(url).unwrap()).unwrap();
    let transport = Transport::default();
    let asking = tokens.ask_key_service(&service, user, role, body.to_string(), &transport);
    let KeyAnswer { status, body } = block_on(asking).map_err(|error| error.to_string())?;
    Ok((status, serde_json::from_slice(body.expose()).unwrap()))
}

fn secret(value: &str, environment: &Environment) -> KeyUser {
    KeyUser::Secret {
        value: Sensitive::new(value.as_bytes().to_vec()),
        environment: environment.clone(),
        machine: OfMachine::Refused,
    }
}

fn at(aws: &Aws) -> Environment {
    environment(&[("AWS_ENDPOINT_URL_KMS", &aws.origin()), ("AWS_ENDPOINT_URL_STS", &aws.origin())])
}

/// A data key as the server would have encrypted it.
fn sealed(context: Value) -> Value {
    let sealed = json!({"key": Aws::KEY, "context": context, "plain": STANDARD.encode("a data key")});
    let sealed = STANDARD.encode(sealed.to_string());
    match context {
        Value::Null => json!({"KeyId": Aws::KEY, "CiphertextBlob": sealed}),
        context => json!({"KeyId": Aws::KEY, "CiphertextBlob": sealed, "EncryptionContext": context}),
    }
}

fn opened(answer: Result<(u16, Value), String>) -> String {
    let (status, body) = answer.unwrap();
    assert_eq!(status, 200, "{body}");
    String::from_utf8(STANDARD.decode(body["Plaintext"].as_str().unwrap()).unwrap()).unwrap()
}

#[test]
fn aws_decrypts_for_a_user_of_a_secret() {
    let (aws, tokens) = (Aws::start().unwrap(), Tokens::new());
    let reader = secret(&Aws::reader().yaml(), &at(&aws));
    for context in [Value::Null, json!({"app": "shop"})] {
        assert_eq!(opened(ask(&tokens, KMS, &reader, None, &sealed(context))), "a data key");
    }
    assert!(aws.seen().iter().all(|request| !request.headers.contains_key("x-amz-security-token")));
}

#[test]
fn aws_decrypts_for_a_role_that_is_assumed_once() {
    let (aws, tokens) = (Aws::start().unwrap(), Tokens::new());
    let nobody = secret(&Aws::nobody().yaml(), &at(&aws));
    for _ in 0..2 {
        assert_eq!(opened(ask(&tokens, KMS, &nobody, Some(Aws::ROLE), &sealed(Value::Null))), "a data key");
    }
    assert_eq!(aws.seen().len(), 3);
}

// Attack 18 (Secrets): a file that names a role that whoever decrypts may not assume.
#[test]
fn aws_says_who_may_not() {
    let (aws, tokens) = (Aws::start().unwrap(), Tokens::new());
    let (reader, nobody) =
        (secret(&Aws::reader().yaml(), &at(&aws)), secret(&Aws::nobody().yaml(), &at(&aws)));
    let wrong = AwsKeys { secret: "hunter2".to_owned(), ..Aws::reader() };
    let wrong = secret(&wrong.yaml(), &at(&aws));
    let refused = |user: &KeyUser, url: &str, role: Option<&str>| {
        let (status, body) = ask(&tokens, url, user, role, &sealed(Value::Null)).unwrap();
        (status, body["__type"].clone())
    };
    assert_eq!(refused(&nobody, KMS, None), (400, json!("AccessDeniedException")));
    assert_eq!(refused(&nobody, KMS, Some(Aws::OTHER_ROLE)), (400, json!("AccessDeniedException")));
    assert_eq!(refused(&wrong, KMS, None), (400, json!("InvalidSignatureException")));
    // What is signed for one region is worth nothing in another.
    let elsewhere = "https://kms.us-east-1.amazonaws.com/";
    assert_eq!(refused(&reader, elsewhere, None), (400, json!("InvalidSignatureException")));

    let told = |role| ask(&tokens, KMS, &reader, Some(role), &sealed(Value::Null)).unwrap_err();
    assert_eq!(
        told(Aws::ROLE),
        "127.0.0.1 answers 403 to the request for keys of the role that the file names"
    );
    assert_eq!(
        told("arn:aws:iam::1:role/r&Action=x"),
        "the ARN of the role is not one: it has characters that it cannot have"
    );
}

#[test]
fn aws_decrypts_for_a_service_account_and_for_the_controller() {
    let (aws, kubernetes, tokens) = (Aws::start().unwrap(), Arc::new(Kubernetes::default()), Tokens::new());
    let role = [("eks.amazonaws.com/role-arn", Aws::ROLE)];
    let ada = KeyUser::Workload(account(&kubernetes, "ada", &role, at(&aws)));
    for _ in 0..2 {
        assert_eq!(opened(ask(&tokens, KMS, &ada, None, &sealed(Value::Null))), "a data key");
    }
    assert_eq!((aws.seen().len(), kubernetes.audiences()), (3, vec!["sts.amazonaws.com".to_owned()]));

    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "a token of kubernetes\n").unwrap();
    let origin = aws.origin();
    let of_controller = [
        ("AWS_ENDPOINT_URL_KMS", &*origin),
        ("AWS_ENDPOINT_URL_STS", &*origin),
        ("AWS_ROLE_ARN", Aws::ROLE),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", file.path().to_str().unwrap()),
    ];
    let controller = KeyUser::Workload(Workload::Controller(environment(&of_controller)));
    assert_eq!(opened(ask(&tokens, KMS, &controller, None, &sealed(Value::Null))), "a data key");

    let eve = KeyUser::Workload(account(&kubernetes, "eve", &[], environment(&of_controller)));
    let told = ask(&tokens, KMS, &eve, None, &sealed(Value::Null)).unwrap_err();
    assert!(told.contains("apps/eve has no usable annotation eks.amazonaws.com/role-arn"), "{told}");
}

/// Google: a token server that knows one service account by its key, and a key service that takes its tokens.
fn google(key: &KeyPair) -> ApiServer {
    let key = DecodingKey::from_rsa_der(key.public_key_raw());
    ApiServer::start(move |request: &ApiRequest| {
        if request.path == "/token" {
            let form: BTreeMap<_, _> =
                url::form_urlencoded::parse(request.body.as_bytes()).into_owned().collect();
            let mut validation = Validation::new(Algorithm::RS256);
            validation.set_issuer(&["sops@shop.iam.gserviceaccount.com"]);
            validation.validate_aud = false;
            let word = jsonwebtoken::decode::<Value>(&form["assertion"], &key, &validation);
            let is_right = word.is_ok_and(|word| {
                word.header.kid.as_deref() == Some("4711")
                    && word.claims["scope"]
                        .as_str()
                        .is_some_and(|scope| scope.contains("/auth/cloud-platform"))
                    && word.claims["aud"].as_str().is_some_and(|aud| aud.ends_with("/token"))
            });
            return match is_right {
                true => (200, json!({"access_token": "of the key", "expires_in": 3599})),
                false => (401, json!({"error": "hunter2"})),
            };
        }
        let expected = GOOGLE.trim_start_matches("https://cloudkms.googleapis.com");
        match (request.path == expected, request.authorization.as_deref()) {
            (true, Some("Bearer of the key" | "Bearer of the workload")) => (
                200,
                json!({"plaintext": serde_json::from_str::<Value>(&request.body).unwrap()["ciphertext"]}),
            ),
            (true, _) => (401, json!({"error": {"status": "UNAUTHENTICATED"}})),
            (false, _) if request.path.ends_with("/service-accounts/default/token") => {
                (200, json!({"access_token": "of the workload", "expires_in": 3599}))
            }
            (false, _) => (403, json!({"error": {"status": "PERMISSION_DENIED"}})),
        }
    })
    .unwrap()
}

fn file(key: &KeyPair, google: &ApiServer) -> Value {
    json!({
        "type": "service_account", "project_id": "shop", "private_key_id": "4711",
        "client_email": "sops@shop.iam.gserviceaccount.com",
        "private_key": key.serialize_pem(), "token_uri": format!("{}/token", google.origin()),
    })
}

#[test]
fn google_decrypts_for_a_key_of_a_service_account_and_for_a_workload() {
    let key = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
    let (google, tokens) = (google(&key), Tokens::new());
    let host = google.origin().trim_start_matches("http://").to_owned();
    let environment = environment(&[
        ("CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDKMS", &google.origin()),
        ("GCE_METADATA_HOST", &host),
    ]);
    let answer = json!({"plaintext": "a2V5"});
    let user = secret(&file(&key, &google).to_string(), &environment);
    for _ in 0..2 {
        let asked = ask(&tokens, GOOGLE, &user, None, &json!({"ciphertext": "a2V5"}));
        assert_eq!(asked, Ok((200, answer.clone())));
    }
    assert_eq!(google.seen().len(), 3);
    let workload = KeyUser::Workload(Workload::Controller(environment.clone()));
    let asked = ask(&tokens, GOOGLE, &workload, None, &json!({"ciphertext": "a2V5"}));
    assert_eq!(asked, Ok((200, answer)));

    let foreign = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
    let foreign = secret(&file(&foreign, &google).to_string(), &environment);
    let told = ask(&tokens, GOOGLE, &foreign, None, &json!({})).unwrap_err();
    assert_eq!(told, "127.0.0.1 answers 401 to the request for a token of Google Cloud");
}

// Attack 18 (Secrets): a Secret that holds nothing but the name of the controller's account gets no token that was kept for the controller.
#[test]
fn google_decrypts_for_the_key_of_the_controller_and_not_for_its_name() {
    let key = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
    let (google, tokens) = (google(&key), Tokens::new());
    let path = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(path.path(), file(&key, &google).to_string()).unwrap();
    let environment = environment(&[
        ("CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDKMS", &google.origin()),
        ("GOOGLE_APPLICATION_CREDENTIALS", path.path().to_str().unwrap()),
    ]);
    let controller = KeyUser::Workload(Workload::Controller(environment.clone()));
    let asked = ask(&tokens, GOOGLE, &controller, None, &json!({"ciphertext": "a2V5"}));
    assert_eq!(asked, Ok((200, json!({"plaintext": "a2V5"}))));

    let name = secret("sops@shop.iam.gserviceaccount.com", &environment);
    let told = ask(&tokens, GOOGLE, &name, None, &json!({"ciphertext": "a2V5"})).unwrap_err();
    assert_eq!(
        told,
        "the value of \"sops.gcp-kms\" in the secret cannot be used: it is not the JSON of a service account's key"
    );
}

// Attack 19 (Secrets): what cannot be used is told without its value. And a tenant's file leads to no file or program of the controller.
#[rstest]
#[case::nothing(json!("hunter2"), "it is not the JSON of a service account's key")]
#[case::program(
    json!({"type": "external_account", "credential_source": {"executable": {"command": "hunter2"}}}),
    "its type is not service_account; use spec.decryption.serviceAccountName for other identities"
)]
#[case::half(json!({"type": "service_account", "client_email": "hunter2"}), "it has no private_key")]
#[case::no_key(
    json!({"type": "service_account", "client_email": "a@b", "private_key": "hunter2"}),
    "its private_key is not an RSA key in PEM"
)]
fn a_file_that_is_no_key_is_told(#[case] file: Value, #[case] expected: &str) {
    let user = secret(&file.to_string(), &Environment::default());
    let told = ask(&Tokens::new(), GOOGLE, &user, None, &json!({})).unwrap_err();
    assert_eq!(told, format!("the value of \"sops.gcp-kms\" in the secret cannot be used: {expected}"));
}

// Attack 6 (sources): a token server that a tenant's credentials name is not where nobody may go.
#[test]
fn and_no_address_is_reached_that_must_not_be() {
    let key = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
    let google = google(&key);
    let user = secret(&file(&key, &google).to_string(), &Environment::default());
    let service = KeyService::of(&Url::parse(GOOGLE).unwrap()).unwrap();
    let transport =
        Transport { addresses: AddressPolicy::parse("127.0.0.0/8").unwrap(), ..Transport::default() };
    let tokens = Tokens::new();
    let asking = tokens.ask_key_service(&service, &user, None, "{}".to_owned(), &transport);
    let told = block_on(asking).err().unwrap().to_string();
    assert!(told.contains("is at an address that must not be reached"), "{told}");
    assert!(google.seen().is_empty());
}
