//! Against a server that says what no honest one does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::http::Uri;
use axum::response::Response;
use plumb_api::{BucketSpec, Reason};
use plumb_source::bucket::{BucketError, BucketFetch, BucketFetched, Provider};
use plumb_source::content::{ContentError, ContentStore, Limits, Stored};
use plumb_source::transport::{Transport, TransportError};
use plumb_tree::TreePath;
use rstest::rstest;
use serde_json::json;
use tempfile::TempDir;

use crate::web::{Web, bytes, endless, status};
use crate::workloads::with_secret;

/// A bucket as an S3 server shows it: what is listed, and what can be had.
#[derive(Clone, Default)]
struct Shown {
    /// Key, tag, size.
    listed: Vec<(String, String, usize)>,
    objects: BTreeMap<String, String>,
}

impl Shown {
    fn with(mut self, key: &str, text: &str) -> Self {
        self.listed.push((key.to_owned(), format!("tag-of-{text}"), text.len()));
        self.objects.insert(format!("/apps/{}", key.trim_start_matches('/')), text.to_owned());
        self
    }

    fn answer(&self, uri: &Uri) -> Response {
        if uri.query().is_some_and(|query| query.contains("list-type=2")) {
            return bytes(self.listing(""));
        }
        match self.objects.get(uri.path()) {
            Some(text) => Response::builder()
                .header(
                    "etag",
                    if text.is_empty() { "d41d8".to_owned() } else { format!("\"tag-of-{text}\"") },
                )
                .header("last-modified", "Thu, 01 Jan 2026 00:00:00 GMT")
                .body(text.clone().into())
                .unwrap(),
            None => status(404),
        }
    }

    fn listing(&self, more: &str) -> String {
        let contents = self.listed.iter().map(|(key, tag, size)| {
            format!(
                "<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>\
                 <ETag>&quot;{tag}&quot;</ETag><Size>{size}</Size></Contents>"
            )
        });
        format!(
            "<?xml version=\"1.0\"?><ListBucketResult>{}{more}</ListBucketResult>",
            contents.collect::<String>()
        )
    }
}

async fn serving(shown: Shown) -> Web {
    Web::start(move |uri, _| shown.answer(uri)).await
}

struct Bench {
    store: Arc<ContentStore>,
    _dir: TempDir,
}

impl Bench {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let limits = Limits { entries: 100, file_bytes: 1000, ..Limits::default() };
        Self { store: Arc::new(ContentStore::open(dir.path(), limits).unwrap()), _dir: dir }
    }

    async fn new_tree(&self, fetch: &BucketFetch) -> Stored {
        match fetch.fetch(&self.store).await.unwrap() {
            BucketFetched::New { stored, .. } => stored,
            BucketFetched::Unchanged(revision) => panic!("{revision} is not new"),
        }
    }
}

fn fetch(web: &Web) -> BucketFetch {
    let spec = spec(json!({"endpoint": web.host(), "insecure": true}));
    BucketFetch {
        owner: "uid".to_owned(),
        provider: Provider::of_spec(&spec, with_secret(None)).unwrap(),
        bucket: "apps".to_owned(),
        prefix: None,
        ignore: None,
        transport: Transport::default(),
        timeout: Duration::from_secs(60),
        known: None,
    }
}

fn spec(fields: serde_json::Value) -> BucketSpec {
    let mut spec = json!({"interval": "1m", "bucketName": "apps", "endpoint": "minio.example.com"});
    for (key, value) in fields.as_object().unwrap() {
        spec[key] = value.clone();
    }
    serde_json::from_value(spec).unwrap()
}

// Attack 10 (CVE-2026-47680): the key of an object is not the name of a file of ours.
#[rstest]
#[case("../../x")]
#[case("a/../../x")]
#[case("a/..")]
#[case("a//b")]
#[case("a/./b")]
#[case("..\\..\\x")]
#[case("a\\b")]
#[case("a&#1;b")]
#[tokio::test]
async fn a_key_that_leads_elsewhere_refuses_the_bucket(#[case] key: &str) {
    let (bench, web) = (Bench::new(), serving(Shown::default().with("fine", "x").with(key, "evil")).await);
    let error = fetch(&web).fetch(&bench.store).await.unwrap_err();
    assert!(matches!(error, BucketError::InvalidKey { .. } | BucketError::Failed { .. }), "{error:?}");
    assert_eq!((error.reason(), error.needs_a_change()), (Reason::BucketOperationFailed, false));
}

