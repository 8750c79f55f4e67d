use std::sync::Arc;
use std::time::Duration;

use plumb_api::Reason;
use plumb_source::artifact::{ArtifactError, ArtifactFetch, ArtifactFetched};
use plumb_source::content::{ContentError, ContentStore, Limits, Stored};
use plumb_source::transport::Transport;
use plumb_tree::TreePath;
use rstest::rstest;
use sha2::{Digest as _, Sha256, Sha512};
use tempfile::TempDir;

use crate::tarball::Tarball;
use crate::web::{Web, bytes, endless, status};

struct Bench {
    store: Arc<ContentStore>,
    dir: TempDir,
}

impl Bench {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let store = Arc::new(ContentStore::open(dir.path(), Limits::default()).unwrap());
        Self { store, dir }
    }

    async fn fetch(&self, fetch: &ArtifactFetch) -> Result<ArtifactFetched, ArtifactError> {
        fetch.fetch(&self.store).await
    }

    fn is_empty(&self) -> bool {
        ["trees", "notes", "incoming"]
            .iter()
            .all(|name| self.dir.path().join(name).read_dir().unwrap().next().is_none())
    }
}

fn archive(text: &str) -> Vec<u8> {
    Tarball::new().file("app.yaml", text.as_bytes()).tar_gz()
}

fn sha256(bytes: &[u8]) -> String {
    format!("sha256:{:x}", Sha256::digest(bytes))
}

fn of(url: String, digest: String) -> ArtifactFetch {
    ArtifactFetch {
        url,
        digest,
        transport: Transport::default(),
        timeout: Duration::from_secs(60),
        known: None,
    }
}

fn new(fetched: Result<ArtifactFetched, ArtifactError>) -> Stored {
    match fetched.unwrap() {
        ArtifactFetched::New(stored) => stored,
        ArtifactFetched::Unchanged => panic!("it is not new"),
    }
}

fn read(stored: &Stored) -> Vec<u8> {
    stored.tree.read(&TreePath::new("app.yaml").unwrap(), 1 << 20).unwrap()
}

async fn serving(archive: Vec<u8>) -> Web {
    Web::start(move |_, _| bytes(archive.clone())).await
}

#[tokio::test]
async fn it_is_downloaded_once() {
    let (mut bench, archive) = (Bench::new(), archive("one"));
    let web = serving(archive.clone()).await;
    let mut fetch = of(web.url("/gitrepository/apps/main.tar.gz"), sha256(&archive));
    assert_eq!(read(&new(bench.fetch(&fetch).await)), b"one");
    assert_eq!(web.seen(), ["/gitrepository/apps/main.tar.gz"]);

    // After a restart it is still here.
    let Bench { store, dir } = bench;
    drop(store);
    bench = Bench { store: Arc::new(ContentStore::open(dir.path(), Limits::default()).unwrap()), dir };
    assert_eq!(read(&new(bench.fetch(&fetch).await)), b"one");
    fetch.known = Some(fetch.digest.clone());
    assert!(matches!(bench.fetch(&fetch).await, Ok(ArtifactFetched::Unchanged)));
    assert_eq!(web.seen().len(), 1, "nothing was asked for again");

    // What was lost is fetched again, although the caller knows it.
    bench.store.retain(&[]).unwrap();
    assert_eq!(read(&new(bench.fetch(&fetch).await)), b"one");
    assert_eq!(web.seen().len(), 2);
}

#[tokio::test]
async fn a_longer_hash_is_verified_too() {
    let (bench, archive) = (Bench::new(), archive("one"));
    let web = serving(archive.clone()).await;
    let digest = format!("sha512:{:x}", Sha512::digest(&archive));
    new(bench.fetch(&of(web.url("/a"), digest.clone())).await);
    let wrong = format!("sha512:{}", "0".repeat(128));
    let error = bench.fetch(&of(web.url("/a"), wrong.clone())).await.unwrap_err();
    assert_eq!(error, ArtifactError::WrongDigest { url: web.url("/a"), expected: wrong, found: digest });
}

// Attack 25: what was cut off or exchanged is not believed, and nothing of it is kept.
#[rstest]
#[case::exchanged(archive("evil"))]
#[case::cut_off(archive("good")[..60].to_vec())]
#[case::empty(Vec::new())]
#[case::an_error_page(b"<html>".to_vec())]
#[tokio::test]
async fn what_is_not_what_the_status_says_is_refused(#[case] sent: Vec<u8>) {
    let bench = Bench::new();
    let web = serving(sent.clone()).await;
    let expected = sha256(&archive("good"));
    let error = bench.fetch(&of(web.url("/a"), expected.clone())).await.unwrap_err();
    assert_eq!(error, ArtifactError::WrongDigest { url: web.url("/a"), expected, found: sha256(&sent) });
    assert_eq!((error.reason(), error.needs_a_change()), (Reason::ArtifactFailed, false));
    assert!(bench.is_empty());
}

