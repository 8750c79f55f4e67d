use std::collections::BTreeMap;
use std::sync::Arc;

use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use plumb_api::{GitProvider, GitReference};
use plumb_source::git::{Credentials, Fetch, GitError, GitUrl, Limits, Login, sign_in};
use plumb_source::identity::{DEVOPS_SCOPE, Environment, IdentityError, Tokens, VaultLogin, Workload};
use plumb_source::transport::{AddressPolicy, Transport};
use plumb_test_support::{ApiRequest, ApiServer, Auth, GitServerOptions};
use rcgen::{KeyPair, PKCS_RSA_SHA256};
use rstest::rstest;
use serde_json::json;

use crate::workloads::{Kubernetes, account, block_on, environment};
use crate::{Bench, fetch_of, read, snapshot};

/// What GitHub's clock says in an hour.
fn in_an_hour() -> String {
    (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1)).to_string()
}

/// GitHub, which knows one App by its key and has one installation of it.
fn github(key: &KeyPair, lasts_until: String) -> ApiServer {
    let key = DecodingKey::from_rsa_der(key.public_key_raw());
    ApiServer::start(move |request: &ApiRequest| {
        let mut validation = Validation::new(Algorithm::RS256);
        validation.set_issuer(&["4711"]);
        validation.set_required_spec_claims(&["exp", "iss"]);
        let word = request.authorization.as_deref().unwrap_or_default().trim_start_matches("Bearer ");
        let known = jsonwebtoken::decode::<serde_json::Value>(word, &key, &validation).is_ok();
        match (known, request.method.as_str(), request.path.as_str()) {
            (false, ..) => (401, json!({ "message": "who are you? hunter2" })),
            (_, "GET", "/api/v3/users/ada/installation") => (200, json!({ "id": 42 })),
            (_, "POST", "/api/v3/app/installations/42/access_tokens") => {
                (201, json!({ "token": "ghs_correct", "expires_at": lasts_until }))
            }
            _ => (404, json!({})),
        }
    })
    .unwrap()
}

fn app(key: &KeyPair, api: &ApiServer, installation: (&str, &str)) -> BTreeMap<String, Vec<u8>> {
    let pairs = [
        ("githubAppID", "4711".to_owned()),
        ("githubAppPrivateKey", key.serialize_pem()),
        ("githubAppBaseURL", api.origin()),
        (installation.0, installation.1.to_owned()),
    ];
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value.into_bytes())).collect()
}

fn nobody() -> Workload {
    Workload::Controller(Environment::default())
}

fn private(auth: Auth) -> Bench {
    let bench = Bench::with(GitServerOptions { auth, ..GitServerOptions::default() }, Limits::default());
    bench.repo.write("file", "bytes").unwrap().commit("one").unwrap();
    bench
}

fn fetch_with(bench: &Bench, login: Login) -> String {
    let credentials = Credentials { login, ..Credentials::default() };
    let fetch = Fetch { credentials, ..fetch_of(bench.url(), GitReference::Branch("main".to_owned())) };
    read(&snapshot(bench.fetch(&fetch)), "file")
}

fn github_login(
    bench: &Bench,
    secret: &BTreeMap<String, Vec<u8>>,
    tokens: &Tokens,
) -> Result<Login, GitError> {
    let (url, workload, transport) = (bench.url(), nobody(), Transport::default());
    block_on(sign_in(GitProvider::Github, &url, Some(secret), &workload, &transport, tokens))
        .map(Option::unwrap)
}

#[rstest]
#[case(("githubAppInstallationID", "42"), 1)]
#[case(("githubAppInstallationOwner", "ada"), 3)]
fn a_github_app_gets_a_token_and_keeps_it(#[case] installation: (&str, &str), #[case] requests: usize) {
    let key = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
    let github = github(&key, in_an_hour());
    let bench =
        private(Auth::Basic { username: "x-access-token".to_owned(), password: "ghs_correct".to_owned() });
    let (tokens, secret) = (Tokens::new(), app(&key, &github, installation));
    for _ in 0..2 {
        assert_eq!(fetch_with(&bench, github_login(&bench, &secret, &tokens).unwrap()), "bytes");
    }
    assert_eq!(github.seen().len(), requests, "{:?}", github.seen());
}

#[test]
fn a_token_that_is_over_is_asked_for_again() {
    let key = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
    let github = github(&key, "2026-01-01T00:00:00Z".to_owned());
    let bench = private(Auth::Anonymous);
    let (tokens, secret) = (Tokens::new(), app(&key, &github, ("githubAppInstallationID", "42")));
    for requests in 1..=2 {
        github_login(&bench, &secret, &tokens).unwrap();
        assert_eq!(github.seen().len(), requests);
    }
}

