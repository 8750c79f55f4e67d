//! Against a real S3-compatible server, whose keys somebody else hands out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use object_store::ObjectStoreExt as _;
use object_store::path::Path;
use plumb_api::{BucketSpec, Reason};
use plumb_source::bucket::{Access, BucketError, BucketFetch, BucketFetched, Provider};
use plumb_source::content::{ContentStore, Limits};
use plumb_source::identity::{Environment, IdentityError, Tokens, Workload};
use plumb_source::transport::{AddressPolicy, Transport, TransportError};
use plumb_test_support::{ApiRequest, ApiServer, Authority, S3, s3};
use plumb_tree::TreePath;
use rstest::rstest;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::workloads::{Kubernetes, account, environment};

struct Bench {
    server: S3,
    store: Arc<ContentStore>,
    _dir: TempDir,
}

impl Bench {
    async fn new() -> Self {
        let server = s3(None).unwrap();
        server.create_bucket("apps").await.unwrap();
        server.bucket("apps").unwrap().put(&Path::from("a"), "one".into()).await.unwrap();
        let dir = TempDir::new().unwrap();
        let store = Arc::new(ContentStore::open(dir.path(), Limits::default()).unwrap());
        Self { server, store, _dir: dir }
    }

    fn spec(&self, fields: Value) -> BucketSpec {
        spec(json!({"endpoint": self.server.host(), "insecure": true, "region": S3::REGION}), fields)
    }

    /// What the object `a` holds.
    async fn read(&self, spec: &BucketSpec, access: Access) -> Result<String, BucketError> {
        match fetch(spec, access)?.fetch(&self.store).await? {
            BucketFetched::New { stored, .. } => {
                let bytes = stored.tree.read(&TreePath::new("a").unwrap(), 9).unwrap();
                Ok(String::from_utf8(bytes).unwrap())
            }
            BucketFetched::Unchanged(revision) => panic!("{revision} is not new"),
        }
    }
}

fn spec(base: Value, fields: Value) -> BucketSpec {
    let mut spec = json!({"interval": "1m", "bucketName": "apps"});
    for (key, value) in [base, fields].iter().flat_map(|fields| fields.as_object().unwrap()) {
        spec[key] = value.clone();
    }
    serde_json::from_value(spec).unwrap()
}

fn fetch(spec: &BucketSpec, access: Access) -> Result<BucketFetch, BucketError> {
    Ok(BucketFetch {
        owner: "uid".to_owned(),
        provider: Provider::of_spec(spec, access)?,
        bucket: "apps".to_owned(),
        prefix: None,
        ignore: None,
        transport: Transport::default(),
        timeout: Duration::from_secs(60),
        known: None,
    })
}

fn of(workload: Workload) -> Access {
    Access::of(workload, Arc::new(Tokens::new()))
}

fn of_controller(pairs: &[(&str, &str)]) -> Access {
    of(Workload::Controller(environment(pairs)))
}

/// The token service of AWS, which gives the keys of the store to one role.
fn sts() -> ApiServer {
    ApiServer::start(|request: &ApiRequest| {
        let is_right = request.body.contains("RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Ftenant")
            && request.body.contains("WebIdentityToken=a+token+of+kubernetes");
        let keys = json!({
            "AccessKeyId": S3::ACCESS_KEY, "SecretAccessKey": S3::SECRET_KEY, "SessionToken": "",
            "Expiration": jiff::Timestamp::now().as_second() as f64 + 3600.0,
        });
        let result = json!({ "AssumeRoleWithWebIdentityResult": { "Credentials": keys } });
        (if is_right { 200 } else { 403 }, json!({ "AssumeRoleWithWebIdentityResponse": result }))
    })
    .unwrap()
}

fn of_account(sts: &ApiServer, kubernetes: &Arc<Kubernetes>, role: &str) -> Access {
    let environment = environment(&[
        ("AWS_ENDPOINT_URL_STS", &sts.origin()),
        // The identity of the controller is not the one of a tenant.
        ("AWS_ACCESS_KEY_ID", S3::ACCESS_KEY),
        ("AWS_SECRET_ACCESS_KEY", S3::SECRET_KEY),
    ]);
    of(account(kubernetes, "ada", &[("eks.amazonaws.com/role-arn", role)], environment))
}

