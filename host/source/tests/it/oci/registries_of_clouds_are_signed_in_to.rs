use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Arc;

use base64::Engine as _;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use plumb_api::{CloudProvider, Reason};
use plumb_source::identity::{Environment, Tokens, Workload};
use plumb_source::oci::{OciError, OciFetch, OciLogin};
use plumb_source::transport::{AddressPolicy, Transport};
use plumb_test_support::{ApiRequest, ApiServer};
use rcgen::{KeyPair, PKCS_RSA_SHA256};
use rstest::rstest;
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use crate::oci::latest;
use crate::workloads::{Kubernetes, account, block_on, environment};

const PRIVATE: &str = "oci://123456789012.dkr.ecr.eu-west-1.amazonaws.com/app";
const PUBLIC: &str = "oci://public.ecr.aws/myorg/app";
const GOOGLE: &str = "oci://europe-docker.pkg.dev/project/apps/app";

fn sign_in_with(
    provider: CloudProvider,
    fetch: OciFetch,
    workload: &Workload,
    tokens: &Tokens,
) -> Result<String, OciError> {
    let fetch = block_on(fetch.sign_in(provider, workload, tokens))?;
    Ok(match fetch.login {
        OciLogin::Anonymous => "anonymous".to_owned(),
        OciLogin::Basic { username, password } => format!("{username}:{}", password.expose()),
        OciLogin::Identity(token) => format!("identity {}", token.expose()),
        OciLogin::Bearer(token) => format!("bearer {}", token.expose()),
    })
}

/// As the controller does it: certificates of everybody are not taken.
fn sign_in(
    provider: CloudProvider,
    url: &str,
    workload: &Workload,
    tokens: &Tokens,
) -> Result<String, OciError> {
    sign_in_with(provider, OciFetch { insecure: false, ..latest(url) }, workload, tokens)
}

fn file_of(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn form(request: &ApiRequest) -> BTreeMap<String, String> {
    url::form_urlencoded::parse(request.body.as_bytes()).into_owned().collect()
}

/// The token service of AWS, and ECR. The passwords of ECR are good for `hours`.
fn aws(hours: i64) -> ApiServer {
    ApiServer::start(move |request: &ApiRequest| {
        let end = jiff::Timestamp::now().as_second() as f64 + hours as f64 * 3600.0;
        let Some(target) = request.headers.get("x-amz-target") else {
            let form = form(request);
            if form["RoleArn"] == "arn:aws:iam::1:role/eve" {
                return (403, json!({ "message": "hunter2" }));
            }
            let keys = json!({
                "AccessKeyId": "ASIA1", "SecretAccessKey": "hunter2", "SessionToken": form["RoleArn"], "Expiration": end,
            });
            let result = json!({ "AssumeRoleWithWebIdentityResult": { "Credentials": keys } });
            return (200, json!({ "AssumeRoleWithWebIdentityResponse": result }));
        };
        let role = &request.headers["x-amz-security-token"];
        let authorization = request.authorization.as_deref().unwrap_or_default();
        let is_signed = |scope: &str| {
            authorization.starts_with("AWS4-HMAC-SHA256 Credential=ASIA1/")
                && authorization.contains(&format!("/{scope}/aws4_request, SignedHeaders="))
        };
        let is_json = request.headers["content-type"] == "application/x-amz-json-1.1" && request.body == "{}";
        let authorization = |password: String| {
            let token = base64::engine::general_purpose::STANDARD.encode(format!("AWS:{password}"));
            json!({ "authorizationToken": token, "expiresAt": end + 0.5 })
        };
        match target.as_str() {
            _ if !is_json || role == "arn:aws:iam::1:role/nobody" => (400, json!({ "message": "hunter2" })),
            "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken" if is_signed("eu-west-1/ecr") => {
                (200, json!({ "authorizationData": [authorization(format!("private for {role}"))] }))
            }
            "SpencerFrontendService.GetAuthorizationToken" if is_signed("us-east-1/ecr-public") => {
                (200, json!({ "authorizationData": authorization(format!("public for {role}")) }))
            }
            _ => (404, json!({})),
        }
    })
    .unwrap()
}

fn in_aws(aws: &ApiServer, role: &str, token: &NamedTempFile) -> Workload {
    let origin = aws.origin();
    Workload::Controller(environment(&[
        ("AWS_ENDPOINT_URL_STS", &origin),
        ("AWS_ENDPOINT_URL_ECR", &origin),
        ("AWS_ENDPOINT_URL_ECR_PUBLIC", &origin),
        ("AWS_ROLE_ARN", role),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.path().to_str().unwrap()),
    ]))
}