// Attack 8: a digest says who made it, not that it is harmless.
#[tokio::test]
async fn what_has_the_right_digest_is_still_not_trusted() {
    let bench = Bench::new();
    let archive = Tarball::new().file("../../etc/cron.d/x", b"").tar_gz();
    let web = serving(archive.clone()).await;
    let error = bench.fetch(&of(web.url("/a"), sha256(&archive))).await.unwrap_err();
    assert!(matches!(error, ArtifactError::Content(ContentError::InvalidPath { .. })), "{error}");
    assert!(bench.is_empty());
}

#[rstest]
#[case::busy(503, 3)]
#[case::too_many(429, 3)]
#[case::internal(500, 3)]
#[case::gone(404, 1)]
#[case::forbidden(403, 1)]
#[case::not_implemented(501, 1)]
#[tokio::test]
async fn a_server_that_fails_is_asked_again_where_that_helps(#[case] failure: u16, #[case] requests: usize) {
    let (bench, archive) = (Bench::new(), archive("one"));
    let digest = sha256(&archive);
    let web =
        Web::start(move |_, before| if before < 2 { status(failure) } else { bytes(archive.clone()) }).await;
    let fetched = bench.fetch(&of(web.url("/a"), digest)).await;
    assert_eq!(web.seen().len(), requests);
    match (requests, failure) {
        (3, _) => assert_eq!(read(&new(fetched)), b"one"),
        (_, 404) => assert_eq!(fetched.unwrap_err(), ArtifactError::NotFound { url: web.url("/a") }),
        (_, status) => assert_eq!(fetched.unwrap_err(), ArtifactError::Status { url: web.url("/a"), status }),
    }
}

#[tokio::test]
async fn a_connection_that_was_lost_is_made_again() {
    let (bench, archive) = (Bench::new(), archive("one"));
    let digest = sha256(&archive);
    let web = Web::start(move |_, before| {
        if before > 0 {
            return bytes(archive.clone());
        }
        let lost = [Ok(archive[..20].to_vec()), Err(std::io::Error::other("the wire was cut"))];
        bytes(axum::body::Body::from_stream(futures::stream::iter(lost)))
    })
    .await;
    assert_eq!(read(&new(bench.fetch(&of(web.url("/a"), digest)).await)), b"one");
    assert_eq!(web.seen().len(), 2);
}

#[tokio::test]
async fn an_artifact_that_is_too_large_is_refused() {
    let dir = TempDir::new().unwrap();
    let limits = Limits { tree_bytes: 1000, ..Limits::default() };
    let store = Arc::new(ContentStore::open(dir.path(), limits).unwrap());
    let web = Web::start(|_, _| endless(vec![0; 2 << 20])).await;
    let error = of(web.url("/a"), sha256(b"")).fetch(&store).await.unwrap_err();
    assert_eq!(error, ArtifactError::Content(ContentError::TooMuch { what: "bytes in a file", limit: 1000 }));
}

#[tokio::test]
async fn a_server_that_never_ends_is_left() {
    let bench = Bench::new();
    let web = Web::start(|_, _| endless(vec![0; 10])).await;
    let fetch = ArtifactFetch { timeout: Duration::from_millis(300), ..of(web.url("/a"), sha256(b"")) };
    let error = bench.fetch(&fetch).await.unwrap_err();
    assert_eq!(error, ArtifactError::TimedOut { url: web.url("/a"), seconds: 0 });
}

#[rstest]
#[case("file:///etc/passwd")]
#[case("ftp://host/a")]
#[case("")]
#[tokio::test]
async fn only_the_web_is_asked(#[case] url: &str) {
    let error = Bench::new().fetch(&of(url.to_owned(), sha256(b""))).await.unwrap_err();
    assert_eq!(error, ArtifactError::InvalidUrl(url.to_owned()));
    assert!(error.needs_a_change());
}

// Attack 6: nobody makes us ask where clouds keep their credentials.
#[tokio::test]
async fn credentials_of_the_machine_are_not_asked_for() {
    let fetch = of("http://169.254.169.254/latest/meta-data".to_owned(), sha256(b""));
    let error = Bench::new().fetch(&fetch).await.unwrap_err();
    assert!(matches!(error, ArtifactError::Transport(_)), "{error}");
}
