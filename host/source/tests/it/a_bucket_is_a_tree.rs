//! Against a real S3-compatible server.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use object_store::aws::AmazonS3;
use object_store::path::Path;
use object_store::{ObjectStore as _, ObjectStoreExt as _};
use plumb_api::{BucketSpec, Reason};
use plumb_source::bucket::{BucketError, BucketFetch, BucketFetched, Provider};
use plumb_source::content::{ContentStore, Limits, Stored};
use plumb_source::transport::Transport;
use plumb_test_support::{Authority, S3, s3};
use plumb_tree::{EntryKind, TreePath};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::workloads::with_secret;

struct Bench {
    server: S3,
    bucket: AmazonS3,
    store: Arc<ContentStore>,
    _dir: TempDir,
}

impl Bench {
    async fn new() -> Self {
        Self::with(None).await
    }

    async fn with(tls: Option<&Authority>) -> Self {
        let server = s3(tls).unwrap();
        server.create_bucket("apps").await.unwrap();
        let dir = TempDir::new().unwrap();
        let store = Arc::new(ContentStore::open(dir.path(), Limits::default()).unwrap());
        let bucket = server.bucket("apps").unwrap();
        Self { server, bucket, store, _dir: dir }
    }

    async fn put(&self, key: &str, text: &str) {
        self.bucket.put(&Path::parse(key).unwrap(), text.to_owned().into()).await.unwrap();
    }

    fn fetch(&self) -> BucketFetch {
        let spec = spec(self.server.host(), self.server.origin().starts_with("http:"));
        BucketFetch {
            owner: "uid".to_owned(),
            provider: Provider::of_spec(&spec, with_secret(Some(keys(S3::SECRET_KEY)))).unwrap(),
            bucket: "apps".to_owned(),
            prefix: None,
            ignore: None,
            transport: Transport::default(),
            timeout: Duration::from_secs(60),
            known: None,
        }
    }

    async fn new_revision(&self, fetch: &BucketFetch) -> (String, Stored) {
        match fetch.fetch(&self.store).await.unwrap() {
            BucketFetched::New { revision, stored } => (revision.to_string(), stored),
            BucketFetched::Unchanged(revision) => panic!("{revision} is not new"),
        }
    }
}

fn spec(endpoint: &str, insecure: bool) -> BucketSpec {
    serde_json::from_value(serde_json::json!({
        "interval": "1m", "bucketName": "apps", "endpoint": endpoint, "insecure": insecure, "region": S3::REGION,
    }))
    .unwrap()
}

fn keys(secret_key: &str) -> BTreeMap<String, Vec<u8>> {
    [("accesskey", S3::ACCESS_KEY), ("secretkey", secret_key)]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.as_bytes().to_vec()))
        .collect()
}

fn files(stored: &Stored) -> Vec<String> {
    let (mut found, mut ahead) = (Vec::new(), vec![TreePath::root()]);
    while let Some(directory) = ahead.pop() {
        for entry in stored.tree.list(&directory).unwrap() {
            let path = directory.join(&entry.name).unwrap();
            match entry.kind {
                EntryKind::Directory => ahead.push(path),
                _ => {
                    let bytes = stored.tree.read(&path, 1 << 20).unwrap();
                    found.push(format!("{path}: {}", String::from_utf8(bytes).unwrap()));
                }
            }
        }
    }
    found.sort();
    found
}

#[tokio::test]
async fn its_objects_are_files() {
    let bench = Bench::new().await;
    for (key, text) in
        [("app.yaml", "one"), ("deploy/b c+d%20.yaml", "two"), ("deploy/ä/x", "three"), ("empty", "")]
    {
        bench.put(key, text).await;
    }
    let (revision, stored) = bench.new_revision(&bench.fetch()).await;
    assert_eq!(
        files(&stored),
        ["app.yaml: one", "deploy/b c+d%20.yaml: two", "deploy/ä/x: three", "empty: "]
    );
    // The revision is that of the keys and tags, as Flux computes it.
    let mut listed: Vec<_> = bench.bucket.list(None).try_collect::<Vec<_>>().await.unwrap();
    listed.sort_by(|a, b| a.location.cmp(&b.location));
    let lines: String = listed
        .iter()
        .map(|object| format!("{} {}\n", object.location, object.e_tag.as_deref().unwrap().trim_matches('"')))
        .collect();
    assert_eq!(revision, format!("sha256:{:x}", Sha256::digest(lines)));
}

