//! Against what clouds have where a controller runs: the agent beside its container, and the metadata service of the machine.

use std::sync::Arc;

use plumb_source::identity::{AwsCredentials, Environment, IdentityError, Tokens, Workload};
use plumb_source::transport::{AddressPolicy, Transport};
use plumb_test_support::{ApiRequest, ApiServer};
use rstest::rstest;
use serde_json::{Value, json};

use crate::workloads::{Kubernetes, account, block_on, environment};

const SCOPE: &str = "https://management.azure.com/.default";

fn header<'a>(request: &'a ApiRequest, name: &str) -> &'a str {
    request.headers.get(name).map(String::as_str).unwrap_or_default()
}

fn keys(id: &str) -> Value {
    json!({
        "Code": "Success", "AccessKeyId": id, "SecretAccessKey": "secret", "Token": "session",
        "Expiration": (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(6)).to_string(),
    })
}

/// A machine in a cloud. Each service answers only who asks as it wants to be asked.
fn machine(role: &'static str) -> ApiServer {
    ApiServer::start(move |request: &ApiRequest| {
        let has_word = header(request, "x-aws-ec2-metadata-token") == "a word";
        match (request.method.as_str(), request.path.as_str()) {
            ("PUT", "/latest/api/token")
                if header(request, "x-aws-ec2-metadata-token-ttl-seconds") == "60" =>
            {
                (200, json!("a word"))
            }
            ("GET", "/latest/meta-data/iam/security-credentials/") if has_word => (200, json!(role)),
            ("GET", "/latest/meta-data/iam/security-credentials/node-role") if has_word => {
                (200, keys("that of the machine"))
            }
            ("GET", "/v1/credentials") if request.authorization.as_deref() == Some("the pod's word") => {
                (200, keys("that of the agent"))
            }
            ("GET", "/metadata/identity/oauth2/token") if header(request, "metadata") == "true" => {
                (200, json!({ "access_token": "of the machine", "expires_in": "86399" }))
            }
            _ => (403, json!("hunter2")),
        }
    })
    .unwrap()
}

/// Nothing on this machine may be reached by a source.
fn strict() -> Transport {
    Transport { addresses: AddressPolicy::parse("127.0.0.0/8").unwrap(), ..Transport::default() }
}

fn on_aws(machine: &ApiServer) -> Environment {
    environment(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &machine.origin())])
}

fn on_azure(machine: &ApiServer) -> Environment {
    environment(&[("AZURE_POD_IDENTITY_AUTHORITY_HOST", &machine.origin())])
}

fn aws(workload: &Workload, tokens: &Tokens) -> Result<AwsCredentials, IdentityError> {
    block_on(tokens.aws(workload, "eu-west-1", &strict()))
}

fn paths(server: &ApiServer) -> Vec<String> {
    server.seen().into_iter().map(|request| format!("{} {}", request.method, request.path)).collect()
}

/// Where nobody listens.
fn nowhere() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

// Attack 6 (sources): the machine is asked whatever sources may not reach, since only the controller asks, and for nothing but who it is.
#[test]
fn a_machine_of_aws_has_a_role() {
    let (machine, tokens) = (machine("node-role\n"), Tokens::new());
    for _ in 0..2 {
        let keys = aws(&Workload::Controller(on_aws(&machine)), &tokens).unwrap();
        assert_eq!(keys.access_key_id, "that of the machine");
        assert_eq!(keys.session_token.unwrap().expose(), "session");
    }
    assert_eq!(
        paths(&machine),
        [
            "PUT /latest/api/token",
            "GET /latest/meta-data/iam/security-credentials/",
            "GET /latest/meta-data/iam/security-credentials/node-role"
        ]
    );
}

#[test]
fn the_agent_of_eks_shows_keys_to_who_has_the_word_of_the_pod() {
    let (machine, tokens) = (machine(""), Tokens::new());
    let file = tempfile::NamedTempFile::new().unwrap();
    let variables = environment(&[
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &format!("{}/v1/credentials", machine.origin())),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file.path().to_str().unwrap()),
    ]);
    let workload = Workload::Controller(variables);
    assert!(matches!(aws(&workload, &tokens), Err(IdentityError::Denied { status: 403, .. })));
    // The file is read each time: EKS replaces it.
    std::fs::write(file.path(), "the pod's word\n").unwrap();
    for _ in 0..2 {
        assert_eq!(aws(&workload, &tokens).unwrap().access_key_id, "that of the agent");
    }
    assert_eq!(machine.seen().len(), 2);
}