#[rstest]
#[case(PRIVATE, "AWS:private for arn:aws:iam::1:role/ada")]
#[case(PUBLIC, "AWS:public for arn:aws:iam::1:role/ada")]
fn ecr_gives_a_password_which_is_kept(#[case] url: &str, #[case] login: &str) {
    let (aws, tokens, token) = (aws(12), Tokens::new(), file_of("a token of kubernetes"));
    let workload = in_aws(&aws, "arn:aws:iam::1:role/ada", &token);
    for _ in 0..2 {
        assert_eq!(sign_in(CloudProvider::Aws, url, &workload, &tokens).unwrap(), login);
    }
    assert_eq!(aws.seen().len(), 2, "one for keys, one for the password");
}

#[test]
fn another_role_has_another_password() {
    let (aws, tokens, kubernetes) = (aws(12), Tokens::new(), Arc::new(Kubernetes::default()));
    let login = |role: &str| {
        let origin = aws.origin();
        let environment =
            environment(&[("AWS_ENDPOINT_URL_STS", &origin), ("AWS_ENDPOINT_URL_ECR", &origin)]);
        let workload = account(&kubernetes, "ada", &[("eks.amazonaws.com/role-arn", role)], environment);
        sign_in(CloudProvider::Aws, PRIVATE, &workload, &tokens)
    };
    assert_eq!(login("arn:aws:iam::1:role/one").unwrap(), "AWS:private for arn:aws:iam::1:role/one");
    assert_eq!(login("arn:aws:iam::1:role/two").unwrap(), "AWS:private for arn:aws:iam::1:role/two");
    assert_eq!(kubernetes.audiences(), ["sts.amazonaws.com"; 2]);
}

#[test]
fn a_password_that_is_over_is_asked_for_again() {
    let (aws, tokens, token) = (aws(-1), Tokens::new(), file_of("a token of kubernetes"));
    let workload = in_aws(&aws, "arn:aws:iam::1:role/ada", &token);
    for requests in [2, 4] {
        sign_in(CloudProvider::Aws, PRIVATE, &workload, &tokens).unwrap();
        assert_eq!(aws.seen().len(), requests);
    }
}

#[rstest]
#[case::role("arn:aws:iam::1:role/eve", "127.0.0.1 answers 403 to the request for keys of AWS")]
#[case::registry("arn:aws:iam::1:role/nobody", "127.0.0.1 answers 400 to the request for a token of ECR")]
fn whom_aws_does_not_let_in_is_told(#[case] role: &str, #[case] reason: &str) {
    let (aws, token) = (aws(12), file_of("hunter2"));
    let error =
        sign_in(CloudProvider::Aws, PRIVATE, &in_aws(&aws, role, &token), &Tokens::new()).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot sign in to {PRIVATE}: {reason}"));
    assert_eq!(error.reason(), Reason::AuthenticationFailed);
}

const PROVIDER: &str = "projects/1/locations/global/workloadIdentityPools/pool/providers/k8s";
const FEDERATED: &str =
    "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/k8s";
const OF_GKE: &str = "identitynamespace:my-project.svc.id.goog:https://container.googleapis.com/v1/projects/my-project/locations/europe-west1/clusters/prod";