// Attack 10: keys that end in a slash, or begin with one.
#[rstest]
#[case::with_files_below(&["dir/", "dir/file"], &["dir"])]
#[case::alone(&["alone/", "file"], &["file"])]
#[case::absolute(&["/etc/passwd", "file"], &["file"])]
#[tokio::test]
async fn what_only_looks_like_a_directory_is_passed_over(#[case] keys: &[&str], #[case] expected: &[&str]) {
    let mut shown = Shown::default();
    for key in keys {
        shown.listed.push(((*key).to_owned(), "d41d8".to_owned(), 0));
        if !key.starts_with('/') && !key.ends_with('/') {
            shown.objects.insert(format!("/apps/{key}"), String::new());
        }
    }
    let (bench, web) = (Bench::new(), serving(shown).await);
    let fetch = fetch(&web);
    let BucketFetched::New { revision, stored } = fetch.fetch(&bench.store).await.unwrap() else {
        panic!("new")
    };
    let names: Vec<_> =
        stored.tree.list(&TreePath::root()).unwrap().into_iter().map(|entry| entry.name).collect();
    assert_eq!(names, expected);
    // They are remembered: the next look needs no download to know that nothing has changed.
    let known = BucketFetch { known: Some(revision), ..fetch };
    known.fetch(&bench.store).await.unwrap();
    let before = web.seen().len();
    assert!(matches!(known.fetch(&bench.store).await.unwrap(), BucketFetched::Unchanged(_)));
    assert_eq!(web.seen().len(), before + 2, "the listing and .sourceignore");
}

#[tokio::test]
async fn only_what_has_changed_is_downloaded() {
    let bench = Bench::new();
    let shown = Shown::default().with("a", "one").with("b", "two");
    let first = serving(shown).await;
    let fetch_first = fetch(&first);
    let stored = bench.new_tree(&fetch_first).await;
    assert_eq!(first.seen().len(), 4, "the listing, .sourceignore, and both: {:?}", first.seen());

    let known = BucketFetch { known: None, ..fetch_first.clone() };
    bench.new_tree(&known).await;
    assert_eq!(first.seen().len(), 6, "the listing and .sourceignore");

    // The same place with other objects: one has changed, one is new.
    let changed = Web::start(move |uri, before| {
        let shown = match before {
            0..4 => Shown::default().with("a", "one").with("b", "two"),
            _ => Shown::default().with("a", "one").with("b", "other").with("c", "new"),
        };
        shown.answer(uri)
    })
    .await;
    let fetch = fetch(&changed);
    bench.new_tree(&fetch).await;
    let tree = bench.new_tree(&fetch).await;
    let mut asked = changed.seen().split_off(6);
    asked.sort();
    assert_eq!(asked, ["/apps/b", "/apps/c"]);
    assert_eq!(tree.tree.read(&TreePath::new("a").unwrap(), 9).unwrap(), b"one");
    drop(stored);

    // Somebody else has to download for themselves.
    let other = BucketFetch { owner: "another".to_owned(), ..fetch };
    bench.new_tree(&other).await;
    assert_eq!(changed.seen().len(), 8 + 5);
}

#[tokio::test]
async fn an_object_that_vanishes_between_listing_and_download_is_left_out() {
    let mut shown = Shown::default().with("a", "one").with("b", "two");
    shown.objects.remove("/apps/b");
    let (bench, web) = (Bench::new(), serving(shown).await);
    let BucketFetched::New { revision, stored } = fetch(&web).fetch(&bench.store).await.unwrap() else {
        panic!("new")
    };
    assert_eq!(stored.tree.list(&TreePath::root()).unwrap().len(), 1);
    let known = BucketFetch { known: Some(revision), ..fetch(&web) };
    assert!(matches!(known.fetch(&bench.store).await.unwrap(), BucketFetched::Unchanged(_)));
}

#[tokio::test]
async fn a_bucket_that_is_too_large_is_refused() {
    let many = (0..101).fold(Shown::default(), |shown, n| shown.with(&format!("{n}"), ""));
    let error = fetch(&serving(many).await).fetch(&Bench::new().store).await.unwrap_err();
    assert_eq!(
        error,
        BucketError::Content(ContentError::TooMuch { what: "files and directories", limit: 100 })
    );

    let large = Shown::default().with("a", &"x".repeat(1001));
    let error = fetch(&serving(large).await).fetch(&Bench::new().store).await.unwrap_err();
    assert_eq!(error, BucketError::Content(ContentError::TooMuch { what: "bytes in a file", limit: 1000 }));
}