#[test]
fn a_github_app_with_another_key_gets_none() {
    let key = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
    let github = github(&KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap(), in_an_hour());
    let bench = private(Auth::Anonymous);
    let secret = app(&key, &github, ("githubAppInstallationID", "42"));
    let error = github_login(&bench, &secret, &Tokens::new()).err().unwrap();
    let denied = IdentityError::Denied {
        endpoint: "127.0.0.1".to_owned(),
        status: 401,
        what: "a token of the GitHub App",
    };
    assert_eq!(error, GitError::Identity { url: bench.server.url(), error: denied });
    // What a server says is not repeated: it may be a server that the tenant should not be able to read.
    assert!(!error.to_string().contains("hunter2"), "{error}");
}

// Attack 6 (sources): the API of a GitHub App is a URL of the tenant.
#[rstest]
#[case("http://169.254.169.254")]
#[case("http://localhost:1")]
fn the_api_of_a_github_app_is_not_where_nobody_may_go(#[case] base: &str) {
    let key = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
    let api = ApiServer::start(|_| (200, json!({}))).unwrap();
    let mut secret = app(&key, &api, ("githubAppInstallationID", "42"));
    secret.insert("githubAppBaseURL".to_owned(), base.as_bytes().to_vec());
    let addresses = AddressPolicy::parse("169.254.0.0/16,127.0.0.0/8,::1").unwrap();
    let transport = Transport { addresses, ..Transport::default() };
    let (url, tokens) = (GitUrl::parse("https://github.com/a/b").unwrap(), Tokens::new());
    let workload = nobody();
    let login = sign_in(GitProvider::Github, &url, Some(&secret), &workload, &transport, &tokens);
    let error = block_on(login).err().unwrap();
    assert!(error.to_string().contains("is at an address that must not be reached"), "{error}");
}

/// Microsoft Entra, which answers with a token that tells the client.
fn entra() -> ApiServer {
    ApiServer::start(|request: &ApiRequest| {
        let form: BTreeMap<_, _> =
            url::form_urlencoded::parse(request.body.as_bytes()).into_owned().collect();
        let is_right = request.path == "/tenant-1/oauth2/v2.0/token"
            && form["grant_type"] == "client_credentials"
            && form["scope"] == DEVOPS_SCOPE
            && form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
            && form["client_assertion"] == "a token of kubernetes";
        if is_right {
            (200, json!({ "access_token": format!("for {}", form["client_id"]), "expires_in": 3599 }))
        } else {
            (400, json!({ "error": "invalid_request" }))
        }
    })
    .unwrap()
}

#[test]
fn azure_gives_a_token_for_the_one_of_the_controller() {
    let (entra, file) = (entra(), tempfile::NamedTempFile::new().unwrap());
    std::fs::write(file.path(), "a token of kubernetes\n").unwrap();
    let workload = Workload::Controller(environment(&[
        ("AZURE_AUTHORITY_HOST", &format!("{}/", entra.origin())),
        ("AZURE_TENANT_ID", "tenant-1"),
        ("AZURE_CLIENT_ID", "client-1"),
        ("AZURE_FEDERATED_TOKEN_FILE", file.path().to_str().unwrap()),
    ]));
    let tokens = Tokens::new();
    let bench = private(Auth::Bearer("for client-1".to_owned()));
    for _ in 0..2 {
        let token = block_on(tokens.azure(&workload, DEVOPS_SCOPE, &Transport::default())).unwrap();
        assert_eq!(fetch_with(&bench, Login::Bearer(token.secret)), "bytes");
    }
    assert_eq!(entra.seen().len(), 1);
}

#[test]
fn azure_gives_a_token_for_the_one_of_a_service_account() {
    let (entra, kubernetes, tokens) = (entra(), Arc::new(Kubernetes::default()), Tokens::new());
    let token = |name: &str, tenant: &str, client: &str| {
        let annotations =
            [("azure.workload.identity/tenant-id", tenant), ("azure.workload.identity/client-id", client)];
        // The identity of the controller is not the one of a tenant.
        let environment =
            environment(&[("AZURE_AUTHORITY_HOST", &entra.origin()), ("AZURE_CLIENT_ID", "client-1")]);
        let workload = account(&kubernetes, name, &annotations, environment);
        block_on(tokens.azure(&workload, DEVOPS_SCOPE, &Transport::default()))
            .map(|token| token.secret.expose().clone())
    };
    assert_eq!(token("ada", "tenant-1", "client-2").unwrap(), "for client-2");
    assert_eq!(token("ada", "tenant-1", "client-2").unwrap(), "for client-2");
    // Whoever writes the same annotations does not get what another one was given.
    assert_eq!(token("eve", "tenant-1", "client-2").unwrap(), "for client-2");
    assert_eq!(entra.seen().len(), 2);
    assert_eq!(kubernetes.audiences(), ["api://AzureADTokenExchange"; 2]);
    assert!(matches!(token("ada", "../x", "client-2"), Err(IdentityError::Malformed { .. })));
    assert!(matches!(token("ada", "tenant-1", ""), Err(IdentityError::Annotation { .. })));
    assert!(matches!(token("ada", "tenant-2", "client-2"), Err(IdentityError::Denied { status: 400, .. })));
}