/// The token service, the credentials of service accounts, and the metadata server of Google Cloud.
fn google() -> ApiServer {
    ApiServer::start(|request: &ApiRequest| {
        let is_metadata = request.path.starts_with("/computeMetadata/v1/");
        if is_metadata && request.headers.get("metadata-flavor").map(String::as_str) != Some("Google") {
            return (403, json!({}));
        }
        match request.path.as_str() {
            "/computeMetadata/v1/instance/service-accounts/default/token" => {
                (200, json!({ "access_token": "of the machine", "expires_in": 3599, "token_type": "Bearer" }))
            }
            "/computeMetadata/v1/project/project-id" => (200, json!("my-project")),
            "/computeMetadata/v1/instance/attributes/cluster-location" => (200, json!("europe-west1\n")),
            "/computeMetadata/v1/instance/attributes/cluster-name" => (200, json!("prod")),
            "/v1/token" => {
                let form = form(request);
                let is_right = form["grant_type"] == "urn:ietf:params:oauth:grant-type:token-exchange"
                    && form["requested_token_type"] == "urn:ietf:params:oauth:token-type:access_token"
                    && form["subject_token_type"] == "urn:ietf:params:oauth:token-type:jwt"
                    && form["scope"].starts_with("https://www.googleapis.com/auth/cloud-platform")
                    && form["subject_token"] == "a token of kubernetes"
                    && [FEDERATED, OF_GKE].contains(&form["audience"].as_str());
                if is_right {
                    (200, json!({ "access_token": "federated", "expires_in": 3599, "token_type": "Bearer" }))
                } else {
                    (400, json!({ "error_description": "hunter2" }))
                }
            }
            "/v1/projects/-/serviceAccounts/reader@p.iam.gserviceaccount.com:generateAccessToken"
                if request.authorization.as_deref() == Some("Bearer federated") =>
            {
                let body: Value = serde_json::from_str(&request.body).unwrap();
                assert_eq!(body["scope"][0], "https://www.googleapis.com/auth/cloud-platform");
                let end = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
                (200, json!({ "accessToken": "of the reader", "expireTime": end.to_string() }))
            }
            _ => (403, json!({ "error": "hunter2" })),
        }
    })
    .unwrap()
}

fn paths(server: &ApiServer) -> Vec<String> {
    server.seen().into_iter().map(|request| request.path).collect()
}

/// The file that `gcloud iam workload-identity-pools create-cred-config` makes.
fn configuration(google: &ApiServer, impersonates: bool, source: &Value) -> NamedTempFile {
    let mut configuration = json!({
        "type": "external_account",
        "audience": FEDERATED,
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": format!("{}/v1/token", google.origin()),
        "credential_source": source,
    });
    if impersonates {
        let path = "v1/projects/-/serviceAccounts/reader@p.iam.gserviceaccount.com:generateAccessToken";
        configuration["service_account_impersonation_url"] = json!(format!("{}/{path}", google.origin()));
    }
    file_of(&configuration.to_string())
}

fn with_configuration(file: &NamedTempFile) -> Workload {
    Workload::Controller(environment(&[("GOOGLE_APPLICATION_CREDENTIALS", file.path().to_str().unwrap())]))
}