#[tokio::test]
async fn a_listing_without_end_is_left() {
    let page = Shown::default().with("a", "x").listing("<NextContinuationToken>more</NextContinuationToken>");
    let web = Web::start(move |_, _| bytes(page.clone())).await;
    let fetch_ = BucketFetch { timeout: Duration::from_millis(500), ..fetch(&web) };
    let error = fetch_.fetch(&Bench::new().store).await.unwrap_err();
    assert!(matches!(error, BucketError::TimedOut { .. }), "{error}");

    let web = Web::start(|_, _| endless(vec![b' '; 17 << 20])).await;
    let error = fetch(&web).fetch(&Bench::new().store).await.unwrap_err();
    assert!(error.to_string().contains("more than 16777216 bytes"), "{error}");
}

// Attack 6: nobody makes us ask where clouds keep their credentials.
#[tokio::test]
async fn credentials_of_the_machine_are_not_asked_for() {
    let spec = spec(json!({"endpoint": "169.254.169.254", "insecure": true}));
    let provider = Provider::of_spec(&spec, with_secret(None)).unwrap();
    let web = serving(Shown::default()).await;
    let error = BucketFetch { provider, ..fetch(&web) }.fetch(&Bench::new().store).await.unwrap_err();
    assert!(matches!(error, BucketError::Transport(TransportError::Refused(_))), "{error}");
}

fn secret(keys: &[&str]) -> BTreeMap<String, Vec<u8>> {
    keys.iter().map(|key| ((*key).to_owned(), format!("content-of-{key}").into_bytes())).collect()
}

#[rstest]
#[case::scheme(json!({"endpoint": "https://minio.example.com"}), None, "it is a host and perhaps a port, without a scheme")]
#[case::path(json!({"endpoint": "minio.example.com/x"}), None, "it has to be a host, without user, path or query")]
#[case::user(json!({"endpoint": "user:pass@minio.example.com"}), None, "it has to be a host, without user, path or query")]
#[case::no_secret_key(json!({}), Some(&["accesskey"] as &[&str]), "no key \"secretkey\"")]
#[case::gcp(json!({"provider": "gcp"}), Some(&["accesskey"] as &[&str]), "no key \"serviceaccount\"")]
#[case::azure(json!({"provider": "azure", "endpoint": "https://a.blob.core.windows.net"}), Some(&["x"] as &[&str]), "no key \"accountKey\"")]
#[case::azure_tenant(json!({"provider": "azure", "endpoint": "https://a.blob.core.windows.net"}), Some(&["tenantId", "clientId"] as &[&str]), "no key \"clientSecret\"")]
#[case::azure_certificate(json!({"provider": "azure", "endpoint": "https://a.blob.core.windows.net"}), Some(&["tenantId", "clientId", "clientCertificate"] as &[&str]), "is not supported; use clientSecret")]
#[case::azure_http(json!({"provider": "azure", "endpoint": "http://a.blob.core.windows.net"}), Some(&["accountKey"] as &[&str]), "needs https")]
#[case::azure_elsewhere(json!({"provider": "azure", "endpoint": "https://evil.example.com"}), None, "the identity of a workload is shown to no other")]
#[case::azure_elsewhere_with_client(json!({"provider": "azure", "endpoint": "https://evil.example.com"}), Some(&["clientId"] as &[&str]), "the identity of a workload is shown to no other")]
#[case::sts_generic(json!({"sts": {"provider": "aws", "endpoint": "https://sts.amazonaws.com"}}), None, "needs the bucket provider aws")]
#[case::sts_elsewhere(json!({"provider": "aws", "sts": {"provider": "aws", "endpoint": "https://sts.evil.com"}}), None, "amazonaws.com")]
#[case::sts_of_a_customer(json!({"provider": "aws", "sts": {"provider": "aws", "endpoint": "https://sts-evil.s3.amazonaws.com"}}), None, "amazonaws.com")]
#[case::sts_in_a_name(json!({"provider": "aws", "sts": {"provider": "aws", "endpoint": "https://sts.evil.elb.amazonaws.com"}}), None, "amazonaws.com")]
#[case::sts_path(json!({"provider": "aws", "sts": {"provider": "aws", "endpoint": "https://evil.com/sts.amazonaws.com"}}), None, "amazonaws.com")]
#[case::sts_http(json!({"provider": "aws", "sts": {"provider": "aws", "endpoint": "http://sts.amazonaws.com"}}), None, "amazonaws.com")]
fn what_cannot_work_is_told_before_anything_is_sent(
    #[case] fields: serde_json::Value,
    #[case] keys: Option<&[&str]>,
    #[case] expected: &str,
) {
    let data = keys.map(secret);
    let Err(error) = Provider::of_spec(&spec(fields), with_secret(data)) else { panic!("it was accepted") };
    assert!(error.to_string().contains(expected), "{error}");
    assert!(!error.to_string().contains("content-of") && !error.to_string().contains("pass"), "{error}");
    assert!(error.needs_a_change());
}