#[tokio::test]
async fn a_change_makes_a_revision() {
    let bench = Bench::new().await;
    bench.put("a", "one").await;
    bench.put("b", "two").await;
    let mut fetch = bench.fetch();
    let (first, _stored) = bench.new_revision(&fetch).await;
    fetch.known = Some(first.parse().unwrap());
    assert!(matches!(fetch.fetch(&bench.store).await.unwrap(), BucketFetched::Unchanged(_)));
    bench.put("a", "changed").await;
    let (second, stored) = bench.new_revision(&fetch).await;
    assert_ne!(first, second);
    assert_eq!(files(&stored), ["a: changed", "b: two"]);
    bench.bucket.delete(&Path::from("b")).await.unwrap();
    let (_, stored) = bench.new_revision(&fetch).await;
    assert_eq!(files(&stored), ["a: changed"]);
    assert!(fetch.recall(&bench.store, &second.parse().unwrap()).is_none());
}

#[tokio::test]
async fn a_prefix_need_not_end_at_a_directory() {
    let bench = Bench::new().await;
    for key in ["prod/a", "production/b", "staging/c"] {
        bench.put(key, "x").await;
    }
    let fetch = BucketFetch { prefix: Some("prod".to_owned()), ..bench.fetch() };
    assert_eq!(files(&bench.new_revision(&fetch).await.1), ["prod/a: x", "production/b: x"]);
    let fetch = BucketFetch { prefix: Some("prod/".to_owned()), ..bench.fetch() };
    assert_eq!(files(&bench.new_revision(&fetch).await.1), ["prod/a: x"]);
}

#[tokio::test]
async fn what_is_ignored_is_not_in_the_tree_and_not_in_the_revision() {
    let bench = Bench::new().await;
    bench.put("a.yaml", "x").await;
    let (plain, _stored) = bench.new_revision(&bench.fetch()).await;
    bench.put("b.md", "x").await;
    bench.put("docs/c.yaml", "x").await;
    bench.put(".sourceignore", "docs/\n").await;
    let fetch = BucketFetch { ignore: Some("*.md".to_owned()), ..bench.fetch() };
    let fetched = fetch.fetch(&bench.store).await.unwrap();
    let BucketFetched::New { revision, stored } = fetched else { panic!("nobody knew it") };
    assert_eq!(revision.to_string(), plain);
    assert!(!files(&stored).iter().any(|file| file.contains(".md") || file.contains("docs")));
}

#[tokio::test]
async fn more_than_a_page_is_listed() {
    let bench = Bench::new().await;
    futures::stream::iter(0..1100)
        .for_each_concurrent(32, |n| {
            let bench = &bench;
            async move { bench.put(&format!("{}/{n}", n % 7), "x").await }
        })
        .await;
    assert_eq!(files(&bench.new_revision(&bench.fetch()).await.1).len(), 1100);
}

#[tokio::test]
async fn wrong_credentials_and_names_are_told_of() {
    let bench = Bench::new().await;
    let wrong =
        Provider::of_spec(&spec(bench.server.host(), true), with_secret(Some(keys("not-the-secret"))))
            .unwrap();
    let error = BucketFetch { provider: wrong, ..bench.fetch() }.fetch(&bench.store).await.unwrap_err();
    assert!(matches!(error, BucketError::AuthenticationFailed { .. }), "{error}");
    assert_eq!(error.reason(), Reason::AuthenticationFailed);
    assert!(
        error.to_string().starts_with("cannot sign in to bucket \"apps\": SignatureDoesNotMatch: "),
        "{error}"
    );
    assert!(!error.to_string().contains("not-the-secret"), "{error}");

    let nobody = Provider::of_spec(&spec(bench.server.host(), true), with_secret(None)).unwrap();
    let error = BucketFetch { provider: nobody, ..bench.fetch() }.fetch(&bench.store).await.unwrap_err();
    assert!(matches!(error, BucketError::AuthenticationFailed { .. }), "{error}");

    let other = BucketFetch { bucket: "other".to_owned(), ..bench.fetch() };
    let error = other.fetch(&bench.store).await.unwrap_err();
    assert_eq!(error, BucketError::NotFound { bucket: "other".to_owned() });
    assert_eq!(error.reason(), Reason::BucketOperationFailed);
}

#[tokio::test]
async fn its_certificate_is_verified() {
    let authority = Authority::new().unwrap();
    let bench = Bench::with(Some(&authority)).await;
    bench.put("a", "x").await;
    let mut fetch = bench.fetch();
    fetch.timeout = Duration::from_secs(5);
    fetch.fetch(&bench.store).await.unwrap_err();
    fetch.timeout = Duration::from_secs(60);
    fetch.transport.ca = Some(authority.ca_pem().as_bytes().to_vec());
    assert_eq!(files(&bench.new_revision(&fetch).await.1), ["a: x"]);
}