#[tokio::test]
async fn with_the_role_of_a_service_account() {
    let (bench, sts, kubernetes) = (Bench::new().await, sts(), Arc::new(Kubernetes::default()));
    let spec = bench.spec(json!({"provider": "aws", "serviceAccountName": "ada"}));
    let access = of_account(&sts, &kubernetes, "arn:aws:iam::1:role/tenant");
    for _ in 0..2 {
        assert_eq!(bench.read(&spec, access.clone()).await.unwrap(), "one");
    }
    // Keys are kept, also from one fetch to the next.
    assert_eq!((sts.seen().len(), kubernetes.audiences()), (1, vec!["sts.amazonaws.com".to_owned()]));
    assert!(sts.seen()[0].body.contains("RoleSessionName=ada.apps.us-east-1.fluxcd.io"));

    let error = bench.read(&spec, of_account(&sts, &kubernetes, "another")).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot sign in to bucket \"apps\": 127.0.0.1 answers 403 to the request for keys of AWS"
    );
    assert_eq!(error.reason(), Reason::AuthenticationFailed);
}

// Attack 21 (multi-tenancy): a service account that has no identity does not get that of the controller.
#[tokio::test]
async fn and_not_with_the_keys_of_the_controller() {
    let (bench, sts, kubernetes) = (Bench::new().await, sts(), Arc::new(Kubernetes::default()));
    let spec = bench.spec(json!({"provider": "aws", "serviceAccountName": "ada"}));
    let error = bench.read(&spec, of_account(&sts, &kubernetes, "")).await.unwrap_err();
    assert!(
        matches!(&error, BucketError::Identity { error: IdentityError::Annotation { .. }, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn with_what_the_controller_has() {
    let bench = Bench::new().await;
    let spec = bench.spec(json!({"provider": "aws"}));
    let keys = [("AWS_ACCESS_KEY_ID", S3::ACCESS_KEY), ("AWS_SECRET_ACCESS_KEY", S3::SECRET_KEY)];
    assert_eq!(bench.read(&spec, of_controller(&keys)).await.unwrap(), "one");

    let nothing = [("AWS_EC2_METADATA_DISABLED", "true")];
    let error = bench.read(&spec, of_controller(&nothing)).await.unwrap_err();
    assert!(error.to_string().contains("AWS_WEB_IDENTITY_TOKEN_FILE"), "{error}");
}

/// The token service of a store that knows a directory with one person.
fn minio() -> ApiServer {
    ApiServer::start(|request: &ApiRequest| {
        let form: BTreeMap<_, _> =
            url::form_urlencoded::parse(request.body.as_bytes()).into_owned().collect();
        let is_right = form["Action"] == "AssumeRoleWithLDAPIdentity"
            && form["Version"] == "2011-06-15"
            && form["LDAPUsername"] == "ada"
            && form["LDAPPassword"] == "p&w";
        if !is_right {
            return (400, json!("<ErrorResponse>hunter2</ErrorResponse>"));
        }
        let end = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
        let keys = format!(
            "<AccessKeyId>{}</AccessKeyId><SecretAccessKey>{}</SecretAccessKey><Expiration>{end}</Expiration><SessionToken></SessionToken>",
            S3::ACCESS_KEY,
            S3::SECRET_KEY
        );
        (
            200,
            json!(format!(
                "<AssumeRoleWithLDAPIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleWithLDAPIdentityResult>\
                 <Credentials>{keys}</Credentials></AssumeRoleWithLDAPIdentityResult></AssumeRoleWithLDAPIdentityResponse>"
            )),
        )
    })
    .unwrap()
}

fn ldap(minio: &ApiServer) -> Value {
    json!({"sts": {"provider": "ldap", "endpoint": minio.origin(), "secretRef": {"name": "login"}}})
}

fn login(password: &str) -> Access {
    let data = [("username", "ada"), ("password", password)];
    let data = data.map(|(key, value)| (key.to_owned(), value.as_bytes().to_vec()));
    Access { sts_secret: Some(data.into()), ..of_controller(&[]) }
}

#[tokio::test]
async fn as_somebody_whom_a_directory_knows() {
    let (bench, minio) = (Bench::new().await, minio());
    let (spec, access) = (bench.spec(ldap(&minio)), login("p&w"));
    for _ in 0..2 {
        assert_eq!(bench.read(&spec, access.clone()).await.unwrap(), "one");
    }
    assert_eq!(minio.seen().len(), 1);

    // The same person with another password gets nothing that was kept.
    let wrong = Access { tokens: Arc::clone(&access.tokens), ..login("wrong") };
    let error = bench.read(&spec, wrong).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot sign in to bucket \"apps\": 127.0.0.1 answers 400 to the request for keys of the object store"
    );
    // A Secret with keys goes before it, as in Flux.
    let keys = [("accesskey", S3::ACCESS_KEY), ("secretkey", S3::SECRET_KEY)];
    let keys = keys.map(|(key, value)| (key.to_owned(), value.as_bytes().to_vec()));
    let with_keys = Access { secret: Some(keys.into()), ..login("wrong") };
    assert_eq!(bench.read(&spec, with_keys).await.unwrap(), "one");
    assert_eq!(minio.seen().len(), 2);
}

// Attack 6 (sources): the token service of a store is a URL of the tenant.
#[tokio::test]
async fn a_token_service_is_not_where_nobody_may_go() {
    let (bench, minio) = (Bench::new().await, minio());
    let addresses = AddressPolicy::parse("127.0.0.0/8").unwrap();
    let access = Access { transport: Transport { addresses, ..Transport::default() }, ..login("p&w") };
    let error = bench.read(&bench.spec(ldap(&minio)), access).await.unwrap_err();
    let refused = matches!(
        &error,
        BucketError::Identity { error: IdentityError::Transport(TransportError::Refused(_)), .. }
    );
    assert!(refused && minio.seen().is_empty(), "{error}");
}

// Attack 5 (sources): a tenant's proxy with a tenant's certificate would read the token that is sent to the store.
#[rstest]
#[case::gcp(json!({"provider": "gcp", "endpoint": "storage.googleapis.com"}), None)]
#[case::azure(json!({"provider": "azure", "endpoint": "https://a.blob.core.windows.net"}), None)]
#[case::azure_machine(json!({"provider": "azure", "endpoint": "https://a.blob.core.windows.net"}), Some("clientId"))]
#[tokio::test]
async fn the_token_of_the_controller_is_not_shown_to_what_a_tenant_trusts(
    #[case] fields: Value,
    #[case] key: Option<&str>,
) {
    let bench = Bench::new().await;
    let secret = key.map(|key| [(key.to_owned(), b"x".to_vec())].into());
    let access = Access { secret, ..of(Workload::Controller(Environment::default())) };
    let ca = Authority::new().unwrap().ca_pem().as_bytes().to_vec();
    let fetch = fetch(&spec(json!({}), fields), access).unwrap();
    let fetch = BucketFetch { transport: Transport { ca: Some(ca), ..Transport::default() }, ..fetch };
    let error = fetch.fetch(&bench.store).await.unwrap_err();
    assert!(error.to_string().contains("only ca.crt vouches for"), "{error}");
    assert_eq!(error.reason(), Reason::InvalidProviderConfiguration);
}

#[rstest]
#[case::ldap_of_aws(json!({"provider": "aws", "sts": {"provider": "ldap", "endpoint": "https://m.example"}}), "the provider ldap needs the bucket provider generic")]
#[case::secret_of_aws(
    json!({"provider": "aws", "sts": {"provider": "aws", "endpoint": "https://sts.amazonaws.com", "secretRef": {"name": "x"}}}),
    "secretRef and certSecretRef are for the provider ldap only"
)]
#[case::no_login(json!({"sts": {"provider": "ldap", "endpoint": "https://m.example"}}), "the provider ldap needs sts.secretRef")]
#[case::password_in_url(json!({"sts": {"provider": "ldap", "endpoint": "https://a:pass@m.example"}}), "its endpoint has to be a URL like")]
#[case::region(json!({"provider": "aws", "region": "eu/west"}), "spec.region is not the name of a region")]
fn what_cannot_work_is_told_before_anything_is_sent(#[case] fields: Value, #[case] expected: &str) {
    let spec = spec(json!({"endpoint": "s3.example"}), fields);
    let Err(error) = Provider::of_spec(&spec, of_controller(&[])) else { panic!("it was accepted") };
    assert!(error.to_string().contains(expected) && !error.to_string().contains("pass@"), "{error}");
    assert!(error.needs_a_change());
}

#[test]
fn a_role_of_a_service_account_needs_a_region() {
    let spec = spec(json!({"endpoint": "s3.amazonaws.com"}), json!({"provider": "aws"}));
    let kubernetes = Arc::new(Kubernetes::default());
    let access = of(account(&kubernetes, "ada", &[], Environment::default()));
    let Err(error) = Provider::of_spec(&spec, access) else { panic!("it was accepted") };
    assert!(error.to_string().contains("spec.serviceAccountName needs spec.region"), "{error}");
}