#[rstest]
#[case(json!({"provider": "aws", "endpoint": "s3.amazonaws.com"}), None)]
#[case(json!({"provider": "aws", "sts": {"provider": "aws", "endpoint": "https://sts.eu-west-1.amazonaws.com"}}), None)]
#[case(json!({"provider": "aws", "sts": {"provider": "aws", "endpoint": "https://sts.amazonaws.com"}}), None)]
#[case(json!({"provider": "aws", "sts": {"provider": "aws", "endpoint": "https://sts-fips.us-east-1.amazonaws.com"}}), None)]
#[case(json!({"provider": "aws", "sts": {"provider": "aws", "endpoint": "https://sts.cn-north-1.amazonaws.com.cn"}}), None)]
#[case(json!({"provider": "aws", "sts": {"provider": "aws", "endpoint": "https://vpce-0a1b.sts.us-east-1.vpce.amazonaws.com"}}), None)]
#[case(json!({"provider": "gcp", "endpoint": "storage.googleapis.com"}), Some(&["serviceaccount"] as &[&str]))]
#[case(json!({"provider": "azure", "endpoint": "https://a.blob.core.windows.net"}), None)]
#[case(json!({"provider": "azure", "endpoint": "https://a.example.com"}), Some(&["sasKey"] as &[&str]))]
#[case(json!({"provider": "azure", "endpoint": "https://a.example.com"}), Some(&["tenantId", "clientId", "clientSecret"] as &[&str]))]
fn what_flux_accepts_is_accepted(#[case] fields: serde_json::Value, #[case] keys: Option<&[&str]>) {
    Provider::of_spec(&spec(fields), with_secret(keys.map(secret))).map(drop).unwrap();
}

#[tokio::test]
async fn names_that_would_change_the_address_are_refused() {
    let web = serving(Shown::default()).await;
    for bucket in ["", "..", "a/b", "a?b", "a#b", "a@b", "a%2fb"] {
        let fetch = BucketFetch { bucket: bucket.to_owned(), ..fetch(&web) };
        let error = fetch.fetch(&Bench::new().store).await.unwrap_err();
        assert_eq!(error, BucketError::InvalidName(bucket.to_owned()));
    }
    assert!(web.seen().is_empty());
}

#[tokio::test]
async fn azure_and_google_are_read_too() {
    let bench = Bench::new();
    let azure = Web::start(|uri, _| match uri.path() {
        "/apps" => bytes(
            "<?xml version=\"1.0\"?><EnumerationResults><Blobs><Blob><Name>a</Name><Properties>\
             <Last-Modified>Thu, 01 Jan 2026 00:00:00 GMT</Last-Modified><Etag>0x1</Etag><Content-Length>1</Content-Length>\
             <Content-Type>x</Content-Type></Properties></Blob></Blobs><NextMarker/></EnumerationResults>",
        ),
        "/apps/a" => Response::builder()
            .header("etag", "\"0x1\"")
            .header("last-modified", "Thu, 01 Jan 2026 00:00:00 GMT")
            .body("1".into())
            .unwrap(),
        _ => status(404),
    })
    .await;
    let fields = json!({"provider": "azure", "endpoint": azure.url(""), "insecure": true});
    let data = BTreeMap::from([("sasKey".to_owned(), b"?sv=2026&sig=c2VjcmV0".to_vec())]);
    let provider = Provider::of_spec(&spec(fields), with_secret(Some(data))).unwrap();
    let fetch_azure = BucketFetch { provider, ..fetch(&azure) };
    let stored = bench.new_tree(&fetch_azure).await;
    assert_eq!(stored.tree.read(&TreePath::new("a").unwrap(), 9).unwrap(), b"1");
    assert!(azure.seen().iter().all(|seen| seen.contains("sig=")), "{:?}", azure.seen());
    let gone = BucketFetch { bucket: "other".to_owned(), ..fetch_azure };
    let error = gone.fetch(&bench.store).await.unwrap_err().to_string();
    assert!(!error.contains("c2VjcmV0"), "{error}");

    let google = serving(Shown::default().with("a", "one")).await;
    let key = json!({
        "type": "service_account", "private_key": "", "private_key_id": "", "client_email": "",
        "gcs_base_url": google.url(""), "disable_oauth": true,
    });
    let data = BTreeMap::from([("serviceaccount".to_owned(), key.to_string().into_bytes())]);
    let provider = Provider::of_spec(&spec(json!({"provider": "gcp"})), with_secret(Some(data))).unwrap();
    let stored = bench.new_tree(&BucketFetch { provider, ..fetch(&google) }).await;
    assert_eq!(stored.tree.read(&TreePath::new("a").unwrap(), 9).unwrap(), b"one");
}