#[rstest]
#[case::direct(false, "oauth2accesstoken:federated", 1)]
#[case::impersonating(true, "oauth2accesstoken:of the reader", 2)]
fn google_takes_the_token_of_a_controller_elsewhere(
    #[case] impersonates: bool,
    #[case] login: &str,
    #[case] requests: usize,
) {
    let (google, tokens) = (google(), Tokens::new());
    let text = file_of("a token of kubernetes\n");
    let json = file_of(r#"{"id_token": "a token of kubernetes"}"#);
    let sources = [
        json!({ "file": text.path() }),
        json!({ "file": json.path(), "format": { "type": "json", "subject_token_field_name": "id_token" } }),
    ];
    for (round, source) in sources.iter().enumerate() {
        let file = configuration(&google, impersonates, source);
        let tokens = if round == 0 { &tokens } else { &Tokens::new() };
        for _ in 0..2 {
            assert_eq!(
                sign_in(CloudProvider::Gcp, GOOGLE, &with_configuration(&file), tokens).unwrap(),
                login
            );
        }
        assert_eq!(google.seen().len(), requests * (round + 1), "{:?}", paths(&google));
    }
}

#[test]
fn google_takes_the_word_of_a_key() {
    let key = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
    let public = DecodingKey::from_rsa_der(key.public_key_raw());
    let google = ApiServer::start(move |request: &ApiRequest| {
        let form = form(request);
        let mut validation = Validation::new(Algorithm::RS256);
        validation.set_issuer(&["reader@p.iam.gserviceaccount.com"]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.validate_aud = false;
        let word = jsonwebtoken::decode::<Value>(form["assertion"].as_bytes(), &public, &validation);
        let is_right = form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
            && word.is_ok_and(|word| word.header.kid.as_deref() == Some("1") && word.claims["scope"] != "");
        (if is_right { 200 } else { 401 }, json!({ "access_token": "of the reader", "expires_in": 3599 }))
    })
    .unwrap();
    let file = |key: &KeyPair| {
        let text = json!({
            "type": "service_account", "client_email": "reader@p.iam.gserviceaccount.com", "private_key_id": "1",
            "private_key": key.serialize_pem(), "token_uri": format!("{}/token", google.origin()),
        });
        file_of(&text.to_string())
    };
    let (own, tokens) = (file(&key), Tokens::new());
    for _ in 0..2 {
        let login = sign_in(CloudProvider::Gcp, GOOGLE, &with_configuration(&own), &tokens).unwrap();
        assert_eq!(login, "oauth2accesstoken:of the reader");
    }
    assert_eq!(google.seen().len(), 1);
    let other = file(&KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap());
    let error = sign_in(CloudProvider::Gcp, GOOGLE, &with_configuration(&other), &Tokens::new());
    assert!(
        error.unwrap_err().to_string().ends_with("answers 401 to the request for a token of Google Cloud")
    );
}

// Attack 6 (sources): no source leads to the metadata server, but the controller itself asks it who it is, and nothing else.
#[test]
fn the_metadata_server_is_asked_whatever_sources_may_not_reach() {
    let (google, tokens) = (google(), Tokens::new());
    let host = google.origin().replace("http://", "");
    let workload = Workload::Controller(environment(&[("GCE_METADATA_HOST", &host)]));
    let addresses = AddressPolicy::parse("127.0.0.0/8").unwrap();
    let transport = Transport { addresses, ..Transport::default() };
    for _ in 0..2 {
        let fetch = OciFetch { insecure: false, transport: transport.clone(), ..latest(GOOGLE) };
        let login = sign_in_with(CloudProvider::Gcp, fetch, &workload, &tokens).unwrap();
        assert_eq!(login, "oauth2accesstoken:of the machine");
    }
    assert_eq!(paths(&google), ["/computeMetadata/v1/instance/service-accounts/default/token"]);
    // The same address in a file is a place like any other.
    let file = configuration(&google, false, &json!({ "file": file_of("x").path() }));
    let fetch = OciFetch { insecure: false, transport, ..latest(GOOGLE) };
    let error = sign_in_with(CloudProvider::Gcp, fetch, &with_configuration(&file), &tokens).unwrap_err();
    assert_eq!(error.reason(), Reason::AuthenticationFailed);
    assert_eq!(google.seen().len(), 1);
}

#[rstest]
#[case::elsewhere(&[("gcp.auth.fluxcd.io/workload-identity-provider", PROVIDER)], "oauth2accesstoken:federated", FEDERATED)]
#[case::elsewhere_as_another(
    &[("gcp.auth.fluxcd.io/workload-identity-provider", PROVIDER), ("iam.gke.io/gcp-service-account", "reader@p.iam.gserviceaccount.com")],
    "oauth2accesstoken:of the reader",
    FEDERATED
)]
#[case::gke(&[], "oauth2accesstoken:federated", "my-project.svc.id.goog")]
#[case::gke_as_another(
    &[("iam.gke.io/gcp-service-account", "reader@p.iam.gserviceaccount.com")],
    "oauth2accesstoken:of the reader",
    "my-project.svc.id.goog"
)]
fn google_takes_the_token_of_a_service_account(
    #[case] annotations: &[(&str, &str)],
    #[case] login: &str,
    #[case] audience: &str,
) {
    let (google, tokens, kubernetes) = (google(), Tokens::new(), Arc::new(Kubernetes::default()));
    let workload = account(&kubernetes, "ada", annotations, apis(&google));
    for _ in 0..2 {
        assert_eq!(sign_in(CloudProvider::Gcp, GOOGLE, &workload, &tokens).unwrap(), login);
    }
    assert_eq!(kubernetes.audiences(), [audience]);
}