/// The token service of AWS.
fn sts() -> ApiServer {
    ApiServer::start(|request: &ApiRequest| {
        let form: BTreeMap<_, _> =
            url::form_urlencoded::parse(request.body.as_bytes()).into_owned().collect();
        if form["Action"] != "AssumeRoleWithWebIdentity"
            || form["Version"] != "2011-06-15"
            || form["WebIdentityToken"] != "a token of kubernetes"
            || request.accept.as_deref() != Some("application/json")
        {
            return (403, json!({}));
        }
        let keys = json!({
            "AccessKeyId": format!("key of {}", form["RoleArn"]),
            "SecretAccessKey": "secret",
            "SessionToken": form["RoleSessionName"],
            "Expiration": jiff::Timestamp::now().as_second() as f64 + 3600.0,
        });
        let result = json!({ "AssumeRoleWithWebIdentityResult": { "Credentials": keys } });
        (200, json!({ "AssumeRoleWithWebIdentityResponse": result }))
    })
    .unwrap()
}

#[test]
fn aws_gives_keys_for_the_token_of_the_controller() {
    let (sts, file) = (sts(), tempfile::NamedTempFile::new().unwrap());
    std::fs::write(file.path(), "a token of kubernetes\n").unwrap();
    let workload = Workload::Controller(environment(&[
        ("AWS_ENDPOINT_URL_STS", &sts.origin()),
        ("AWS_ROLE_ARN", "arn:aws:iam::1:role/reader"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", file.path().to_str().unwrap()),
    ]));
    let (tokens, transport) = (Tokens::new(), Transport::default());
    let url = GitUrl::parse("https://git-codecommit.eu-west-1.amazonaws.com/v1/repos/app").unwrap();
    for _ in 0..2 {
        let login = sign_in(GitProvider::Aws, &url, None, &workload, &transport, &tokens);
        let Some(Login::Basic { username, password }) = block_on(login).unwrap() else {
            panic!("CodeCommit wants a user name and a password")
        };
        assert_eq!(username, "key of arn:aws:iam::1:role/reader%plumbline");
        // The time, a Z, and a signature.
        let (time, signature) = password.expose().split_once('Z').unwrap();
        assert_eq!((time.len(), signature.len()), ("20261123T080910".len(), 64));
    }
    assert_eq!(sts.seen().len(), 1);
}

#[test]
fn aws_gives_keys_for_the_token_of_a_service_account() {
    let (sts, kubernetes, tokens) = (sts(), Arc::new(Kubernetes::default()), Tokens::new());
    let environment =
        environment(&[("AWS_ENDPOINT_URL_STS", &sts.origin()), ("AWS_ROLE_ARN", "that of the controller")]);
    let role = [("eks.amazonaws.com/role-arn", "arn:aws:iam::1:role/tenant")];
    let workload = account(&kubernetes, "ada", &role, environment.clone());
    let keys = block_on(tokens.aws(&workload, "eu-west-1", &Transport::default())).unwrap();
    assert_eq!(keys.access_key_id, "key of arn:aws:iam::1:role/tenant");
    assert_eq!(keys.session_token.unwrap().expose(), "ada.apps.eu-west-1.fluxcd.io");
    assert_eq!(kubernetes.audiences(), ["sts.amazonaws.com"]);
    let without = account(&kubernetes, "ada", &[], environment);
    let error = block_on(tokens.aws(&without, "eu-west-1", &Transport::default())).err().unwrap();
    assert_eq!(
        error.to_string(),
        "the service account apps/ada has no usable annotation eks.amazonaws.com/role-arn, which names its identity in the cloud"
    );
}

#[test]
fn vault_gives_a_token_for_the_one_of_a_service_account() {
    let vault = ApiServer::start(|request: &ApiRequest| {
        let body: serde_json::Value = serde_json::from_str(&request.body).unwrap();
        let is_right = request.path == "/v1/auth/kubernetes/login" && body["jwt"] == "a token of kubernetes";
        match (is_right, body["role"].as_str()) {
            (true, Some("apps_ada")) => {
                (200, json!({ "auth": { "client_token": "hvs.token", "lease_duration": 3600 } }))
            }
            _ => (403, json!({ "errors": ["hunter2"] })),
        }
    })
    .unwrap();
    let (kubernetes, tokens, address) = (Arc::new(Kubernetes::default()), Tokens::new(), vault.origin());
    let login = VaultLogin::new(&address, "auth/kubernetes/login").unwrap();
    let token = |name: &str| {
        let Workload::ServiceAccount(account) = account(&kubernetes, name, &[], Environment::default())
        else {
            panic!("it is one")
        };
        let token = block_on(tokens.vault(&login, &account, &Transport::default()));
        token.map(|token| token.secret.expose().clone()).map_err(|error| error.to_string())
    };
    assert_eq!(token("ada"), Ok("hvs.token".to_owned()));
    assert_eq!(token("ada"), Ok("hvs.token".to_owned()));
    assert_eq!(token("eve"), Err("127.0.0.1 answers 403 to the request for a token of Vault".to_owned()));
    assert_eq!(vault.seen().len(), 2);
    assert_eq!(kubernetes.audiences(), [address.clone(), address]);
}