#[test]
fn keys_in_variables_need_nobody() {
    let variables = environment(&[("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "secret")]);
    let keys = aws(&Workload::Controller(variables), &Tokens::new()).unwrap();
    assert_eq!((keys.access_key_id.as_str(), keys.session_token.is_none()), ("id", true));
}

#[rstest]
#[case::none("", "the answer of 127.0.0.1 to the request for the role of this machine cannot be understood")]
#[case::path(
    "../../user-data",
    "the answer of 127.0.0.1 to the request for the role of this machine cannot be understood"
)]
#[case::other("other", "127.0.0.1 answers 403 to the request for keys of AWS")]
fn a_machine_without_a_role_is_told(#[case] role: &'static str, #[case] message: &str) {
    let machine = machine(role);
    let error = aws(&Workload::Controller(on_aws(&machine)), &Tokens::new()).err().unwrap();
    assert_eq!(error.to_string(), message);
}

#[test]
fn a_machine_of_azure_has_a_managed_identity() {
    let (machine, tokens) = (machine(""), Tokens::new());
    let workload = Workload::Controller(on_azure(&machine));
    for _ in 0..2 {
        let token = block_on(tokens.azure(&workload, SCOPE, &strict())).unwrap();
        assert_eq!(token.secret.expose(), "of the machine");
        let lasts = token.expires.as_second() - jiff::Timestamp::now().as_second();
        assert!((86_000..=86_400).contains(&lasts), "{lasts}");
    }
    assert_eq!(paths(&machine), ["GET /metadata/identity/oauth2/token"]);
}

// Attack 6 (sources): a tenant's service account never stands for the machine, whatever it lacks.
#[test]
fn nobody_else_has_the_identity_of_the_machine() {
    let (machine, kubernetes) = (machine("node-role"), Arc::new(Kubernetes::default()));
    let on_aws = account(&kubernetes, "eve", &[], on_aws(&machine));
    assert!(matches!(aws(&on_aws, &Tokens::new()), Err(IdentityError::Annotation { .. })));
    let on_azure = account(&kubernetes, "eve", &[], on_azure(&machine));
    let error = block_on(Tokens::new().azure(&on_azure, SCOPE, &strict())).err().unwrap();
    assert!(matches!(error, IdentityError::Annotation { .. }), "{error}");
    assert!(machine.seen().is_empty(), "{:?}", paths(&machine));
}

#[test]
fn where_there_is_no_cloud_it_is_told_what_to_do() {
    let variables = environment(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &nowhere())]);
    let error = aws(&Workload::Controller(variables), &Tokens::new()).err().unwrap().to_string();
    assert!(error.starts_with("the metadata service of EC2 cannot be reached: "), "{error}");
    assert!(error.contains("eks.amazonaws.com/role-arn"), "{error}");

    let variables = environment(&[("AZURE_POD_IDENTITY_AUTHORITY_HOST", &nowhere())]);
    let workload = Workload::Controller(variables);
    let error = block_on(Tokens::new().azure(&workload, SCOPE, &strict())).err().unwrap().to_string();
    assert!(error.starts_with("the metadata service of Azure cannot be reached: "), "{error}");
    assert!(error.contains("azure.workload.identity/use"), "{error}");
}

/// Microsoft Entra, for an application that has a secret.
#[test]
fn an_application_of_azure_may_have_a_secret() {
    let entra = ApiServer::start(|request: &ApiRequest| {
        let is_right = request.path == "/tenant/oauth2/v2.0/token"
            && request.body.contains("client_secret=hunter2")
            && request.body.contains("client_id=client");
        (
            if is_right { 200 } else { 401 },
            json!({ "access_token": "of the application", "expires_in": 3599 }),
        )
    })
    .unwrap();
    let workload = Workload::Controller(environment(&[
        ("AZURE_AUTHORITY_HOST", &entra.origin()),
        ("AZURE_TENANT_ID", "tenant"),
        ("AZURE_CLIENT_ID", "client"),
        ("AZURE_CLIENT_SECRET", "hunter2"),
    ]));
    let token = block_on(Tokens::new().azure(&workload, SCOPE, &Transport::default())).unwrap();
    assert_eq!(token.secret.expose(), "of the application");
}