fn apis(google: &ApiServer) -> Environment {
    let origin = google.origin();
    environment(&[
        ("CLOUDSDK_API_ENDPOINT_OVERRIDES_STS", &origin),
        ("CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS", &origin),
        ("GCE_METADATA_HOST", &origin.replace("http://", "")),
        // The identity of the controller is not the one of a tenant.
        ("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere"),
    ])
}

#[rstest]
#[case::provider(
    &[("gcp.auth.fluxcd.io/workload-identity-provider", "projects/1")],
    "the name of the workload identity provider is not one: it has characters that it cannot have"
)]
#[case::path(
    &[("iam.gke.io/gcp-service-account", "x@y/../../z")],
    "the address of the service account of Google is not one: it has characters that it cannot have"
)]
#[case::another_project(
    &[("iam.gke.io/gcp-service-account", "eve@p.iam.gserviceaccount.com")],
    "127.0.0.1 answers 403 to the request for a token of the service account of Google"
)]
fn whom_google_does_not_let_in_is_told(#[case] annotations: &[(&str, &str)], #[case] reason: &str) {
    let (google, kubernetes) = (google(), Arc::new(Kubernetes::default()));
    let workload = account(&kubernetes, "eve", annotations, apis(&google));
    let error = sign_in(CloudProvider::Gcp, GOOGLE, &workload, &Tokens::new()).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot sign in to {GOOGLE}: {reason}"));
    assert_eq!(error.reason(), Reason::AuthenticationFailed);
}

#[rstest]
#[case::no_key(
    r#"{"type": "service_account", "private_key": "hunter2"}"#,
    "its private_key is not an RSA key in PEM"
)]
#[case::user(
    r#"{"type": "authorized_user", "refresh_token": "hunter2"}"#,
    "its type is neither external_account nor service_account"
)]
#[case::garbage(r#"{"private_key": "hunter2"}"#, "it is not the JSON of an identity")]
#[case::nowhere(r#"{"type": "external_account"}"#, "it has no token_url")]
#[case::executable(
    r#"{"type": "external_account", "token_url": "https://sts.googleapis.com/v1/token", "credential_source": {"executable": {"command": "sh"}}}"#,
    "it has no credential_source.file; other sources are not supported"
)]
#[case::format(
    r#"{"type": "external_account", "token_url": "https://sts.googleapis.com/v1/token", "credential_source": {"file": "/x", "format": {"type": "json"}}}"#,
    "its credential_source.format is neither text nor json with a field"
)]
fn a_file_that_is_no_identity_is_told_without_its_text(#[case] text: &str, #[case] reason: &str) {
    let file = file_of(text);
    let error = sign_in(CloudProvider::Gcp, GOOGLE, &with_configuration(&file), &Tokens::new()).unwrap_err();
    let told =
        "the file that the variable GOOGLE_APPLICATION_CREDENTIALS of the controller names cannot be used";
    assert_eq!(error.to_string(), format!("cannot sign in to {GOOGLE}: {told}: {reason}"));
}

// Attack 5 (sources): who writes a URL must not get the identity of the controller.
#[rstest]
#[case::aws(CloudProvider::Aws, "oci://1.dkr.ecr.eu-west-1.amazonaws.com.evil.org/a")]
#[case::azure(CloudProvider::Azure, "oci://x.azurecr.io.evil.org/a")]
#[case::gcp(CloudProvider::Gcp, "oci://gcr.io.evil.org/a")]
#[case::gcp_port(CloudProvider::Gcp, "oci://gcr.io:5000/a")]
#[case::gcp_like(CloudProvider::Gcp, "oci://evilgcr.io/a")]
#[case::other_cloud(CloudProvider::Azure, "oci://gcr.io/project/a")]
fn only_registries_of_the_cloud_get_its_tokens(#[case] provider: CloudProvider, #[case] url: &str) {
    let workload = Workload::Controller(Environment::default());
    let error = sign_in(provider, url, &workload, &Tokens::new()).unwrap_err();
    assert!(matches!(error, OciError::Provider { .. }), "{error}");
    assert_eq!(error.reason(), Reason::AuthenticationFailed);
}

// Attack 5 (sources): a tenant's proxy with a tenant's certificate would read what is sent to the registry.
#[rstest]
#[case::insecure(OciFetch { insecure: true, ..latest(GOOGLE) })]
#[case::authority(OciFetch {
    insecure: false,
    transport: Transport { ca: Some(b"that of a tenant".to_vec()), ..Transport::default() },
    ..latest(GOOGLE)
})]
fn the_identity_of_the_controller_is_not_shown_to_what_a_tenant_trusts(#[case] fetch: OciFetch) {
    let (google, kubernetes) = (google(), Arc::new(Kubernetes::default()));
    let workload = Workload::Controller(apis(&google));
    let error = sign_in_with(CloudProvider::Gcp, fetch.clone(), &workload, &Tokens::new()).unwrap_err();
    assert!(matches!(error, OciError::Provider { .. }), "{error}");
    assert!(google.seen().is_empty());
    // A service account is the tenant's own.
    let workload = account(&kubernetes, "ada", &[], apis(&google));
    let login = sign_in_with(CloudProvider::Gcp, fetch, &workload, &Tokens::new()).unwrap();
    assert_eq!(login, "oauth2accesstoken:federated");
}

#[test]
fn the_generic_provider_leaves_the_login_as_it_is() {
    let workload = Workload::Controller(Environment::default());
    let login =
        sign_in_with(CloudProvider::Generic, latest("oci://ghcr.io/a"), &workload, &Tokens::new()).unwrap();
    assert_eq!(login, "anonymous");
}

#[rstest]
#[case(CloudProvider::Aws, PRIVATE, &[("AWS_EC2_METADATA_DISABLED", "true")], "AWS_WEB_IDENTITY_TOKEN_FILE")]
#[case(CloudProvider::Aws, PRIVATE, &[("AWS_WEB_IDENTITY_TOKEN_FILE", "/token")], "AWS_ROLE_ARN")]
#[case(CloudProvider::Azure, "oci://myorg.azurecr.io/app", &[("AZURE_FEDERATED_TOKEN_FILE", "/token")], "AZURE_TENANT_ID")]
fn a_controller_without_an_identity_is_told(
    #[case] provider: CloudProvider,
    #[case] url: &str,
    #[case] set: &[(&str, &str)],
    #[case] variable: &str,
) {
    let workload = Workload::Controller(environment(set));
    let error = sign_in(provider, url, &workload, &Tokens::new()).unwrap_err().to_string();
    assert!(error.contains(&format!("the variable {variable} of the controller is not set")), "{error}");
}
